//! The state's records as messages.

use gitstratum_core::{GrantsVersion, ObjectFormat, Role, Visibility};
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::{format_to_wire, node_state};
use gitstratum_state::State;
use gitstratum_state::record::{
    AuditLine, Grant, GrantKey, GrantSubject, Layout, Node, NodeState, Placement, Repository,
    RepositoryState, Setting, SshKey, Token, User,
};

/// What a watcher at `held` needs.
pub(crate) fn update(state: &State, held: GrantsVersion) -> wire::SnapshotUpdate {
    let new = state.differences_since(held);
    wire::SnapshotUpdate {
        version: new.version.0,
        reset: new.reset,
        cluster_id: state.cluster().map(|id| id.0.to_vec().into()).unwrap_or_default(),
        layout: new.layout.then(|| layout(state)),
        repositories: new.repositories.into_iter().map(repository).collect(),
        repositories_gone: Vec::new(),
        users: new.users.into_iter().map(user).collect(),
        users_gone: new.users_gone.iter().map(|id| id.0).collect(),
        tokens: new.tokens.into_iter().map(|record| full_token(state, record)).collect(),
        tokens_gone: new.tokens_gone.iter().map(|hash| hash.to_vec().into()).collect(),
        grants: new.grants.into_iter().map(|record| grant(state, record)).collect(),
        grants_gone: new.grants_gone.iter().map(|key| grant_key(state, key)).collect(),
        settings: new.settings.into_iter().map(setting).collect(),
        more: false,
    }
}

pub(crate) fn repository(record: &Repository) -> wire::Repository {
    wire::Repository {
        id: record.id.0,
        path: record.path.as_str().to_owned(),
        partition: record.partition.0,
        object_format: object_format(record.format),
        default_branch: record.default_branch.clone(),
        public: record.visibility == Visibility::Public,
        description: record.description.clone(),
        state: match record.state {
            RepositoryState::Live => 1,
            RepositoryState::Deleted => 2,
            RepositoryState::Purged => 3,
        },
        name_version: record.name_version.0,
        created_millis: record.created.0,
        version: record.version.0,
    }
}

fn object_format(format: ObjectFormat) -> u32 {
    format_to_wire(format)
}

pub(crate) fn user(record: &User) -> wire::UserRecord {
    wire::UserRecord {
        id: record.id.0,
        name: record.name.clone(),
        email: record.email.clone(),
        keys: record.keys.iter().map(ssh_key).collect(),
        suspended: record.suspended,
        cluster_admin: record.cluster_admin,
        version: record.version.0,
    }
}

pub(crate) fn ssh_key(key: &SshKey) -> wire::SshKey {
    wire::SshKey {
        fingerprint: key.fingerprint.clone(),
        public_key: key.public_key.clone(),
        comment: key.comment.clone(),
    }
}

/// A token as people see it: without its hash.
pub(crate) fn token(state: &State, record: &Token) -> wire::TokenRecord {
    let path = |id| state.repository_by_id(id).map(|found| found.path.as_str().to_owned());
    wire::TokenRecord {
        id: record.id().to_string(),
        user: user_name(state, record.user),
        scope: record.scope.to_wire(),
        repositories: record.repositories.iter().copied().filter_map(path).collect(),
        expires_millis: record.expires.map_or(0, |expires| expires.0),
        created_millis: record.created.0,
        hash: bytes::Bytes::new(),
        user_id: record.user.0,
        repository_ids: record.repositories.iter().map(|id| id.0).collect(),
        version: record.version.0,
    }
}

/// A token as nodes need it.
fn full_token(state: &State, record: &Token) -> wire::TokenRecord {
    wire::TokenRecord { hash: record.hash.to_vec().into(), ..token(state, record) }
}

pub(crate) fn grant(state: &State, record: &Grant) -> wire::GrantRecord {
    let role = match record.role {
        Role::Read => 1,
        Role::Write => 2,
        Role::Maintain => 3,
        Role::Admin => 4,
    };
    wire::GrantRecord { role, version: record.version.0, ..grant_key(state, &record.key) }
}

fn grant_key(state: &State, key: &GrantKey) -> wire::GrantRecord {
    let (owner, repo_id, subject) = match &key.subject {
        GrantSubject::Owner(owner) => (owner.clone(), 0, owner.clone()),
        GrantSubject::Repository(id) => {
            let path = state.repository_by_id(*id).map(|found| found.path.as_str().to_owned());
            (String::new(), id.0, path.unwrap_or_default())
        }
    };
    wire::GrantRecord {
        user_id: key.user.0,
        user: user_name(state, key.user),
        role: 0,
        owner,
        repo_id,
        subject,
        version: 0,
    }
}

fn user_name(state: &State, id: gitstratum_core::UserId) -> String {
    state.user_by_id(id).map(|user| user.name.clone()).unwrap_or_default()
}

/// Placement and nodes.
pub(crate) fn layout(state: &State) -> wire::Layout {
    let Layout { epoch, replication_factor, partitions, .. } = state.layout();
    let placement = |placement: &Placement| wire::PartitionPlacement {
        partition: placement.partition.0,
        voters: placement.voters.iter().map(|id| id.0).collect(),
        preferred_leader: placement.preferred_leader.0,
        epoch: placement.epoch.0,
        leaving: placement.leaving.iter().map(|id| id.0).collect(),
    };
    wire::Layout {
        epoch: epoch.0,
        replication_factor: u32::from(*replication_factor),
        nodes: state.nodes().map(node).collect(),
        partitions: partitions.iter().map(placement).collect(),
    }
}

pub(crate) fn node(record: &Node) -> wire::Node {
    wire::Node {
        id: record.id.0,
        roles: record.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        address: record.address.clone(),
        endpoints: record.endpoints.iter().map(endpoint).collect(),
        region: record.region.clone(),
        zone: record.zone.clone(),
        weight: u32::from(record.weight),
        state: shown_state(record),
        incarnation: record.incarnation.0,
        version: record.software.clone(),
        in_ring: record.in_ring,
        state_since_millis: record.since.0,
        failures: record.failures,
        draining: record.is_draining,
        ..wire::Node::default()
    }
}

fn endpoint((service, address): (&String, &std::net::SocketAddr)) -> wire::NodeEndpoint {
    wire::NodeEndpoint { service: service.clone(), address: address.to_string() }
}

/// A node that is up and being emptied is shown as leaving.
fn shown_state(record: &Node) -> u32 {
    match record.state {
        NodeState::Up if record.is_draining => node_state::LEAVING,
        state => state.to_wire(),
    }
}

/// Counts, nodes and placement; leader, term and last sights are the plane's to add.
pub(crate) fn cluster(state: &State) -> wire::ClusterState {
    let counts = state.counts();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    wire::ClusterState {
        cluster_id: state.cluster().map(|id| id.0.to_vec().into()).unwrap_or_default(),
        generation: u32::from(state.generation()),
        version: state.version().0,
        leader: 0,
        term: 0,
        layout: Some(layout(state)),
        repositories: count(counts.repositories),
        users: count(counts.users),
        nodes: state.nodes().map(node).collect(),
        control_voters: Vec::new(),
    }
}

fn setting(record: &Setting) -> wire::Setting {
    let (key, value) = (record.key.clone(), record.value.clone());
    wire::Setting { key, value, version: record.version.0 }
}

pub(crate) fn audit_line(line: AuditLine) -> wire::AuditLine {
    wire::AuditLine {
        index: line.index,
        wall_millis: line.wall.0,
        actor: line.actor,
        action: line.action,
        subject: line.subject,
        result: line.result,
        request_id: line.request_id,
        client_addr: line.client_addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state knows no wire messages, so it numbers its states itself.
    #[test]
    fn s49_the_states_of_nodes_have_the_numbers_that_others_read() {
        for (state, number) in [
            (NodeState::Joining, node_state::JOINING),
            (NodeState::Up, node_state::UP),
            (NodeState::Suspect, node_state::SUSPECT),
            (NodeState::Down, node_state::DOWN),
            (NodeState::Removed, node_state::REMOVED),
        ] {
            assert_eq!(state.to_wire(), number, "{state:?}");
        }
        assert_eq!(NodeState::from_wire(node_state::LEAVING), None, "it is one that is up");
    }
}
