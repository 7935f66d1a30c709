use gitstratum_core::{ErrorKind, GrantsVersion, ObjectFormat, PartitionId, RepoId, Visibility};
use gitstratum_state::Reply;
use gitstratum_state::command::{
    Change, CreateRepository, PartitionApplied, RenameRepository, SetRepository, SettleRepository,
    UndeleteRepository,
};
use gitstratum_state::record::{RepositoryState, partition_of};

use crate::world::{ADMIN, Who, World, create, delete, grant, path};

fn rename(from: &str, to: &str) -> Change {
    let (path, new_path) = (from.to_owned(), to.to_owned());
    Change::RenameRepository(RenameRepository { path, new_path })
}

fn undelete(id: u64, path: &str) -> Change {
    Change::UndeleteRepository(UndeleteRepository { id, path: path.to_owned() })
}

#[test]
fn s42_s47_a_repository_gets_an_id_of_its_log_index_and_a_partition() {
    let mut world = World::founded();
    let id = world.repository("demo/hello");
    assert_eq!(id, RepoId::allocate(1, world.index));
    let made = world.state.repository(&path("demo/hello")).expect("just made");
    assert_eq!(made.partition, partition_of(id, 4));
    assert_eq!(made.format, ObjectFormat::Sha1);
    assert_eq!(made.default_branch, "main");
    assert_eq!(made.visibility, Visibility::Private);
    assert_eq!((made.name_version, made.version), (world.state.version(), world.state.version()));
}

#[test]
fn a_taken_path_is_refused_and_if_not_exists_is_content_with_it() {
    let mut world = World::founded();
    let id = world.repository("demo/hello");
    let (kind, message) = world.refused(Some(ADMIN), create("demo/hello"));
    assert_eq!(kind, ErrorKind::Conflict);
    assert_eq!(message, "repository `demo/hello` exists already");
    let again = |object_format| {
        let path = "demo/hello".to_owned();
        let create =
            CreateRepository { path, object_format, if_not_exists: true, ..Default::default() };
        Change::CreateRepository(create)
    };
    assert_eq!(world.ok(Some(ADMIN), again(1)), Reply::Repository(id));
    assert_eq!(world.refused(Some(ADMIN), again(2)).0, ErrorKind::Conflict);
}

#[test]
fn bad_input_105_reserved_and_malformed_paths_are_refused() {
    let mut world = World::founded();
    for bad in ["git/x", "admin/x", "a", "a/b.git", "a/b/c", "", "a/\u{0}"] {
        assert_eq!(world.refused(Some(ADMIN), create(bad)).0, ErrorKind::Invalid, "{bad}");
    }
    let change = |object_format, default_branch: &str, description: &str| {
        Change::CreateRepository(CreateRepository {
            path: "demo/x".to_owned(),
            object_format,
            default_branch: default_branch.to_owned(),
            description: description.to_owned(),
            ..Default::default()
        })
    };
    assert_eq!(world.refused(Some(ADMIN), change(3, "", "")).0, ErrorKind::Invalid);
    assert_eq!(world.refused(Some(ADMIN), change(1, "a..b", "")).0, ErrorKind::Invalid);
    assert_eq!(world.refused(Some(ADMIN), change(1, "", "a\nb")).0, ErrorKind::Invalid);
}

#[test]
fn other_owners_come_with_the_first_repository_of_a_cluster_admin() {
    let mut world = World::founded();
    world.user("eva", Who(2));
    assert_eq!(world.refused(Some(Who(2)), create("acme/tool")).0, ErrorKind::Denied);
    assert_eq!(
        world.refused(Some(ADMIN), grant("eva", "admin", "acme")),
        (ErrorKind::NotFound, "owner `acme` does not exist".to_owned())
    );
    world.ok(Some(Who(2)), create("eva/own"));
    world.repository("acme/tool");
    world.ok(Some(ADMIN), grant("eva", "admin", "acme"));
    world.ok(Some(Who(2)), create("acme/other"));
}

#[test]
fn s42_a_path_given_up_waits_for_its_holders_partition() {
    let mut world = World::founded();
    let id = world.repository("demo/hello");
    let partition = partition_of(id, 4).0;
    let before = world.state.version().0;
    world.ok(Some(ADMIN), delete("demo/hello"));
    let version = world.state.version().0;
    assert_eq!(world.refused(Some(ADMIN), create("demo/hello")).0, ErrorKind::Unavailable);
    assert!(world.state.is_awaited(PartitionId(partition), GrantsVersion(version)));
    assert!(!world.state.is_awaited(PartitionId(partition), GrantsVersion(before)));
    for (other, at) in [((partition + 1) % 4, version), (partition, before)] {
        let applied = PartitionApplied { partition: other, version: at };
        world.ok(None, Change::PartitionApplied(applied));
        assert_eq!(world.refused(Some(ADMIN), create("demo/hello")).0, ErrorKind::Unavailable);
    }
    world.ok(None, Change::PartitionApplied(PartitionApplied { partition, version }));
    let next = world.repository("demo/hello");
    assert_ne!(next, id, "ids are never reused");
}

#[test]
fn s42_rename_moves_the_path_under_a_newer_name_version() {
    let mut world = World::founded();
    let id = world.repository("demo/hello");
    world.repository("demo/taken");
    assert_eq!(
        world.refused(Some(ADMIN), rename("demo/hello", "demo/taken")).0,
        ErrorKind::Conflict
    );
    let old = world.state.repository_by_id(id).expect("made").name_version;
    world.ok(Some(ADMIN), rename("demo/hello", "demo/there"));
    assert_eq!(world.state.repository(&path("demo/hello")), None);
    let moved = world.state.repository(&path("demo/there")).expect("moved").clone();
    assert_eq!(moved.id, id);
    assert!(moved.name_version > old);
    let back = world.refused(Some(ADMIN), rename("demo/there", "demo/hello"));
    assert_eq!(back.0, ErrorKind::Unavailable);
    world.settle();
    world.ok(Some(ADMIN), rename("demo/there", "demo/hello"));
    let version = world.state.version();
    world.ok(Some(ADMIN), rename("demo/hello", "demo/hello"));
    assert_eq!(world.state.version(), version, "no move, no change");
}

#[test]
fn s42_undelete_brings_back_by_id_or_by_path() {
    let mut world = World::founded();
    let first = world.repository("demo/hello");
    world.ok(Some(ADMIN), delete("demo/hello"));
    assert_eq!(world.refused(Some(ADMIN), undelete(0, "demo/hello")).0, ErrorKind::Unavailable);
    world.settle();
    let second = world.repository("demo/hello");
    assert_eq!(world.refused(Some(ADMIN), undelete(first.0, "")).0, ErrorKind::Conflict);
    world.ok(Some(ADMIN), undelete(first.0, "demo/old"));
    world.ok(Some(ADMIN), delete("demo/old"));
    world.ok(Some(ADMIN), delete("demo/hello"));
    world.settle();
    world.ok(Some(ADMIN), undelete(0, "demo/hello"));
    assert_eq!(world.state.repository(&path("demo/hello")).map(|r| r.id), Some(second));
    let gone = world.refused(Some(ADMIN), undelete(second.0, "demo/x"));
    assert_eq!(gone.0, ErrorKind::NotFound, "a live one is not a deleted one");
}

#[test]
fn s42_the_partition_has_the_last_word_on_a_purge() {
    let mut world = World::founded();
    let id = world.repository("demo/hello");
    world.user("eva", Who(2));
    world.ok(Some(ADMIN), grant("eva", "read", "demo/hello"));
    world.ok(Some(ADMIN), delete("demo/hello"));
    world.settle();
    let deleted_at = world.state.repository_by_id(id).expect("kept").name_version.0;
    world.ok(Some(ADMIN), undelete(id.0, ""));
    let settle = |name_version| {
        Change::SettleRepository(SettleRepository { id: id.0, name_version, purged: true })
    };
    assert_eq!(world.refused(None, settle(deleted_at)).0, ErrorKind::Conflict);
    assert_eq!(world.refused(Some(ADMIN), settle(u64::MAX)).0, ErrorKind::Denied);
    let undeleted_at = world.state.repository_by_id(id).expect("kept").name_version.0;
    world.ok(None, settle(undeleted_at));
    let purged = world.state.repository_by_id(id).expect("kept");
    assert_eq!(purged.state, RepositoryState::Purged);
    assert_eq!(world.state.grants().count(), 0);
    assert_eq!(world.refused(Some(ADMIN), undelete(id.0, "")).0, ErrorKind::NotFound);
    world.repository("demo/hello");
}

#[test]
fn settings_of_a_repository_change_one_by_one() {
    let mut world = World::founded();
    world.repository("demo/hello");
    let set = SetRepository {
        path: "demo/hello".to_owned(),
        public: Some(true),
        default_branch: Some("trunk".to_owned()),
        description: None,
    };
    world.ok(Some(ADMIN), Change::SetRepository(set.clone()));
    let version = world.state.version();
    let made = world.state.repository(&path("demo/hello")).expect("made");
    assert_eq!((made.visibility, made.default_branch.as_str()), (Visibility::Public, "trunk"));
    assert_eq!(made.version, version);
    assert!(made.name_version < version, "the name did not change");
    world.ok(Some(ADMIN), Change::SetRepository(set.clone()));
    assert_eq!(world.state.version(), version);
    let bad = SetRepository { default_branch: Some("HEAD".to_owned()), ..set };
    assert_eq!(world.refused(Some(ADMIN), Change::SetRepository(bad)).0, ErrorKind::Invalid);
}
