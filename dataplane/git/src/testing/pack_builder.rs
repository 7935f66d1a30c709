use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use super::deflate;
use crate::hash::ChecksumHasher;
use crate::pack::{EntryKind, Header};

/// One entry, every byte of it open to lies.
#[derive(Clone, Debug)]
pub struct EntrySpec {
    /// Its header as it will be written.
    pub header: HeaderSpec,
    /// Its body as it will be written: a zlib stream, or not.
    pub body: Vec<u8>,
}

/// An entry's header.
#[derive(Clone, Debug)]
pub enum HeaderSpec {
    /// A well-formed one.
    Of(Header),
    /// A delta on the entry with this position in the pack.
    OnEntry {
        /// Position of the base, from 0.
        base: usize,
        /// Bytes of the delta stated.
        size: u64,
    },
    /// These bytes.
    Raw(Vec<u8>),
}

/// What stands at the end of the pack.
#[derive(Clone, Debug, Default)]
pub enum Trailer {
    /// The checksum.
    #[default]
    Right,
    /// The checksum with one bit flipped.
    Wrong,
    /// Nothing.
    Missing,
}

/// Builds a pack, right unless told otherwise.
#[derive(Clone, Debug)]
pub struct PackBuilder {
    format: ObjectFormat,
    magic: [u8; 4],
    version: u32,
    count: Option<u32>,
    entries: Vec<EntrySpec>,
    trailer: Trailer,
    trailing: Vec<u8>,
}

impl PackBuilder {
    /// A pack without entries.
    pub fn new(format: ObjectFormat) -> Self {
        Self {
            format,
            magic: *b"PACK",
            version: 2,
            count: None,
            entries: Vec::new(),
            trailer: Trailer::Right,
            trailing: Vec::new(),
        }
    }

    /// Adds a whole object.
    #[must_use]
    pub fn object(self, kind: ObjectKind, content: &[u8]) -> Self {
        self.object_claiming(kind, content.len() as u64, deflate(content))
    }

    /// Adds a whole object with this stated size and this body.
    #[must_use]
    pub fn object_claiming(self, kind: ObjectKind, size: u64, body: Vec<u8>) -> Self {
        let header = HeaderSpec::Of(Header { kind: EntryKind::Base(kind), size });
        self.entry(EntrySpec { header, body })
    }

    /// Adds a delta on the entry with this position.
    #[must_use]
    pub fn ofs_delta(self, base: usize, delta: &[u8]) -> Self {
        let header = HeaderSpec::OnEntry { base, size: delta.len() as u64 };
        self.entry(EntrySpec { header, body: deflate(delta) })
    }

    /// Adds a delta that states this distance to its base.
    #[must_use]
    pub fn ofs_delta_at(self, distance: u64, delta: &[u8]) -> Self {
        let kind = EntryKind::OfsDelta { distance };
        let header = HeaderSpec::Of(Header { kind, size: delta.len() as u64 });
        self.entry(EntrySpec { header, body: deflate(delta) })
    }

    /// Adds a delta on the object `base`, in the pack or not.
    #[must_use]
    pub fn ref_delta(self, base: ObjectId, delta: &[u8]) -> Self {
        let kind = EntryKind::RefDelta { base };
        let header = HeaderSpec::Of(Header { kind, size: delta.len() as u64 });
        self.entry(EntrySpec { header, body: deflate(delta) })
    }

    /// Adds an entry made of these bytes.
    #[must_use]
    pub fn raw(self, header: Vec<u8>, body: Vec<u8>) -> Self {
        self.entry(EntrySpec { header: HeaderSpec::Raw(header), body })
    }

    /// Adds an entry.
    #[must_use]
    pub fn entry(mut self, entry: EntrySpec) -> Self {
        self.entries.push(entry);
        self
    }

    /// Starts the pack with this instead of `PACK`.
    #[must_use]
    pub fn magic(mut self, magic: [u8; 4]) -> Self {
        self.magic = magic;
        self
    }

    /// States this version.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// States this number of entries.
    #[must_use]
    pub fn count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Ends the pack with this.
    #[must_use]
    pub fn trailer(mut self, trailer: Trailer) -> Self {
        self.trailer = trailer;
        self
    }

    /// Adds bytes behind the trailer.
    #[must_use]
    pub fn trailing(mut self, bytes: &[u8]) -> Self {
        self.trailing = bytes.to_vec();
        self
    }

    /// Number of entries so far: the position of the next one.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no entry yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The pack's bytes.
    ///
    /// # Panics
    /// If a delta names a position that is not before its own.
    pub fn build(&self) -> Vec<u8> {
        let mut pack = self.magic.to_vec();
        pack.extend_from_slice(&self.version.to_be_bytes());
        let counted = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        pack.extend_from_slice(&self.count.unwrap_or(counted).to_be_bytes());
        let mut offsets: Vec<u64> = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let offset = pack.len() as u64;
            write_header(&entry.header, offset, &offsets, &mut pack);
            pack.extend_from_slice(&entry.body);
            offsets.push(offset);
        }
        self.write_end(&mut pack);
        pack
    }

    fn write_end(&self, pack: &mut Vec<u8>) {
        let mut checksum = ChecksumHasher::new(self.format);
        checksum.update(pack);
        let mut checksum = checksum.finish();
        match self.trailer {
            Trailer::Right => {}
            Trailer::Wrong => checksum[0] ^= 1,
            Trailer::Missing => checksum.clear(),
        }
        pack.extend_from_slice(&checksum);
        pack.extend_from_slice(&self.trailing);
    }
}

fn write_header(header: &HeaderSpec, offset: u64, offsets: &[u64], pack: &mut Vec<u8>) {
    match header {
        HeaderSpec::Raw(bytes) => pack.extend_from_slice(bytes),
        HeaderSpec::Of(header) => header.write(pack),
        HeaderSpec::OnEntry { base, size } => {
            let distance = offset - offsets[*base];
            Header { kind: EntryKind::OfsDelta { distance }, size: *size }.write(pack);
        }
    }
}
