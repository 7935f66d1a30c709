use gitstratum_proto::metadata::v1::Refusal;
use prost::Message;

use super::rig::{MAIN, Rig, command, key, pack_on, update, verdicts, with_pack};
use crate::partition::entry::{Change, ChangeOwners, CopyLost, LoseCopies, UpdateRefs};
use crate::partition::{LossAnswer, OwnersAnswer, query};

const A: u64 = 41;
const B: u64 = 42;
const C: u64 = 43;

/// A partition that lists segment 1 on these owners.
fn rig_with(owners: &[u64]) -> (Rig, u64) {
    let mut rig = Rig::new();
    let session = rig.open();
    let owners: Vec<_> = owners.iter().map(|node| (*node, 1)).collect();
    let commands = vec![command(MAIN, 0, 1)];
    let update = with_pack(update(key(session, 1, 1), commands), pack_on(1, &owners));
    assert_eq!(verdicts(&rig.push(UpdateRefs { ..update })), [Refusal::None]);
    (rig, session)
}

fn lose(rig: &mut Rig, node: u64, list_number: u64) -> u32 {
    let copies = vec![CopyLost { segment_id: vec![1; 16].into(), list_number }];
    let lost = LoseCopies { node, copies, replication_factor: 3 };
    LossAnswer::decode(rig.apply(Change::LoseCopies(lost))).unwrap().noted
}

fn change_owners(rig: &mut Rig, list_number: u64, owners: &[u64]) -> OwnersAnswer {
    let change = ChangeOwners {
        segment_id: vec![1; 16].into(),
        list_number,
        owners: owners.to_vec(),
        incarnations: vec![1; owners.len()],
        replication_factor: 3,
    };
    OwnersAnswer::decode(rig.apply(Change::ChangeOwners(change))).unwrap()
}

fn missing(rig: &Rig) -> Vec<u32> {
    query::repairs_after(&rig.rows, None, 10).unwrap().iter().map(|(_, row)| row.missing).collect()
}

#[test]
fn s21_a_lost_copy_leaves_the_list_and_is_repaired() {
    let (mut rig, session) = rig_with(&[A, B, C]);
    let held = rig.repository().manifest_version();
    assert_eq!(lose(&mut rig, B, 1), 1);
    let state = rig.state(1, session, 1);
    assert_eq!((state.owners, state.list_number), (vec![A, C], 2));
    assert_eq!(missing(&rig), [1]);
    assert!(!rig.repository().has_manifest_changes_since(held), "readers learn the new list");
    assert!(change_owners(&mut rig, 2, &[A, C, B]).changed);
    assert!(missing(&rig).is_empty());
}

#[test]
fn s19_a_loss_told_of_an_older_list_changes_nothing() {
    let (mut rig, session) = rig_with(&[A, B, C]);
    // B lost its copy and has it again by the time its report arrives.
    assert!(change_owners(&mut rig, 1, &[A, B, C]).changed);
    assert_eq!(lose(&mut rig, B, 1), 0);
    assert_eq!(rig.state(1, session, 1).owners, [A, B, C]);
    assert!(missing(&rig).is_empty());
    assert_eq!(lose(&mut rig, 77, 2), 0, "who is no owner loses nothing");
}

#[test]
fn s20_the_last_owner_stays_named() {
    let (mut rig, session) = rig_with(&[A]);
    assert_eq!(lose(&mut rig, A, 1), 1);
    let state = rig.state(1, session, 1);
    assert_eq!((state.owners, state.list_number), (vec![A], 1));
    assert_eq!(missing(&rig), [3]);
}
