use bytes::{Buf, BufMut};
use crc32c::crc32c;
use gitstratum_core::{
    ClusterId, ObjectFormat, PackId, PartitionId, PushNumber, RepoId, SegmentId, SessionId,
};

use super::{BLOCK_BYTES, Error, HEADER_BYTES};
use crate::part::{format_number, format_of};

const MAGIC: &[u8; 8] = b"GSSEGMNT";
const VERSION: u8 = 1;
/// Where the header's own checksum lies, in every version.
const SUM_AT: usize = HEADER_BYTES - 4;
/// Where this version's fields end; zero bytes from here to the checksum.
const FIELDS_END: usize = 128;

/// What a segment's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Git pack entries.
    Pack = 1,
    /// Large-file objects; the number is reserved, nothing writes them yet.
    Lfs = 2,
}

/// How a body is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Cipher {
    /// It is not.
    #[default]
    None = 0,
}

/// The key that a body is encrypted with; all zero without a cipher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyId(pub [u8; 16]);

/// Number of a claim on a repository, given out by its partition's leader (S35).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimNumber(pub u64);

/// Who wrote a segment. An owner sweeps an unlisted segment by it (S12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A push of a frontend's session.
    Push {
        /// The session with the partition.
        session: SessionId,
        /// The push's number in it.
        number: PushNumber,
    },
    /// A compaction or drop run.
    Claim(ClaimNumber),
}

/// What a segment says of itself before its first body byte (S3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The cluster that wrote it.
    pub cluster: ClusterId,
    /// The repository it belongs to.
    pub repo: RepoId,
    /// The repository at the root of the fork network; `repo` itself when not a fork.
    pub network: RepoId,
    /// The pack it is a stretch of.
    pub pack: PackId,
    /// Its own id.
    pub segment: SegmentId,
    /// The partition that may list it.
    pub partition: PartitionId,
    /// Who wrote it.
    pub origin: Origin,
    /// How the body is encrypted.
    pub cipher: Cipher,
    /// With which key.
    pub key: KeyId,
    /// Object format of the repository.
    pub object_format: ObjectFormat,
    /// What the entries are.
    pub kind: Kind,
    /// Offset in the pack of the first entry byte; 0 when there are no entries.
    pub pack_offset: u64,
}

impl Header {
    /// Its bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_u8(self.kind as u8);
        out.put_u8(format_number(self.object_format));
        out.put_u8(self.cipher as u8);
        out.put_u32(BLOCK_BYTES as u32);
        out.put_slice(&self.cluster.0);
        out.put_u64(self.repo.0);
        out.put_u64(self.network.0);
        out.put_slice(&self.pack.0);
        out.put_slice(&self.segment.0);
        out.put_u32(self.partition.0);
        let (origin, session, number) = match self.origin {
            Origin::Push { session, number } => (1, session.0, number.0),
            Origin::Claim(claim) => (2, 0, claim.0),
        };
        out.put_u32(origin);
        out.put_u64(session);
        out.put_u64(number);
        out.put_slice(&self.key.0);
        out.put_u64(self.pack_offset);
        out.put_bytes(0, HEADER_BYTES - FIELDS_END);
        let sum = crc32c(&out[..SUM_AT]);
        out[SUM_AT..].copy_from_slice(&sum.to_be_bytes());
        out.try_into().expect("because the fields add up to the header")
    }

    /// The header at the front of `bytes`, which must be that of `segment`.
    ///
    /// # Errors
    /// Truncated, damaged, another segment's, or of a newer release.
    pub fn decode(segment: SegmentId, bytes: &[u8]) -> Result<Self, Error> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Error::Truncated { segment, len: bytes.len() as u64 });
        };
        check_frame(segment, bytes)?;
        let mut fields = Fields { segment, rest: &bytes[MAGIC.len()..] };
        let version = fields.rest.get_u8();
        fields.check("version", VERSION.into(), version.into())?;
        let kind = fields.kind()?;
        let object_format = fields.object_format()?;
        let cipher = fields.rest.get_u8();
        fields.check("cipher", Cipher::None as u32, cipher.into())?;
        let block_size = fields.rest.get_u32();
        fields.check("block size", BLOCK_BYTES as u32, block_size)?;
        let header = Self {
            cluster: ClusterId(fields.id()),
            repo: RepoId(fields.rest.get_u64()),
            network: RepoId(fields.rest.get_u64()),
            pack: PackId(fields.id()),
            segment: SegmentId(fields.id()),
            partition: PartitionId(fields.rest.get_u32()),
            origin: fields.origin()?,
            cipher: Cipher::None,
            key: KeyId(fields.id()),
            object_format,
            kind,
            pack_offset: fields.rest.get_u64(),
        };
        if header.segment != segment {
            return Err(Error::Other { segment, found: header.segment });
        }
        Ok(header)
    }
}

fn check_frame(segment: SegmentId, bytes: &[u8; HEADER_BYTES]) -> Result<(), Error> {
    if !bytes.starts_with(MAGIC) {
        return Err(Error::Header { segment, what: "no magic" });
    }
    if crc32c(&bytes[..SUM_AT]).to_be_bytes() != bytes[SUM_AT..] {
        return Err(Error::Header { segment, what: "checksum differs" });
    }
    Ok(())
}

/// Fields of a header whose checksum holds, read in order.
struct Fields<'a> {
    segment: SegmentId,
    rest: &'a [u8],
}

impl Fields<'_> {
    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        self.rest.copy_to_slice(&mut id);
        id
    }

    fn check(&self, what: &'static str, known: u32, value: u32) -> Result<(), Error> {
        if value == known { Ok(()) } else { Err(self.unsupported(what, value)) }
    }

    fn kind(&mut self) -> Result<Kind, Error> {
        match self.rest.get_u8() {
            1 => Ok(Kind::Pack),
            2 => Ok(Kind::Lfs),
            other => Err(self.unsupported("kind", other.into())),
        }
    }

    fn object_format(&mut self) -> Result<ObjectFormat, Error> {
        let number = self.rest.get_u8();
        format_of(number).ok_or_else(|| self.unsupported("object format", number.into()))
    }

    fn origin(&mut self) -> Result<Origin, Error> {
        let tag = self.rest.get_u32();
        let (session, number) = (self.rest.get_u64(), self.rest.get_u64());
        match tag {
            1 => Ok(Origin::Push { session: SessionId(session), number: PushNumber(number) }),
            2 => Ok(Origin::Claim(ClaimNumber(number))),
            other => Err(self.unsupported("origin", other)),
        }
    }

    const fn unsupported(&self, what: &'static str, value: u32) -> Error {
        Error::Unsupported { segment: self.segment, what, value }
    }
}
