use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u8 = 2;
/// The version before: no pull yet.
const VERSION_1: u8 = 1;
const LISTED: u8 = 1;

/// What is known of a sealed segment: a hint, rebuilt from its bytes when lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Bytes of the whole segment.
    pub(crate) length: u64,
    /// A manifest is known to list it.
    pub(crate) listed: bool,
    /// Number of the owner list by which this node was last told to pull it; 0 when it came with
    /// a push. Only a newer list without this node makes the copy garbage (S21), so what a pull
    /// writes here is durable before the pull is answered.
    pub(crate) pulled: u64,
}

impl Record {
    /// Version byte, flags, length, number of the list.
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(18);
        out.put_u8(VERSION);
        out.put_u8(if self.listed { LISTED } else { 0 });
        out.put_u64(self.length);
        out.put_u64(self.pulled);
        out.freeze()
    }

    /// `None` for a row of another version: the hint is then rebuilt.
    pub(super) fn decode(mut row: &[u8]) -> Option<Self> {
        let known =
            matches!((row.first(), row.len()), (Some(&VERSION), 18) | (Some(&VERSION_1), 10));
        if !known {
            return None;
        }
        row.advance(1);
        let listed = row.get_u8() & LISTED != 0;
        let length = row.get_u64();
        Some(Self { length, listed, pulled: if row.is_empty() { 0 } else { row.get_u64() } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_and_other_versions_are_rebuilt() {
        let record = Record { length: 77, listed: true, pulled: 9 };
        let row = record.encode();
        assert_eq!(Record::decode(&row), Some(record));
        let mut newer = row.to_vec();
        newer[0] = 3;
        assert_eq!(Record::decode(&newer), None);
        assert_eq!(Record::decode(&row[..5]), None);
    }

    #[test]
    fn a_record_of_the_first_version_was_never_pulled() {
        let row = [1, LISTED, 0, 0, 0, 0, 0, 0, 0, 77];
        assert_eq!(Record::decode(&row), Some(Record { length: 77, listed: true, pulled: 0 }));
    }
}
