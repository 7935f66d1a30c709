//! Claims, swaps, replaced packs and cruft (S12, S15, S30, S35, S37).

use bytes::Bytes;
use gitstratum_core::{RepoId, Version};
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::{ClaimKind, Refusal, SegmentQuery, SegmentState};
use prost::Message;

use super::rig::{MAIN, NODE, REPO, Rig, command, key, pack, update, verdicts, with_pack};
use crate::partition::entry::{
    Change, ChangeOwners, CloseClaim, OpenClaim, Purge, PurgedPack, Swap,
};
use crate::partition::{ClaimAnswer, OwnersAnswer, SwapAnswer, query};

pub(super) fn open(rig: &mut Rig, kind: ClaimKind, node: u64, takes_over: u64) -> ClaimAnswer {
    let open = OpenClaim { repo_id: REPO.0, kind: kind.into(), node, takes_over };
    ClaimAnswer::decode(rig.apply(Change::OpenClaim(open))).unwrap()
}

/// The number of a compaction's claim that is granted.
pub(super) fn claim(rig: &mut Rig, kind: ClaimKind) -> u64 {
    let answer = open(rig, kind, NODE, 0);
    assert!(answer.granted, "{}", answer.refused);
    answer.claim.unwrap().number
}

pub(super) fn id(byte: u8) -> Bytes {
    vec![byte; 16].into()
}

pub(super) fn swap(
    rig: &mut Rig,
    claim: u64,
    inputs: &[u8],
    outputs: &[u8],
    cruft: &[u8],
) -> SwapAnswer {
    let packs = |ids: &[u8]| -> Vec<Pack> { ids.iter().map(|id| pack(*id)).collect() };
    let swap = Swap {
        repo_id: REPO.0,
        claim,
        inputs: inputs.iter().map(|byte| id(*byte)).collect(),
        outputs: packs(outputs),
        cruft: packs(cruft),
        cruft_window: 1_000,
        replication_factor: 1,
    };
    SwapAnswer::decode(rig.apply(Change::Swap(swap))).unwrap()
}

pub(super) fn purge(rig: &mut Rig, horizon: u64, packs: &[u8]) {
    let rows = query::unlisted_of(&rig.rows, REPO).unwrap();
    let listed = |byte: u8| {
        let row = rows.iter().find(|row| row.pack.pack_id == id(byte));
        row.map_or(0, |row| row.pack.listed_version)
    };
    let packs = packs.iter().map(|byte| PurgedPack {
        repo_id: REPO.0,
        listed: listed(*byte),
        pack_id: id(*byte),
    });
    rig.apply(Change::Purge(Purge { horizon, packs: packs.collect() }));
}

/// What the partition says of the segment of pack `byte`, written under `claim`.
fn state(rig: &Rig, byte: u8, claim: u64) -> SegmentState {
    let query =
        SegmentQuery { segment_id: id(byte), claim, repo_id: REPO.0, ..SegmentQuery::default() };
    query::segment_states(&rig.rows, &[query]).unwrap().remove(0)
}

pub(super) fn listed(rig: &Rig) -> Vec<u8> {
    let packs = query::packs_after(&rig.rows, REPO, Version(0)).unwrap();
    packs.iter().map(|pack| pack.pack_id[0]).collect()
}

fn kept(rig: &Rig) -> Vec<u8> {
    let rows = query::unlisted_of(&rig.rows, REPO).unwrap();
    rows.iter().map(|row| row.pack.pack_id[0]).collect()
}

/// A repository with packs 1 to 3 and a session that pushed them.
fn rig_with_packs() -> (Rig, u64) {
    let mut rig = Rig::new();
    let session = rig.open();
    for number in 1..=3 {
        let commands = vec![command(MAIN, number - 1, number)];
        let update = with_pack(update(key(session, number.into(), 1), commands), pack(number));
        assert_eq!(verdicts(&rig.push(update)), [Refusal::None]);
    }
    (rig, session)
}

#[test]
fn s35_one_claim_at_a_time_and_who_takes_it_over_keeps_its_number() {
    let (mut rig, _) = rig_with_packs();
    let number = claim(&mut rig, ClaimKind::Compaction);
    for kind in [ClaimKind::Compaction, ClaimKind::Drop] {
        let other = open(&mut rig, kind, 77, 0);
        assert!(!other.granted);
        assert_eq!(other.claim.map(|row| (row.number, row.node)), Some((number, NODE)));
    }
    assert_eq!(rig.repository().drop_counter, 0, "a drop run that is refused starts nothing");
    assert!(!open(&mut rig, ClaimKind::Drop, 77, number).granted, "it is for something else");
    let taken = open(&mut rig, ClaimKind::Compaction, 77, number);
    assert_eq!(taken.claim.map(|row| (row.number, row.node)), Some((number, 77)));
    rig.apply(Change::CloseClaim(CloseClaim { repo_id: REPO.0, claim: number }));
    assert!(!open(&mut rig, ClaimKind::Compaction, 77, number).granted, "it has ended");
    assert!(claim(&mut rig, ClaimKind::Compaction) > number);
}

#[test]
fn s35_a_swap_lists_its_outputs_in_the_place_of_its_inputs() {
    let (mut rig, session) = rig_with_packs();
    let number = claim(&mut rig, ClaimKind::Compaction);
    let before = rig.repository();
    let answer = swap(&mut rig, number, &[1, 2, 3], &[9], &[]);
    assert_eq!(answer, SwapAnswer { version: rig.index, refused: String::new() });
    assert_eq!((listed(&rig), kept(&rig)), (vec![9], vec![1, 2, 3]));
    let row = rig.repository();
    assert_eq!((row.packs_count, row.size_bytes), (1, 100));
    assert_eq!((row.manifest_version, row.manifest_from), (rig.index, rig.index));
    assert_eq!((row.refs_version, row.drop_counter), (before.refs_version, 0));
    assert_eq!(query::packs_after(&rig.rows, REPO, Version(0)).unwrap()[0].claim, number);
    // S12, S30: what was replaced is listed still, its writer closed or not.
    assert!(rig.state(1, session, 1).listed);
    // Asked again, it was done once.
    let at = rig.index;
    assert_eq!(swap(&mut rig, number, &[1, 2, 3], &[9], &[]).version, at);
    assert_eq!(listed(&rig), [9]);
}

/// S12, S35: compaction A writes its output, its claim passes to B, an owner finds the output
/// unlisted, A's swap succeeds because the inputs are still listed.
#[test]
fn s12_s35_outputs_are_garbage_only_when_their_claim_has_ended() {
    let (mut rig, _) = rig_with_packs();
    let number = claim(&mut rig, ClaimKind::Compaction);
    assert!(!state(&rig, 9, number).writer_closed);
    open(&mut rig, ClaimKind::Compaction, 77, number);
    assert!(!state(&rig, 9, number).writer_closed, "the number is the same");
    let swapped = swap(&mut rig, number, &[1, 2], &[9], &[]);
    assert!(swapped.version > 0);
    assert!(state(&rig, 9, number).listed);
    // The other holder's: its inputs are gone, and its claim with the swap.
    let late = swap(&mut rig, number, &[1, 2], &[8], &[]);
    assert_eq!(late.version, 0);
    assert!(!state(&rig, 8, number).listed && state(&rig, 8, number).writer_closed);
}

#[test]
fn s35_a_swap_whose_inputs_or_claim_are_gone_is_refused_and_writes_nothing() {
    let (mut rig, _) = rig_with_packs();
    let number = claim(&mut rig, ClaimKind::Compaction);
    let rows = rig.rows.clone();
    for (claim, inputs, outputs, cruft) in [
        (number, &[1, 7][..], &[9][..], &[][..]),
        (number + 1, &[1], &[9], &[]),
        (number, &[], &[9], &[]),
        (number, &[1], &[2], &[]),
        (number, &[1], &[9, 9], &[]),
        (number, &[1], &[9], &[8]),
    ] {
        let answer = swap(&mut rig, claim, inputs, outputs, cruft);
        assert_eq!(answer.version, 0, "{inputs:?} {outputs:?} {cruft:?}");
        assert!(!answer.refused.is_empty());
        assert_eq!(rig.rows, rows, "{inputs:?} {outputs:?} {cruft:?}");
    }
}

#[test]
fn s20_s23_a_swap_whose_owners_are_too_few_is_refused() {
    let (mut rig, _) = rig_with_packs();
    super::owners::show(&mut rig, NODE, 2);
    let number = claim(&mut rig, ClaimKind::Compaction);
    let refused = swap(&mut rig, number, &[1, 2], &[9], &[]).refused;
    assert!(refused.contains("restarted"), "{refused}");
    assert_eq!(listed(&rig), [1, 2, 3]);
}

#[test]
fn s30_what_was_replaced_stays_until_no_session_uses_an_older_version() {
    let (mut rig, session) = rig_with_packs();
    rig.raise_floor(session, 9);
    let number = claim(&mut rig, ClaimKind::Compaction);
    let version = swap(&mut rig, number, &[1, 2], &[9], &[]).version;
    purge(&mut rig, version - 1, &[1, 2]);
    assert_eq!(kept(&rig), [1, 2]);
    assert_eq!(query::purgeable(&rig.rows, Version(version - 1), 9).unwrap().len(), 0);
    assert_eq!(query::purgeable(&rig.rows, Version(version), 9).unwrap().len(), 2);
    purge(&mut rig, version, &[1, 2, 3]);
    assert_eq!((kept(&rig), listed(&rig)), (vec![], vec![3, 9]));
    let gone = rig.state(1, session, 1);
    assert!(!gone.listed && gone.writer_closed, "its owners may delete it");
    assert!(rig.state(3, session, 3).listed, "what is live is never purged");
    let group = query::group(&rig.rows).unwrap();
    assert_eq!((group.unlisted_count, group.cruft_count), (0, 0));
}

/// S19–S21: copies of what is kept out of the manifest are moved and repaired like all others.
#[test]
fn s20_replaced_packs_are_among_what_names_a_node() {
    let (mut rig, _) = rig_with_packs();
    let number = claim(&mut rig, ClaimKind::Compaction);
    swap(&mut rig, number, &[1, 2], &[9], &[]);
    let page = query::packs_page(&rig.rows, None, 100).unwrap();
    let mut found: Vec<u8> = page.packs.iter().map(|(_, pack)| pack.pack_id[0]).collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 9]);
    let manifest = rig.repository().manifest_version;
    let change = ChangeOwners {
        segment_id: id(1),
        list_number: 1,
        owners: vec![55],
        incarnations: vec![1],
        replication_factor: 1,
    };
    let answer = rig.apply(Change::ChangeOwners(change));
    assert!(OwnersAnswer::decode(answer).unwrap().changed);
    let (_, pack) = query::listed_segment(&rig.rows, segment(1)).unwrap().unwrap();
    assert_eq!(pack.segments[0].owners, [55]);
    assert_eq!(rig.repository().manifest_version, manifest, "no manifest has changed");
}

fn segment(byte: u8) -> gitstratum_core::SegmentId {
    gitstratum_core::SegmentId([byte; 16])
}

#[test]
fn s15_a_drop_run_starts_with_the_entry_that_raises_the_counter_and_marks_from_it() {
    let (mut rig, session) = rig_with_packs();
    let number = claim(&mut rig, ClaimKind::Drop);
    assert_eq!((number, rig.repository().drop_counter), (rig.index, 1));
    let tips = query::tips(&rig.rows, REPO).unwrap();
    // Where the ref is, and where it was within the grace.
    let firsts: Vec<u8> = tips.iter().map(|tip| tip[0]).collect();
    assert_eq!(firsts, [1, 2, 3]);
    // A push that was checked before is refused for this attempt, and applied with the new number.
    let mut old = with_pack(update(key(session, 4, 1), vec![command(MAIN, 3, 4)]), pack(4));
    assert_eq!(rig.push(old.clone()).refusal(), Refusal::DropCounter);
    old.push.attempt = 2;
    old.drop_counter = 1;
    assert_eq!(verdicts(&rig.push(old)), [Refusal::None]);
    assert_eq!(query::tips(&rig.rows, REPO).unwrap(), tips, "what came later is not marked from");
    let swapped = swap(&mut rig, number, &[1, 2, 3], &[9], &[8]);
    assert!(swapped.version > 0, "{}", swapped.refused);
    assert_eq!((listed(&rig), query::tips(&rig.rows, REPO).unwrap()), (vec![4, 9], vec![]));
}

#[test]
fn s37_dropped_objects_are_out_of_sight_until_their_window_has_passed() {
    let (mut rig, _) = rig_with_packs();
    let number = claim(&mut rig, ClaimKind::Drop);
    rig.log_time = 5_000;
    let version = swap(&mut rig, number, &[1, 2, 3], &[9], &[8]).version;
    assert_eq!(listed(&rig), [9], "no reader sees it");
    assert!(state(&rig, 8, number).listed, "and nobody sweeps it");
    purge(&mut rig, version, &[1, 2, 3, 8]);
    assert_eq!(kept(&rig), [8]);
    rig.tick(6_000);
    purge(&mut rig, version, &[8]);
    assert!(kept(&rig).is_empty());
    assert!(!state(&rig, 8, number).listed && state(&rig, 8, number).writer_closed);
}

#[test]
fn s15_after_two_refusals_starts_wait_for_the_push() {
    let (mut rig, session) = rig_with_packs();
    let push = |rig: &mut Rig, attempt, drop_counter| {
        let update =
            with_pack(update(key(session, 4, attempt), vec![command(MAIN, 3, 4)]), pack(4));
        let update = crate::partition::entry::UpdateRefs { drop_counter, ..update };
        rig.push(update)
    };
    let end = |rig: &mut Rig, claim| {
        rig.apply(Change::CloseClaim(CloseClaim { repo_id: REPO.0, claim }));
    };
    let first = claim(&mut rig, ClaimKind::Drop);
    assert_eq!(push(&mut rig, 1, 0).refusal(), Refusal::DropCounter);
    end(&mut rig, first);
    let second = claim(&mut rig, ClaimKind::Drop);
    assert_eq!(push(&mut rig, 2, 1).refusal(), Refusal::DropCounter);
    end(&mut rig, second);
    let held = open(&mut rig, ClaimKind::Drop, NODE, 0);
    assert!(!held.granted && held.refused.contains("refused twice"), "{}", held.refused);
    let compaction = claim(&mut rig, ClaimKind::Compaction);
    end(&mut rig, compaction);
    assert_eq!(verdicts(&push(&mut rig, 3, 2)), [Refusal::None]);
    claim(&mut rig, ClaimKind::Drop);
}

#[test]
fn s15_a_push_whose_session_has_ended_holds_no_start_back() {
    let (mut rig, session) = rig_with_packs();
    for (attempt, counter) in [(1, 0), (2, 1)] {
        let number = claim(&mut rig, ClaimKind::Drop);
        let update = update(key(session, 4, attempt), vec![command(MAIN, 3, 4)]);
        let update = crate::partition::entry::UpdateRefs { drop_counter: counter, ..update };
        assert_eq!(rig.push(update).refusal(), Refusal::DropCounter);
        rig.apply(Change::CloseClaim(CloseClaim { repo_id: REPO.0, claim: number }));
    }
    assert!(!open(&mut rig, ClaimKind::Drop, NODE, 0).granted);
    rig.close(session);
    claim(&mut rig, ClaimKind::Drop);
}

#[test]
fn s42_nothing_is_claimed_in_a_repository_that_is_not_live() {
    let mut rig = Rig::new();
    let other = OpenClaim { repo_id: 404, kind: 1, node: NODE, takes_over: 0 };
    let answer = ClaimAnswer::decode(rig.apply(Change::OpenClaim(other))).unwrap();
    assert!(!answer.granted);
    assert!(query::claim(&rig.rows, RepoId(404)).unwrap().is_none());
}
