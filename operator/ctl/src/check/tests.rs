use gitstratum_core::RepoPath;
use gitstratum_proto::{common, control, metadata, object};

use super::*;
use crate::access::{Access, Options};
use crate::endpoint::FIRST_NODE_ID;
use crate::testing::{Double, World};

fn segment(id: u8) -> common::v1::Segment {
    let segment_id = vec![id; 16].into();
    let owners = vec![FIRST_NODE_ID.0];
    common::v1::Segment { segment_id, total_length: 100, owners, ..Default::default() }
}

fn record(repo_id: u64, path: &str, segments: &[u8]) -> metadata::v1::RepositoryRecord {
    let segments = segments.iter().map(|id| segment(*id)).collect();
    let pack = common::v1::Pack { segments, ..Default::default() };
    metadata::v1::RepositoryRecord {
        repo_id,
        path: path.to_owned(),
        state: 1,
        packs: vec![pack],
        ..Default::default()
    }
}

fn entry(id: u64, path: &str) -> control::v1::Repository {
    control::v1::Repository { id, path: path.to_owned(), state: 1, ..Default::default() }
}

/// Two repositories, the first with segments 1 and 2, the second with 3; all sound.
fn world() -> World {
    let sound = |id: u8| {
        (SegmentId([id; 16]), object::v1::VerifyResult { bytes: 100, ..Default::default() })
    };
    let place = control::v1::PartitionPlacement::default();
    let layout = control::v1::Layout { partitions: vec![place], ..Default::default() };
    let admin = control::v1::UserRecord {
        name: "admin".to_owned(),
        cluster_admin: true,
        ..Default::default()
    };
    World {
        users: vec![admin],
        cluster: control::v1::ClusterState { layout: Some(layout), ..Default::default() },
        repositories: vec![entry(1, "a/one"), entry(2, "a/two")],
        records: vec![record(1, "a/one", &[1, 2]), record(2, "a/two", &[3])],
        segments: [1, 2, 3].map(sound).into(),
        ..World::default()
    }
}

struct Rig {
    double: Double,
    connection: Connection,
    _data: tempfile::TempDir,
}

impl Rig {
    async fn start(world: World) -> Self {
        let data = tempfile::tempdir().unwrap();
        let double = Double::start(data.path(), world).unwrap();
        let options = Options { data: data.path().to_owned(), ..Options::default() };
        let connection = Connection::open(&Access::find(&options).unwrap()).await.unwrap();
        Self { double, connection, _data: data }
    }

    async fn report(&self) -> Report {
        let mut report = Report::default();
        for subject in all(&self.connection).await.unwrap() {
            report.add(check(&self.connection, &subject).await.unwrap());
        }
        report
    }
}

async fn report(world: World) -> Report {
    Rig::start(world).await.report().await
}

#[tokio::test]
async fn p_i6_a_sound_cluster_gives_no_alarm() {
    let report = report(world()).await;
    assert_eq!((report.checked, report.damaged, report.unchecked), (2, 0, 0));
    let one = &report.repositories[0];
    assert_eq!((one.path.as_str(), one.segments, one.bytes, one.objects), ("a/one", 2, 200, 3));
    assert_eq!(one.text(), "ok         a/one  2 segments, 200 B, 3 objects\n");
    assert_eq!(report.summary(), "2 repositories checked, no damage");
}

#[tokio::test]
async fn p_i6_objects_that_were_not_hashed_are_told() {
    let report = report(World { objects_too_large: 1, ..world() }).await;
    let text = report.repositories[0].text();
    assert_eq!(text, "ok         a/one  2 segments, 200 B, 3 objects (1 too large to hash)\n");
}

#[tokio::test]
async fn p_i6_damage_names_the_repository_whose_manifest_lists_it() {
    let mut world = world();
    world.segments.remove(&SegmentId([3; 16]));
    let torn =
        object::v1::VerifyResult { problem: "block 2 is damaged".to_owned(), ..Default::default() };
    world.segments.insert(SegmentId([1; 16]), torn);
    world.problems.insert(2, vec!["ref refs/heads/main points at a missing object".to_owned()]);
    let report = report(world).await;
    assert_eq!(report.damaged, 2);
    let problems = |at: usize| &report.repositories[at].problems;
    assert_eq!(
        problems(0),
        &[format!("node {FIRST_NODE_ID}: segment {}: block 2 is damaged", SegmentId([1; 16]))]
    );
    assert_eq!(
        problems(1),
        &[
            format!("node {FIRST_NODE_ID}: segment {}: is not held here", SegmentId([3; 16])),
            "ref refs/heads/main points at a missing object".to_owned(),
        ]
    );
    assert!(report.repositories[1].text().starts_with("DAMAGED    a/two  2 problems\n"));
}

#[tokio::test]
async fn s18_copies_that_are_missing_are_counted_and_nodes_that_are_away_named() {
    let mut world = world();
    let layout = control::v1::Layout { replication_factor: 3, ..Default::default() };
    let partitions = world.cluster.layout.take().unwrap_or_default().partitions;
    world.cluster.layout = Some(control::v1::Layout { partitions, ..layout });
    let away = NodeId(9);
    world.records[1].packs[0].segments[0].owners.push(away.0);
    let report = report(world).await;
    let one = &report.repositories[0];
    assert_eq!((one.verdict, one.missing_copies), (Verdict::Ok, 4));
    assert!(one.text().ends_with("3 objects, 4 copies still to be made\n"), "{}", one.text());
    let two = &report.repositories[1];
    assert_eq!((two.verdict, two.missing_copies), (Verdict::Unchecked, 1));
    assert_eq!(two.unchecked, [format!("node {away} does not answer: 1 copy not read")]);
}

#[tokio::test]
async fn a_segment_that_left_the_manifest_meanwhile_is_no_damage() {
    let mut world = world();
    world.segments.remove(&SegmentId([3; 16]));
    let rig = Rig::start(world).await;
    let subjects = all(&rig.connection).await.unwrap();
    rig.double.world().await.records[1].packs.clear();
    let two = subjects.iter().find(|subject| subject.path() == "a/two").unwrap();
    assert_eq!(check(&rig.connection, two).await.unwrap().verdict, Verdict::Ok);
}

#[tokio::test]
async fn s42_records_and_directory_must_know_the_same_repositories() {
    let mut world = world();
    world.repositories.remove(1);
    world.records.remove(0);
    let report = report(world).await;
    let told: Vec<_> =
        report.repositories.iter().map(|checked| checked.problems.join(";")).collect();
    assert_eq!(
        told,
        [
            "partition 0 has no record of this repository",
            "the directory does not know this repository"
        ]
    );
}

#[tokio::test]
async fn purged_records_are_passed_over_and_deleted_ones_are_not() {
    let mut world = world();
    world.repositories[0].state = 2;
    world.records[0].state = 2;
    world.segments.remove(&SegmentId([2; 16]));
    let mut purged = record(9, "a/gone", &[9]);
    purged.state = 3;
    world.records.push(purged);
    let report = report(world).await;
    assert_eq!((report.checked, report.damaged), (2, 1));
    assert_eq!(report.repositories[0].path, "a/one");
}

#[tokio::test]
async fn one_repository_is_checked_by_its_path() {
    let rig = Rig::start(world()).await;
    let path = RepoPath::parse("a/two").unwrap();
    let subject = one(&rig.connection, &path).await.unwrap();
    assert_eq!(check(&rig.connection, &subject).await.unwrap().segments, 1);
    let absent = RepoPath::parse("a/three").unwrap();
    assert!(one(&rig.connection, &absent).await.is_err());
}

#[tokio::test]
async fn who_cannot_see_everything_is_not_told_that_the_rest_is_damaged() {
    let mut world = world();
    world.users[0].cluster_admin = false;
    let rig = Rig::start(world).await;
    let error = all(&rig.connection).await.expect_err("because the asker is no admin");
    assert_eq!(error.kind(), gitstratum_core::ErrorKind::Denied);
}
