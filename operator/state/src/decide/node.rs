use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use gitstratum_core::{GrantsVersion, Incarnation, NodeId, PartitionId, ProcessRole};

use super::{Desk, Plan};
use crate::Refusal;
use crate::command::{NodeEndpoint, PartitionApplied, RegisterNode, SetNodeState};
use crate::outcome::Reply;
use crate::record::{Node, NodeState};
use crate::state::Mutation;

/// Nodes of a cluster, those that left too.
const NODES_MAX: usize = 10_000;
/// Longest address, region, zone or software version, bytes.
const TEXT_BYTES_MAX: usize = 255;
/// Most services of one node: there are six kinds.
const ENDPOINTS_MAX: usize = 16;

pub(super) fn register(desk: &Desk<'_>, register: &RegisterNode) -> Result<Plan, Refusal> {
    desk.require_system()?;
    let roles = parse_roles(&register.roles)?;
    let texts = [&register.address, &register.region, &register.zone, &register.software];
    if texts.iter().any(|text| text.len() > TEXT_BYTES_MAX || text.contains(char::is_control)) {
        return Err(Refusal::invalid("node", "has a text that is too long or not one line"));
    }
    parse_endpoints(&register.endpoints)?;
    if register.id == 0 {
        return admit(desk, register, NodeState::Up);
    }
    let id = NodeId(register.id);
    let old = desk.state.node(id).ok_or_else(|| Refusal::missing("node", id.to_string()))?;
    if register.incarnation < old.incarnation.0 || old.state == NodeState::Removed {
        return Err(Refusal::Stale { what: "the node's incarnation", known: old.incarnation.0 });
    }
    keeps_what_it_stores(old, &roles)?;
    let mut new = Node { roles, ..described(old, register)? };
    if new.state == NodeState::Joining {
        (new.state, new.since) = (NodeState::Up, desk.at.wall);
    }
    let reply = Reply::Node(id);
    if new == *old {
        return Ok(Plan::unchanged(reply));
    }
    new.version = desk.at.stamp();
    Ok(Plan::new(reply, vec![Mutation::PutNode(new)]))
}

/// A node is not taken at its word that it stores nothing any more: what it had would be
/// forgotten with the role, not moved.
fn keeps_what_it_stores(old: &Node, roles: &BTreeSet<ProcessRole>) -> Result<(), Refusal> {
    let mut storing = [ProcessRole::Object, ProcessRole::Metadata].into_iter();
    let lost = storing.find(|role| old.roles.contains(role) && !roles.contains(role));
    let Some(role) = lost else { return Ok(()) };
    Err(Refusal::Unsafe {
        problem: format!("node {} stores data as {role}, and registers without that role", old.id),
        remedy: "start it with the role, or drain and remove it first",
    })
}

/// A node that was not known before.
pub(super) fn admit(
    desk: &Desk<'_>,
    register: &RegisterNode,
    state: NodeState,
) -> Result<Plan, Refusal> {
    let roles = parse_roles(&register.roles)?;
    let id = NodeId::allocate(desk.at.generation, desk.at.index);
    if desk.state.nodes.contains_key(&id) {
        // A founding node has the id of this log index: the next index is free.
        return Err(Refusal::exists("node", id.to_string()));
    }
    if desk.state.nodes.len() >= NODES_MAX {
        let (limit, of) = (NODES_MAX, "nodes");
        return Err(Refusal::Full { what: "cluster".to_owned(), limit, of });
    }
    let blank = Node {
        id,
        roles,
        address: String::new(),
        endpoints: BTreeMap::new(),
        region: String::new(),
        zone: String::new(),
        weight: 1,
        state: NodeState::Joining,
        since: desk.at.wall,
        failures: 0,
        is_draining: false,
        fence: 0,
        incarnation: Incarnation(0),
        software: String::new(),
        in_ring: false,
        version: desk.at.stamp(),
    };
    let node = Node { state, ..described(&blank, register)? };
    Ok(Plan::new(Reply::Node(id), vec![Mutation::PutNode(node)]))
}

/// The node as it describes itself; what was decided about it stays. One that was taken for
/// dead is up again once the leader calls it so: a node that starts over and over is not.
fn described(old: &Node, register: &RegisterNode) -> Result<Node, Refusal> {
    Ok(Node {
        address: register.address.clone(),
        endpoints: parse_endpoints(&register.endpoints)?,
        region: register.region.clone(),
        zone: register.zone.clone(),
        incarnation: Incarnation(register.incarnation),
        software: register.software.clone(),
        ..old.clone()
    })
}

/// Moves a node's state along an allowed edge (GS-CP-41), for the start that was judged.
pub(super) fn set_state(desk: &Desk<'_>, set: &SetNodeState) -> Result<Plan, Refusal> {
    desk.require_system()?;
    let id = NodeId(set.id);
    let old = desk.state.node(id).ok_or_else(|| Refusal::missing("node", id.to_string()))?;
    if set.incarnation != old.incarnation.0 {
        return Err(Refusal::Stale { what: "the node's incarnation", known: old.incarnation.0 });
    }
    let state = NodeState::from_wire(set.state).filter(|state| *state != NodeState::Removed);
    let state = state.ok_or_else(|| Refusal::invalid("state", "is none that is found"))?;
    if !old.state.may_become(state) {
        let problem =
            format!("of node {id} cannot go from {} to {}", old.state.as_str(), { state.as_str() });
        return Err(Refusal::invalid("state", problem));
    }
    let failures = old.failures.saturating_add(u32::from(state == NodeState::Down));
    let (since, version) = (desk.at.wall, desk.at.stamp());
    let new = Node { state, since, failures, version, ..old.clone() };
    Ok(Plan::new(Reply::Node(id), vec![Mutation::PutNode(new)]))
}

/// Where its services are, each named once.
fn parse_endpoints(endpoints: &[NodeEndpoint]) -> Result<BTreeMap<String, SocketAddr>, Refusal> {
    let fail = |problem: &str| Err(Refusal::invalid("endpoints", problem));
    if endpoints.len() > ENDPOINTS_MAX {
        return fail("are too many");
    }
    let mut parsed = BTreeMap::new();
    for NodeEndpoint { service, address } in endpoints {
        let is_word = |service: &str| service.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if service.is_empty() || service.len() > TEXT_BYTES_MAX || !is_word(service) {
            return fail("name a service that cannot be");
        }
        let Ok(address) = address.parse::<SocketAddr>() else {
            return fail("hold an address that is not IP:PORT");
        };
        if address.port() == 0 || address.ip().is_unspecified() {
            return fail("hold an address that nobody can dial");
        }
        if parsed.insert(service.clone(), address).is_some() {
            return fail("name a service twice");
        }
    }
    Ok(parsed)
}

fn parse_roles(words: &[String]) -> Result<BTreeSet<ProcessRole>, Refusal> {
    const DATA_ROLES: [ProcessRole; 4] =
        [ProcessRole::Control, ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object];
    let parse = |word: &String| DATA_ROLES.into_iter().find(|role| role.as_str() == word);
    let roles: Option<BTreeSet<_>> = words.iter().map(parse).collect();
    roles.filter(|roles| !roles.is_empty()).ok_or_else(|| {
        Refusal::invalid("roles", "are not some of control, frontend, metadata, object")
    })
}

pub(super) fn partition_applied(
    desk: &Desk<'_>,
    applied: &PartitionApplied,
) -> Result<Plan, Refusal> {
    desk.require_system()?;
    let (partition, version) = (PartitionId(applied.partition), GrantsVersion(applied.version));
    let settled = desk
        .state
        .waits
        .values()
        .filter(|wait| wait.partition == partition && wait.name_version <= version);
    let mutations = settled.map(|wait| Mutation::RemovePathWait(wait.path.clone())).collect();
    Ok(Plan::new(Reply::Done, mutations))
}
