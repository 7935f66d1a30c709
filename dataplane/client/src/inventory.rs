//! Summaries of sets of segments: two sides that hold the same say the same, and else find
//! where they differ by descending only there (S21). Pure.

use std::ops::Range;

use bytes::Bytes;
use gitstratum_core::SegmentId;
use gitstratum_proto::metadata::v1::InventorySummary;

/// Up to so many ids stand for themselves; more are split by their next byte.
pub const LEAF_IDS_MAX: usize = 1_024;
/// Longest prefix: ids are that long.
pub const PREFIX_BYTES_MAX: usize = 16;

/// The ids among `sorted` that begin with `prefix`.
pub fn below<'a>(sorted: &'a [SegmentId], prefix: &[u8]) -> &'a [SegmentId] {
    let first = sorted.partition_point(|id| id.0.as_slice() < prefix);
    let rest = sorted.get(first..).unwrap_or_default();
    let end = rest.partition_point(|id| id.0.starts_with(prefix));
    rest.get(..end).unwrap_or_default()
}

/// What `sorted`, ids that share their first `depth` bytes, come to.
pub fn summary(sorted: &[SegmentId], depth: usize) -> InventorySummary {
    InventorySummary {
        count: sorted.len() as u64,
        hash: Bytes::copy_from_slice(hash(sorted, depth).as_bytes()),
    }
}

/// Whether `sorted` is given whole, and not by its branches.
pub fn is_leaf(sorted: &[SegmentId], depth: usize) -> bool {
    sorted.len() <= LEAF_IDS_MAX || depth >= PREFIX_BYTES_MAX
}

/// The runs of `sorted` that share the byte at `depth`, with that byte.
pub fn branches(sorted: &[SegmentId], depth: usize) -> Vec<(u8, &[SegmentId])> {
    let mut found = Vec::new();
    let mut rest = sorted;
    while let Some(byte) = rest.first().and_then(|id| id.0.get(depth)).copied() {
        let end = rest.partition_point(|id| id.0.get(depth) == Some(&byte));
        let run: Range<usize> = 0..end;
        found.push((byte, rest.get(run).unwrap_or_default()));
        rest = rest.get(end..).unwrap_or_default();
    }
    found
}

fn hash(sorted: &[SegmentId], depth: usize) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    if is_leaf(sorted, depth) {
        hasher.update(b"ids");
        for id in sorted {
            hasher.update(&id.0);
        }
    } else {
        hasher.update(b"branches");
        for (byte, run) in branches(sorted, depth) {
            hasher.update(&[byte]);
            hasher.update(hash(run, depth + 1).as_bytes());
        }
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(seed: u32) -> SegmentId {
        let hash = blake3::hash(&seed.to_be_bytes());
        SegmentId::from_slice(&hash.as_bytes()[..16]).unwrap()
    }

    fn sorted(ids: &BTreeSet<SegmentId>) -> Vec<SegmentId> {
        ids.iter().copied().collect()
    }

    /// What one side finds by descending where summaries differ, and the steps it took.
    fn descend(mine: &[SegmentId], theirs: &[SegmentId], prefix: &[u8]) -> (Vec<SegmentId>, u32) {
        let (mine, listed) = (below(mine, prefix), below(theirs, prefix));
        let depth = prefix.len();
        if summary(mine, depth) == summary(listed, depth) {
            return (Vec::new(), 1);
        }
        if is_leaf(listed, depth) {
            let (mine, listed): (BTreeSet<_>, BTreeSet<_>) =
                (mine.iter().copied().collect(), listed.iter().copied().collect());
            return (mine.symmetric_difference(&listed).copied().collect(), 1);
        }
        let (mut found, mut steps) = (Vec::new(), 1);
        for byte in 0..=u8::MAX {
            let prefix = [prefix, &[byte]].concat();
            let (differ, taken) = descend(mine, listed, &prefix);
            found.extend(differ);
            steps += taken;
        }
        (found, steps)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn s21_descending_finds_every_difference_and_nothing_else(
            count in 0_u32..6_000,
            lost in proptest::collection::btree_set(0_u32..6_000, 0..6),
            extra in proptest::collection::btree_set(10_000_u32..20_000, 0..6),
        ) {
            let listed: BTreeSet<_> = (0..count).map(id).collect();
            let mut held = listed.clone();
            let lost: BTreeSet<_> = lost.into_iter().filter(|n| *n < count).map(id).collect();
            held.retain(|id| !lost.contains(id));
            let extra: BTreeSet<_> = extra.into_iter().map(id).collect();
            held.extend(&extra);
            let (found, _) = descend(&sorted(&held), &sorted(&listed), &[]);
            let found: BTreeSet<_> = found.into_iter().collect();
            prop_assert_eq!(found, lost.union(&extra).copied().collect());
        }
    }

    #[test]
    fn s21_equal_sides_take_one_step() {
        let all: BTreeSet<_> = (0..5_000).map(id).collect();
        assert_eq!(descend(&sorted(&all), &sorted(&all), &[]), (Vec::new(), 1));
    }

    #[test]
    fn below_takes_the_ids_of_a_prefix() {
        let ids = [[1; 16], [2; 16], [3; 16]].map(SegmentId);
        assert_eq!(below(&ids, &[2]), &ids[1..2]);
        assert_eq!(below(&ids, &[2, 2]), &ids[1..2]);
        assert!(below(&ids, &[2, 1]).is_empty());
        assert_eq!(below(&ids, &[]), &ids);
    }
}
