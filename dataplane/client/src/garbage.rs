//! What a reading of a partition makes of a segment that an object node holds (S12, S21). Pure,
//! and here because two rooms need it: object nodes act by it, and what partitions decide is
//! checked against it.

use gitstratum_core::NodeId;
use gitstratum_proto::metadata::v1::SegmentState;

/// What becomes of a segment that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is listed for this node: no need to ask again.
    Listed,
    /// Nobody knows yet.
    Stays,
    /// No list names it, and its writer can list it no more (S12).
    Garbage,
    /// A list newer than the last pull names other nodes (S21).
    Unwanted,
}

/// Judges a segment that `node` holds by one linearizable reading of its partition. `pulled` is
/// the number of the list by which the node was last told to pull the segment, as its disk has it
/// when it acts; 0 when a push brought it.
pub fn judge(node: NodeId, pulled: u64, state: &SegmentState) -> Verdict {
    match (state.listed, state.owners.contains(&node.0)) {
        (true, true) => Verdict::Listed,
        (true, false) if state.list_number > pulled => Verdict::Unwanted,
        (true, false) => Verdict::Stays,
        // Who pulled it was told to by a list: that list is gone, with the segment.
        (false, _) if state.writer_closed => Verdict::Garbage,
        (false, _) => Verdict::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(3);

    fn state(owners: &[u64], list_number: u64) -> SegmentState {
        SegmentState { listed: true, owners: owners.to_vec(), list_number, ..Default::default() }
    }

    #[test]
    fn s12_both_facts_come_from_one_reading() {
        let open = SegmentState::default();
        assert_eq!(judge(ME, 0, &open), Verdict::Stays);
        let closed = SegmentState { writer_closed: true, ..open };
        assert_eq!(judge(ME, 0, &closed), Verdict::Garbage);
        let listed = SegmentState { writer_closed: true, ..state(&[1, 3], 1) };
        assert_eq!(judge(ME, 0, &listed), Verdict::Listed);
    }

    #[test]
    fn s21_only_a_list_newer_than_the_last_pull_makes_a_copy_garbage() {
        // C pulls a copy by list 1 and reads "not mine": the list with C may yet commit.
        assert_eq!(judge(ME, 1, &state(&[1, 2], 1)), Verdict::Stays);
        assert_eq!(judge(ME, 1, &state(&[1, 2], 2)), Verdict::Unwanted);
        // A copy of a push that its first list left out is repaired by a pull, or goes.
        assert_eq!(judge(ME, 0, &state(&[1, 2], 1)), Verdict::Unwanted);
    }
}
