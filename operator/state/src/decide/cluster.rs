use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::{ClusterId, Epoch, Incarnation, NodeId, PartitionId, ProcessRole, UserId};
use gitstratum_hashring::Ring;

use super::names::check_user_name;
use super::{At, Desk, Plan};
use crate::Refusal;
use crate::command::{Found, FoundNode, PruneAudit};
use crate::outcome::Reply;
use crate::placement::ring_of;
use crate::record::{Layout, Node, NodeState, Placement, Scope, Token, User, stamp};
use crate::state::{Header, Mutation};

/// Metadata partitions of a cluster.
const PARTITIONS_MAX: u32 = 1_024;
/// Most copies of a segment (GS-OB-27).
const COPIES_MAX: u8 = 5;
/// Voters of a partition.
pub(super) const VOTERS_MAX: usize = 3;

pub(super) fn found(desk: &Desk<'_>, found: &Found) -> Result<Plan, Refusal> {
    desk.require_system()?;
    if desk.state.header.cluster.is_some() {
        return Err(Refusal::Founding("founded already"));
    }
    let cluster = ClusterId::from_slice(&found.cluster)
        .ok_or_else(|| Refusal::invalid("cluster id", "has not 16 bytes"))?;
    let generation = u16::try_from(found.generation).ok().filter(|generation| *generation > 0);
    let generation =
        generation.ok_or_else(|| Refusal::invalid("generation", "is not 1 to 65535"))?;
    check_user_name(&found.admin)?;
    let at = At { generation, ..desk.at };
    let nodes = found_nodes(found, at)?;
    let layout = found_layout(found, &nodes, at)?;
    let (user, token) = first_admin(found, at)?;
    let header = Header {
        cluster: Some(cluster),
        generation,
        version: stamp(generation, at.index),
        change_floor: stamp(generation, at.index),
        join_token: super::enrol::parse_hash(&found.join_token)?,
        ..desk.state.header.clone()
    };
    let reply = Reply::User(user.id);
    let mut mutations = vec![
        Mutation::PutHeader(header),
        Mutation::PutLayout(layout),
        Mutation::PutUser(user),
        Mutation::PutToken(token),
    ];
    mutations.extend(nodes.into_iter().map(Mutation::PutNode));
    Ok(Plan::new(reply, mutations))
}

fn found_nodes(found: &Found, at: At) -> Result<Vec<Node>, Refusal> {
    let ids: BTreeSet<u64> = found.nodes.iter().map(|node| node.id).collect();
    if ids.is_empty() || ids.len() != found.nodes.len() || ids.contains(&0) {
        return Err(Refusal::invalid("nodes", "are none, or two have one id"));
    }
    let node = |spec: &FoundNode| Node {
        id: NodeId(spec.id),
        roles: [
            ProcessRole::Control,
            ProcessRole::Frontend,
            ProcessRole::Metadata,
            ProcessRole::Object,
        ]
        .into(),
        address: String::new(),
        endpoints: BTreeMap::new(),
        region: String::new(),
        zone: spec.zone.clone(),
        weight: 1,
        state: NodeState::Joining,
        since: at.wall,
        failures: 0,
        is_draining: false,
        fence: 0,
        incarnation: Incarnation(0),
        software: String::new(),
        in_ring: true,
        version: at.stamp(),
    };
    Ok(found.nodes.iter().map(node).collect())
}

fn found_layout(found: &Found, nodes: &[Node], at: At) -> Result<Layout, Refusal> {
    if !(1..=PARTITIONS_MAX).contains(&found.partitions) {
        return Err(Refusal::invalid("partitions", "are not 1 to 1024"));
    }
    let replication_factor = u8::try_from(found.replication_factor)
        .ok()
        .filter(|factor| (1..=COPIES_MAX).contains(factor) && usize::from(*factor) <= nodes.len())
        .ok_or_else(|| {
            Refusal::invalid("replication factor", "is not 1 to 5, or larger than the cluster")
        })?;
    let voters = nodes.len().min(VOTERS_MAX);
    let place = |partition: u32| {
        let first = usize::try_from(partition).expect("because a u32 fits a usize here");
        let turn = nodes.iter().cycle().skip(first % nodes.len()).map(|node| node.id);
        let voters: Vec<NodeId> = turn.take(voters).collect();
        let (partition, preferred_leader) = (PartitionId(partition), voters[0]);
        let (epoch, leaving) = (Epoch::default(), Vec::new());
        Placement { partition, preferred_leader, voters, epoch, leaving }
    };
    let layout = Layout {
        epoch: Epoch(1),
        replication_factor,
        partitions: (0..found.partitions).map(place).collect(),
        version: at.stamp(),
    };
    let all: Vec<&Node> = nodes.iter().collect();
    Ring::new(&ring_of(&layout, &all))
        .map_err(|error| Refusal::invalid("layout", error.to_string()))?;
    Ok(layout)
}

fn first_admin(found: &Found, at: At) -> Result<(User, Token), Refusal> {
    let hash = found
        .admin_token
        .as_slice()
        .try_into()
        .map_err(|_| Refusal::invalid("token hash", "has not 32 bytes"))?;
    let user = User {
        id: UserId::allocate(at.generation, at.index),
        name: found.admin.clone(),
        email: String::new(),
        keys: Vec::new(),
        suspended: false,
        cluster_admin: true,
        version: at.stamp(),
    };
    let token = Token {
        hash,
        user: user.id,
        scope: Scope::Admin,
        repositories: Vec::new(),
        expires: None,
        created: at.wall,
        version: at.stamp(),
    };
    Ok((user, token))
}

pub(super) fn prune_audit(desk: &Desk<'_>, prune: &PruneAudit) -> Result<Plan, Refusal> {
    desk.require_system()?;
    let old = &desk.state.header;
    if prune.floor <= old.audit_floor || prune.floor > desk.at.index {
        return Err(Refusal::Stale { what: "the audit floor", known: old.audit_floor });
    }
    let audit_bytes = old.audit_bytes.saturating_sub(prune.bytes);
    let header = Header { audit_floor: prune.floor, audit_bytes, ..old.clone() };
    Ok(Plan::new(Reply::Done, vec![Mutation::PutHeader(header)]))
}
