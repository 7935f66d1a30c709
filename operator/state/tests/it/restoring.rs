use gitstratum_core::{ClusterId, ErrorKind, GrantsVersion, RepoId};
use gitstratum_state::command::{Change, Restore, RestoredRow};
use gitstratum_state::record::RepositoryState;
use gitstratum_state::{Records, State};

use crate::world::{ADMIN, Who, World, create, create_user, delete, found, grant, path};

const CLUSTER: ClusterId = ClusterId([7; 16]);
const EVA: Who = Who(2);

/// What nodes are told at `state`'s version.
fn told(state: &State) -> Records {
    let all = state.differences_since(GrantsVersion(0));
    Records {
        version: all.version,
        layout: state.layout().clone(),
        nodes: state.nodes().cloned().collect(),
        users: all.users.into_iter().cloned().collect(),
        tokens: all.tokens.into_iter().cloned().collect(),
        grants: all.grants.into_iter().cloned().collect(),
        repositories: all.repositories.into_iter().cloned().collect(),
        settings: all.settings.into_iter().cloned().collect(),
    }
}

/// A cluster of three that has been used.
fn used() -> World {
    let mut world = World::empty();
    world.ok(None, Change::Found(found(3)));
    world.user("eva", EVA);
    world.repository("acme/a");
    world.repository("acme/b");
    world.repository("other/x");
    world.ok(Some(ADMIN), grant("eva", "write", "acme/a"));
    world.ok(Some(ADMIN), grant("eva", "read", "other"));
    world.ok(Some(ADMIN), delete("acme/b"));
    world.settle();
    world
}

fn restored(records: &Records, generation: u16) -> Change {
    Change::Restore(records.restore(CLUSTER, generation, Some([0xee; 32])))
}

#[test]
fn s45_a_lost_state_comes_back_from_what_nodes_were_told_under_a_newer_generation() {
    let old = used();
    let records = told(&old.state);
    let mut new = World::empty();
    new.ok(None, restored(&records, 2));
    let state = &new.state;
    assert_eq!((state.cluster(), state.generation()), (Some(CLUSTER), 2));
    assert!(state.version() > old.state.version(), "no node may take it for older");
    let back = told(state);
    assert_eq!((&back.users, &back.tokens), (&records.users, &records.tokens));
    assert_eq!((&back.grants, &back.repositories), (&records.grants, &records.repositories));
    assert_eq!(back.layout.partitions, records.layout.partitions);
    assert!(back.layout.epoch > records.layout.epoch);
    assert!(state.is_owner("other"));
    // Everybody is told everything anew, and what is made now has new ids.
    assert!(state.differences_since(old.state.version()).reset);
    let made = new.repository("acme/c");
    assert_eq!(made.0 >> 48, 2);
    new.user("adam", Who(3));
    assert_eq!(new.run(Some(EVA), create("eva/x")).map(drop), Ok(()), "old tokens are good");
}

#[test]
fn s42_s45_a_deleted_repositorys_path_waits_for_its_partition_again() {
    let old = used();
    let mut new = World::empty();
    new.ok(None, restored(&told(&old.state), 2));
    assert_eq!(new.refused(Some(ADMIN), create("acme/b")).0, ErrorKind::Unavailable);
    new.settle();
    new.repository("acme/b");
}

#[test]
fn s20_s45_a_node_that_was_being_emptied_is_fenced_under_a_newer_number() {
    let mut records = told(&used().state);
    let leaving = records.nodes.last_mut().expect("three of them");
    (leaving.is_draining, leaving.in_ring) = (true, false);
    let (node, fence) = (leaving.id, records.version.0);
    let mut new = World::empty();
    new.ok(None, restored(&records, 2));
    let back = new.state.node(node).expect("it is back");
    assert_eq!((back.is_draining, back.in_ring), (true, false));
    assert!(back.fence > fence, "{} is not above {fence}", back.fence);
}

#[test]
fn s45_nothing_is_restored_over_a_state_or_under_a_generation_that_was() {
    let mut old = used();
    let records = told(&old.state);
    assert_eq!(old.refused(None, restored(&records, 2)).0, ErrorKind::Conflict);
    let mut new = World::empty();
    assert_eq!(new.refused(None, restored(&records, 1)).0, ErrorKind::Invalid);
    assert_eq!(new.refused(Some(ADMIN), restored(&records, 2)).0, ErrorKind::Denied);
    new.ok(None, restored(&records, 7));
}

#[test]
fn s45_records_that_make_no_cluster_are_refused() {
    let records = told(&used().state);
    let whole = records.restore(CLUSTER, 2, None);
    let mut twins = records.clone();
    let mut twin = twins.repositories[0].clone();
    twin.id = RepoId(twin.id.0 + 1);
    twins.repositories.push(twin);
    let mut cut = whole.clone();
    cut.rows[1].value.truncate(3);
    let foreign = RestoredRow { key: b"a12345678".to_vec(), value: vec![1] };
    let mut mixed = whole.clone();
    mixed.rows.push(foreign);
    for bad in [
        Records { users: Vec::new(), ..records.clone() }.restore(CLUSTER, 2, None),
        Records { nodes: Vec::new(), ..records }.restore(CLUSTER, 2, None),
        twins.restore(CLUSTER, 2, None),
        Restore { cluster: vec![7; 15], ..whole.clone() },
        Restore { generation: 65_536, ..whole },
        cut,
        mixed,
    ] {
        let mut world = World::empty();
        let (kind, message) = world.refused(None, Change::Restore(bad));
        assert_eq!(kind, ErrorKind::Invalid, "{message}");
        assert_eq!(world.state.cluster(), None);
    }
}

#[test]
fn s45_a_restored_state_is_stored_and_loaded_like_any_other() {
    let mut new = World::empty();
    new.ok(None, restored(&told(&used().state), 2));
    new.ok(Some(ADMIN), create_user("adam"));
    let rows: Vec<_> = new.state.rows().collect();
    let rows = rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref().unwrap_or(b"")));
    assert_eq!(State::load(rows).expect("it reads"), new.state);
    let live = |state: RepositoryState| state == RepositoryState::Live;
    let found = new.state.repository(&path("acme/a")).expect("it is back");
    assert!(live(found.state));
}
