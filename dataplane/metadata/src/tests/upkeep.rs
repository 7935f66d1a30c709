//! Copies come back, move with the ring, and leave fenced nodes (S18, S20, S21).

use std::time::Duration;

use gitstratum_core::{Incarnation, NodeId, SegmentId};
use gitstratum_proto::common::v1::{Pack, Segment};
use gitstratum_proto::control::v1::{Layout, Node, SnapshotUpdate};
use gitstratum_proto::metadata::v1::{
    AcceptLossRequest, PartitionStatus, SegmentQuery, SegmentState,
};

use super::rig::{MAIN, PARTITION, Rig, command, config, eventually, pack, push};
use crate::{Config, Error};

const UP: u32 = 2;
const DOWN: u32 = 4;
const A: u64 = 41;
const B: u64 = 42;
const C: u64 = 43;
const D: u64 = 44;

/// A layout of three copies on nodes in the states given, at `version`.
fn layout(rig: &Rig, version: u64, states: &[(u64, u32)]) -> SnapshotUpdate {
    let node = |(id, state): &(u64, u32)| Node {
        id: *id,
        roles: vec!["object".to_owned()],
        weight: 1,
        state: *state,
        in_ring: true,
        ..Node::default()
    };
    let held = rig.publisher.current();
    let layout = Layout {
        epoch: version,
        replication_factor: 3,
        nodes: states.iter().map(node).collect(),
        partitions: held.layout().partitions.clone(),
    };
    SnapshotUpdate { version, layout: Some(layout), ..SnapshotUpdate::default() }
}

fn quick() -> Config {
    Config {
        upkeep_interval: Duration::from_millis(10),
        walk_interval: Duration::from_secs(3_600),
        ..config(Duration::from_secs(3_600))
    }
}

async fn start(states: &[(u64, u32)]) -> Rig {
    let rig = Rig::start_with(quick()).await;
    rig.publish(layout(&rig, 4, states)).await;
    rig
}

fn pack_on(id: u8, owners: &[u64]) -> Pack {
    let segment = Segment {
        segment_id: vec![id; 16].into(),
        owners: owners.to_vec(),
        incarnations: vec![1; owners.len()],
        total_length: 100,
        ..Segment::default()
    };
    Pack { segments: vec![segment], ..pack(id) }
}

/// A push of a pack with one segment on `owners`.
async fn push_on(rig: &Rig, id: u8, owners: &[u64]) {
    let session = rig.open_session().await;
    let request = push(session, 1, vec![command(&format!("{MAIN}{id}"), 0, id)]);
    let answer = rig.push(super::rig::with(request, pack_on(id, owners))).await;
    assert_eq!(super::rig::verdicts(&answer).len(), 1);
}

async fn state(rig: &Rig, id: u8) -> SegmentState {
    let query = SegmentQuery { segment_id: vec![id; 16].into(), ..SegmentQuery::default() };
    let states = rig.double.service.segment_states(PARTITION, vec![query]).await.unwrap();
    states.records.into_iter().next().unwrap()
}

async fn owners(rig: &Rig, id: u8) -> Vec<u64> {
    let mut owners = state(rig, id).await.owners;
    owners.sort_unstable();
    owners
}

async fn status(rig: &Rig) -> PartitionStatus {
    let all = rig.double.service.status(crate::WithChecksums::Yes).await;
    all.into_iter().find(|status| status.partition == PARTITION.0).unwrap()
}

fn up(rig: &Rig, nodes: &[u64]) {
    nodes.iter().for_each(|node| rig.copies.up(NodeId(*node), Incarnation(1)));
}

/// Lets the back-off of nodes and segments end.
fn pass_time(rig: &Rig) {
    rig.clock.advance(Duration::from_secs(30));
}

#[tokio::test]
async fn s18_s21_a_missing_copy_comes_back_when_its_node_does() {
    let rig = start(&[(A, UP), (B, UP), (C, UP)]).await;
    push_on(&rig, 1, &[A, B]).await;
    push_on(&rig, 2, &[A, C]).await;
    eventually(async || rig.copies.orders().iter().any(|(node, _)| *node == NodeId(C))).await;
    assert_eq!(status(&rig).await.under_replicated, 2);
    up(&rig, &[B, C]);
    eventually(async || {
        pass_time(&rig);
        status(&rig).await.under_replicated == 0
    })
    .await;
    assert_eq!(owners(&rig, 1).await, [A, B, C]);
    assert_eq!(owners(&rig, 2).await, [A, B, C]);
    let (_, order) = rig.copies.orders().into_iter().find(|(node, _)| *node == NodeId(C)).unwrap();
    assert_eq!((order.partition, order.from, order.list_number), (PARTITION.0, vec![A, B], 1));
    assert!(order.term > 0, "it says by which term it asks");
}

#[tokio::test]
async fn s21_a_copy_that_takes_for_ever_holds_up_no_other() {
    let rig = start(&[(A, UP), (B, UP), (C, UP)]).await;
    up(&rig, &[A, B, C]);
    rig.copies.hang(SegmentId([1; 16]));
    push_on(&rig, 1, &[A, B]).await;
    eventually(async || !rig.copies.orders().is_empty()).await;
    push_on(&rig, 2, &[A, B]).await;
    eventually(async || owners(&rig, 2).await == [A, B, C]).await;
    assert_eq!(owners(&rig, 1).await, [A, B]);
    let orders = rig.copies.orders();
    let of_first = orders.iter().filter(|(_, order)| order.segment_id == vec![1; 16]).count();
    assert_eq!(of_first, 1, "what is under way is not ordered again");
}

/// S38, P-L1: a partition has eight copies made at a time, however many wait.
#[tokio::test]
async fn s21_the_ninth_copy_waits_for_one_of_eight() {
    const AT_ONCE: u8 = 8;
    let rig = start(&[(A, UP), (B, UP), (C, UP)]).await;
    up(&rig, &[A, B, C]);
    for id in 1..=AT_ONCE {
        rig.copies.hang(SegmentId([id; 16]));
        push_on(&rig, id, &[A, B]).await;
    }
    eventually(async || rig.copies.orders().len() == usize::from(AT_ONCE)).await;
    push_on(&rig, AT_ONCE + 1, &[A, B]).await;
    for _ in 0..20 {
        pass_time(&rig);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rig.copies.orders().len(), usize::from(AT_ONCE), "it waits");
}

#[tokio::test]
async fn s23_a_copy_under_a_passed_incarnation_is_asked_for_again() {
    let rig = start(&[(A, UP), (B, UP), (C, UP)]).await;
    push_on(&rig, 1, &[A, B]).await;
    let service = &rig.double.service;
    service.show_incarnation(PARTITION, NodeId(C), Incarnation(5)).await.unwrap();
    up(&rig, &[C]);
    let asked = async || {
        pass_time(&rig);
        rig.copies.orders().iter().filter(|(node, _)| *node == NodeId(C)).count() > 2
    };
    eventually(asked).await;
    assert_eq!(owners(&rig, 1).await, [A, B]);
    rig.copies.up(NodeId(C), Incarnation(5));
    eventually(async || {
        pass_time(&rig);
        owners(&rig, 1).await == [A, B, C]
    })
    .await;
}

/// GS-CP-53: a frontend hears of a new ring a moment later than the partition. What it stores by
/// the one before is taken, read where it was stored, and moved.
#[tokio::test]
async fn gs_cp_53_a_push_by_the_ring_before_is_taken_and_follows_the_new_one() {
    let rig = start(&[(A, UP), (B, UP), (C, UP)]).await;
    rig.publish(layout(&rig, 5, &[(A, UP), (B, UP), (C, UP), (D, UP)])).await;
    for id in 1..40 {
        push_on(&rig, id, &[A, B, C]).await;
        assert_eq!(owners(&rig, id).await, [A, B, C], "where it is, until it has been copied");
    }
    up(&rig, &[A, B, C, D]);
    let service = &rig.double.service;
    let moved = async || {
        pass_time(&rig);
        service.node_use(PARTITION, NodeId(D)).await.unwrap().segments > 20
    };
    eventually(moved).await;
}

#[tokio::test]
async fn s20_moves_follow_the_ring_when_a_node_has_joined() {
    let rig = start(&[(A, UP), (B, UP), (C, UP)]).await;
    for id in 1..40 {
        push_on(&rig, id, &[A, B, C]).await;
    }
    up(&rig, &[A, B, C, D]);
    rig.publish(layout(&rig, 5, &[(A, UP), (B, UP), (C, UP), (D, UP)])).await;
    // Each segment that the ring wants on D is copied there once, and none in vain.
    let service = &rig.double.service;
    let moved = async || {
        pass_time(&rig);
        let orders = rig.copies.orders().len() as u64;
        let on_d = service.node_use(PARTITION, NodeId(D)).await.unwrap().segments;
        on_d > 20 && on_d == orders
    };
    eventually(moved).await;
    for id in 1..40 {
        assert_eq!(owners(&rig, id).await.len(), 3, "segment {id}");
    }
    let orders = rig.copies.orders();
    assert!(orders.iter().all(|(node, _)| *node == NodeId(D)), "{orders:?}");
}

#[tokio::test]
async fn s20_a_fenced_node_is_clear_when_a_read_that_names_its_fence_finds_it_nowhere() {
    let rig = start(&[(A, UP), (B, UP), (C, UP), (D, UP)]).await;
    for id in 1..20 {
        push_on(&rig, id, &[A, B, C]).await;
    }
    let service = &rig.double.service;
    let before = service.node_use(PARTITION, NodeId(A)).await.unwrap();
    assert_eq!((before.fence_number, before.lost_count), (0, 0));
    assert!(before.segments > 0 && before.bytes == before.segments * 100);
    assert_eq!(service.fence_node(PARTITION, NodeId(A), 7).await.unwrap(), 7);
    up(&rig, &[B, C, D]);
    eventually(async || {
        pass_time(&rig);
        service.node_use(PARTITION, NodeId(A)).await.unwrap().segments == 0
    })
    .await;
    assert_eq!(service.node_use(PARTITION, NodeId(A)).await.unwrap().fence_number, 7);
    // Nothing names it again: not a push either.
    push_on(&rig, 30, &[A, B, C]).await;
    assert_eq!(owners(&rig, 30).await.first(), Some(&B));
    let refused = service.fence_node(PARTITION, NodeId(A), 6).await.unwrap_err();
    assert!(matches!(refused, Error::Fence { .. }), "{refused}");
    assert_eq!(service.unfence_node(PARTITION, NodeId(A), 8).await.unwrap(), 0);
}

#[tokio::test]
async fn s20_a_fence_that_leaves_fewer_than_w_nodes_is_refused_and_says_so() {
    let rig = start(&[(A, UP), (B, UP), (C, UP)]).await;
    let service = &rig.double.service;
    service.fence_node(PARTITION, NodeId(A), 1).await.unwrap();
    let refused = service.fence_node(PARTITION, NodeId(B), 2).await.unwrap_err();
    assert!(refused.to_string().contains("1 nodes would be left"), "{refused}");
    service.unfence_node(PARTITION, NodeId(A), 3).await.unwrap();
    service.fence_node(PARTITION, NodeId(B), 4).await.unwrap();
}

#[tokio::test]
async fn s20_a_segment_whose_owners_are_all_lost_blocks_until_its_loss_is_accepted_by_name() {
    let rig = start(&[(A, UP), (B, UP), (C, UP), (D, UP), (45, UP)]).await;
    push_on(&rig, 1, &[A, B]).await;
    let service = &rig.double.service;
    service.fence_node(PARTITION, NodeId(A), 1).await.unwrap();
    service.fence_node(PARTITION, NodeId(B), 2).await.unwrap();
    let accept = |list_number| AcceptLossRequest {
        partition: PARTITION.0,
        segment_id: vec![1; 16].into(),
        list_number,
        actor: None,
    };
    let used = service.node_use(PARTITION, NodeId(A)).await.unwrap();
    assert_eq!((used.segments, used.lost_count), (1, 0), "its nodes are there yet");
    assert!(!service.accept_loss(accept(1)).await.unwrap());
    let gone = [(A, DOWN), (B, DOWN), (C, UP), (D, UP), (45, UP)];
    rig.publish(layout(&rig, 5, &gone)).await;
    let used = service.node_use(PARTITION, NodeId(A)).await.unwrap();
    let lost = used.lost.first().expect("because it is shown by name");
    assert_eq!((lost.segment_id.to_vec(), lost.repo_id), (vec![1; 16], 1));
    assert!(!service.accept_loss(accept(9)).await.unwrap(), "of another list");
    assert!(service.accept_loss(accept(lost.list_number)).await.unwrap());
    let used = service.node_use(PARTITION, NodeId(A)).await.unwrap();
    assert_eq!((used.segments, used.fence_number), (0, 1));
    assert_eq!(status(&rig).await.under_replicated, 0);
    let (lines, _) = service.audit(PARTITION, gitstratum_core::Version(0)).await.unwrap();
    assert_eq!(lines.last().unwrap().action, "segment.accept-loss");
}
