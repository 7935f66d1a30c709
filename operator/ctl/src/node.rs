//! Nodes, as the control plane knows them.

use std::collections::BTreeMap;

use gitstratum_core::{ErrorKind, NodeId, UnixMillis};
use gitstratum_proto::control::v1 as wire;
use serde::Serialize;

use crate::Error;
use crate::moment::Moment;
use crate::output::{Column, View};
use crate::text::size;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its id: 16 digits of hex.
    pub id: String,
    /// What runs there.
    pub roles: Vec<String>,
    /// `joining`, `up`, `suspect`, `down`, `leaving` (up and being emptied), `removed`.
    pub state: &'static str,
    /// Since when.
    pub state_since_at: Option<Moment>,
    /// Whether new segments may go to it.
    pub in_ring: bool,
    /// Whether it is being emptied.
    pub draining: bool,
    /// Its share of the ring.
    pub weight: u32,
    /// Where it is reached.
    pub address: String,
    /// Where other nodes reach its services, by their names.
    pub endpoints: BTreeMap<String, String>,
    /// Where it stands.
    pub region: String,
    /// Its failure domain.
    pub zone: String,
    /// Version of its program.
    pub version: String,
    /// How often it started.
    pub incarnation: u64,
    /// When it was last heard of.
    pub last_seen_at: Option<Moment>,
    /// How often it was taken for dead.
    pub failures: u32,
    /// How long its last reports took to be answered, microseconds.
    pub round_trip_micros: u32,
    /// Segments that it holds.
    pub segments: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Bytes free on its disk.
    pub free_bytes: u64,
}

impl From<wire::Node> for Node {
    fn from(from: wire::Node) -> Self {
        Self {
            id: NodeId(from.id).to_string(),
            roles: from.roles,
            state: state_name(from.state),
            state_since_at: Moment::from_millis(from.state_since_millis),
            in_ring: from.in_ring,
            draining: from.draining,
            weight: from.weight,
            address: from.address,
            endpoints: from.endpoints.into_iter().map(|at| (at.service, at.address)).collect(),
            region: from.region,
            zone: from.zone,
            version: from.version,
            incarnation: from.incarnation,
            last_seen_at: Moment::from_millis(from.last_seen_millis),
            failures: from.failures,
            round_trip_micros: from.round_trip_micros,
            segments: from.segments,
            stored_bytes: from.stored_bytes,
            free_bytes: from.free_bytes,
        }
    }
}

/// The word for a state's number.
pub const fn state_name(number: u32) -> &'static str {
    match number {
        1 => "joining",
        2 => "up",
        3 => "suspect",
        4 => "down",
        5 => "leaving",
        6 => "removed",
        _ => "unknown",
    }
}

impl Node {
    /// Its id.
    pub fn id(&self) -> NodeId {
        NodeId::parse(&self.id).unwrap_or(NodeId(0))
    }

    /// Its state for people.
    fn state_text(&self) -> String {
        match (self.state, self.draining) {
            ("up" | "leaving", _) | (_, false) => self.state.to_owned(),
            (state, true) => format!("{state}, leaving"),
        }
    }
}

/// The node of `nodes` that `text` names: by its id, or by so many of the id's last digits
/// that no other node has them.
///
/// # Errors
/// When there is none, or more than one.
pub fn find<'a>(nodes: &'a [Node], text: &str) -> Result<&'a Node, Error> {
    let is_meant = |node: &&Node| !text.is_empty() && node.id.ends_with(text);
    let mut meant = nodes.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(node), None) => Ok(node),
        (Some(_), Some(_)) => Err(Error::Refused {
            kind: ErrorKind::Invalid,
            message: format!("more than one node's id ends with `{text}`"),
        }),
        (None, _) => Err(Error::Refused {
            kind: ErrorKind::NotFound,
            message: format!("node `{text}` does not exist"),
        }),
    }
}

/// A node in a table, where times are ages.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The node.
    #[serde(flatten)]
    pub node: Node,
    /// When the table is made.
    #[serde(skip)]
    pub now: UnixMillis,
}

impl View for Row {
    const COLUMNS: &'static [Column] = &[
        Column::always("NODE"),
        Column::always("STATE"),
        Column::always("SINCE"),
        Column::always("RING"),
        Column::always("STORED"),
        Column::always("SEEN"),
        Column::always("FAILURES"),
        Column::always("ROLES"),
        Column::wide("SEGMENTS"),
        Column::wide("FREE"),
        Column::wide("WEIGHT"),
        Column::wide("REGION"),
        Column::wide("ZONE"),
        Column::wide("INCARNATION"),
        Column::wide("RESPONSE"),
        Column::wide("VERSION"),
        Column::wide("ADDRESS"),
    ];

    fn cells(&self) -> Vec<String> {
        let node = &self.node;
        let ago = |at: Option<Moment>| at.map(|at| at.ago(self.now)).unwrap_or_default();
        let response = match node.round_trip_micros {
            0 => String::new(),
            micros => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        };
        vec![
            node.id.clone(),
            node.state_text(),
            ago(node.state_since_at),
            if node.in_ring { "yes" } else { "no" }.to_owned(),
            size(node.stored_bytes),
            ago(node.last_seen_at),
            node.failures.to_string(),
            node.roles.join(","),
            node.segments.to_string(),
            size(node.free_bytes),
            node.weight.to_string(),
            node.region.clone(),
            node.zone.clone(),
            node.incarnation.to_string(),
            response,
            node.version.clone(),
            node.address.clone(),
        ]
    }

    fn name(&self) -> String {
        self.node.id.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, list};

    fn node(id: u64, state: u32, draining: bool) -> Node {
        let state_since_millis = 1_000;
        let round_trip_micros = 1_250;
        let from = wire::Node { id, state, state_since_millis, draining, ..Default::default() };
        Node::from(wire::Node { round_trip_micros, ..from })
    }

    #[test]
    fn a_node_is_named_by_the_end_of_its_id() {
        let nodes = [node(0x1_0000_0000_0011, 2, false), node(0x1_0000_0000_0021, 2, false)];
        assert_eq!(find(&nodes, "0001000000000011").unwrap().id(), NodeId(0x1_0000_0000_0011));
        assert_eq!(find(&nodes, "21").unwrap().id(), NodeId(0x1_0000_0000_0021));
        for (text, told) in [("1", "more than one"), ("", "does not exist"), ("3", "not exist")] {
            let error = find(&nodes, text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn gs_cp_02_a_table_of_nodes_says_how_each_is_and_since_when() {
        let rows: Vec<Row> = [node(1, 4, true), node(2, 5, true)]
            .map(|node| Row { node, now: UnixMillis(61_000) })
            .to_vec();
        let table = list(&rows, Format::Wide).unwrap();
        assert!(table.contains("down, leaving  60s ago"), "{table}");
        assert!(table.contains("0000000000000002  leaving "), "{table}");
        assert!(table.contains("1.2 ms"), "{table}");
        let json = list(&rows, Format::Json).unwrap();
        assert!(json.contains("\"stateSinceAt\": \"1970-01-01T00:00:01Z\""), "{json}");
    }
}
