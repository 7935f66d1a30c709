//! Status, check, audit.

use gitstratum_core::{NodeId, SegmentId};
use gitstratum_ctl::testing::World;
use gitstratum_proto::{common, control, metadata, object};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::program::{Rig, world};

/// The node whose stores the double offers.
const NODE: NodeId = NodeId::allocate(1, 1);

/// The world of [`world`] with one partition that has a segment for each repository.
fn stored() -> World {
    let segment = |id: u8| common::v1::Segment {
        segment_id: vec![id; 16].into(),
        total_length: 100,
        owners: vec![NODE.0],
        ..Default::default()
    };
    let record = |repo_id: u64, path: &str, id: u8| metadata::v1::RepositoryRecord {
        repo_id,
        path: path.to_owned(),
        state: 1,
        packs: vec![common::v1::Pack { segments: vec![segment(id)], ..Default::default() }],
        ..Default::default()
    };
    let sound = object::v1::VerifyResult { bytes: 100, ..Default::default() };
    let node = control::v1::Node {
        id: 1,
        state: 2,
        in_ring: true,
        version: "0.1.0".to_owned(),
        ..Default::default()
    };
    let place = control::v1::PartitionPlacement { preferred_leader: 1, ..Default::default() };
    let layout = control::v1::Layout {
        nodes: vec![node],
        partitions: vec![place],
        replication_factor: 1,
        ..Default::default()
    };
    World {
        cluster: control::v1::ClusterState {
            layout: Some(layout),
            leader: 1,
            ..Default::default()
        },
        records: vec![record(1, "demo/hello", 1), record(2, "team/engine", 2)],
        segments: [1, 2].map(|id| (SegmentId([id; 16]), sound.clone())).into(),
        ..world()
    }
}

#[tokio::test]
async fn status_shows_nodes_ring_partitions_and_versions() {
    let rig = Rig::start(stored());
    let text = rig.run("status").await.done();
    for word in ["leader 0000000000000001", "1 of 1 nodes", "up ", "0.1.0", "PARTITION"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json = rig.run("status -o json").await.json();
    assert_eq!(json["nodes"][0]["store"]["segments"], 2);
    assert_eq!(json["partitions"][0]["applied"], 5);
}

#[tokio::test]
async fn status_watches_until_it_is_interrupted() {
    let rig = Rig::start(stored());
    let mut child = rig.command("status --watch").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut pictures = 0;
    while pictures < 2 {
        let line = lines.next_line().await.unwrap().expect("because it goes on");
        pictures += usize::from(line.starts_with("cluster "));
    }
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn p_i6_check_of_sound_data_ends_with_0() {
    let rig = Rig::start(stored());
    let ended = rig.run("check").await;
    let expected = "\
ok         demo/hello  1 segment, 100 B, 3 objects
ok         team/engine  1 segment, 100 B, 3 objects
";
    assert_eq!(ended.out, expected);
    assert_eq!(ended.errors, "2 repositories checked, no damage\n");
    assert_eq!(ended.code, Some(0));
    assert_eq!(rig.run("check -q").await.done(), "");
}

#[tokio::test]
async fn p_i6_check_names_the_damaged_repository_and_ends_with_4() {
    let mut world = stored();
    let torn =
        object::v1::VerifyResult { problem: "block 3 is damaged".to_owned(), ..Default::default() };
    world.segments.insert(SegmentId([2; 16]), torn);
    let rig = Rig::start(world);
    let ended = rig.run("check -q").await;
    assert_eq!(ended.code, Some(4));
    let segment = SegmentId([2; 16]);
    let expected = format!(
        "DAMAGED    team/engine  1 problem\n           node {NODE}: segment {segment}: block \
         3 is damaged\n"
    );
    assert_eq!(ended.out, expected);
    assert_eq!(rig.run("check demo/hello").await.code, Some(0));
    let json = rig.run("check -o json").await;
    assert_eq!(json.code, Some(4));
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(report["damaged"], 1);
    assert_eq!(report["repositories"][1]["verdict"], "damaged");
    assert_eq!(rig.run("check team/none").await.code, Some(1));
}

#[tokio::test]
async fn gs_cp_14_audit_shows_lines_of_all_logs_in_order() {
    let mut world = stored();
    let made = control::v1::AuditLine {
        index: 3,
        wall_millis: 2_000,
        actor: "admin".to_owned(),
        action: "repository.create".to_owned(),
        subject: "team/engine".to_owned(),
        result: "ok".to_owned(),
        ..Default::default()
    };
    let pushed = metadata::v1::AuditLine {
        index: 9,
        wall_millis: 1_000,
        actor: "ada".to_owned(),
        action: "ref.create".to_owned(),
        subject: "team/engine refs/heads/main".to_owned(),
        result: "ok".to_owned(),
        ..Default::default()
    };
    world.audit.push(made);
    world.partition_audit.insert(0, vec![pushed]);
    let rig = Rig::start(world);
    let text = rig.run("audit -o json").await.done();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["ref.create", "repository.create"]);
    assert_eq!(rig.run("audit --since 1970-01-02").await.done(), "");
    assert_eq!(rig.run("audit --since whenever").await.code, Some(2));
}
