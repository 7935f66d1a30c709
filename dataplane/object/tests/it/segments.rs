use std::sync::Arc;

use gitstratum_client::bulk::{Error, Span, Written};
use gitstratum_core::{ClusterId, ErrorKind, Incarnation, ProcessRole};
use gitstratum_proto::object::v1::{GiveUpRequest, VerifyRequest};
use gitstratum_store::{Fault, FaultyEngine, Files as _};

use crate::partition::Partitions;
use crate::world::{CLUSTER, Disk, Made, NODE, World, eventually, flip, path, segment, whole};

const SMALL: usize = 1_000;
const LARGE: usize = 1_500_000;

#[tokio::test]
async fn s4_gs_ob_17_an_acknowledged_segment_survives_the_loss_of_all_power() {
    let (mut disk, mut last) = (Disk::new(), Incarnation(2));
    for (byte, length) in [(1, SMALL), (2, LARGE)] {
        let world = World::start(&disk).await;
        let made = segment(byte, length, CLUSTER);
        let written = world.write(&made).await.unwrap();
        assert!(written.incarnation > last, "each start has a number of its own (S23)");
        last = written.incarnation;
        assert_eq!(written.length, made.bytes.len() as u64);
        world.stop().await;
        disk = disk.crash();
        let world = World::start(&disk).await;
        assert_eq!(world.read(made.id, whole(&made)).await.unwrap(), made.entries);
        let span = Span { offset: 70, length: 300 };
        assert_eq!(world.read(made.id, span).await.unwrap(), made.entries[70..370]);
        world.stop().await;
    }
}

#[tokio::test]
async fn s29_a_flipped_bit_is_found_and_never_served() {
    let disk = Disk::new();
    let made = segment(2, LARGE, CLUSTER);
    let world = World::start(&disk).await;
    world.write(&made).await.unwrap();
    world.stop().await;
    flip(&disk.files, &made, 700_000);
    let world = World::start(&disk).await;
    let damaged = world.read(made.id, Span { offset: 699_000, length: 2_000 }).await.unwrap_err();
    // Whether the read finds it or the look at what was not known to be listed.
    assert!(matches!(damaged.kind(), ErrorKind::Corrupt | ErrorKind::NotFound), "{damaged}");
    let other_block = world.read(made.id, Span { offset: 0, length: 100 }).await.unwrap_err();
    assert!(other_block.to_string().contains("put aside"), "no byte of it: {other_block}");
    assert!(problem(&world, &made).await.contains("damaged"), "the check tells");
    assert_eq!(world.figure("gitstratum_object_damage_found_total"), 1);
    world.stop().await;
}

#[tokio::test]
async fn s21_a_lost_file_is_told_and_not_served() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let on = || (Arc::clone(&disk.files) as _, Arc::clone(&disk.engine) as _);
    let made = segment(2, LARGE, CLUSTER);
    let world = World::start_before(&partitions, on(), |config| config).await;
    world.write(&made).await.unwrap();
    world.stop().await;
    partitions.list(made.id, &[NODE], 7);
    disk.files.remove(&path(&made)).unwrap();
    let world = World::start_before(&partitions, on(), |config| config).await;
    let lost = world.read(made.id, whole(&made)).await.unwrap_err();
    // Whether the read finds it or the look at what was not known to be listed.
    assert!(matches!(lost.kind(), ErrorKind::Corrupt | ErrorKind::NotFound), "{lost}");
    let unknown = segment(3, SMALL, CLUSTER);
    let unknown = world.read(unknown.id, whole(&unknown)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown}");
    eventually("the loss is told", || partitions.lost().contains(&(made.id, 7))).await;
    world.stop().await;
}

#[tokio::test]
async fn a_half_received_or_damaged_segment_leaves_nothing() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    let mut made = segment(2, LARGE, CLUSTER);
    let sound = made.bytes.clone();
    made.bytes.truncate(LARGE / 2);
    assert!(world.write(&made).await.is_err());
    made.bytes = sound.clone();
    made.bytes[LARGE / 2] ^= 1;
    let damaged = write_when_free(&world, &made).await;
    assert_eq!(damaged.unwrap_err().kind(), ErrorKind::Corrupt);
    made.bytes = sound;
    let written = write_when_free(&world, &made).await;
    assert!(written.is_ok());
    assert_eq!(world.write(&made).await.unwrap_err().kind(), ErrorKind::Conflict);
    world.stop().await;
}

/// Writes as soon as what was left of an earlier try is gone.
async fn write_when_free(world: &World, made: &Made) -> Result<Written, Error> {
    loop {
        match world.write(made).await {
            Err(error) if error.kind() == ErrorKind::Conflict => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

#[tokio::test]
async fn p_s9_only_the_right_roles_of_the_right_cluster_write() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    let foreign = segment(2, SMALL, ClusterId([8; 16]));
    assert_eq!(world.write(&foreign).await.unwrap_err().kind(), ErrorKind::Denied);
    let made = segment(4, SMALL, CLUSTER);
    let body = Box::pin(futures::stream::iter([made.bytes.clone().into()]));
    let refused = world.client(ProcessRole::Metadata).write(NODE, made.id, body).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Denied);
    world.stop().await;
}

#[tokio::test]
async fn p_d5_after_a_failed_sync_nothing_more_is_acknowledged() {
    let disk = Disk::new();
    let engine = FaultyEngine::new(Arc::clone(&disk.engine) as _);
    let world = World::start_on(Arc::clone(&disk.files) as _, Arc::clone(&engine) as _).await;
    let first = segment(1, SMALL, CLUSTER);
    world.write(&first).await.unwrap();
    engine.fail_sync(1, Fault::Io);
    assert!(world.write(&segment(2, SMALL, CLUSTER)).await.is_err());
    let after = world.write(&segment(3, SMALL, CLUSTER)).await.unwrap_err();
    assert_eq!(after.kind(), ErrorKind::Unavailable, "{after}");
    assert_eq!(world.read(first.id, whole(&first)).await.unwrap(), first.entries);
    world.stop().await;
}

#[tokio::test]
async fn s12_a_push_gives_up_its_own_segments_only() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    let made = segment(2, SMALL, CLUSTER);
    world.write(&made).await.unwrap();
    let mut client = world.calls(ProcessRole::Frontend);
    let mut request = GiveUpRequest {
        session: 4,
        push_number: 5,
        segment_ids: vec![made.id.0.to_vec().into()],
        ..Default::default()
    };
    assert_eq!(client.give_up(request.clone()).await.unwrap().into_inner().swept, 0);
    assert!(world.read(made.id, whole(&made)).await.is_ok());
    request.push_number = 6;
    assert_eq!(client.give_up(request).await.unwrap().into_inner().swept, 1);
    assert_eq!(world.read(made.id, whole(&made)).await.unwrap_err().kind(), ErrorKind::NotFound);
    world.stop().await;
}

async fn problem(world: &World, made: &Made) -> String {
    let mut client = world.calls(ProcessRole::Control);
    let request = VerifyRequest { segment_ids: vec![made.id.0.to_vec().into()] };
    let mut results = client.verify(request).await.unwrap().into_inner();
    results.message().await.unwrap().unwrap().problem
}
