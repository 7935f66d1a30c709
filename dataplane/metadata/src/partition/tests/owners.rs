use gitstratum_proto::metadata::v1::Refusal;
use prost::Message;

use super::rig::{MAIN, Rig, command, key, pack_on, update, verdicts, with_pack};
use crate::partition::entry::{Change, ChangeOwners, Fence, ShowIncarnation, UpdateRefs};
use crate::partition::{FenceAnswer, OwnersAnswer, query};

pub(super) const A: u64 = 41;
pub(super) const B: u64 = 42;
pub(super) const C: u64 = 43;
pub(super) const D: u64 = 44;

pub(super) fn show(rig: &mut Rig, node: u64, incarnation: u64) {
    rig.apply(Change::ShowIncarnation(ShowIncarnation { node, incarnation }));
}

pub(super) fn fence(rig: &mut Rig, node: u64, number: u64) -> FenceAnswer {
    let ring = vec![A, B, C, D];
    command_fence(rig, Fence { node, number, ring, replication_factor: 3, lifted: false })
}

pub(super) fn lift(rig: &mut Rig, node: u64, number: u64) -> FenceAnswer {
    command_fence(rig, Fence { node, number, lifted: true, ..Fence::default() })
}

pub(super) fn command_fence(rig: &mut Rig, fence: Fence) -> FenceAnswer {
    FenceAnswer::decode(rig.apply(Change::Fence(fence))).unwrap()
}

pub(super) fn change_owners(
    rig: &mut Rig,
    list_number: u64,
    owners: &[(u64, u64)],
) -> OwnersAnswer {
    let change = ChangeOwners {
        segment_id: vec![1; 16].into(),
        list_number,
        owners: owners.iter().map(|(node, _)| *node).collect(),
        incarnations: owners.iter().map(|(_, number)| *number).collect(),
        replication_factor: 3,
    };
    OwnersAnswer::decode(rig.apply(Change::ChangeOwners(change))).unwrap()
}

/// A push to `refs/heads/main` of a pack on `owners`, replication factor 3.
fn push(session: u64, number: u64, attempt: u32, owners: &[(u64, u64)]) -> UpdateRefs {
    let commands = vec![command(MAIN, 0, 1)];
    let update = with_pack(update(key(session, number, attempt), commands), pack_on(1, owners));
    UpdateRefs { replication_factor: 3, ..update }
}

pub(super) fn rig_with_listed(owners: &[(u64, u64)]) -> (Rig, u64) {
    let mut rig = Rig::new();
    let session = rig.open();
    assert_eq!(verdicts(&rig.push(push(session, 1, 1, owners))), [Refusal::None]);
    (rig, session)
}

#[test]
fn s13_s23_a_node_rolled_back_between_its_ack_and_the_entry_is_asked_again() {
    let mut rig = Rig::new();
    let session = rig.open();
    show(&mut rig, A, 1);
    show(&mut rig, B, 1);
    // A and B acknowledge under 1; A's volume is rolled back; A starts again and shows 2.
    show(&mut rig, A, 2);
    let refused = rig.push(push(session, 1, 1, &[(A, 1), (B, 1)]));
    assert_eq!(refused.refusal(), Refusal::UnderQuorum);
    assert!(!rig.state(1, session, 1).listed);
    let again = rig.push(push(session, 1, 2, &[(A, 2), (B, 1)]));
    assert_eq!(verdicts(&again), [Refusal::None]);
}

#[test]
fn s23_an_incarnation_never_falls() {
    let mut rig = Rig::new();
    show(&mut rig, A, 5);
    show(&mut rig, A, 4);
    assert_eq!(query::incarnation(&rig.rows, gitstratum_core::NodeId(A)).unwrap(), 5);
}

#[test]
fn s23_an_owner_change_that_names_an_older_incarnation_is_refused() {
    let (mut rig, _) = rig_with_listed(&[(A, 1), (B, 1), (C, 1)]);
    show(&mut rig, D, 3);
    assert!(!change_owners(&mut rig, 1, &[(A, 1), (B, 1), (D, 2)]).changed);
    assert!(change_owners(&mut rig, 1, &[(A, 1), (B, 1), (D, 3)]).changed);
}

#[test]
fn s19_readers_of_an_older_manifest_read_a_changed_owner_list() {
    let (mut rig, _) = rig_with_listed(&[(A, 1), (B, 1), (C, 1)]);
    let held = rig.repository().manifest_version();
    assert!(rig.repository().has_manifest_changes_since(held));
    assert!(change_owners(&mut rig, 1, &[(A, 1), (B, 1), (D, 1)]).changed);
    let row = rig.repository();
    assert!(!row.has_manifest_changes_since(held));
    assert!(row.has_manifest_changes_since(row.manifest_version()));
}

/// GS-OB-05: what is partly there is noted until it is whole.
#[test]
fn s18_a_segment_below_the_replication_factor_is_on_the_repair_list_until_it_is_whole() {
    let (mut rig, _) = rig_with_listed(&[(A, 1), (B, 1)]);
    let listed = query::repairs_after(&rig.rows, None, 10).unwrap();
    assert_eq!(listed.iter().map(|(_, row)| row.missing).collect::<Vec<_>>(), [1]);
    assert!(change_owners(&mut rig, 1, &[(A, 1), (B, 1), (C, 1)]).changed);
    assert!(query::repairs_after(&rig.rows, None, 10).unwrap().is_empty());
    assert_eq!(query::group(&rig.rows).unwrap().repairs_count, 0);
}

#[test]
fn s13_fewer_than_w_durable_owners_refuse_the_attempt() {
    let mut rig = Rig::new();
    let session = rig.open();
    assert_eq!(rig.push(push(session, 1, 1, &[(A, 1)])).refusal(), Refusal::UnderQuorum);
    let twice = rig.push(push(session, 1, 2, &[(A, 1), (A, 1)]));
    assert_eq!(twice.refusal(), Refusal::UnderQuorum);
    assert_eq!(verdicts(&rig.push(push(session, 1, 3, &[(A, 1), (B, 1)]))), [Refusal::None]);
}

#[test]
fn s19_a_late_change_of_a_list_that_went_and_came_back_is_refused() {
    let abc = [(A, 1), (B, 1), (C, 1)];
    let (mut rig, session) = rig_with_listed(&abc);
    // ABC→BCD is proposed late: in between the list went to ABD and came back by value.
    assert!(change_owners(&mut rig, 1, &[(A, 1), (B, 1), (D, 1)]).changed);
    assert!(change_owners(&mut rig, 2, &abc).changed);
    let late = change_owners(&mut rig, 1, &[(B, 1), (C, 1), (D, 1)]);
    assert_eq!(late, OwnersAnswer { changed: false, list_number: 3 });
    let state = rig.state(1, session, 1);
    assert_eq!((state.owners, state.list_number), (vec![A, B, C], 3));
}

#[test]
fn s20_a_fenced_node_is_stripped_and_less_than_w_is_refused() {
    let mut rig = Rig::new();
    let session = rig.open();
    fence(&mut rig, A, 7);
    assert_eq!(rig.push(push(session, 1, 1, &[(A, 1), (B, 1)])).refusal(), Refusal::UnderQuorum);
    let answer = rig.push(push(session, 1, 2, &[(A, 1), (B, 1), (C, 1)]));
    assert_eq!(verdicts(&answer), [Refusal::None]);
    assert_eq!(rig.state(1, session, 1).owners, [B, C]);
}

#[test]
fn s20_a_fence_holds_for_owner_changes_too() {
    let (mut rig, session) = rig_with_listed(&[(B, 1), (C, 1)]);
    fence(&mut rig, A, 7);
    assert!(!change_owners(&mut rig, 1, &[(A, 1), (B, 1)]).changed);
    assert!(change_owners(&mut rig, 1, &[(A, 1), (B, 1), (D, 1)]).changed);
    assert_eq!(rig.state(1, session, 1).owners, [B, D]);
    lift(&mut rig, A, 8);
    assert!(change_owners(&mut rig, 2, &[(A, 1), (B, 1), (D, 1)]).changed);
}

#[test]
fn s47_a_pack_or_segment_id_is_never_listed_twice() {
    let (mut rig, session) = rig_with_listed(&[(A, 1), (B, 1)]);
    let again = UpdateRefs {
        commands: vec![command("refs/heads/b", 0, 1)],
        ..push(session, 2, 1, &[(A, 1), (B, 1)])
    };
    assert_eq!(rig.push(again).refusal(), Refusal::Policy);
    assert_eq!(rig.repository().packs_count, 1);
}
