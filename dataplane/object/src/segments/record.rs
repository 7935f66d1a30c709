use bytes::{Buf, BufMut, Bytes, BytesMut};
use gitstratum_core::PartitionId;

const VERSION: u8 = 3;
/// Versions before: without a partition, and without a pull.
const VERSION_2: u8 = 2;
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
    /// The partition that it is of; rows of older versions do not say.
    pub(crate) partition: Option<PartitionId>,
}

impl Record {
    /// Version byte, flags, length, number of the list, partition.
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(22);
        out.put_u8(if self.partition.is_some() { VERSION } else { VERSION_2 });
        out.put_u8(if self.listed { LISTED } else { 0 });
        out.put_u64(self.length);
        out.put_u64(self.pulled);
        if let Some(PartitionId(partition)) = self.partition {
            out.put_u32(partition);
        }
        out.freeze()
    }

    /// `None` for a row of another version: the hint is then rebuilt.
    pub(super) fn decode(mut row: &[u8]) -> Option<Self> {
        let known = matches!(
            (row.first(), row.len()),
            (Some(&VERSION), 22) | (Some(&VERSION_2), 18) | (Some(&VERSION_1), 10)
        );
        if !known {
            return None;
        }
        row.advance(1);
        let listed = row.get_u8() & LISTED != 0;
        let length = row.get_u64();
        let pulled = row.try_get_u64().unwrap_or_default();
        let partition = row.try_get_u32().ok().map(PartitionId);
        Some(Self { length, listed, pulled, partition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_and_other_versions_are_rebuilt() {
        let record =
            Record { length: 77, listed: true, pulled: 9, partition: Some(PartitionId(5)) };
        let row = record.encode();
        assert_eq!(Record::decode(&row), Some(record));
        let mut newer = row.to_vec();
        newer[0] = 4;
        assert_eq!(Record::decode(&newer), None);
        assert_eq!(Record::decode(&row[..5]), None);
    }

    #[test]
    fn a_record_of_the_first_version_was_never_pulled() {
        let row = [1, LISTED, 0, 0, 0, 0, 0, 0, 0, 77];
        let record = Record { length: 77, listed: true, pulled: 0, partition: None };
        assert_eq!(Record::decode(&row), Some(record));
    }

    #[test]
    fn s49_the_pages_example_is_read() {
        let page = include_str!("../../../../docs/formats/object-rows.md");
        let row = page.lines().find_map(|line| line.strip_prefix("record ")).unwrap();
        let row = gitstratum_core::decode_hex(row.as_bytes()).unwrap();
        let record =
            Record { length: 77, listed: true, pulled: 9, partition: Some(PartitionId(5)) };
        assert_eq!(Record::decode(&row), Some(record));
        assert_eq!(record.encode(), row);
    }

    #[test]
    fn a_record_of_the_second_version_does_not_say_the_partition() {
        let record = Record { length: 77, listed: false, pulled: 4, partition: None };
        assert_eq!(Record::decode(&record.encode()), Some(record));
    }
}
