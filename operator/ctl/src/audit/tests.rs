use gitstratum_proto::{control, metadata};

use super::*;
use crate::access::{Access, Options};
use crate::testing::{Double, Offer, World};

fn control_line(index: u64, wall_millis: u64) -> control::v1::AuditLine {
    let action = format!("c{index}");
    control::v1::AuditLine { index, wall_millis, action, ..Default::default() }
}

fn push_line(index: u64, wall_millis: u64) -> metadata::v1::AuditLine {
    let action = format!("p{index}");
    metadata::v1::AuditLine { index, wall_millis, action, ..Default::default() }
}

fn world() -> World {
    let place = |partition| control::v1::PartitionPlacement { partition, ..Default::default() };
    let layout = control::v1::Layout { partitions: vec![place(0), place(1)], ..Default::default() };
    World {
        cluster: control::v1::ClusterState { layout: Some(layout), ..Default::default() },
        audit: vec![control_line(1, 10), control_line(2, 40)],
        partition_audit: [
            (0, vec![push_line(7, 20), push_line(7, 20), push_line(9, 50)]),
            (1, vec![push_line(8, 30)]),
        ]
        .into(),
        ..World::default()
    }
}

async fn actions(reader: &mut Reader, connection: &Connection) -> Vec<String> {
    let mut merge = reader.open(connection).await.unwrap();
    let mut found = Vec::new();
    while let Some(line) = merge.next().await.unwrap() {
        found.push(line.action);
    }
    found
}

async fn connect(double: &Double) -> Connection {
    let options = Options { data: double.data().to_owned(), ..Options::default() };
    Connection::open(&Access::find(&options).unwrap()).await.unwrap()
}

#[tokio::test]
async fn gs_cp_14_lines_of_all_logs_come_in_the_order_of_time() {
    let data = tempfile::tempdir().unwrap();
    let double = Double::start(data.path(), world()).unwrap();
    let connection = connect(&double).await;
    let mut reader = Reader::new(UnixMillis(0));
    assert_eq!(actions(&mut reader, &connection).await, ["c1", "p7", "p7", "p8", "c2", "p9"]);
    assert!(actions(&mut reader, &connection).await.is_empty());
    double.world().await.audit.push(control_line(3, 60));
    assert_eq!(actions(&mut reader, &connection).await, ["c3"]);
    let mut since = Reader::new(UnixMillis(35));
    assert_eq!(actions(&mut since, &connection).await, ["c2", "p9", "c3"]);
}

#[tokio::test]
async fn a_control_plane_elsewhere_has_its_own_lines_only() {
    let data = tempfile::tempdir().unwrap();
    let double = Double::offer(data.path(), world(), Offer::ControlPlane).unwrap();
    let mut reader = Reader::new(UnixMillis(0));
    assert_eq!(actions(&mut reader, &connect(&double).await).await, ["c1", "c2"]);
    assert!(!reader.has_partitions());
}

#[test]
fn a_line_is_a_line_whatever_it_says() {
    let line = of_control(
        control::v1::AuditLine {
            index: 3,
            wall_millis: 1_000,
            actor: "eva".to_owned(),
            action: "repository.create".to_owned(),
            subject: "a/b\nc".to_owned(),
            result: "ok".to_owned(),
            ..Default::default()
        },
        "control".to_owned(),
    );
    assert_eq!(
        line.text(Format::Table).unwrap(),
        "1970-01-01 00:00:01  eva         repository.create  a/b\\u{a}c             ok\n"
    );
    let json: serde_json::Value = serde_json::from_str(&line.text(Format::Json).unwrap()).unwrap();
    assert_eq!(json["subject"], "a/b\nc");
    assert_eq!(json["at"], "1970-01-01T00:00:01Z");
    assert_eq!(json["source"], "control");
    assert!(json.get("millis").is_none());
}
