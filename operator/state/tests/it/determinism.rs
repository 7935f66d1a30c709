use std::collections::BTreeMap;

use gitstratum_core::{ErrorKind, GrantsVersion, RepoId, UserId};
use gitstratum_state::command::{
    Change, Command, DeleteUser, PartitionApplied, PruneAudit, RegisterNode, RenameRepository,
    RevokeRole, RevokeToken, SetUser, UndeleteRepository,
};
use gitstratum_state::record::{Grant, GrantKey, Repository, Token, User};
use gitstratum_state::row::{AUDIT_KIND, Row};
use gitstratum_state::{Differences, State};
use proptest::prelude::*;

use crate::world::{ADMIN, Who, World, create, create_token, create_user, delete, grant};

const PATHS: [&str; 5] = ["acme/a", "acme/b", "eva/a", "adam/a", "git/x"];
const USERS: [&str; 4] = ["eva", "adam", "admin", "nobody"];
const ROLES: [&str; 3] = ["read", "admin", "boss"];

fn any_path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&PATHS[..])
}

fn any_user() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&USERS[..])
}

fn any_change() -> impl Strategy<Value = Change> {
    let role = || prop::sample::select(&ROLES[..]);
    let rename = |path: &str, new: &str| {
        Change::RenameRepository(RenameRepository { path: path.into(), new_path: new.into() })
    };
    let undelete =
        |path: &str| Change::UndeleteRepository(UndeleteRepository { id: 0, path: path.into() });
    let revoke = |user: &str, subject: &str| {
        let (user, role, subject) = (user.into(), String::new(), subject.into());
        Change::RevokeRole(RevokeRole { user, role, subject })
    };
    let register = |incarnation| {
        let roles = vec!["object".to_owned()];
        Change::RegisterNode(RegisterNode { roles, incarnation, ..Default::default() })
    };
    let set_user = |name: &str, suspended, cluster_admin| {
        Change::SetUser(SetUser { name: name.into(), email: None, suspended, cluster_admin })
    };
    let applied = |partition, back: u64| {
        let version = (1 << 48) + back;
        Change::PartitionApplied(PartitionApplied { partition, version })
    };
    prop_oneof![
        any_path().prop_map(create),
        any_path().prop_map(delete),
        (any_path(), any_path()).prop_map(move |(from, to)| rename(from, to)),
        any_path().prop_map(undelete),
        any_user().prop_map(create_user),
        any_user().prop_map(|name| Change::DeleteUser(DeleteUser { name: name.into() })),
        (any_user(), any::<Option<bool>>(), any::<Option<bool>>())
            .prop_map(move |(name, suspended, admin)| set_user(name, suspended, admin)),
        (any_user(), 1_u8..6, 0_u32..5).prop_map(|(u, who, s)| create_token(u, Who(who), s, &[])),
        (1_u8..6).prop_map(|who| {
            Change::RevokeToken(RevokeToken { id: format!("{who:02x}").repeat(8) })
        }),
        (any_user(), role(), any_path()).prop_map(|(user, role, path)| grant(user, role, path)),
        (any_user(), any_path()).prop_map(move |(user, path)| revoke(user, path)),
        (0_u64..3).prop_map(register),
        (0_u32..4, 0_u64..60).prop_map(move |(partition, back)| applied(partition, back)),
        (0_u64..60).prop_map(|floor| Change::PruneAudit(PruneAudit { floor, bytes: 10 })),
    ]
}

/// Half of the commands come from the system itself, so that most are done.
fn any_who() -> impl Strategy<Value = Option<Who>> {
    prop_oneof![Just(None), Just(Some(ADMIN)), (2_u8..6).prop_map(|who| Some(Who(who)))]
}

fn store(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, written: &[Row]) {
    for (key, value) in written {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

fn reload(rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> State {
    let loaded = rows.iter().filter(|(key, _)| key[0] != AUDIT_KIND);
    State::load(loaded.map(|(key, value)| (key.as_slice(), value.as_slice())))
        .expect("because apply wrote the rows")
}

/// What a watcher holds.
#[derive(Debug, Default, PartialEq)]
struct Mirror {
    version: GrantsVersion,
    users: BTreeMap<UserId, User>,
    tokens: BTreeMap<[u8; 32], Token>,
    grants: BTreeMap<GrantKey, Grant>,
    repositories: BTreeMap<RepoId, Repository>,
}

impl Mirror {
    fn of(state: &State) -> Self {
        let mut mirror = Self::default();
        mirror.follow(&state.differences_since(GrantsVersion(0)));
        mirror
    }

    fn follow(&mut self, new: &Differences<'_>) {
        if new.reset {
            *self = Self::default();
        }
        self.version = new.version;
        self.users.extend(new.users.iter().map(|user| (user.id, (*user).clone())));
        self.users.retain(|id, _| !new.users_gone.contains(id));
        self.tokens.extend(new.tokens.iter().map(|token| (token.hash, (*token).clone())));
        self.tokens.retain(|hash, _| !new.tokens_gone.contains(hash));
        self.grants.extend(new.grants.iter().map(|grant| (grant.key.clone(), (*grant).clone())));
        self.grants.retain(|key, _| !new.grants_gone.contains(key));
        self.repositories.extend(new.repositories.iter().map(|r| (r.id, (*r).clone())));
    }
}

proptest! {
    /// Two replicas, one of which restarts after every command, stay equal; what a watcher
    /// builds from differences is what is there.
    #[test]
    fn gs_cp_38_same_log_same_state(
        changes in prop::collection::vec((any_who(), any_change(), any::<bool>()), 1..40),
    ) {
        let mut world = World::founded();
        let mut other = World::founded();
        let mut rows = BTreeMap::new();
        store(&mut rows, &other.rows);
        let mut mirror = Mirror::default();
        for (who, change, watch) in changes {
            let command = world.command(who, change);
            let bytes = command.to_bytes();
            let outcome = world.apply(&command);
            other.index = world.index;
            other.state = reload(&rows);
            other.rows.clear();
            let same = other.apply(&Command::from_bytes(&bytes).expect("because we wrote it"));
            prop_assert_eq!(&outcome, &same);
            store(&mut rows, &other.rows);
            prop_assert_eq!(world.state.hash(), other.state.hash());
            if watch {
                let differences = world.state.differences_since(mirror.version);
                prop_assert!(differences.version >= mirror.version, "versions never fall (RV-L1)");
                mirror.follow(&differences);
                prop_assert_eq!(&mirror, &Mirror::of(&world.state));
            }
        }
        prop_assert_eq!(&reload(&rows), &world.state);
    }
}

#[test]
fn a_repeated_request_is_answered_from_memory() {
    let mut world = World::founded();
    let command = world.command(Some(ADMIN), create("demo/hello"));
    let first = world.apply(&command);
    let (version, rows) = (world.state.version(), world.rows.len());
    world.index += 1;
    assert_eq!(world.apply(&command), first);
    assert_eq!(world.state.version(), version);
    assert_eq!(world.rows.len(), rows, "nothing is written");
}

#[test]
fn a_request_id_that_comes_with_another_command_does_nothing() {
    let mut world = World::founded();
    let first = world.command(Some(ADMIN), create("demo/hello"));
    world.apply(&first);
    let other =
        Command { request: first.request.clone(), ..world.command(Some(ADMIN), create("a/b")) };
    let outcome = world.apply(&other);
    assert_eq!(outcome.result.map_err(|no| no.kind), Err(ErrorKind::Conflict));
    assert_eq!(world.state.counts().repositories, 1);
}

#[test]
fn outcomes_of_old_requests_are_forgotten() {
    let mut world = World::founded();
    let first = world.command(Some(ADMIN), create("git/x"));
    world.apply(&first);
    for _ in 0..10_000 {
        world.run(Some(ADMIN), create("git/x")).expect_err("reserved");
    }
    let kept = world.state.rows().filter(|(key, _)| key[0] == b'q').count();
    assert_eq!(kept, 10_000);
}
