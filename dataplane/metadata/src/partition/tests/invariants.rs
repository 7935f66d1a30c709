//! What holds after every entry of any log.

use std::collections::BTreeSet;

use gitstratum_core::{RefName, Version};
use proptest::prelude::*;

use super::rig::{MapRows, REPO, Rig, command, key, pack, update};
use crate::partition::entry::{Change, Entry, PushKey, Tick, UpdateRefs};
use crate::partition::{apply, query};

const NAMES: [&str; 4] = ["refs/heads/a", "refs/heads/a/b", "refs/heads/b", "refs/heads/a/b/c"];
const SESSIONS: usize = 2;

/// One random entry. Segments and packs get the push's number as id, so that attempts of a push
/// bring the same segments.
#[derive(Clone, Debug)]
enum Step {
    Push {
        session: usize,
        number: u64,
        attempt: u32,
        drop_counter: u64,
        atomic: bool,
        commands: Vec<(usize, u8, u8)>,
    },
    Refuse {
        session: usize,
        number: u64,
        attempt: u32,
    },
    Floor {
        session: usize,
        floor: u64,
    },
    Close {
        session: usize,
    },
    Tick {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = 0..SESSIONS;
    let number = 1..6u64;
    let attempt = 1..3u32;
    let commands = proptest::collection::vec((0..NAMES.len(), 0..3u8, 0..3u8), 1..4);
    let push = (session.clone(), number.clone(), attempt.clone(), 0..8u64, any::<bool>(), commands)
        .prop_map(|(session, number, attempt, counter, atomic, commands)| Step::Push {
            session,
            number,
            attempt,
            drop_counter: u64::from(counter == 0),
            atomic,
            commands,
        });
    let step = prop_oneof![
        8 => push,
        1 => (session.clone(), number.clone(), attempt)
            .prop_map(|(session, number, attempt)| Step::Refuse { session, number, attempt }),
        1 => (session.clone(), number).prop_map(|(session, floor)| Step::Floor { session, floor }),
        1 => session.prop_map(|session| Step::Close { session }),
        1 => (0..700_000u64).prop_map(|millis| Step::Tick { millis }),
    ];
    proptest::collection::vec(step, 1..40)
}

fn segment_of(session: usize, number: u64) -> u8 {
    u8::try_from(session * 16).unwrap() + u8::try_from(number).unwrap()
}

fn play(rig: &mut Rig, sessions: &[u64], step: Step) {
    match step {
        Step::Push { session, number, attempt, drop_counter, atomic, commands } => {
            let commands = commands.iter().map(|(n, old, new)| command(NAMES[*n], *old, *new));
            let push = update(key(sessions[session], number, attempt), commands.collect());
            let pack = Some(pack(segment_of(session, number)));
            rig.push(UpdateRefs { pack, atomic, drop_counter, ..push });
        }
        Step::Refuse { session, number, attempt } => {
            rig.refuse(key(sessions[session], number, attempt));
        }
        Step::Floor { session, floor } => rig.raise_floor(sessions[session], floor),
        Step::Close { session } => rig.close(sessions[session]),
        Step::Tick { millis } => rig.tick(millis),
    }
}

/// Segments that an owner may sweep after one read of this state (S12).
fn sweepable(rig: &Rig, sessions: &[u64]) -> BTreeSet<u8> {
    let mut found = BTreeSet::new();
    for (place, session) in sessions.iter().enumerate() {
        for number in 1..6 {
            let segment = segment_of(place, number);
            let state = rig.state(segment, *session, number);
            if state.writer_closed && !state.listed {
                found.insert(segment);
            }
        }
    }
    found
}

fn names(rig: &Rig) -> Vec<RefName> {
    let mut names = Vec::new();
    query::references(&rig.rows, REPO, b"", &mut |name, _| {
        names.push(RefName::parse(name).expect("because the name is good"));
    })
    .unwrap();
    names
}

proptest! {
    /// What was once sweepable is never listed later, whatever comes.
    #[test]
    fn s12_what_an_owner_may_sweep_is_never_listed_later(steps in steps()) {
        let mut rig = Rig::new();
        let sessions: Vec<_> = (0..SESSIONS).map(|_| rig.open()).collect();
        let mut swept = BTreeSet::new();
        for step in steps {
            play(&mut rig, &sessions, step);
            swept.extend(sweepable(&rig, &sessions));
            for (place, session) in sessions.iter().enumerate() {
                for number in 1..6 {
                    let segment = segment_of(place, number);
                    let listed = rig.state(segment, *session, number).listed;
                    prop_assert!(!(listed && swept.contains(&segment)), "segment {segment}");
                }
            }
        }
    }

    #[test]
    fn bad_input_087_no_two_refs_ever_conflict_and_counts_are_true(steps in steps()) {
        let mut rig = Rig::new();
        let sessions: Vec<_> = (0..SESSIONS).map(|_| rig.open()).collect();
        for step in steps {
            play(&mut rig, &sessions, step);
            let names = names(&rig);
            for (place, name) in names.iter().enumerate() {
                prop_assert!(!names[place..].iter().any(|other| name.conflicts_with(other)));
            }
            let row = rig.repository();
            prop_assert_eq!(row.refs_count, names.len() as u64);
            prop_assert_eq!(query::group(&rig.rows).unwrap().refs_count, names.len() as u64);
            let packs = query::packs_after(&rig.rows, REPO, Version(0)).unwrap();
            prop_assert_eq!(row.packs_count, packs.len() as u64);
        }
    }

    #[test]
    fn s14_the_same_log_gives_the_same_rows_and_log_time_never_falls(steps in steps()) {
        let mut rig = Rig::new();
        let sessions: Vec<_> = (0..SESSIONS).map(|_| rig.open()).collect();
        let mut last = 0;
        for step in steps {
            play(&mut rig, &sessions, step);
            let now = query::group(&rig.rows).unwrap().log_time;
            prop_assert!(now >= last);
            last = now;
        }
        let mut replica = MapRows::default();
        for (place, entry) in rig.log.iter().enumerate() {
            apply(Version(place as u64 + 1), entry, &mut replica).unwrap();
        }
        prop_assert_eq!(replica, rig.rows);
    }

    #[test]
    fn s31_a_reader_who_follows_the_changes_holds_what_a_fresh_one_reads(steps in steps()) {
        let mut rig = Rig::new();
        let sessions: Vec<_> = (0..SESSIONS).map(|_| rig.open()).collect();
        let mut held = std::collections::BTreeMap::new();
        let mut version = rig.repository().refs_version();
        for (place, step) in steps.into_iter().enumerate() {
            play(&mut rig, &sessions, step);
            if place % 3 != 0 {
                continue;
            }
            let row = rig.repository();
            for (name, now) in query::changed_refs(&rig.rows, &row, version).unwrap().unwrap() {
                match now {
                    Some(now) => drop(held.insert(name, now)),
                    None => drop(held.remove(&name)),
                }
            }
            version = row.refs_version();
            let mut fresh = std::collections::BTreeMap::new();
            query::references(&rig.rows, REPO, b"", &mut |n, r| drop(fresh.insert(n, r))).unwrap();
            prop_assert_eq!(&held, &fresh);
        }
    }
}

#[test]
fn s14_an_entry_from_a_leader_whose_clock_is_behind_does_not_turn_time_back() {
    let mut rig = Rig::new();
    rig.tick(9_000);
    let late = Entry { log_time: 10, change: Some(Change::Tick(Tick {})), ..Entry::default() };
    rig.apply_entry(&late);
    assert_eq!(query::group(&rig.rows).unwrap().log_time, 9_000);
}

#[test]
fn s44_the_group_remembers_the_highest_grants_version() {
    let mut rig = Rig::new();
    for grants_version in [7, 4] {
        let change = Some(Change::Tick(Tick {}));
        rig.apply_entry(&Entry { grants_version, change, ..Entry::default() });
    }
    assert_eq!(query::group(&rig.rows).unwrap().grants_version, 7);
}

#[test]
fn a_push_key_without_a_floor_lifts_none() {
    let mut rig = Rig::new();
    let session = rig.open();
    let push = PushKey { floor: 0, ..key(session, 5, 1) };
    rig.push(update(push, vec![command("refs/heads/x", 0, 1)]));
    rig.push(update(key(session, 1, 1), vec![command("refs/heads/y", 0, 1)]));
    assert_eq!(rig.target("refs/heads/y"), Some(1));
}
