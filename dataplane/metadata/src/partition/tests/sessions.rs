use gitstratum_core::SessionId;
use gitstratum_proto::metadata::v1::Refusal;

use super::rig::{MAIN, Rig, command, key, pack, update, verdicts, with_pack};
use crate::partition::entry::PushKey;
use crate::partition::query;

#[test]
fn s11_a_retried_push_is_answered_from_its_record_and_never_applied_twice() {
    let mut rig = Rig::new();
    let session = rig.open();
    let push = with_pack(update(key(session, 1, 1), vec![command(MAIN, 0, 1)]), pack(1));
    let first = rig.push(push.clone());
    assert_eq!(verdicts(&first), [Refusal::None]);
    // Another push moves the ref on and back: the repeat would succeed if it were judged again.
    rig.push(update(key(session, 2, 1), vec![command(MAIN, 1, 2)]));
    rig.push(update(key(session, 3, 1), vec![command(MAIN, 2, 0)]));
    assert_eq!(rig.push(push), first);
    assert_eq!(rig.target(MAIN), None);
    assert_eq!(rig.repository().push_sequence, 3);
}

#[test]
fn s11_a_repeat_after_the_sessions_close_is_told_what_happened() {
    let mut rig = Rig::new();
    let session = rig.open();
    let push = update(key(session, 1, 1), vec![command(MAIN, 0, 1)]);
    let first = rig.push(push.clone());
    rig.close(session);
    assert_eq!(rig.push(push), first);
}

#[test]
fn s11_without_a_record_a_closed_session_means_unknown_and_nothing_is_written() {
    let mut rig = Rig::new();
    let session = rig.open();
    rig.close(session);
    let answer = rig.push(update(key(session, 1, 1), vec![command(MAIN, 0, 1)]));
    assert_eq!(answer.refusal(), Refusal::Unknown);
    assert_eq!(rig.target(MAIN), None);
    assert!(!rig.has_outcome(session, 1));
    let never_opened = rig.push(update(key(77, 1, 1), vec![command(MAIN, 0, 1)]));
    assert_eq!(never_opened.refusal(), Refusal::Unknown);
}

#[test]
fn s10_s12_a_push_below_the_committed_floor_is_never_applied() {
    let mut rig = Rig::new();
    let session = rig.open();
    // The push is sent and abandoned; a renewal's floor is committed; an owner reads that.
    rig.raise_floor(session, 2);
    let before = rig.state(1, session, 1);
    assert!(before.writer_closed && !before.listed);
    // The entry comes late.
    let late = with_pack(update(key(session, 1, 1), vec![command(MAIN, 0, 1)]), pack(1));
    assert_eq!(rig.push(late).refusal(), Refusal::Unknown);
    assert!(!rig.state(1, session, 1).listed);
}

#[test]
fn s11_a_resend_keeps_its_number_so_its_segments_are_not_swept_between() {
    let mut rig = Rig::new();
    let session = rig.open();
    let stale = with_pack(update(key(session, 1, 1), vec![command(MAIN, 0, 1)]), pack(1));
    let refused =
        rig.push(crate::partition::entry::UpdateRefs { drop_counter: 1, ..stale.clone() });
    assert_eq!(refused.refusal(), Refusal::DropCounter);
    // Later pushes of the session carry a floor that this number holds down.
    let other = PushKey { floor: 1, ..key(session, 2, 1) };
    rig.push(update(other, vec![command("refs/heads/other", 0, 2)]));
    assert!(!rig.state(1, session, 1).writer_closed);
    let again = crate::partition::entry::UpdateRefs { push: key(session, 1, 2), ..stale };
    assert_eq!(verdicts(&rig.push(again)), [Refusal::None]);
    assert!(rig.state(1, session, 1).listed);
}

#[test]
fn s11_a_repeat_of_a_refused_attempt_gets_the_same_refusal() {
    let mut rig = Rig::new();
    let session = rig.open();
    let stale = crate::partition::entry::UpdateRefs {
        drop_counter: 1,
        ..update(key(session, 1, 1), vec![command(MAIN, 0, 1)])
    };
    let first = rig.push(stale.clone());
    let repeated = crate::partition::entry::UpdateRefs { drop_counter: 0, ..stale };
    assert_eq!(rig.push(repeated), first);
    assert_eq!(rig.target(MAIN), None);
}

#[test]
fn s11_s44_a_denial_of_a_push_that_was_already_applied_answers_what_was_applied() {
    let mut rig = Rig::new();
    let session = rig.open();
    let applied = rig.push(update(key(session, 1, 1), vec![command(MAIN, 0, 1)]));
    assert_eq!(rig.refuse(key(session, 1, 1)), applied);
    assert_eq!(rig.refuse(key(session, 1, 2)), applied);
}

#[test]
fn s11_a_denial_closes_its_number() {
    let mut rig = Rig::new();
    let session = rig.open();
    let denied = rig.refuse(key(session, 1, 1));
    assert_eq!(denied.refusal(), Refusal::Denied);
    assert!(rig.state(1, session, 1).writer_closed);
    let late = update(key(session, 1, 2), vec![command(MAIN, 0, 1)]);
    assert_eq!(rig.push(late), denied);
    assert_eq!(rig.target(MAIN), None);
}

#[test]
fn s11_outcomes_are_kept_ten_minutes_of_log_time_beyond_the_close() {
    let mut rig = Rig::new();
    let session = rig.open();
    rig.push(update(key(session, 1, 1), vec![command(MAIN, 0, 1)]));
    rig.log_time = 1_000;
    rig.close(session);
    rig.tick(601_000);
    assert!(rig.has_outcome(session, 1));
    rig.tick(601_001);
    assert!(!rig.has_outcome(session, 1));
    assert!(query::session(&rig.rows, SessionId(session)).unwrap().is_none());
    assert_eq!(query::group(&rig.rows).unwrap().sessions_closed, 0);
    // Forgotten is closed: its writer can list nothing.
    assert!(rig.state(7, session, 9).writer_closed);
}

#[test]
fn s11_outcomes_below_the_floor_go_and_those_above_stay() {
    let mut rig = Rig::new();
    let session = rig.open();
    for number in 1..=3 {
        let name = format!("refs/heads/{number}");
        rig.push(update(key(session, number, 1), vec![command(&name, 0, 1)]));
    }
    rig.raise_floor(session, 3);
    let kept: Vec<_> = (1..=3).map(|number| rig.has_outcome(session, number)).collect();
    assert_eq!(kept, [false, false, true]);
    // A floor never falls, and one that is carried by a push does not pass that push.
    rig.raise_floor(session, 1);
    let push = PushKey { floor: 99, ..key(session, 4, 1) };
    let answer = rig.push(update(push, vec![command("refs/heads/4", 0, 1)]));
    assert_eq!(verdicts(&answer), [Refusal::None]);
}

#[test]
fn s10_closing_twice_counts_once() {
    let mut rig = Rig::new();
    let (first, second) = (rig.open(), rig.open());
    assert_ne!(first, second);
    rig.close(first);
    rig.close(first);
    let group = query::group(&rig.rows).unwrap();
    assert_eq!((group.sessions_open, group.sessions_closed), (1, 1));
}
