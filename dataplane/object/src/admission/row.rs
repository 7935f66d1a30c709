use bytes::{Buf, BufMut, Bytes, BytesMut};
use gitstratum_core::PartitionId;

const VERSION: u8 = 1;
const DOUBTED: u8 = 1;
const PREFIX: u8 = b'i';

/// What this disk knows of its standing with a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// The number last shown, or about to be.
    pub(super) number: u64,
    /// Not everything was verified since the disk was found to be older than its number.
    pub(super) doubted: bool,
}

/// Key of a partition's row.
pub(super) fn key(partition: PartitionId) -> Vec<u8> {
    [&[PREFIX][..], &partition.0.to_be_bytes()].concat()
}

impl Row {
    /// Version byte, flags, number.
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(10);
        out.put_u8(VERSION);
        out.put_u8(if self.doubted { DOUBTED } else { 0 });
        out.put_u64(self.number);
        out.freeze()
    }

    /// `None` when it is no such row.
    pub(super) fn decode(mut row: &[u8]) -> Option<Self> {
        if row.len() != 10 || row.get_u8() != VERSION {
            return None;
        }
        let doubted = row.get_u8() & DOUBTED != 0;
        Some(Self { number: row.get_u64(), doubted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s49_the_pages_example_is_read() {
        let page = include_str!("../../../../docs/formats/object-rows.md");
        let row = page.lines().find_map(|line| line.strip_prefix("incarnation ")).unwrap();
        let row = gitstratum_core::decode_hex(row.as_bytes()).unwrap();
        assert_eq!(Row::decode(&row), Some(Row { number: 4, doubted: true }));
    }

    #[test]
    fn rows_round_trip_and_other_versions_are_told() {
        let row = Row { number: 77, doubted: true };
        assert_eq!(Row::decode(&row.encode()), Some(row));
        let mut newer = row.encode().to_vec();
        newer[0] = 2;
        assert_eq!(Row::decode(&newer), None);
        assert_ne!(key(PartitionId(1)), key(PartitionId(256)));
    }
}
