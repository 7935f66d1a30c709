//! P-C8, P-D4, P-I1: what a ref shows can be fetched, whole, and hashes to what it is called.

use std::collections::{BTreeMap, BTreeSet};

use flate2::{Decompress, FlushDecompress, Status};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_git::pack::{EntryKind, Header};
use gitstratum_git::{delta, hash};

use super::Broken;

const OBJECTS: &str = "what-is-served-is-whole";
const SHA1: ObjectFormat = ObjectFormat::Sha1;
/// Bytes before the first entry and behind the last.
const HEAD_BYTES: usize = 12;
const TRAILER_BYTES: usize = 20;
/// No object of a run is larger.
const OBJECT_BYTES_MAX: u64 = 4 << 20;

/// A pack that was served, by what its objects hash to.
#[derive(Debug, Default)]
pub(crate) struct Cloned {
    objects: BTreeMap<ObjectId, (ObjectKind, Vec<u8>)>,
}

impl Cloned {
    /// Takes a pack apart.
    pub(crate) fn read(pack: &[u8]) -> Result<Self, Broken> {
        let fail = |what: &str| Broken::new(OBJECTS, format!("a served pack {what}"));
        let end = pack.len().checked_sub(TRAILER_BYTES).ok_or_else(|| fail("is cut off"))?;
        let count = pack.get(8..HEAD_BYTES).and_then(|bytes| bytes.try_into().ok());
        let count = count.map(u32::from_be_bytes).ok_or_else(|| fail("is cut off"))?;
        let (mut cloned, mut places, mut at) = (Self::default(), BTreeMap::new(), HEAD_BYTES);
        for _ in 0..count {
            let start = at;
            let rest = pack.get(at..end).unwrap_or_default();
            let (header, length) = Header::parse(SHA1, rest)
                .ok()
                .flatten()
                .ok_or_else(|| fail(&format!("has no entry at {at}")))?;
            let (body, packed) = inflate(&rest[length..], header.size)
                .ok_or_else(|| fail(&format!("has an entry at {at} that does not inflate")))?;
            at += length + packed;
            let base = match header.kind {
                EntryKind::Base(_) => None,
                EntryKind::OfsDelta { distance } => {
                    places.get(&(start as u64).saturating_sub(distance)).copied()
                }
                EntryKind::RefDelta { base } => Some(base),
            };
            let object = match (header.kind, base.and_then(|base| cloned.objects.get(&base))) {
                (EntryKind::Base(kind), _) => (kind, body),
                (_, Some((kind, base))) => {
                    let whole = delta::apply(base, &body, OBJECT_BYTES_MAX);
                    (*kind, whole.map_err(|_| fail("has a delta that does not apply"))?)
                }
                (_, None) => return Err(fail("has a delta without its base")),
            };
            let id = hash::object_id(SHA1, object.0, &object.1);
            let id = id.map_err(|_| fail("has a collision"))?;
            places.insert(start as u64, id);
            cloned.objects.insert(id, object);
        }
        if at == end { Ok(cloned) } else { Err(fail("goes on behind its last entry")) }
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether all that `tips` reach is here.
    pub(crate) fn check(&self, tips: impl IntoIterator<Item = ObjectId>) -> Result<(), Broken> {
        let mut wanted: Vec<ObjectId> = tips.into_iter().collect();
        let mut seen: BTreeSet<ObjectId> = wanted.iter().copied().collect();
        while let Some(id) = wanted.pop() {
            let Some((kind, content)) = self.objects.get(&id) else {
                let what = format!("{id} is reached, and is not in what was served");
                return Err(Broken::new(OBJECTS, what));
            };
            let named = match kind {
                ObjectKind::Commit => in_commit(content),
                ObjectKind::Tree => in_tree(content),
                ObjectKind::Blob | ObjectKind::Tag => Vec::new(),
            };
            wanted.extend(named.into_iter().filter(|id| seen.insert(*id)));
        }
        Ok(())
    }
}

/// Bytes that inflate to `size`, and how many they were.
fn inflate(packed: &[u8], size: u64) -> Option<(Vec<u8>, usize)> {
    let size = usize::try_from(size.min(OBJECT_BYTES_MAX)).ok()?;
    let (mut zlib, mut out) = (Decompress::new(true), Vec::with_capacity(size + 1));
    let status = zlib.decompress_vec(packed, &mut out, FlushDecompress::Finish).ok()?;
    let taken = usize::try_from(zlib.total_in()).ok()?;
    (status == Status::StreamEnd && out.len() == size).then_some((out, taken))
}

fn in_commit(content: &[u8]) -> Vec<ObjectId> {
    let lines = content.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let named = lines.filter_map(|line| {
        let hex = line.strip_prefix(b"tree ").or_else(|| line.strip_prefix(b"parent "))?;
        ObjectId::from_hex(SHA1, hex).ok()
    });
    named.collect()
}

fn in_tree(content: &[u8]) -> Vec<ObjectId> {
    let (mut rest, mut named) = (content, Vec::new());
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let Some(id) = rest.get(end + 1..end + 21) else { break };
        named.extend(ObjectId::from_slice(id));
        rest = &rest[end + 21..];
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit;

    #[test]
    fn p_c8_a_pack_that_lacks_what_its_tip_reaches_is_seen() {
        let first = commit(None, "first");
        let second = commit(Some(first.id), "second");
        let whole = Cloned::read(&first.pack).unwrap();
        assert_eq!(whole.check([first.id]), Ok(()));
        let part = Cloned::read(&second.pack).unwrap();
        assert!(part.check([second.id]).is_err());
    }

    #[test]
    fn p_i1_a_pack_with_a_flipped_bit_is_seen() {
        let made = commit(None, "first");
        for at in 0..made.pack.len() - TRAILER_BYTES {
            let mut damaged = made.pack.clone();
            damaged[at] ^= 1;
            let read = Cloned::read(&damaged).and_then(|cloned| cloned.check([made.id]));
            assert!(read.is_err() || at < 8, "byte {at}");
        }
    }
}
