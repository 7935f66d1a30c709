use std::sync::Arc;
use std::time::Duration;

use gitstratum_control_plane::Config;
use gitstratum_proto::control::v1::CreateUserRequest;
use gitstratum_store::testing::RecordingEngine;
use tonic::Code;

use crate::world::{PATIENCE, World, config, memory};

/// RV-M5: a disk that hangs ends no call by itself; the deadline of the proposal does.
#[tokio::test(flavor = "multi_thread")]
async fn s11_a_change_ends_at_its_deadline_though_the_disk_hangs() {
    let engine = RecordingEngine::new(memory());
    let mut founded = World::on(engine.clone(), config()).await;
    founded.stop().await;
    let mut config = Config { recorded_cluster: Some(founded.cluster), ..config() };
    config.consensus.propose_timeout = Duration::from_millis(100);
    let (clock, admin) = (Arc::clone(&founded.clock), founded.admin.clone());
    let world = World::with(engine.clone(), clock, admin, config).await;
    let request = CreateUserRequest { name: "ann".to_owned(), ..Default::default() };
    let gate = engine.hold_syncs();
    let mut client = world.admin();
    let called = tokio::time::timeout(PATIENCE, client.create_user(request.clone())).await;
    let late = called.expect("a deadline").expect_err("nothing is durable");
    assert_eq!(late.code(), Code::Unavailable);
    assert!(late.message().contains("unknown"), "{late}");
    drop(gate);
    // It was unknown, and it was carried out, once.
    let called = tokio::time::timeout(PATIENCE, client.create_user(request)).await;
    let again = called.expect("a deadline").expect_err("there is one");
    assert_eq!(again.code(), Code::FailedPrecondition);
}
