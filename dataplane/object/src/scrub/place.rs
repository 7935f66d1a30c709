use bytes::{Buf, BufMut, Bytes, BytesMut};
use gitstratum_core::SegmentId;

const VERSION: u8 = 1;
/// Bytes of a row without and with an id.
const BETWEEN_BYTES: usize = 17;
const WITHIN_BYTES: usize = 33;

/// Key of the row.
pub(super) const KEY: &[u8] = b"s";

/// How far scrubbing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Passes that were ended.
    pub(super) passes: u64,
    /// Wall time at which the last one began, milliseconds.
    pub(super) began: u64,
    /// The last segment verified in the pass under way; none between passes.
    pub(super) last: Option<SegmentId>,
}

impl Place {
    /// Version byte, passes, begin, and the id if there is one.
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(WITHIN_BYTES);
        out.put_u8(VERSION);
        out.put_u64(self.passes);
        out.put_u64(self.began);
        if let Some(SegmentId(id)) = self.last {
            out.put_slice(&id);
        }
        out.freeze()
    }

    /// `None` when it is no such row.
    pub(super) fn decode(mut row: &[u8]) -> Option<Self> {
        if !matches!(row.len(), BETWEEN_BYTES | WITHIN_BYTES) || row.get_u8() != VERSION {
            return None;
        }
        let (passes, began) = (row.get_u64(), row.get_u64());
        Some(Self { passes, began, last: SegmentId::from_slice(row) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s49_the_pages_example_is_read() {
        let page = include_str!("../../../../docs/formats/object-rows.md");
        let row = page.lines().find_map(|line| line.strip_prefix("place ")).unwrap();
        let row = gitstratum_core::decode_hex(row.as_bytes()).unwrap();
        assert_eq!(Place::decode(&row), Some(Place { passes: 3, began: 99, last: None }));
    }

    #[test]
    fn places_round_trip() {
        for last in [None, Some(SegmentId([7; 16]))] {
            let place = Place { passes: 3, began: 99, last };
            assert_eq!(Place::decode(&place.encode()), Some(place));
        }
        assert_eq!(Place::decode(&[2; 17]), None);
        assert_eq!(Place::decode(&[]), None);
    }
}
