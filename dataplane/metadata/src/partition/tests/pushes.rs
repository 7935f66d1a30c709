use gitstratum_core::{RepoId, Version};
use gitstratum_proto::metadata::v1::Refusal;

use super::rig::{
    MAIN, REPO, Rig, atomic, command, key, pack, repository, update, verdicts, with_pack,
};
use crate::partition::entry::{Change, Entry, PruneAudit, PutRepository, UpdateRefs};
use crate::partition::record::AuditRow;
use crate::partition::{Error, apply, query};

#[test]
fn s13_one_entry_moves_the_ref_lists_the_pack_and_writes_the_audit_line() {
    let mut rig = Rig::new();
    let session = rig.open();
    let push = with_pack(update(key(session, 1, 1), vec![command(MAIN, 0, 1)]), pack(1));
    let answer = rig.push(push);
    assert_eq!((answer.version, answer.push_sequence), (rig.index, 1));
    assert_eq!(rig.target(MAIN), Some(1));
    let packs = query::packs_after(&rig.rows, REPO, Version(0)).unwrap();
    assert_eq!(packs.len(), 1);
    assert_eq!(packs[0].listed_version, rig.index);
    assert_eq!((packs[0].session, packs[0].push_number), (session, 1));
    assert_eq!(packs[0].segments[0].list_number, 1);
    let row = rig.repository();
    assert_eq!((row.refs_version, row.manifest_version), (rig.index, rig.index));
    assert_eq!((row.refs_count, row.packs_count, row.size_bytes), (1, 1, 100));
    let lines = query::audit_after(&rig.rows, Version(0), 10).unwrap();
    let [(index, AuditRow { path, changes, refusal: 0, .. })] = &lines[..] else {
        panic!("one line: {lines:?}")
    };
    assert_eq!((index.0, &path[..], changes.len()), (rig.index, "ann/x", 1));
}

#[test]
fn s13_a_pack_is_not_listed_when_no_command_succeeds() {
    let mut rig = Rig::new();
    let session = rig.open();
    let push = with_pack(update(key(session, 1, 1), vec![command(MAIN, 9, 1)]), pack(1));
    assert_eq!(verdicts(&rig.push(push)), [Refusal::Stale]);
    let state = rig.state(1, session, 1);
    assert!(!state.listed && state.writer_closed);
    assert_eq!(rig.repository().push_sequence, 0);
}

#[test]
fn s13_without_atomic_each_command_has_its_own_verdict() {
    let mut rig = Rig::new();
    let session = rig.open();
    let commands = vec![command(MAIN, 9, 1), command("refs/heads/b", 0, 1)];
    let answer = rig.push(with_pack(update(key(session, 1, 1), commands), pack(1)));
    assert_eq!(verdicts(&answer), [Refusal::Stale, Refusal::None]);
    assert!(rig.state(1, session, 1).listed);
}

#[test]
fn bad_input_095_one_bad_ref_of_an_atomic_push_of_5000_fails_all() {
    let mut rig = Rig::new();
    let session = rig.open();
    let mut commands: Vec<_> =
        (0..5_000).map(|n| command(&format!("refs/heads/{n}"), 0, 1)).collect();
    commands[2_500].old = vec![9; 20].into();
    let push = atomic(with_pack(update(key(session, 1, 1), commands), pack(1)));
    let got = verdicts(&rig.push(push));
    assert_eq!(got[2_500], Refusal::Stale);
    assert_eq!(got.iter().filter(|refusal| **refusal == Refusal::Atomic).count(), 4_999);
    assert_eq!(rig.repository().refs_count, 0);
    assert!(!rig.state(1, session, 1).listed);
}

#[test]
fn bad_input_088_a_stale_old_id_does_not_show_the_current_one() {
    let mut rig = Rig::new();
    let session = rig.open();
    rig.push(update(key(session, 1, 1), vec![command(MAIN, 0, 7)]));
    let answer = rig.push(update(key(session, 2, 1), vec![command(MAIN, 1, 2)]));
    assert_eq!(verdicts(&answer), [Refusal::Stale]);
    assert!(!answer.results[0].message.contains("07"), "{}", answer.results[0].message);
}

#[test]
fn bad_input_091_a_ref_named_twice_fails_the_whole_push() {
    let mut rig = Rig::new();
    let session = rig.open();
    let commands = vec![command(MAIN, 0, 1), command("refs/heads/b", 0, 1), command(MAIN, 1, 2)];
    let answer = rig.push(update(key(session, 1, 1), commands));
    assert_eq!(answer.refusal(), Refusal::Policy);
    assert_eq!(rig.target("refs/heads/b"), None);
}

#[test]
fn bad_input_092_deleting_what_is_not_there_is_as_stock_git_has_it() {
    let mut rig = Rig::new();
    let session = rig.open();
    let before = rig.repository();
    let known = command("refs/heads/known", 3, 0);
    let unknown = crate::partition::entry::Command {
        may_be_missing: true,
        ..command("refs/heads/unknown", 3, 0)
    };
    let commands = vec![command("refs/heads/null", 0, 0), known, unknown];
    let answer = rig.push(update(key(session, 1, 1), commands));
    assert_eq!(verdicts(&answer), [Refusal::None, Refusal::Stale, Refusal::None]);
    assert!(answer.results[0].message.starts_with("warning: "));
    assert_eq!(rig.repository(), before);
    // Zero to zero never deletes a ref that is there.
    rig.push(update(key(session, 2, 1), vec![command(MAIN, 0, 1)]));
    let answer = rig.push(update(key(session, 3, 1), vec![command(MAIN, 0, 0)]));
    assert_eq!(verdicts(&answer), [Refusal::Stale]);
}

#[test]
fn a_leaders_refusal_of_one_command_is_its_verdict() {
    let mut rig = Rig::new();
    let session = rig.open();
    let mut commands = vec![command(MAIN, 0, 1), command("refs/heads/b", 0, 1)];
    commands[0].refusal = Refusal::Kind.into();
    commands[0].message = "not a commit".to_owned();
    let answer = rig.push(update(key(session, 1, 1), commands));
    assert_eq!(verdicts(&answer), [Refusal::Kind, Refusal::None]);
    assert_eq!(answer.results[0].message, "not a commit");
    assert_eq!((rig.target(MAIN), rig.target("refs/heads/b")), (None, Some(1)));
}

#[test]
fn s15_a_push_checked_before_a_drop_run_started_is_refused_and_may_come_again() {
    let mut rig = Rig::new();
    let session = rig.open();
    let push = update(key(session, 1, 1), vec![command(MAIN, 0, 1)]);
    let refused = rig.push(UpdateRefs { drop_counter: 3, ..push.clone() });
    assert_eq!(refused.refusal(), Refusal::DropCounter);
    let again = UpdateRefs { push: key(session, 1, 2), ..push };
    assert_eq!(verdicts(&rig.push(again)), [Refusal::None]);
}

#[test]
fn s35_a_repository_with_too_many_packs_is_busy() {
    let mut rig = Rig::new();
    let session = rig.open();
    let limited = |push, commands, id| {
        let update = with_pack(update(push, commands), pack(id));
        UpdateRefs { live_packs_max: 1, ..update }
    };
    rig.push(limited(key(session, 1, 1), vec![command(MAIN, 0, 1)], 1));
    let answer = rig.push(limited(key(session, 2, 1), vec![command(MAIN, 1, 2)], 2));
    assert_eq!(answer.refusal(), Refusal::Busy);
    // Without a pack there is nothing to list.
    let without = update(key(session, 3, 1), vec![command(MAIN, 1, 0)]);
    let answer = rig.push(UpdateRefs { live_packs_max: 1, ..without });
    assert_eq!(verdicts(&answer), [Refusal::None]);
}

#[test]
fn s42_a_request_begun_with_an_older_name_is_refused() {
    let mut rig = Rig::new();
    let session = rig.open();
    let renamed = PutRepository {
        path: "ann/y".to_owned(),
        name_version: 8,
        directory_version: 8,
        ..repository()
    };
    rig.put_repository(renamed);
    let push = update(key(session, 1, 1), vec![command(MAIN, 0, 1)]);
    assert_eq!(rig.push(push.clone()).refusal(), Refusal::Gone);
    let new = UpdateRefs { push: key(session, 2, 1), name_version: 8, ..push };
    assert_eq!(verdicts(&rig.push(new)), [Refusal::None]);
}

#[test]
fn s42_states_change_by_entries_and_a_purge_is_final() {
    let mut rig = Rig::new();
    let session = rig.open();
    let state = |state, version| PutRepository {
        state,
        name_version: version,
        directory_version: version,
        ..repository()
    };
    let push = |number, name_version| {
        let commands = vec![command(&format!("refs/heads/{number}"), 0, 1)];
        UpdateRefs { name_version, ..update(key(session, number, 1), commands) }
    };
    rig.put_repository(state(2, 6));
    assert_eq!(rig.push(push(1, 6)).refusal(), Refusal::Gone);
    rig.put_repository(state(1, 7));
    assert_eq!(verdicts(&rig.push(push(2, 7))), [Refusal::None]);
    rig.put_repository(state(3, 8));
    rig.put_repository(state(1, 9));
    assert_eq!(rig.push(push(3, 9)).refusal(), Refusal::Gone);
    assert_eq!(query::group(&rig.rows).unwrap().repositories_count, 0);
}

#[test]
fn s43_a_record_that_is_repeated_or_late_changes_nothing() {
    let mut rig = Rig::new();
    let newer = PutRepository { public: true, directory_version: 9, ..repository() };
    rig.put_repository(newer.clone());
    let row = rig.repository();
    assert!(row.public && row.name_version == 5);
    assert_eq!(row.head(), "refs/heads/main");
    rig.put_repository(repository());
    rig.put_repository(newer);
    assert_eq!(rig.repository(), row);
    assert_eq!(query::group(&rig.rows).unwrap().repositories_count, 1);
    assert!(query::repository(&rig.rows, RepoId(1)).unwrap().is_none());
}

#[test]
fn s41_audit_lines_are_pruned_up_to_a_committed_floor() {
    let mut rig = Rig::new();
    let session = rig.open();
    for number in 1..=3 {
        rig.refuse(key(session, number, 1));
    }
    let last = rig.index;
    rig.apply(Change::PruneAudit(PruneAudit { below: last }));
    let lines = query::audit_after(&rig.rows, Version(0), 10).unwrap();
    assert_eq!(lines.iter().map(|(index, _)| index.0).collect::<Vec<_>>(), [last]);
    let group = query::group(&rig.rows).unwrap();
    assert_eq!(group.audit_floor, last - 1);
    assert!(group.audit_bytes > 0);
}

#[test]
fn s49_an_entry_of_a_newer_program_stops_the_replica() {
    let mut rig = Rig::new();
    let unknown = Entry { feature_level: 2, ..Entry::default() };
    let refused = apply(Version(9), &unknown.to_bytes(), &mut rig.rows);
    assert!(matches!(refused, Err(Error::NewerEntry { level: 2 })));
    let nothing = Entry::default();
    assert!(apply(Version(9), &nothing.to_bytes(), &mut rig.rows).is_err());
}
