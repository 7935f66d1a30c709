//! Records from messages: the other way round of [`crate::wire`].

use gitstratum_core::{
    ClusterId, Epoch, GrantsVersion, Incarnation, NodeId, PartitionId, ProcessRole, RepoId,
    RepoPath, Role, UnixMillis, UserId, Visibility,
};
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::{format_from_wire, node_state};
use gitstratum_state::Records;
use gitstratum_state::record::{
    Grant, GrantKey, GrantSubject, Layout, Node, NodeState, Placement, Repository, RepositoryState,
    Scope, Setting, SshKey, Token, User,
};

/// What is not as it must be.
type Wrong = &'static str;

/// Of which cluster a snapshot is, and its records.
pub(super) fn records(snapshot: wire::SnapshotUpdate) -> Result<(ClusterId, Records), Wrong> {
    if !snapshot.reset || snapshot.more {
        return Err("it is a difference, not everything");
    }
    let cluster = ClusterId::from_slice(&snapshot.cluster_id).ok_or("it names no cluster")?;
    let layout = snapshot.layout.ok_or("it has no layout")?;
    let version = GrantsVersion(snapshot.version);
    let records = Records {
        version,
        nodes: layout.nodes.iter().map(node).collect::<Result<_, _>>()?,
        layout: placement(&layout, version)?,
        users: snapshot.users.into_iter().map(user).collect(),
        tokens: snapshot.tokens.iter().map(token).collect::<Result<_, _>>()?,
        grants: snapshot.grants.into_iter().map(grant).collect::<Result<_, _>>()?,
        repositories: snapshot
            .repositories
            .into_iter()
            .map(repository)
            .collect::<Result<_, _>>()?,
        settings: snapshot.settings.into_iter().map(setting).collect(),
    };
    Ok((cluster, records))
}

fn placement(layout: &wire::Layout, version: GrantsVersion) -> Result<Layout, Wrong> {
    let factor = u8::try_from(layout.replication_factor);
    let place = |place: &wire::PartitionPlacement| Placement {
        partition: PartitionId(place.partition),
        voters: place.voters.iter().copied().map(NodeId).collect(),
        preferred_leader: NodeId(place.preferred_leader),
        epoch: Epoch(place.epoch),
        leaving: place.leaving.iter().copied().map(NodeId).collect(),
    };
    Ok(Layout {
        epoch: Epoch(layout.epoch),
        replication_factor: factor.map_err(|_| "a replication factor is too large")?,
        partitions: layout.partitions.iter().map(place).collect(),
        version,
    })
}

fn node(message: &wire::Node) -> Result<Node, Wrong> {
    const ROLES: [ProcessRole; 4] =
        [ProcessRole::Control, ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object];
    let role = |word: &String| ROLES.into_iter().find(|role| role.as_str() == word);
    let roles = message.roles.iter().map(role).collect::<Option<_>>();
    let endpoint = |endpoint: &wire::NodeEndpoint| {
        Some((endpoint.service.clone(), endpoint.address.parse().ok()?))
    };
    let endpoints = message.endpoints.iter().map(endpoint).collect::<Option<_>>();
    let state = match message.state {
        node_state::LEAVING => Some(NodeState::Up),
        state => NodeState::from_wire(state),
    };
    Ok(Node {
        id: NodeId(message.id),
        roles: roles.ok_or("a node has an unknown role")?,
        address: message.address.clone(),
        endpoints: endpoints.ok_or("a node's endpoint is no address")?,
        region: message.region.clone(),
        zone: message.zone.clone(),
        weight: u16::try_from(message.weight).map_err(|_| "a node's weight is too large")?,
        state: state.ok_or("a node's state is unknown")?,
        since: UnixMillis(message.state_since_millis),
        failures: message.failures,
        is_draining: message.draining,
        // The command gives it a new one.
        fence: 0,
        incarnation: Incarnation(message.incarnation),
        software: message.version.clone(),
        in_ring: message.in_ring,
        version: GrantsVersion(0),
    })
}

fn user(message: wire::UserRecord) -> User {
    let key = |key: wire::SshKey| SshKey {
        fingerprint: key.fingerprint,
        public_key: key.public_key,
        comment: key.comment,
    };
    User {
        id: UserId(message.id),
        name: message.name,
        email: message.email,
        keys: message.keys.into_iter().map(key).collect(),
        suspended: message.suspended,
        cluster_admin: message.cluster_admin,
        version: GrantsVersion(message.version),
    }
}

fn token(message: &wire::TokenRecord) -> Result<Token, Wrong> {
    let hash = message.hash.as_ref().try_into();
    let expires = (message.expires_millis > 0).then_some(UnixMillis(message.expires_millis));
    Ok(Token {
        hash: hash.map_err(|_| "a token has no hash")?,
        user: UserId(message.user_id),
        scope: Scope::from_wire(message.scope).ok_or("a token's scope is unknown")?,
        repositories: message.repository_ids.iter().copied().map(RepoId).collect(),
        expires,
        created: UnixMillis(message.created_millis),
        version: GrantsVersion(message.version),
    })
}

fn grant(message: wire::GrantRecord) -> Result<Grant, Wrong> {
    let role = match message.role {
        1 => Role::Read,
        2 => Role::Write,
        3 => Role::Maintain,
        4 => Role::Admin,
        _ => return Err("a grant's role is unknown"),
    };
    let subject = match message.repo_id {
        0 => GrantSubject::Owner(message.owner),
        id => GrantSubject::Repository(RepoId(id)),
    };
    let key = GrantKey { user: UserId(message.user_id), subject };
    Ok(Grant { key, role, version: GrantsVersion(message.version) })
}

fn repository(message: wire::Repository) -> Result<Repository, Wrong> {
    let state = match message.state {
        1 => RepositoryState::Live,
        2 => RepositoryState::Deleted,
        3 => RepositoryState::Purged,
        _ => return Err("a repository's state is unknown"),
    };
    let format = format_from_wire("object_format", message.object_format);
    Ok(Repository {
        id: RepoId(message.id),
        path: RepoPath::parse(&message.path).map_err(|_| "a repository's path is none")?,
        partition: PartitionId(message.partition),
        format: format.map_err(|_| "a repository's object format is unknown")?,
        default_branch: message.default_branch,
        visibility: if message.public { Visibility::Public } else { Visibility::Private },
        description: message.description,
        state,
        name_version: GrantsVersion(message.name_version),
        created: UnixMillis(message.created_millis),
        version: GrantsVersion(message.version),
    })
}

fn setting(message: wire::Setting) -> Setting {
    let wire::Setting { key, value, version } = message;
    Setting { key, value, version: GrantsVersion(version) }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::ErrorKind;
    use gitstratum_state::State;
    use gitstratum_state::command::{
        Change, Command, CreateRepository, CreateToken, CreateUser, DeleteRepository, Found,
        FoundNode, GrantRole, Origin,
    };

    use super::*;

    fn state() -> State {
        let nodes = (1..=3).map(|id| FoundNode { id, zone: format!("z{id}") }).collect();
        let text = str::to_owned;
        let changes = [
            Change::Found(Found {
                cluster: vec![7; 16],
                generation: 1,
                partitions: 4,
                replication_factor: 3,
                nodes,
                admin: text("admin"),
                admin_token: vec![1; 32],
                join_token: vec![2; 32],
            }),
            Change::CreateUser(CreateUser { name: text("eva"), email: text("eva@example.org") }),
            Change::CreateRepository(CreateRepository {
                path: text("acme/a"),
                public: true,
                ..Default::default()
            }),
            Change::CreateRepository(CreateRepository {
                path: text("acme/b"),
                object_format: 2,
                ..Default::default()
            }),
            Change::CreateToken(CreateToken {
                user: text("eva"),
                hash: vec![3; 32],
                scope: 2,
                repositories: vec![text("acme/a")],
                lifetime_seconds: 60,
            }),
            Change::GrantRole(GrantRole {
                user: text("eva"),
                role: text("write"),
                subject: text("acme"),
            }),
            Change::GrantRole(GrantRole {
                user: text("eva"),
                role: text("read"),
                subject: text("acme/b"),
            }),
            Change::DeleteRepository(DeleteRepository { path: text("acme/b") }),
        ];
        let mut state = State::default();
        for (index, change) in (5..).zip(changes) {
            let command = Command::new([index; 16], UnixMillis(1_000), Origin::system(), change);
            state.apply(u64::from(index), &command).outcome.result.expect("it is good");
        }
        state
    }

    #[test]
    fn s45_what_nodes_are_told_reads_back_as_the_records_that_it_was_made_of() {
        let state = state();
        let (cluster, records) =
            records(crate::wire::update(&state, GrantsVersion(0))).expect("it reads");
        assert_eq!(Some(cluster), state.cluster());
        let all = state.differences_since(GrantsVersion(0));
        assert_eq!(records.version, all.version);
        assert_eq!(records.users.iter().collect::<Vec<_>>(), all.users);
        assert_eq!(records.tokens.iter().collect::<Vec<_>>(), all.tokens);
        assert_eq!(records.grants.iter().collect::<Vec<_>>(), all.grants);
        assert_eq!(records.repositories.iter().collect::<Vec<_>>(), all.repositories);
        assert_eq!(records.settings.iter().collect::<Vec<_>>(), all.settings);
        assert_eq!(records.layout.partitions, state.layout().partitions);
        let unstamped = |node: &Node| Node { version: GrantsVersion(0), fence: 0, ..node.clone() };
        assert_eq!(records.nodes, state.nodes().map(unstamped).collect::<Vec<_>>());
    }

    #[test]
    fn s45_a_difference_and_nonsense_are_refused() {
        let whole = crate::wire::update(&state(), GrantsVersion(0));
        let mut bad_role = whole.clone();
        bad_role.grants[0].role = 9;
        let mut bad_path = whole.clone();
        bad_path.repositories[0].path = "none".to_owned();
        for bad in [
            wire::SnapshotUpdate { reset: false, ..whole.clone() },
            wire::SnapshotUpdate { more: true, ..whole.clone() },
            wire::SnapshotUpdate { layout: None, ..whole.clone() },
            wire::SnapshotUpdate { cluster_id: bytes::Bytes::new(), ..whole },
            bad_role,
            bad_path,
        ] {
            let wrong = records(bad).err().map(crate::Error::Snapshot);
            assert_eq!(wrong.expect("it is refused").kind(), ErrorKind::Invalid);
        }
    }
}
