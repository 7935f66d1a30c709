use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use gitstratum_client::bulk::{BulkRead as _, Error, Span, Written};
use gitstratum_core::{ClusterId, ErrorKind, Incarnation, ProcessRole};
use gitstratum_git::segment::{ClaimNumber, Origin};
use gitstratum_object::Config;
use gitstratum_process::spawn;
use gitstratum_proto::object::v1::{GiveUpRequest, VerifyRequest};
use gitstratum_store::{Fault, FaultyEngine, Files as _};
use tokio::time::Instant;

use crate::partition::Partitions;
use crate::world::{
    CLUSTER, Disk, Made, NODE, World, eventually, flip, is_known, path, segment, segment_by, whole,
};

const SMALL: usize = 1_000;
const LARGE: usize = 1_500_000;

/// Partitions are soon asked about new segments.
fn sweeping(config: Config) -> Config {
    Config { sweep_every: Duration::from_millis(20), sweep_age: Duration::ZERO, ..config }
}

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

/// Of which everybody who reads there learns by the answers.
#[tokio::test]
async fn gs_cp_19_a_node_tells_how_many_reads_it_has_under_way() {
    const READS: u64 = 50;
    let (disk, made) = (Disk::new(), segment(2, LARGE, CLUSTER));
    let world = World::start(&disk).await;
    world.write(&made).await.unwrap();
    let figure = || world.figure("gitstratum_object_reads_in_flight");
    let (others, reader) =
        (world.client(ProcessRole::Frontend), world.client(ProcessRole::Frontend));
    let mut waiting = Vec::new();
    for _ in 0..READS {
        waiting.push(others.read(NODE, made.id, vec![whole(&made)]).await.unwrap());
    }
    assert_eq!(figure(), READS, "nobody has taken what they asked for");
    let span = Span { offset: 0, length: 1 };
    let read: Vec<_> = reader.read(NODE, made.id, vec![span]).await.unwrap().collect().await;
    assert_eq!(read.len(), 1);
    let wait = reader.wait_millis(NODE);
    assert!(wait >= u128::from(READS / 10), "a tenth of a millisecond for each: {wait}");
    drop(waiting);
    eventually("the end of all reads", || figure() == 0).await;
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
async fn a_lost_file_of_a_segment_that_is_known_to_be_listed_is_damage() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let made = segment(2, LARGE, CLUSTER);
    let on = (Arc::clone(&disk.files) as _, Arc::clone(&disk.engine) as _);
    let world = World::start_before(&partitions, on, sweeping).await;
    world.write(&made).await.unwrap();
    partitions.list(made.id, &[NODE], 1);
    eventually("it is known to be listed", || is_known(&disk, &made)).await;
    world.stop().await;
    disk.files.remove(&path(&made)).unwrap();
    let world = World::start(&disk).await;
    let lost = world.read(made.id, whole(&made)).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Corrupt, "{lost}");
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
    for role in [ProcessRole::Metadata, ProcessRole::Object, ProcessRole::Control] {
        let body = Box::pin(futures::stream::iter([made.bytes.clone().into()]));
        let refused = world.client(role).write(NODE, made.id, body).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Denied, "{role}");
    }
    // What a run makes is its object node's to write (S35).
    let made = segment_by(5, (SMALL, CLUSTER), Origin::Claim(ClaimNumber(7)));
    for (role, may) in [(ProcessRole::Frontend, false), (ProcessRole::Object, true)] {
        let body = Box::pin(futures::stream::iter([made.bytes.clone().into()]));
        let written = world.client(role).write(NODE, made.id, body).await;
        assert_eq!(written.is_ok(), may, "{role}");
    }
    world.stop().await;
}

#[tokio::test]
async fn p_l2_a_write_for_which_there_is_no_place_is_refused_soon() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let on = (Arc::clone(&disk.files) as _, Arc::clone(&disk.engine) as _);
    let one = |config| Config { writes_max: 1, ..config };
    let world = World::start_before(&partitions, on, one).await;
    let (client, held) = (world.client(ProcessRole::Frontend), segment(1, LARGE, CLUSTER));
    let head = Bytes::copy_from_slice(&held.bytes[..LARGE / 2]);
    let never_ends = stream::iter([head]).chain(stream::pending()).boxed();
    let writing = spawn("a push that stalls", async move {
        client.write(NODE, held.id, never_ends).await.map(drop)
    });
    let has_begun = || disk.files.metadata(&path(&held)).unwrap().is_some();
    eventually("it has the place", has_begun).await;
    let began = Instant::now();
    let refused = world.write(&segment(2, SMALL, CLUSTER)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(writing);
    world.stop().await;
}

/// A frontend leaves an owner behind that is late: what becomes durable there all the same is
/// counted, and asked about by the sweep.
#[tokio::test]
async fn s12_s18_a_segment_whose_writer_has_gone_while_it_is_sealed_is_known() {
    let (disk, partitions) = (Disk::new(), Partitions::default());
    let engine = FaultyEngine::new(Arc::clone(&disk.engine) as _);
    let on = (Arc::clone(&disk.files) as _, Arc::clone(&engine) as _);
    let world = World::start_before(&partitions, on, sweeping).await;
    let made = segment(1, SMALL, CLUSTER);
    let (client, id) = (world.client(ProcessRole::Frontend), made.id);
    let body = stream::iter([Bytes::from(made.bytes)]).boxed();
    engine.hang();
    let writing = spawn("a push", async move { client.write(NODE, id, body).await.map(drop) });
    eventually("it is being sealed", || engine.is_hanging()).await;
    drop(writing);
    // The connection ends, and with it the call.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    engine.resume();
    eventually("it is counted", || world.figure("gitstratum_object_segments") == 1).await;
    partitions.close_writers();
    eventually("it is swept", || world.figure("gitstratum_object_segments") == 0).await;
    assert_eq!(world.figure("gitstratum_object_stored_bytes"), 0);
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
