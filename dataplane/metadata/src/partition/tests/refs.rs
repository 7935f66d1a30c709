use gitstratum_core::Version;
use gitstratum_proto::metadata::v1::Refusal;

use super::rig::{MAIN, REPO, Rig, atomic, command, key, update, verdicts};
use crate::partition::{REF_LOG_CHANGES_MAX, query};

fn push(rig: &mut Rig, session: u64, number: u64, commands: &[(&str, u8, u8)]) -> Vec<Refusal> {
    let commands = commands.iter().map(|(name, old, new)| command(name, *old, *new)).collect();
    verdicts(&rig.push(update(key(session, number, 1), commands)))
}

#[test]
fn bad_input_087_a_directory_conflict_has_exactly_one_winner() {
    let mut rig = Rig::new();
    let session = rig.open();
    let commands = [("refs/heads/a", 0, 1), ("refs/heads/a/b", 0, 1)];
    assert_eq!(push(&mut rig, session, 1, &commands), [Refusal::None, Refusal::NameConflict]);
    assert_eq!(push(&mut rig, session, 2, &[("refs/heads/a/b/c", 0, 1)]), [Refusal::NameConflict]);
    assert_eq!(push(&mut rig, session, 3, &[("refs/heads", 0, 1)]), [Refusal::NameConflict]);
    assert_eq!(push(&mut rig, session, 4, &[("refs/heads/ab", 0, 1)]), [Refusal::None]);
}

#[test]
fn bad_input_087_inside_one_atomic_push_both_fail() {
    let mut rig = Rig::new();
    let session = rig.open();
    let commands = vec![command("refs/heads/a/b", 0, 1), command("refs/heads/a", 0, 1)];
    let answer = rig.push(atomic(update(key(session, 1, 1), commands)));
    assert_eq!(verdicts(&answer), [Refusal::Atomic, Refusal::NameConflict]);
    assert_eq!(rig.repository().refs_count, 0);
}

#[test]
fn bad_input_087_a_deletion_makes_room_whatever_its_place() {
    let mut rig = Rig::new();
    let session = rig.open();
    push(&mut rig, session, 1, &[("refs/heads/a", 0, 1)]);
    let down = [("refs/heads/a/b", 0, 2), ("refs/heads/a", 1, 0)];
    assert_eq!(push(&mut rig, session, 2, &down), [Refusal::None, Refusal::None]);
    let up = [("refs/heads/a", 0, 3), ("refs/heads/a/b", 2, 0)];
    assert_eq!(push(&mut rig, session, 3, &up), [Refusal::None, Refusal::None]);
    // A deletion that fails makes no room.
    let failing = [("refs/heads/a/c", 0, 4), ("refs/heads/a", 9, 0)];
    assert_eq!(push(&mut rig, session, 4, &failing), [Refusal::NameConflict, Refusal::Stale]);
}

#[test]
fn gs_md_01_names_of_any_bytes_round_trip() {
    let mut rig = Rig::new();
    let session = rig.open();
    let mut odd = command("", 0, 1);
    odd.name = b"refs/heads/\xff\xfe-\xe2\x82".to_vec().into();
    rig.push(update(key(session, 1, 1), vec![odd.clone(), command("refs/tags/v1", 0, 2)]));
    let mut names = Vec::new();
    query::references(&rig.rows, REPO, b"refs/", &mut |name, _| names.push(name)).unwrap();
    assert_eq!(names, [odd.name, "refs/tags/v1".into()]);
}

#[test]
fn s31_changes_since_a_held_version_name_what_moved_and_what_went() {
    let mut rig = Rig::new();
    let session = rig.open();
    push(&mut rig, session, 1, &[("refs/heads/a", 0, 1), ("refs/heads/b", 0, 1)]);
    let held = Version(rig.index);
    push(&mut rig, session, 2, &[("refs/heads/a", 1, 2)]);
    push(&mut rig, session, 3, &[("refs/heads/a", 2, 3), ("refs/heads/b", 1, 0)]);
    let row = rig.repository();
    let changed = query::changed_refs(&rig.rows, &row, held).unwrap().unwrap();
    let got: Vec<_> = changed
        .iter()
        .map(|(name, row)| (&name[..], row.as_ref().map(|row| row.target[0])))
        .collect();
    assert_eq!(got, [(&b"refs/heads/a"[..], Some(3)), (b"refs/heads/b", None)]);
    let none = query::changed_refs(&rig.rows, &row, row.refs_version()).unwrap();
    assert_eq!(none.map(|changes| changes.len()), Some(0));
    // Nothing held, or a version from elsewhere, cannot be brought up to date.
    assert!(query::changed_refs(&rig.rows, &row, Version(0)).unwrap().is_none());
    assert!(query::changed_refs(&rig.rows, &row, Version(rig.index + 1)).unwrap().is_none());
}

#[test]
fn s31_the_log_keeps_the_last_ten_thousand_changes() {
    let mut rig = Rig::new();
    let session = rig.open();
    let many = |from: u64, count: u64| {
        (from..from + count).map(|n| command(&format!("refs/tags/{n}"), 0, 1)).collect::<Vec<_>>()
    };
    rig.push(update(key(session, 1, 1), many(0, 1)));
    let first = Version(rig.index);
    rig.push(update(key(session, 2, 1), many(1, REF_LOG_CHANGES_MAX / 2)));
    let second = Version(rig.index);
    let from = 1 + REF_LOG_CHANGES_MAX / 2;
    rig.push(update(key(session, 3, 1), many(from, REF_LOG_CHANGES_MAX / 2)));
    let row = rig.repository();
    assert_eq!(row.ref_log_changes, REF_LOG_CHANGES_MAX);
    let since = |version| query::changed_refs(&rig.rows, &row, version).unwrap();
    assert_eq!(since(first).map(|c| c.len() as u64), Some(REF_LOG_CHANGES_MAX));
    assert_eq!(since(second).map(|c| c.len() as u64), Some(REF_LOG_CHANGES_MAX / 2));
    assert!(since(Version(first.0 - 1)).is_none());
}

#[test]
fn s24_a_replaced_tip_stays_wantable_for_its_grace_of_log_time() {
    let mut rig = Rig::new();
    let session = rig.open();
    push(&mut rig, session, 1, &[(MAIN, 0, 1)]);
    rig.log_time = 5_000;
    push(&mut rig, session, 2, &[(MAIN, 1, 2)]);
    let tips = |rig: &Rig| {
        let tips = query::replaced_tips(&rig.rows, REPO).unwrap();
        tips.iter().map(|tip| tip.id.as_bytes()[0]).collect::<Vec<_>>()
    };
    assert_eq!(tips(&rig), [1]);
    rig.tick(65_000);
    assert_eq!(tips(&rig), [1]);
    rig.tick(65_001);
    assert!(tips(&rig).is_empty());
    assert!(!query::has_graces(&rig.rows).unwrap());
}

#[test]
fn s24_deleting_the_ref_ends_the_grace_of_its_replaced_tips() {
    let mut rig = Rig::new();
    let session = rig.open();
    push(&mut rig, session, 1, &[(MAIN, 0, 1), ("refs/heads/mai", 0, 5)]);
    push(&mut rig, session, 2, &[(MAIN, 1, 2), ("refs/heads/mai", 5, 6)]);
    push(&mut rig, session, 3, &[(MAIN, 2, 0)]);
    let tips = query::replaced_tips(&rig.rows, REPO).unwrap();
    assert_eq!(tips.iter().map(|tip| tip.id.as_bytes()[0]).collect::<Vec<_>>(), [5]);
}

#[test]
fn s24_a_tip_replaced_again_has_its_grace_from_the_last_time() {
    let mut rig = Rig::new();
    let session = rig.open();
    push(&mut rig, session, 1, &[(MAIN, 0, 1)]);
    push(&mut rig, session, 2, &[(MAIN, 1, 2)]);
    rig.log_time = 50_000;
    push(&mut rig, session, 3, &[(MAIN, 2, 1)]);
    push(&mut rig, session, 4, &[(MAIN, 1, 3)]);
    rig.tick(70_000);
    let tips = query::replaced_tips(&rig.rows, REPO).unwrap();
    let got: Vec<_> = tips.iter().map(|t| (t.id.as_bytes()[0], t.replaced_at.0)).collect();
    assert_eq!(got, [(1, 50_000), (2, 50_000)]);
}
