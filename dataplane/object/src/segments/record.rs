use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u8 = 1;
const LISTED: u8 = 1;

/// What is known of a sealed segment: a hint, rebuilt from its bytes when lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Bytes of the whole segment.
    pub(crate) length: u64,
    /// A manifest is known to list it.
    pub(crate) listed: bool,
}

impl Record {
    /// Version byte, flags, length.
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(10);
        out.put_u8(VERSION);
        out.put_u8(if self.listed { LISTED } else { 0 });
        out.put_u64(self.length);
        out.freeze()
    }

    /// `None` for a row of another version: the hint is then rebuilt.
    pub(super) fn decode(mut row: &[u8]) -> Option<Self> {
        if row.len() != 10 || row.get_u8() != VERSION {
            return None;
        }
        let listed = row.get_u8() & LISTED != 0;
        Some(Self { length: row.get_u64(), listed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_and_other_versions_are_rebuilt() {
        let record = Record { length: 77, listed: true };
        let row = record.encode();
        assert_eq!(Record::decode(&row), Some(record));
        let mut newer = row.to_vec();
        newer[0] = 2;
        assert_eq!(Record::decode(&newer), None);
        assert_eq!(Record::decode(&row[..5]), None);
    }
}
