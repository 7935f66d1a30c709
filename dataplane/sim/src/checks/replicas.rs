//! S14: replicas that applied the same entries have the same state.

use std::collections::BTreeMap;

use bytes::Bytes;
use gitstratum_core::{NodeId, PartitionId};
use gitstratum_store::KeyValue;

/// Rows of each group's newest generation, without their prefix.
pub(crate) fn groups(rows: Vec<KeyValue>) -> BTreeMap<PartitionId, Vec<KeyValue>> {
    let mut groups: BTreeMap<PartitionId, (u64, Vec<KeyValue>)> = BTreeMap::new();
    for (key, value) in rows {
        let number = |at: usize| super::rows::number(&key, at);
        let (group, generation) = (number(0), number(8));
        let partition = PartitionId(u32::try_from(group).unwrap_or(u32::MAX));
        let held = groups.entry(partition).or_default();
        if generation > held.0 {
            *held = (generation, Vec::new());
        }
        held.1.push((key.slice(16..), value));
    }
    groups.into_iter().map(|(partition, (_, rows))| (partition, rows)).collect()
}

/// A hash of the state of each group, by replica.
pub(crate) fn digests(
    replicas: impl Iterator<Item = (NodeId, Vec<KeyValue>)>,
) -> BTreeMap<PartitionId, BTreeMap<NodeId, Bytes>> {
    let mut found: BTreeMap<PartitionId, BTreeMap<NodeId, Bytes>> = BTreeMap::new();
    for (node, rows) in replicas {
        for (partition, rows) in groups(rows) {
            let mut hasher = blake3::Hasher::new();
            for (key, value) in rows {
                hasher.update(&(key.len() as u64).to_be_bytes()).update(&key);
                hasher.update(&(value.len() as u64).to_be_bytes()).update(&value);
            }
            let hash = Bytes::copy_from_slice(hasher.finalize().as_bytes());
            found.entry(partition).or_default().insert(node, hash);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(group: u64, generation: u64, value: &'static str) -> KeyValue {
        let key = [&group.to_be_bytes()[..], &generation.to_be_bytes(), b"key"].concat();
        (key.into(), value.into())
    }

    #[test]
    fn s14_replicas_are_compared_by_their_newest_generation() {
        let one = vec![row(1, 1, "old"), row(1, 2, "same")];
        let other = vec![row(1, 1, "same")];
        let found = digests([(NodeId(1), one), (NodeId(2), other)].into_iter());
        let hashes = &found[&PartitionId(1)];
        assert_eq!(hashes[&NodeId(1)], hashes[&NodeId(2)]);
        let differing = digests([(NodeId(1), vec![row(1, 1, "a")])].into_iter());
        assert_ne!(differing[&PartitionId(1)][&NodeId(1)], hashes[&NodeId(2)]);
    }
}
