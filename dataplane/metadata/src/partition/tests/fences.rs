use gitstratum_core::NodeId;
use prost::Message;

use super::owners::{A, B, C, D, change_owners, fence, lift, rig_with_listed, show};
use super::rig::Rig;
use crate::partition::entry::{AcceptLoss, Change, Fence};
use crate::partition::record::Who;
use crate::partition::{OwnersAnswer, query};

/// What the control plane reads before it removes a node: its fence, and how many lists name it.
fn reading(rig: &Rig, node: u64) -> (u64, usize) {
    let page = query::packs_page(&rig.rows, None, 100).unwrap();
    let segments = page.packs.iter().flat_map(|(_, pack)| &pack.segments);
    let named = segments.filter(|segment| segment.owners.contains(&node)).count();
    (query::fence(&rig.rows, NodeId(node)).unwrap(), named)
}

fn accept(rig: &mut Rig, list_number: u64) -> OwnersAnswer {
    let who = Who { user_name: "ann".to_owned(), ..Who::default() };
    let accept = AcceptLoss { segment_id: vec![1; 16].into(), list_number, who };
    OwnersAnswer::decode(rig.apply(Change::AcceptLoss(accept))).unwrap()
}

#[test]
fn s20_a_repairs_entry_does_not_name_a_node_that_a_reading_has_found_clear() {
    let (mut rig, _) = rig_with_listed(&[(B, 1), (C, 1)]);
    // A repair has had A copy the segment, and its entry is late.
    fence(&mut rig, A, 7);
    assert_eq!(reading(&rig, A), (7, 0), "the control plane may remove A");
    let answer = change_owners(&mut rig, 1, &[(B, 1), (C, 1), (A, 1)]);
    assert!(answer.changed, "the rest of the list stands");
    assert_eq!(reading(&rig, A), (7, 0), "A is named by nothing that came later");
}

#[test]
fn s20_a_fenced_owner_stays_until_a_copy_was_made() {
    let (mut rig, session) = rig_with_listed(&[(A, 1), (B, 1)]);
    fence(&mut rig, A, 7);
    assert_eq!(reading(&rig, A), (7, 1));
    assert!(change_owners(&mut rig, 1, &[(A, 1), (B, 1), (C, 1)]).changed);
    assert_eq!(rig.state(1, session, 1).owners, [A, B, C]);
    assert!(change_owners(&mut rig, 2, &[(B, 1), (C, 1), (D, 1)]).changed);
    assert_eq!(reading(&rig, A), (7, 0));
}

/// Found by the model of owner lists: the leader let D go for A, and A was fenced before the entry.
#[test]
fn s20_an_owner_does_not_go_for_one_that_a_fence_has_kept_out_meanwhile() {
    let (mut rig, session) = rig_with_listed(&[(B, 1), (C, 1), (D, 1)]);
    fence(&mut rig, A, 7);
    let answer = change_owners(&mut rig, 1, &[(A, 1), (B, 1), (C, 1)]);
    assert!(!answer.changed);
    assert_eq!(rig.state(1, session, 1).owners, [B, C, D]);
    lift(&mut rig, A, 8);
    assert!(change_owners(&mut rig, 1, &[(A, 1), (B, 1), (C, 1)]).changed);
}

#[test]
fn s20_numbers_of_fences_never_fall() {
    let mut rig = Rig::new();
    assert_eq!(fence(&mut rig, A, 7).number, 7);
    assert_eq!(fence(&mut rig, A, 7).refused, "", "a repeat finds it done");
    let late = lift(&mut rig, A, 6);
    assert!(!late.refused.is_empty() && late.number == 7, "{late:?}");
    assert_eq!(lift(&mut rig, A, 8).number, 0);
    let late = fence(&mut rig, A, 7);
    assert!(!late.refused.is_empty() && late.number == 0, "{late:?}");
    assert_eq!(fence(&mut rig, A, 9).number, 9);
    assert_eq!(query::fences(&rig.rows).unwrap(), [(NodeId(A), 9)].into());
}

#[test]
fn s20_a_fence_that_leaves_fewer_than_w_in_the_ring_is_refused() {
    let mut rig = Rig::new();
    let three = |node, number| Fence {
        node,
        number,
        ring: vec![A, B, C],
        replication_factor: 3,
        lifted: false,
    };
    assert_eq!(super::owners::command_fence(&mut rig, three(A, 1)).refused, "");
    let refused = super::owners::command_fence(&mut rig, three(B, 2));
    assert!(refused.refused.contains("1 nodes would be left"), "{refused:?}");
    assert_eq!(refused.number, 0);
    lift(&mut rig, A, 3);
    assert_eq!(super::owners::command_fence(&mut rig, three(B, 4)).refused, "");
}

#[test]
fn s20_only_the_loss_of_all_owners_is_accepted_by_name_and_list() {
    let (mut rig, session) = rig_with_listed(&[(A, 1), (B, 1)]);
    fence(&mut rig, A, 7);
    assert!(!accept(&mut rig, 1).changed, "B is no lost node");
    fence(&mut rig, B, 8);
    assert!(!accept(&mut rig, 2).changed, "another list");
    assert!(accept(&mut rig, 1).changed);
    let state = rig.state(1, session, 1);
    assert!(state.listed && state.owners.is_empty());
    assert_eq!(state.list_number, 2);
    assert_eq!((reading(&rig, A), reading(&rig, B)), ((7, 0), (8, 0)));
    assert_eq!(query::group(&rig.rows).unwrap().repairs_count, 0);
}

#[test]
fn s23_who_stays_an_owner_keeps_the_incarnation_it_is_listed_with() {
    let (mut rig, _) = rig_with_listed(&[(A, 1), (B, 1)]);
    // A has restarted since; what it holds is looked after by its inventory, not by this entry.
    show(&mut rig, A, 2);
    assert!(change_owners(&mut rig, 1, &[(A, 9), (B, 1), (C, 1)]).changed);
    let page = query::packs_page(&rig.rows, None, 1).unwrap();
    assert_eq!(page.packs[0].1.segments[0].incarnations, [1, 1, 1]);
    show(&mut rig, D, 2);
    assert!(!change_owners(&mut rig, 2, &[(A, 1), (B, 1), (D, 1)]).changed, "newly named");
}

#[test]
fn s18_a_segment_on_the_repair_list_keeps_since_when_it_is_there() {
    let (mut rig, _) = rig_with_listed(&[(A, 1), (B, 1)]);
    let since = query::repairs_after(&rig.rows, None, 1).unwrap()[0].1.since;
    assert!(change_owners(&mut rig, 1, &[(A, 1), (C, 1)]).changed);
    let row = query::repairs_after(&rig.rows, None, 1).unwrap()[0].1.clone();
    assert_eq!((row.missing, row.since), (1, since));
    assert_eq!(query::group(&rig.rows).unwrap().repairs_count, 1);
}
