//! Copies from node to node (S21).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use gitstratum_core::{ErrorKind, NodeId, ProcessRole, SegmentId};
use gitstratum_process::spawn;
use gitstratum_proto::object::v1::{GiveUpRequest, PullRequest, StatusRequest};
use gitstratum_store::files::write_atomically;
use gitstratum_store::{Fault, FaultyEngine, Files as _, Permissions};
use tonic::Code;

use crate::world::{CLUSTER, Disk, NODE, World, flip, path, segment, whole};

const OTHER: NodeId = NodeId(2);
const THIRD: NodeId = NodeId(3);
const SMALL: usize = 1_000;
const LARGE: usize = 1_500_000;

#[tokio::test]
async fn s21_a_copy_is_whole_and_survives_the_loss_of_all_power() {
    let (disk, mut other, mut last) = (Disk::new(), Disk::new(), 2);
    let world = World::start(&disk).await;
    for (byte, length) in [(1, SMALL), (2, LARGE)] {
        let made = segment(byte, length, CLUSTER);
        world.write(&made).await.unwrap();
        let beside = world.start_beside(OTHER, &other).await;
        let pulled = beside.pull(made.id, &[NODE], 1).await.unwrap();
        assert_eq!((pulled.node, pulled.was_held), (OTHER.0, false));
        assert!(pulled.incarnation > last, "each start has a number of its own (S23)");
        last = pulled.incarnation;
        assert_eq!(pulled.length, made.bytes.len() as u64);
        beside.stop().await;
        other = other.crash();
        let beside = world.start_beside(OTHER, &other).await;
        assert_eq!(beside.read(made.id, whole(&made)).await.unwrap(), made.entries);
        let again = beside.pull(made.id, &[], 1).await.unwrap();
        assert!(again.was_held, "a repeat finds it");
        beside.stop().await;
    }
    world.stop().await;
}

#[tokio::test]
async fn s21_a_damaged_source_is_found_and_the_next_is_taken() {
    let (disk, second, third) = (Disk::new(), Disk::new(), Disk::new());
    let made = segment(2, LARGE, CLUSTER);
    let world = World::start(&disk).await;
    world.write(&made).await.unwrap();
    let sound = world.start_beside(OTHER, &second).await;
    sound.pull(made.id, &[NODE], 1).await.unwrap();
    world.stop().await;
    flip(&disk.files, &made, 700_000);
    let world = sound.start_beside(NODE, &disk).await;
    let beside = world.start_beside(THIRD, &third).await;
    let refused = beside.pull(made.id, &[NODE], 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let held = beside.read(made.id, whole(&made)).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::NotFound, "nothing of a damaged copy stays: {held}");
    assert!(!beside.pull(made.id, &[NODE, OTHER], 1).await.unwrap().was_held);
    assert_eq!(beside.read(made.id, whole(&made)).await.unwrap(), made.entries);
    for node in [world, sound, beside] {
        node.stop().await;
    }
}

#[tokio::test]
async fn s21_a_sound_copy_takes_the_place_of_a_damaged_one() {
    let (disk, other) = (Disk::new(), Disk::new());
    let world = World::start(&disk).await;
    let beside = world.start_beside(OTHER, &other).await;
    let made = segment(2, LARGE, CLUSTER);
    world.write(&made).await.unwrap();
    beside.pull(made.id, &[NODE], 1).await.unwrap();
    flip(&other.files, &made, 700_000);
    let refused = beside.pull(made.id, &[], 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "it does not call it sound: {refused}");
    let aside = path(&made).with_extension("damaged");
    assert!(other.files.metadata(&aside).unwrap().is_some(), "its bytes are kept");
    assert!(!beside.pull(made.id, &[NODE], 1).await.unwrap().was_held);
    assert_eq!(beside.read(made.id, whole(&made)).await.unwrap(), made.entries);
    assert!(other.files.metadata(&aside).unwrap().is_none(), "until there is a sound copy");
    world.stop().await;
    beside.stop().await;
}

#[tokio::test]
async fn s12_s18_a_late_give_up_does_not_take_a_copy_that_was_pulled() {
    let (disk, other) = (Disk::new(), Disk::new());
    let world = World::start(&disk).await;
    let beside = world.start_beside(OTHER, &other).await;
    let made = segment(2, SMALL, CLUSTER);
    world.write(&made).await.unwrap();
    beside.pull(made.id, &[NODE], 1).await.unwrap();
    let given_up = GiveUpRequest {
        session: 4,
        push_number: 6,
        segment_ids: vec![made.id.0.to_vec().into()],
        ..Default::default()
    };
    let mut calls = beside.calls(ProcessRole::Frontend);
    assert_eq!(calls.give_up(given_up.clone()).await.unwrap().into_inner().swept, 0);
    assert_eq!(beside.read(made.id, whole(&made)).await.unwrap(), made.entries);
    // Neither does it one that came with the push and was asked for since.
    world.pull(made.id, &[], 1).await.unwrap();
    let mut calls = world.calls(ProcessRole::Frontend);
    assert_eq!(calls.give_up(given_up).await.unwrap().into_inner().swept, 0);
    world.stop().await;
    beside.stop().await;
}

#[tokio::test]
async fn s22_a_leader_whose_term_has_passed_is_refused() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    let made = segment(2, SMALL, CLUSTER);
    world.write(&made).await.unwrap();
    let mut calls = world.calls(ProcessRole::Metadata);
    let request = |partition, term| PullRequest {
        partition,
        term,
        segment_id: made.id.0.to_vec().into(),
        ..PullRequest::default()
    };
    calls.pull(request(0, 7)).await.unwrap();
    let refused = calls.pull(request(0, 6)).await.unwrap_err();
    assert!(refused.message().contains("term 6"), "{refused}");
    calls.pull(request(1, 1)).await.expect("another partition has terms of its own");
    world.stop().await;
}

#[tokio::test]
async fn p_s9_only_object_nodes_copy_and_only_leaders_have_copies_made() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    let made = segment(2, SMALL, CLUSTER);
    world.write(&made).await.unwrap();
    for role in [ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Control] {
        let refused = world.client(role).fetch(NODE, made.id).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Denied, "{role}: {refused}");
    }
    for role in [ProcessRole::Frontend, ProcessRole::Object, ProcessRole::Control] {
        let refused = world.calls(role).pull(PullRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{role}");
    }
    world.stop().await;
}

#[tokio::test]
async fn s21_a_copy_of_another_partition_is_not_kept() {
    let (disk, other) = (Disk::new(), Disk::new());
    let world = World::start(&disk).await;
    let beside = world.start_beside(OTHER, &other).await;
    let made = segment(2, LARGE, CLUSTER);
    world.write(&made).await.unwrap();
    let request = PullRequest {
        partition: 1,
        term: 1,
        segment_id: made.id.0.to_vec().into(),
        from: vec![NODE.0],
        list_number: 1,
    };
    let refused = beside.calls(ProcessRole::Metadata).pull(request).await.unwrap_err();
    assert!(refused.message().contains("another partition"), "{refused}");
    let held = beside.read(made.id, whole(&made)).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::NotFound, "{held}");
    world.stop().await;
    beside.stop().await;
}

#[tokio::test]
async fn p_d5_a_copy_is_not_acknowledged_after_a_failed_sync() {
    let (disk, other) = (Disk::new(), Disk::new());
    let world = World::start(&disk).await;
    let made = segment(2, LARGE, CLUSTER);
    world.write(&made).await.unwrap();
    let engine = FaultyEngine::new(Arc::clone(&other.engine) as _);
    let files = Arc::clone(&other.files) as _;
    let beside = world.start_beside_on(OTHER, files, Arc::clone(&engine) as _).await;
    engine.fail_sync(1, Fault::Io);
    assert!(beside.pull(made.id, &[NODE], 1).await.is_err());
    let after = beside.pull(segment(3, SMALL, CLUSTER).id, &[NODE], 1).await.unwrap_err();
    assert_eq!(after.code(), Code::Unavailable, "{after}");
    world.stop().await;
    beside.stop().await;
}

#[tokio::test]
async fn s4_what_a_crash_cut_short_gives_way_to_a_copy() {
    let (disk, other) = (Disk::new(), Disk::new());
    let world = World::start(&disk).await;
    let made = segment(2, LARGE, CLUSTER);
    world.write(&made).await.unwrap();
    // The folders are made by a first start.
    world.start_beside(OTHER, &other).await.stop().await;
    let torn = &made.bytes[..LARGE / 2];
    write_atomically(other.files.as_ref(), &path(&made), torn, Permissions::Private).unwrap();
    let beside = world.start_beside(OTHER, &other).await;
    assert!(!beside.pull(made.id, &[NODE], 1).await.unwrap().was_held);
    assert_eq!(beside.read(made.id, whole(&made)).await.unwrap(), made.entries);
    let mut calls = beside.calls(ProcessRole::Control);
    let status = calls.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.segments, status.stored_bytes), (1, made.bytes.len() as u64));
    world.stop().await;
    beside.stop().await;
}

/// What a push has not sealed yet may go again: a leader is not told that it is here (S13, S21).
#[tokio::test]
async fn s21_a_segment_that_is_being_written_is_no_copy() {
    let disk = Disk::new();
    let world = World::start(&disk).await;
    let made = segment(2, LARGE, CLUSTER);
    let pieces = made.bytes.chunks(100_000).map(Bytes::copy_from_slice).collect::<Vec<_>>();
    let never_ends = stream::iter(pieces).chain(stream::pending()).boxed();
    let (client, id) = (world.client(ProcessRole::Frontend), made.id);
    let writing =
        spawn(
            "a push that stalls",
            async move { client.write(NODE, id, never_ends).await.map(drop) },
        );
    until(&world, id, Code::FailedPrecondition).await;
    assert!(world.read(id, whole(&made)).await.is_err(), "nor served");
    drop(writing);
    until(&world, id, Code::ResourceExhausted).await;
    assert!(disk.files.metadata(&path(&made)).unwrap().is_none(), "nothing of it stays");
    world.stop().await;
}

/// Asks for a copy, of which nobody has the bytes, until that is refused with `code`.
async fn until(world: &World, segment: SegmentId, code: Code) {
    for _ in 0..500 {
        let refused = world.pull(segment, &[], 1).await.unwrap_err();
        if refused.code() == code {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never refused with {code}");
}
