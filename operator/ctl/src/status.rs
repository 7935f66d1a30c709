//! How a cluster is: nodes, ring, partitions, leaders, sizes, versions.

mod show;
mod whole;

use gitstratum_client::grpc::CONTROL_PLANE_LOST;
use gitstratum_core::{ClusterId, NodeId};
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::{metadata, object};
use serde::Serialize;

use crate::Error;
use crate::moment::Moment;
use crate::node::state_name;
use crate::recovery;
use crate::rpc::Connection;

pub use show::text;
pub use whole::Whole;

/// The picture of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What the cluster as a whole suffers from.
    pub conditions: Vec<Condition>,
    /// Id of the cluster.
    pub cluster_id: String,
    /// How often its control plane was founded or rebuilt.
    pub generation: u32,
    /// Version of the control plane's state.
    pub version: u64,
    /// Who leads the control plane.
    pub leader: Option<String>,
    /// Its term.
    pub term: u64,
    /// Who votes in the control plane.
    pub control_voters: Vec<String>,
    /// How many repositories there are.
    pub repositories: u64,
    /// How many users.
    pub users: u64,
    /// How data is placed.
    pub ring: RingStatus,
    /// The nodes.
    pub nodes: Vec<NodeStatus>,
    /// The partitions.
    pub partitions: Vec<PartitionStatus>,
    /// What could not be found out, and why.
    pub unknown: Vec<String>,
}

/// Something that the cluster as a whole suffers from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its name, as in the status of the custom resource.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `True`.
    pub status: &'static str,
    /// For people.
    pub message: String,
}

/// How data is placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RingStatus {
    /// Number of the layout.
    pub epoch: u64,
    /// Copies of every segment.
    pub replication_factor: u32,
    /// Nodes in the ring.
    pub nodes: usize,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its id.
    pub id: String,
    /// What it does.
    pub roles: Vec<String>,
    /// `joining`, `up`, `suspect`, `down`, `leaving`, `removed`.
    pub state: &'static str,
    /// Since when.
    pub state_since_at: Option<Moment>,
    /// Whether new segments may go to it.
    pub in_ring: bool,
    /// Its share of the ring.
    pub weight: u32,
    /// Where it is reached.
    pub address: String,
    /// Where it stands.
    pub zone: String,
    /// Version of its program.
    pub version: String,
    /// How often it started.
    pub incarnation: u64,
    /// When it was last heard of.
    pub last_seen_at: Option<Moment>,
    /// What it stores; absent where that could not be asked.
    pub store: Option<StoreStatus>,
}

/// What an object node stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Segments held.
    pub segments: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Bytes free on its disk.
    pub free_bytes: u64,
    /// Why it refuses writes; empty: it takes them.
    pub refusing_writes: String,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// Who leads it; absent: nobody does, or it is not known.
    pub leader: Option<String>,
    /// Its voters.
    pub voters: Vec<String>,
    /// Its term; like all below absent where it could not be asked.
    pub term: Option<u64>,
    /// Log index that was applied last.
    pub applied: Option<u64>,
    /// Repositories in it.
    pub repositories: Option<u64>,
    /// Refs in it.
    pub refs: Option<u64>,
    /// Sessions of frontends.
    pub sessions: Option<u64>,
    /// Segments with fewer copies than the replication factor.
    pub under_replicated: Option<u64>,
    /// Segments that are not yet where the ring wants them.
    pub misplaced: Option<u64>,
}

impl Status {
    /// Asks for everything there is; what cannot be asked is named in `unknown`.
    ///
    /// # Errors
    /// When the control plane does not answer.
    pub async fn ask(connection: &Connection) -> Result<Self, Error> {
        let (state, conditions) = state(connection).await?;
        let silent = connection.silent().iter().map(|node| format!("node {node} does not answer"));
        let mut unknown: Vec<String> = silent.collect();
        let partitions = answered("partitions", connection.partitions().await, &mut unknown);
        let stores = answered("object store", connection.object_stores().await, &mut unknown);
        if partitions.is_empty() && stores.is_empty() && unknown.is_empty() {
            let place = connection.place();
            unknown.push(format!("partitions and stores: {place} does not offer this"));
        }
        Ok(Self { conditions, unknown, ..put_together(state, &partitions, &stores) })
    }
}

/// The cluster as the control plane sees it; as a node was told of it where that is lost.
async fn state(connection: &Connection) -> Result<(wire::ClusterState, Vec<Condition>), Error> {
    match connection.cluster_state().await {
        Ok(state) => Ok((state, Vec::new())),
        Err(Error::ControlPlaneLost(message)) => {
            let state = recovery::as_told(connection).await.unwrap_or_default();
            let lost = Condition { kind: CONTROL_PLANE_LOST, status: "True", message };
            Ok((state, vec![lost]))
        }
        Err(error) => Err(error),
    }
}

/// The answers that came; why others did not is noted.
fn answered<T>(
    what: &str,
    answers: Vec<(NodeId, Result<T, Error>)>,
    unknown: &mut Vec<String>,
) -> Vec<T> {
    let answers = answers.into_iter().filter_map(|(node, answer)| {
        let note = |error| unknown.push(format!("{what} of node {node}: {error}"));
        answer.map_err(note).ok()
    });
    answers.collect()
}

fn put_together(
    state: wire::ClusterState,
    partitions: &[metadata::v1::StatusResponse],
    stores: &[object::v1::StatusResponse],
) -> Status {
    let layout = state.layout.unwrap_or_default();
    let nodes = if state.nodes.is_empty() { layout.nodes } else { state.nodes };
    let nodes: Vec<_> = nodes.into_iter().map(|node| node_status(node, stores)).collect();
    let placed = layout.partitions.iter();
    Status {
        cluster_id: ClusterId::from_slice(&state.cluster_id)
            .map(|id| id.to_string())
            .unwrap_or_default(),
        generation: state.generation,
        version: state.version,
        leader: node_name(state.leader),
        term: state.term,
        control_voters: state.control_voters.iter().map(|n| NodeId(*n).to_string()).collect(),
        repositories: state.repositories,
        users: state.users,
        ring: RingStatus {
            epoch: layout.epoch,
            replication_factor: layout.replication_factor,
            nodes: nodes.iter().filter(|node| node.in_ring).count(),
        },
        nodes,
        conditions: Vec::new(),
        partitions: placed
            .map(|placement| {
                partition_status(placement, best_view(placement.partition, partitions))
            })
            .collect(),
        unknown: Vec::new(),
    }
}

/// What the node says that knows most of the partition: its leader, if one answered.
fn best_view(
    partition: u32,
    answers: &[metadata::v1::StatusResponse],
) -> Option<&metadata::v1::PartitionStatus> {
    let views = answers.iter().flat_map(|answer| {
        let views = answer.partitions.iter().filter(|view| view.partition == partition);
        views.map(|view| ((view.term, view.leader == answer.node, view.applied), view))
    });
    views.max_by_key(|(rank, _)| *rank).map(|(_, view)| view)
}

fn node_status(node: wire::Node, stores: &[object::v1::StatusResponse]) -> NodeStatus {
    let store = stores.iter().find(|store| store.node == node.id);
    let reported = reported_store(&node);
    NodeStatus {
        id: NodeId(node.id).to_string(),
        roles: node.roles,
        state: state_name(node.state),
        state_since_at: Moment::from_millis(node.state_since_millis),
        in_ring: node.in_ring,
        weight: node.weight,
        address: node.address,
        zone: node.zone,
        version: node.version,
        incarnation: node.incarnation,
        last_seen_at: Moment::from_millis(node.last_seen_millis),
        store: store.map(asked_store).or(reported),
    }
}

fn asked_store(store: &object::v1::StatusResponse) -> StoreStatus {
    StoreStatus {
        segments: store.segments,
        stored_bytes: store.stored_bytes,
        free_bytes: store.free_bytes,
        refusing_writes: store.refusing_writes.clone(),
    }
}

/// What the node itself last reported, where it is on another machine.
fn reported_store(node: &wire::Node) -> Option<StoreStatus> {
    (node.free_bytes > 0).then(|| StoreStatus {
        segments: node.segments,
        stored_bytes: node.stored_bytes,
        free_bytes: node.free_bytes,
        refusing_writes: String::new(),
    })
}

fn partition_status(
    placement: &wire::PartitionPlacement,
    status: Option<&metadata::v1::PartitionStatus>,
) -> PartitionStatus {
    let voters = status.map_or(&placement.voters, |status| &status.voters);
    PartitionStatus {
        partition: placement.partition,
        leader: status.and_then(|status| node_name(status.leader)),
        voters: voters.iter().map(|node| NodeId(*node).to_string()).collect(),
        term: status.map(|status| status.term),
        applied: status.map(|status| status.applied),
        repositories: status.map(|status| status.repositories),
        refs: status.map(|status| status.refs),
        sessions: status.map(|status| status.sessions),
        under_replicated: status.map(|status| status.under_replicated),
        misplaced: status.map(|status| status.misplaced),
    }
}

/// Node 0 is nobody.
fn node_name(node: u64) -> Option<String> {
    (node != 0).then(|| NodeId(node).to_string())
}
