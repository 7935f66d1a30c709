//! Any order of claims, swaps, purges and pushes, against a model that knows only the rules.

use std::collections::{BTreeMap, BTreeSet};

use gitstratum_proto::metadata::v1::{ClaimKind, Refusal, SegmentQuery};
use proptest::prelude::*;

use super::claims::{claim, id, listed, open, purge, swap};
use super::rig::{REPO, Rig, command, key, pack, update, with_pack};
use crate::partition::entry::{Change, CloseClaim, UpdateRefs};
use crate::partition::query;

#[derive(Clone, Debug)]
enum Step {
    /// Of a pack with a new id, under the counter as it is, or as it was before.
    Push {
        is_late: bool,
    },
    Open {
        drops: bool,
    },
    TakeOver,
    Close,
    /// Of the inputs that `choice` picks, by the newest claim or an older one.
    Swap {
        choice: u8,
        is_old: bool,
        has_cruft: bool,
    },
    /// Up to a version that lies so far back.
    Purge {
        back: u64,
    },
    Tick {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|is_late| Step::Push { is_late }),
        3 => any::<bool>().prop_map(|drops| Step::Open { drops }),
        1 => Just(Step::TakeOver),
        1 => Just(Step::Close),
        4 => (any::<u8>(), 0..5_u8, any::<bool>())
            .prop_map(|(choice, old, has_cruft)| Step::Swap { choice, is_old: old == 0, has_cruft }),
        3 => (0..6_u64).prop_map(|back| Step::Purge { back }),
        1 => (0..2_000_u64).prop_map(|millis| Step::Tick { millis }),
    ];
    proptest::collection::vec(step, 1..50)
}

/// What the rules say there is.
#[derive(Default)]
struct Model {
    /// Live packs.
    live: BTreeSet<u8>,
    /// Replaced or dropped packs: since which version, and until when in any case.
    kept: BTreeMap<u8, (u64, u64)>,
    /// The open claim.
    claim: Option<(u64, bool)>,
    /// Claims that were open once.
    past: Vec<u64>,
    counter: u64,
    next: u8,
    pushes: u64,
    /// By pack: the claim that wrote it, 0 for a push.
    writers: BTreeMap<u8, u64>,
    swept: BTreeSet<u8>,
}

impl Model {
    fn fresh(&mut self, writer: u64) -> u8 {
        self.next += 1;
        self.writers.insert(self.next, writer);
        self.next
    }
}

fn play(rig: &mut Rig, session: u64, model: &mut Model, step: &Step) {
    match step {
        Step::Push { is_late } => {
            let (number, counter) = (model.fresh(0), model.counter);
            model.pushes += 1;
            let name = format!("refs/heads/x{number}");
            let push = update(key(session, model.pushes, 1), vec![command(&name, 0, number)]);
            let sent = if *is_late { counter.saturating_sub(1) } else { counter };
            let answer =
                rig.push(UpdateRefs { drop_counter: sent, ..with_pack(push, pack(number)) });
            let is_taken = answer.refusal() == Refusal::None;
            assert_eq!(is_taken, sent == counter, "S15: another counter is refused");
            if is_taken {
                model.live.insert(number);
            }
        }
        Step::Open { drops } => {
            let kind = if *drops { ClaimKind::Drop } else { ClaimKind::Compaction };
            if model.claim.is_some() {
                assert!(!open(rig, kind, 1, 0).granted, "S35: one at a time");
                return;
            }
            let number = claim(rig, kind);
            model.counter += u64::from(*drops);
            model.claim = Some((number, *drops));
        }
        Step::TakeOver => {
            let Some((number, drops)) = model.claim else { return };
            let kind = if drops { ClaimKind::Drop } else { ClaimKind::Compaction };
            assert!(open(rig, kind, 2, number).granted);
        }
        Step::Close => {
            let Some((number, _)) = model.claim.take() else { return };
            rig.apply(Change::CloseClaim(CloseClaim { repo_id: REPO.0, claim: number }));
            model.past.push(number);
        }
        Step::Swap { choice, is_old, has_cruft } => {
            try_swap(rig, model, (*choice, *is_old, *has_cruft))
        }
        Step::Purge { back } => {
            let horizon = rig.index.saturating_sub(*back);
            let all: Vec<u8> = model.kept.keys().copied().collect();
            purge(rig, horizon, &all);
            let now = rig.log_time;
            model.kept.retain(|_, (since, until)| *since > horizon || *until > now);
        }
        Step::Tick { millis } => {
            let time = rig.log_time + millis;
            rig.tick(time);
        }
    }
}

fn try_swap(rig: &mut Rig, model: &mut Model, (choice, is_old, has_cruft): (u8, bool, bool)) {
    let number = match (is_old, model.past.last(), model.claim) {
        (true, Some(past), _) => *past,
        (_, _, Some((number, _))) => number,
        _ => return,
    };
    let all = model.live.iter().chain(model.kept.keys());
    let inputs: Vec<u8> = all.copied().filter(|pack| (choice >> (pack % 8)) & 1 == 1).collect();
    let output = model.fresh(number);
    let cruft: Vec<u8> = if has_cruft { vec![model.fresh(number)] } else { Vec::new() };
    let answer = swap(rig, number, &inputs, &[output], &cruft);
    let is_open = model.claim.is_some_and(|(open, drops)| open == number && (drops || !has_cruft));
    let fits =
        is_open && !inputs.is_empty() && inputs.iter().all(|input| model.live.contains(input));
    assert_eq!(answer.version > 0, fits, "S35: {}", answer.refused);
    if !fits {
        return;
    }
    for input in inputs {
        model.live.remove(&input);
        model.kept.insert(input, (answer.version, 0));
    }
    model.live.insert(output);
    let until = rig.log_time + 1_000;
    model.kept.extend(cruft.into_iter().map(|pack| (pack, (answer.version, until))));
    model.past.extend(model.claim.take().map(|(number, _)| number));
}

proptest! {
    /// S12, S15, S30, S35, S37 at once: what is listed, kept and garbage is what the model says, and
    /// what an owner may once have swept is never listed again.
    #[test]
    fn s35_s30_s12_any_order_of_runs_and_pushes_is_as_the_model_says(steps in steps()) {
        let mut rig = Rig::new();
        let session = rig.open();
        let mut model = Model::default();
        for step in &steps {
            play(&mut rig, session, &mut model, step);
            let live: BTreeSet<u8> = listed(&rig).into_iter().collect();
            prop_assert_eq!(&live, &model.live);
            let rows = query::unlisted_of(&rig.rows, REPO).unwrap();
            let kept: BTreeSet<u8> = rows.iter().map(|row| row.pack.pack_id[0]).collect();
            prop_assert_eq!(&kept, &model.kept.keys().copied().collect());
            prop_assert_eq!(rig.repository().packs_count, live.len() as u64);
            prop_assert_eq!(rig.repository().drop_counter, model.counter);
            prop_assert_eq!(query::group(&rig.rows).unwrap().unlisted_count, kept.len() as u64);
            let writers: Vec<(u8, u64)> =
                model.writers.iter().map(|(pack, writer)| (*pack, *writer)).collect();
            for (pack, writer) in writers.into_iter().filter(|(_, writer)| *writer > 0) {
                let query = SegmentQuery {
                    segment_id: id(pack),
                    claim: writer,
                    repo_id: REPO.0,
                    ..SegmentQuery::default()
                };
                let state = query::segment_states(&rig.rows, &[query]).unwrap().remove(0);
                let is_kept = live.contains(&pack) || kept.contains(&pack);
                prop_assert_eq!(state.listed, is_kept);
                prop_assert!(!(is_kept && model.swept.contains(&pack)), "{} came back", pack);
                if state.writer_closed && !state.listed {
                    model.swept.insert(pack);
                }
            }
            let shown = query::packs_page(&rig.rows, None, 1_000).unwrap().packs.len();
            prop_assert_eq!(shown, live.len() + kept.len(), "S20: all of them name nodes");
        }
    }
}
