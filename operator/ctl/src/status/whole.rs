use std::collections::BTreeMap;

use super::{PartitionStatus, Status};

/// Waits for consistency ALL (RV-H4): what was acknowledged before the first look is with every voter
/// of its partition and on every node that is to hold it.
#[derive(Debug, Default)]
pub struct Whole {
    /// What each partition had applied at the first look.
    targets: BTreeMap<u32, u64>,
}

impl Whole {
    /// What is not yet so, in words; nothing once all is.
    pub fn lacks(&mut self, status: &Status) -> Vec<String> {
        let mut lacks = status.unknown.clone();
        lacks.extend(status.conditions.iter().map(|condition| condition.message.clone()));
        lacks.extend(status.partitions.iter().filter_map(|partition| {
            let lack = self.lack(partition)?;
            Some(format!("partition {}: {lack}", partition.partition))
        }));
        lacks
    }

    fn lack(&mut self, partition: &PartitionStatus) -> Option<String> {
        let Some(applied) = partition.applied.filter(|_| partition.leader.is_some()) else {
            return Some("nobody leads it".to_owned());
        };
        let target = *self.targets.entry(partition.partition).or_insert(applied);
        let has_it = |voter: &&String| {
            let mut replicas = partition.replicas.iter();
            replicas.any(|replica| replica.node == **voter && replica.applied >= target)
        };
        if let Some(voter) = partition.voters.iter().find(|voter| !has_it(voter)) {
            return Some(format!("node {voter} does not have all that was acknowledged"));
        }
        let number = |count: Option<u64>| count.unwrap_or_default();
        match (number(partition.under_replicated), number(partition.misplaced)) {
            (0, 0) => None,
            (0, misplaced) => Some(format!("{misplaced} segments are not where they belong")),
            (missing, _) => Some(format!("{missing} segments have too few copies")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ReplicaStatus, RingStatus};

    fn replica(node: &str, applied: u64) -> ReplicaStatus {
        ReplicaStatus { node: node.to_owned(), applied }
    }

    fn status(replicas: [u64; 3], under_replicated: u64, misplaced: u64) -> Status {
        let nodes = ["a", "b", "c"];
        let partition = PartitionStatus {
            partition: 7,
            leader: Some("a".to_owned()),
            voters: nodes.map(str::to_owned).to_vec(),
            term: Some(1),
            applied: Some(replicas[0]),
            replicas: nodes.iter().zip(replicas).map(|(node, at)| replica(node, at)).collect(),
            repositories: Some(1),
            refs: Some(1),
            sessions: Some(1),
            under_replicated: Some(under_replicated),
            misplaced: Some(misplaced),
        };
        Status {
            conditions: Vec::new(),
            cluster_id: String::new(),
            generation: 1,
            version: 1,
            leader: None,
            term: 1,
            control_voters: Vec::new(),
            repositories: 1,
            users: 1,
            ring: RingStatus { epoch: 1, replication_factor: 3, nodes: 3 },
            nodes: Vec::new(),
            partitions: vec![partition],
            unknown: Vec::new(),
        }
    }

    #[test]
    fn rv_h4_all_is_every_voter_and_every_copy_of_what_was_there_at_the_first_look() {
        let mut whole = Whole::default();
        let lacks = whole.lacks(&status([9, 9, 8], 0, 0));
        assert_eq!(lacks, ["partition 7: node c does not have all that was acknowledged"]);
        assert!(whole.lacks(&status([12, 10, 9], 0, 0)).is_empty(), "what came later may wait");
        let lacks = whole.lacks(&status([12, 12, 12], 3, 1));
        assert_eq!(lacks, ["partition 7: 3 segments have too few copies"]);
        let lacks = whole.lacks(&status([12, 12, 12], 0, 1));
        assert_eq!(lacks, ["partition 7: 1 segments are not where they belong"]);
    }

    #[test]
    fn rv_h4_who_does_not_answer_is_not_whole() {
        let mut silent = status([9, 9, 9], 0, 0);
        silent.partitions[0].replicas.pop();
        assert_eq!(Whole::default().lacks(&silent).len(), 1);
        let mut headless = status([9, 9, 9], 0, 0);
        headless.partitions[0].leader = None;
        assert_eq!(Whole::default().lacks(&headless), ["partition 7: nobody leads it"]);
        let unknown = Status { unknown: vec!["node 3: why".to_owned()], ..status([9; 3], 0, 0) };
        assert_eq!(Whole::default().lacks(&unknown), ["node 3: why"]);
    }
}
