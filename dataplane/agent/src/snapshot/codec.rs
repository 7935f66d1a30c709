use bytes::{BufMut, Bytes, BytesMut};
use gitstratum_proto::control::v1::SnapshotUpdate;

use crate::records::{self, Next, Reader};

const MAGIC: &[u8; 7] = b"GSSNAPS";
const VERSION: u8 = 1;

/// Why bytes are no snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Of a newer format.
    Newer { found: u8 },
    /// A record, or the file's beginning, is not what was written.
    Record { offset: usize },
}

/// A whole file that holds `update`.
pub(super) fn encode(update: &SnapshotUpdate) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(MAGIC);
    out.put_u8(VERSION);
    out.put_slice(&records(std::slice::from_ref(update)));
    out.freeze()
}

/// The records of one version, to be appended together.
pub(super) fn records(updates: &[SnapshotUpdate]) -> Bytes {
    let mut out = BytesMut::new();
    updates.iter().for_each(|update| records::put(&mut out, update));
    out.freeze()
}

/// The updates of a file, whole versions only: an end that a crash tore off is dropped.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<SnapshotUpdate>, Damage> {
    let begins = bytes.len() > MAGIC.len() && bytes.starts_with(MAGIC);
    if !begins {
        return Err(Damage::Record { offset: 0 });
    }
    let found = bytes[MAGIC.len()];
    if found != VERSION {
        return Err(Damage::Newer { found });
    }
    let mut reader = Reader::new(bytes, MAGIC.len() + 1);
    let mut updates = Vec::new();
    let mut whole = 0;
    loop {
        let update: SnapshotUpdate = match reader.next() {
            Next::Message(update) => update,
            Next::End { .. } => break,
            Next::Damaged { offset } => return Err(Damage::Record { offset }),
        };
        let more = update.more;
        updates.push(update);
        if !more {
            whole = updates.len();
        }
    }
    if whole == 0 {
        return Err(Damage::Record { offset: MAGIC.len() + 1 });
    }
    updates.truncate(whole);
    Ok(updates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(version: u64, more: bool) -> SnapshotUpdate {
        SnapshotUpdate { version, more, ..Default::default() }
    }

    #[test]
    fn a_torn_end_loses_only_the_version_that_was_being_written() {
        let mut bytes = encode(&update(1, false)).to_vec();
        let two = records(&[update(2, true), update(2, false)]);
        bytes.extend_from_slice(&two);
        assert_eq!(decode(&bytes).unwrap().len(), 3);
        for cut in 1..two.len() {
            let kept = decode(&bytes[..bytes.len() - cut]).unwrap();
            assert_eq!(kept.last().unwrap().version, 1, "cut {cut}");
        }
    }

    #[test]
    fn damage_inside_and_newer_formats_are_told_apart() {
        let mut bytes = encode(&update(1, false)).to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(matches!(decode(&bytes), Err(Damage::Record { offset: 8 })));
        bytes[7] = 9;
        assert_eq!(decode(&bytes), Err(Damage::Newer { found: 9 }));
        assert_eq!(decode(b""), Err(Damage::Record { offset: 0 }));
    }
}
