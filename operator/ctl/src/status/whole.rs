use std::collections::BTreeMap;

use gitstratum_proto::metadata::v1::PartitionStatus;

use super::Status;

/// Waits for consistency ALL (RV-H4): what was acknowledged before the first look is in the log of every
/// voter of its partition, and no segment lacks a copy.
#[derive(Debug, Default)]
pub struct Whole {
    /// The last entry of each partition at the first look.
    targets: BTreeMap<u32, u64>,
}

impl Whole {
    /// What is not yet so, in words; nothing once all is. `led` is what leaders say that have confirmed
    /// that they lead.
    pub fn lacks(&mut self, status: &Status, led: &[PartitionStatus]) -> Vec<String> {
        let mut lacks: Vec<String> =
            status.conditions.iter().map(|condition| condition.message.clone()).collect();
        lacks.extend(status.partitions.iter().filter_map(|partition| {
            let number = partition.partition;
            let views = led.iter().filter(|view| view.partition == number);
            let lack = self.lack(number, views.max_by_key(|view| view.term))?;
            Some(format!("partition {number}: {lack}"))
        }));
        lacks
    }

    fn lack(&mut self, partition: u32, led: Option<&PartitionStatus>) -> Option<String> {
        let Some(led) = led else {
            return Some("nobody who leads it can be asked from here".to_owned());
        };
        let target = *self.targets.entry(partition).or_insert(led.log_length);
        if led.applied < target {
            return Some("its leader has not applied all of its log".to_owned());
        }
        if led.held_by_all < target || !led.voters_settled {
            return Some("a voter does not have all that was acknowledged".to_owned());
        }
        let missing = led.under_replicated;
        (missing > 0).then(|| format!("{missing} segments have too few copies"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Condition, PartitionStatus as Shown, RingStatus};

    const NUMBER: u32 = 7;

    fn status() -> Status {
        let partition = Shown {
            partition: NUMBER,
            leader: None,
            voters: Vec::new(),
            term: None,
            applied: None,
            repositories: None,
            refs: None,
            sessions: None,
            under_replicated: None,
            misplaced: None,
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
            unknown: vec!["node 9 does not answer".to_owned()],
        }
    }

    fn led(log_length: u64, held_by_all: u64) -> PartitionStatus {
        PartitionStatus {
            partition: NUMBER,
            term: 3,
            applied: log_length,
            log_length,
            held_by_all,
            voters_settled: true,
            confirmed: true,
            ..PartitionStatus::default()
        }
    }

    #[test]
    fn rv_h4_all_is_every_voter_and_every_copy_of_what_was_there_at_the_first_look() {
        let (mut whole, status) = (Whole::default(), status());
        let mut lacks = |view: PartitionStatus| whole.lacks(&status, &[view]).join(", ");
        let behind = "partition 7: a voter does not have all that was acknowledged";
        assert_eq!(lacks(led(9, 8)), behind);
        assert_eq!(lacks(led(12, 9)), "", "what came later may wait");
        assert_eq!(lacks(PartitionStatus { voters_settled: false, ..led(12, 12) }), behind);
        let new = PartitionStatus { applied: 8, ..led(12, 12) };
        assert_eq!(lacks(new), "partition 7: its leader has not applied all of its log");
        let missing = PartitionStatus { under_replicated: 3, ..led(12, 12) };
        assert_eq!(lacks(missing), "partition 7: 3 segments have too few copies");
    }

    #[test]
    fn rv_h4_a_partition_without_a_leader_is_not_whole_and_the_latest_leader_counts() {
        let status = status();
        let lacks = Whole::default().lacks(&status, &[]);
        assert_eq!(lacks, ["partition 7: nobody who leads it can be asked from here"]);
        let past = PartitionStatus { term: 2, under_replicated: 5, ..led(9, 0) };
        assert!(Whole::default().lacks(&status, &[past, led(9, 9)]).is_empty());
        let lost = Condition { kind: "Lost", status: "True", message: "why".to_owned() };
        let status = Status { conditions: vec![lost], ..status };
        assert_eq!(Whole::default().lacks(&status, &[led(9, 9)]), ["why"]);
    }
}
