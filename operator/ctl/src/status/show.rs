use std::fmt::Write as _;

use gitstratum_core::UnixMillis;
use serde::Serialize;

use super::{NodeStatus, PartitionStatus, Status};
use crate::Error;
use crate::output::{Column, Format, View, document, table};
use crate::text::{printable, size};

/// The picture as text; `now` makes ages of times.
///
/// # Errors
/// When it does not serialise.
pub fn text(status: &Status, format: Format, now: UnixMillis) -> Result<String, Error> {
    if matches!(format, Format::Json | Format::Yaml) {
        return document(status, format);
    }
    let nodes: Vec<_> = status.nodes.iter().map(|node| NodeRow { node, now }).collect();
    let mut text = head(status);
    for part in [table(&nodes, format), table(&status.partitions, format)] {
        write!(text, "\n{part}").expect("because writing to a String cannot fail");
    }
    for condition in &status.conditions {
        writeln!(text, "\n{}", printable(&condition.message))
            .expect("because writing to a String cannot fail");
    }
    for unknown in &status.unknown {
        writeln!(text, "\nunknown: {}", printable(unknown))
            .expect("because writing to a String cannot fail");
    }
    Ok(text)
}

fn head(status: &Status) -> String {
    let ring = &status.ring;
    format!(
        "cluster        {}\n\
         control plane  leader {}, term {}, generation {}, version {}\n\
         its voters     {}\n\
         ring           epoch {}, {} of {} nodes, replication factor {}\n\
         holds          {} repositories, {} users\n",
        status.cluster_id,
        status.leader.as_deref().unwrap_or("none"),
        status.term,
        status.generation,
        status.version,
        status.control_voters.join(", "),
        ring.epoch,
        ring.nodes,
        status.nodes.len(),
        ring.replication_factor,
        status.repositories,
        status.users,
    )
}

#[derive(Serialize)]
struct NodeRow<'a> {
    #[serde(flatten)]
    node: &'a NodeStatus,
    #[serde(skip)]
    now: UnixMillis,
}

impl View for NodeRow<'_> {
    const COLUMNS: &'static [Column] = &[
        Column::always("NODE"),
        Column::always("STATE"),
        Column::always("RING"),
        Column::always("STORED"),
        Column::always("FREE"),
        Column::always("SEEN"),
        Column::always("VERSION"),
        Column::always("ROLES"),
        Column::wide("WEIGHT"),
        Column::wide("ZONE"),
        Column::wide("SEGMENTS"),
        Column::wide("INCARNATION"),
        Column::wide("ADDRESS"),
    ];

    fn cells(&self) -> Vec<String> {
        let (node, store) = (self.node, self.node.store.as_ref());
        let refuses = store.is_some_and(|store| !store.refusing_writes.is_empty());
        let mut state = node.state.to_owned();
        // Since when a node is as it should be is of no use here.
        if let Some(since) = node.state_since_at.filter(|_| node.state != "up") {
            state.push_str(&format!(" since {}", since.ago(self.now)));
        }
        if refuses {
            state.push_str(", refuses writes");
        }
        vec![
            node.id.clone(),
            state,
            if node.in_ring { "yes" } else { "no" }.to_owned(),
            store.map(|store| size(store.stored_bytes)).unwrap_or_default(),
            store.map(|store| size(store.free_bytes)).unwrap_or_default(),
            node.last_seen_at.map(|at| at.ago(self.now)).unwrap_or_default(),
            node.version.clone(),
            node.roles.join(","),
            node.weight.to_string(),
            node.zone.clone(),
            store.map(|store| store.segments.to_string()).unwrap_or_default(),
            node.incarnation.to_string(),
            node.address.clone(),
        ]
    }

    fn name(&self) -> String {
        self.node.id.clone()
    }
}

impl View for PartitionStatus {
    const COLUMNS: &'static [Column] = &[
        Column::always("PARTITION"),
        Column::always("LEADER"),
        Column::always("TERM"),
        Column::always("APPLIED"),
        Column::always("REPOSITORIES"),
        Column::always("REFS"),
        Column::always("SESSIONS"),
        Column::always("MISSING COPIES"),
        Column::wide("MISPLACED"),
        Column::wide("VOTERS"),
    ];

    fn cells(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        vec![
            self.partition.to_string(),
            self.leader.clone().unwrap_or_default(),
            number(self.term),
            number(self.applied),
            number(self.repositories),
            number(self.refs),
            number(self.sessions),
            number(self.under_replicated),
            number(self.misplaced),
            self.voters.join(","),
        ]
    }

    fn name(&self) -> String {
        self.partition.to_string()
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_proto::control::v1 as wire;
    use gitstratum_proto::{metadata, object};

    use super::*;
    use crate::status::put_together;

    fn status() -> Status {
        let node = wire::Node {
            id: 1,
            roles: vec!["metadata".to_owned(), "object".to_owned()],
            state: 2,
            in_ring: true,
            last_seen_millis: 8_000,
            version: "0.1.0".to_owned(),
            ..wire::Node::default()
        };
        let place = |partition| wire::PartitionPlacement {
            partition,
            voters: vec![1],
            preferred_leader: 1,
            ..<_>::default()
        };
        let layout = wire::Layout {
            epoch: 3,
            replication_factor: 1,
            nodes: vec![node],
            partitions: vec![place(0), place(1)],
        };
        let state = wire::ClusterState {
            cluster_id: vec![0xab; 16].into(),
            generation: 1,
            version: 12,
            leader: 1,
            term: 4,
            layout: Some(layout),
            repositories: 5,
            users: 2,
            nodes: Vec::new(),
            control_voters: vec![1],
        };
        let partition = metadata::v1::PartitionStatus {
            partition: 1,
            leader: 1,
            term: 2,
            applied: 30,
            refs: 9,
            under_replicated: 3,
            ..Default::default()
        };
        let partitions = metadata::v1::StatusResponse { node: 1, partitions: vec![partition] };
        let store = object::v1::StatusResponse {
            node: 1,
            stored_bytes: 2_048,
            refusing_writes: "disk is full".to_owned(),
            ..Default::default()
        };
        put_together(state, &[partitions], &[store])
    }

    #[test]
    fn the_picture_names_nodes_ring_partitions_leaders_and_versions() {
        let status = Status { unknown: vec!["x: why".to_owned()], ..status() };
        let expected = "\
cluster        abababababababababababababababab
control plane  leader 0000000000000001, term 4, generation 1, version 12
its voters     0000000000000001
ring           epoch 3, 1 of 1 nodes, replication factor 1
holds          5 repositories, 2 users

NODE              STATE               RING  STORED   FREE  SEEN    VERSION  ROLES
0000000000000001  up, refuses writes  yes   2.0 KiB  0 B   2s ago  0.1.0    metadata,object

PARTITION  LEADER            TERM  APPLIED  REPOSITORIES  REFS  SESSIONS  MISSING COPIES
0          -                 -     -        -             -     -         -
1          0000000000000001  2     30       0             9     0         3

unknown: x: why
";
        assert_eq!(text(&status, Format::Table, UnixMillis(10_000)).unwrap(), expected);
    }

    #[test]
    fn what_could_not_be_asked_is_null_for_programs() {
        let text = text(&status(), Format::Json, UnixMillis(0)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(json["partitions"][0]["term"].is_null());
        assert_eq!(json["partitions"][1]["applied"], 30);
        assert_eq!(json["nodes"][0]["store"]["refusingWrites"], "disk is full");
        assert_eq!(json["ring"]["replicationFactor"], 1);
    }
}
