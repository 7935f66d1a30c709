//! Drop runs, compactions and pushes that lean on old objects (S12, S15, S16, S35, S37).
//!
//! There are a root R that stays, an old object X, and N that needs X. A ref to X is deleted,
//! while a push brings N without X and another one sets a ref to X again. Runs open claims, mark,
//! swap, end without a result, are taken over by another node, and propose late. Owners may sweep
//! outputs by any reading.
//!
//! Driven are the product's `apply`, what it shows to the run under a claim, what it answers to an
//! owner's reading, and the owner's verdict. Told here are what a frontend checks (that X is reached from refs in the
//! state whose counter it sends) and what a run does with what it was shown: it keeps what the tips
//! reach, drops the rest of its inputs, and leaves everything else alone.

use std::collections::{BTreeMap, BTreeSet};

use gitstratum_client::garbage::{Verdict, judge};
use gitstratum_core::NodeId;
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::{ClaimKind, Refusal, UpdateRefsResponse};
use prost::Message;

use super::explorer::{Broken, Seen, Walked, World, check, walk};
use super::replica::{Replica, Writer};
use crate::partition::entry::{Change, CloseClaim, OpenClaim, Swap, UpdateRefs};
use crate::partition::tests::claims::id;
use crate::partition::tests::rig::{NODE, REPO, Rig, command, key, pack, update, with_pack};
use crate::partition::{ClaimAnswer, SwapAnswer, keys, query, rows};
use crate::service::claims::shown;

const REACHED: &str = "S15: what a ref reaches is in a listed pack";
const OLDER: &str = "S15: a swap of an older counter is refused";
const ALONE: &str = "S35: a repository has one claim";
const FIRST: &str = "S15: a push that was refused twice goes first";
const SWEPT: &str = "S12: what may be swept is never listed";

/// Objects, by the byte that their ids are made of.
const R: u8 = 9;
const X: u8 = 1;
const N: u8 = 2;
/// What the last packs of runs are called: outputs, and what they drop.
const OUTPUT: u8 = 10;
const CRUFT: u8 = 20;

/// How often a push is sent.
const ATTEMPTS: u32 = 3;

/// How much may happen.
#[derive(Clone, Copy)]
struct Bounds {
    jobs: &'static [Job],
    /// How often runs are opened.
    opened: u8,
    /// How often one is taken over.
    taken_over: u8,
    depth: usize,
}

/// Everything as far as time allows; one push beside the deletion to the end; starts that wait.
const ALL: Bounds = Bounds { jobs: &Job::ALL, opened: 2, taken_over: 1, depth: 8 };
const ONE: Bounds = Bounds { jobs: &[Job::Delete, Job::Thin], opened: 2, taken_over: 0, depth: 99 };
const WAITING: Bounds = Bounds { jobs: &[Job::Thin], opened: 3, taken_over: 0, depth: 99 };

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    Nothing,
    /// A push carries the counter as it is, not as it was checked.
    FreshCounter,
    /// The counter is raised by the swap, not by the start.
    RaisedBySwap,
    /// A run marks from the refs as they are when it marks.
    MarkedLate,
    /// A push may lean on what is merely stored.
    Stored,
    /// A run takes all packs for its inputs.
    AllInputs,
    /// A swap carries the number of whatever claim is open.
    AnyClaim,
    /// The same with compactions only, which change no counter.
    AnyCompaction,
    /// Starts do not wait for a push that was refused twice.
    NobodyWaits,
    /// A claim is opened whether or not there is one.
    ClaimUnread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Job {
    /// Deletes the ref to X.
    Delete,
    /// Brings N, which needs X, and a ref to it.
    Thin,
    /// Sets another ref to X.
    Again,
}

impl Job {
    const ALL: [Self; 3] = [Self::Delete, Self::Thin, Self::Again];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// On its way, with the counter that it was checked at.
    Sent(u64),
    Over,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Push {
    phase: Phase,
    attempt: u32,
    /// How often drop runs have refused it.
    refused: u8,
}

/// What a run has made of what it was shown.
#[derive(Clone, Debug, Hash)]
struct Marked {
    inputs: Vec<u8>,
    kept: BTreeSet<u8>,
    dropped: BTreeSet<u8>,
}

#[derive(Clone, Debug, Hash)]
struct Run {
    claim: u64,
    kind: i32,
    /// The counter in the state that it works from.
    counter: u64,
    marked: Option<Marked>,
    is_over: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Checks and sends.
    Send(Job),
    Arrive(Job),
    Open(ClaimKind),
    TakeOver(usize),
    Mark(usize),
    Swap(usize),
    /// The run ends without a result; its swap may be on its way.
    Close(usize),
}

#[derive(Clone, Hash)]
struct Drops {
    wrong: Wrong,
    replica: Replica,
    session: u64,
    pushes: BTreeMap<Job, Push>,
    runs: Vec<Run>,
    /// How often that may be done yet.
    opens: u8,
    takings_over: u8,
    /// Objects of packs.
    contents: BTreeMap<u8, BTreeSet<u8>>,
    swept: BTreeSet<u8>,
}

impl Drops {
    fn new(wrong: Wrong, bounds: Bounds) -> Self {
        let mut rig = Rig::new();
        let session = rig.open();
        let refs = vec![command("refs/heads/keep", 0, R), command("refs/heads/old", 0, X)];
        rig.push(with_pack(update(key(session, 9, 1), refs), pack(1)));
        let push = Push { phase: Phase::Idle, attempt: 0, refused: 0 };
        Self {
            wrong,
            replica: Replica::of(&rig),
            session,
            pushes: bounds.jobs.iter().map(|job| (*job, push)).collect(),
            runs: Vec::new(),
            opens: bounds.opened,
            takings_over: bounds.taken_over,
            contents: BTreeMap::from([(1, BTreeSet::from([R, X])), (2, BTreeSet::from([N]))]),
            swept: BTreeSet::new(),
        }
    }

    fn targets(&self) -> BTreeSet<u8> {
        let mut targets = BTreeSet::new();
        query::references(&self.replica.rows, REPO, b"", &mut |_, row| {
            targets.insert(row.target[0]);
        })
        .unwrap();
        targets
    }

    fn stored(&self) -> BTreeSet<u8> {
        self.replica.listed().iter().flat_map(|pack| self.contents[pack].clone()).collect()
    }

    fn may_lean_on_x(&self) -> bool {
        match self.wrong {
            Wrong::Stored => self.stored().contains(&X),
            _ => reached(self.targets()).contains(&X),
        }
    }

    fn send(&mut self, job: Job) {
        let counter = self.replica.repository().drop_counter;
        let is_sound = job == Job::Delete || self.may_lean_on_x();
        let push = self.pushes.get_mut(&job).expect("because all are there");
        push.attempt += 1;
        push.phase = if is_sound { Phase::Sent(counter) } else { Phase::Over };
    }

    fn arrive(&mut self, job: Job, seen: &mut Seen) {
        let Push { phase: Phase::Sent(checked), attempt, .. } = self.pushes[&job] else { return };
        let (number, ref_command, brought) = match job {
            Job::Delete => (1, command("refs/heads/old", X, 0), None),
            Job::Thin => (2, command("refs/heads/new", 0, N), Some(pack(2))),
            Job::Again => (3, command("refs/heads/again", 0, X), None),
        };
        let push = update(key(self.session, number, attempt), vec![ref_command]);
        let current = self.replica.repository().drop_counter;
        let drop_counter = if self.wrong == Wrong::FreshCounter { current } else { checked };
        let change = Change::UpdateRefs(UpdateRefs { drop_counter, pack: brought, ..push });
        let answer = UpdateRefsResponse::decode(self.replica.apply(change)).unwrap();
        let push = self.pushes.get_mut(&job).expect("because all are there");
        push.phase = Phase::Over;
        if answer.refusal() == Refusal::DropCounter {
            seen.note("a push of another counter was refused");
            push.refused += 1;
            push.phase = Phase::Idle;
        } else if job != Job::Delete {
            seen.note("an old object is leaned upon");
        }
    }

    fn open(&mut self, kind: ClaimKind, seen: &mut Seen) -> Result<(), Broken> {
        let open = OpenClaim { repo_id: REPO.0, kind: kind.into(), node: NODE, takes_over: 0 };
        let hidden = match self.wrong {
            Wrong::NobodyWaits => Some(b'h'),
            Wrong::ClaimUnread => Some(b'c'),
            _ => None,
        };
        let is_open = query::open_claim(&self.replica.rows, REPO).unwrap().is_some();
        let view = move |row_key: &[u8], row| (Some(row_key[0]) != hidden).then_some(row);
        let answer = self.replica.apply_through(Change::OpenClaim(open), &view);
        let answer = ClaimAnswer::decode(answer).unwrap();
        let Some(claim) = answer.claim.filter(|_| answer.granted) else {
            seen.note(if is_open { "a second claim was refused" } else { "a start was refused" });
            return Ok(());
        };
        self.opens -= 1;
        check(ALONE, !is_open, || format!("{:?}", self.runs))?;
        let is_drop = kind == ClaimKind::Drop;
        let waiting = self.pushes.values().any(|p| p.refused >= 2 && p.phase != Phase::Over);
        check(FIRST, !(is_drop && waiting), || format!("{:?}", self.pushes))?;
        if is_drop && self.wrong == Wrong::RaisedBySwap {
            self.add_to_counter(-1);
        }
        let counter = self.replica.repository().drop_counter;
        let (claim, kind) = (claim.number, claim.kind);
        self.runs.push(Run { claim, kind, counter, marked: None, is_over: false });
        Ok(())
    }

    fn add_to_counter(&mut self, difference: i64) {
        let mut row = self.replica.repository();
        row.drop_counter = row.drop_counter.wrapping_add_signed(difference);
        rows::store(&mut self.replica.rows, keys::repository(REPO), &row);
    }

    fn take_over(&mut self, run: usize) {
        let Run { claim, kind, .. } = self.runs[run];
        let open = OpenClaim { repo_id: REPO.0, kind, node: NODE + 1, takes_over: claim };
        let answer = ClaimAnswer::decode(self.replica.apply(Change::OpenClaim(open))).unwrap();
        self.takings_over -= 1;
        if answer.granted {
            self.runs.push(Run { marked: None, is_over: false, ..self.runs[run].clone() });
        }
    }

    fn mark(&mut self, run: usize) {
        let ground = shown(&self.replica.rows, REPO, self.runs[run].claim).unwrap();
        if !ground.open {
            self.runs[run].is_over = true;
            return;
        }
        let mut inputs: Vec<u8> = ground.packs.iter().map(first).collect();
        if self.wrong == Wrong::AllInputs {
            inputs = self.replica.listed();
        }
        let held: BTreeSet<u8> =
            inputs.iter().flat_map(|pack| self.contents[pack].clone()).collect();
        let is_drop = self.runs[run].kind == i32::from(ClaimKind::Drop);
        let tips = match self.wrong {
            Wrong::MarkedLate => self.targets(),
            _ => ground.tips.iter().map(|tip| tip[0]).collect(),
        };
        let reached = reached(tips);
        let (kept, dropped) = held.into_iter().partition(|it| !is_drop || reached.contains(it));
        self.runs[run].marked = Some(Marked { inputs, kept, dropped });
    }

    fn swap(&mut self, at: usize, seen: &mut Seen) -> Result<(), Broken> {
        let run = self.runs[at].clone();
        let Marked { inputs, kept, dropped } = run.marked.expect("because it has marked");
        self.runs[at].is_over = true;
        let (output, cruft) = (OUTPUT + small(at), CRUFT + small(at));
        let cruft = (!dropped.is_empty()).then_some(cruft);
        let open = query::open_claim(&self.replica.rows, REPO).unwrap().map(|row| row.number);
        let claim = match self.wrong {
            Wrong::AnyClaim | Wrong::AnyCompaction => open.unwrap_or(run.claim),
            _ => run.claim,
        };
        let swap = Swap {
            repo_id: REPO.0,
            claim,
            inputs: inputs.iter().map(|input| id(*input)).collect(),
            outputs: vec![pack(output)],
            cruft: cruft.map(pack).into_iter().collect(),
            cruft_window: 1_000,
            replication_factor: 1,
        };
        let counter = self.replica.repository().drop_counter;
        let answer = SwapAnswer::decode(self.replica.apply(Change::Swap(swap))).unwrap();
        if answer.version == 0 {
            seen.note("a swap was refused");
            return Ok(());
        }
        check(OLDER, run.counter == counter, || format!("run {at}: {} < {counter}", run.counter))?;
        seen.note(if dropped.contains(&X) { "X was dropped" } else { "a swap" });
        self.contents.insert(output, kept);
        self.contents.extend(cruft.map(|cruft| (cruft, dropped)));
        if self.wrong == Wrong::RaisedBySwap && run.kind == i32::from(ClaimKind::Drop) {
            self.add_to_counter(1);
        }
        Ok(())
    }

    /// What owners of outputs read of them now.
    fn sweep(&mut self, seen: &mut Seen) -> Result<(), Broken> {
        for at in (0..self.runs.len()).filter(|at| self.runs[*at].marked.is_some()) {
            let output = OUTPUT + small(at);
            let state = self.replica.state(output, Writer::Claim(self.runs[at].claim));
            let was_swept = self.swept.contains(&output);
            check(SWEPT, !(state.listed && was_swept), || format!("pack {output}"))?;
            if judge(NodeId(NODE), 0, &state) == Verdict::Garbage {
                seen.note("an output was swept");
                self.swept.insert(output);
            }
        }
        Ok(())
    }
}

impl World for Drops {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (job, push) in &self.pushes {
            match push.phase {
                Phase::Idle if push.attempt < ATTEMPTS => steps.push(Step::Send(*job)),
                Phase::Sent(_) => steps.push(Step::Arrive(*job)),
                Phase::Idle | Phase::Over => {}
            }
        }
        let is_open = query::open_claim(&self.replica.rows, REPO).unwrap().is_some();
        if self.opens > 0 {
            let drops = self.wrong != Wrong::AnyCompaction;
            steps.extend(drops.then_some(Step::Open(ClaimKind::Drop)));
            steps.push(Step::Open(ClaimKind::Compaction));
        }
        for (at, run) in self.runs.iter().enumerate() {
            if run.is_over {
                continue;
            }
            if is_open && self.takings_over > 0 {
                steps.push(Step::TakeOver(at));
            }
            steps.push(if run.marked.is_none() { Step::Mark(at) } else { Step::Swap(at) });
            steps.extend(is_open.then_some(Step::Close(at)));
        }
        steps
    }

    fn take(&mut self, step: Step, seen: &mut Seen) -> Result<(), Broken> {
        match step {
            Step::Send(job) => self.send(job),
            Step::Arrive(job) => self.arrive(job, seen),
            Step::Open(kind) => self.open(kind, seen)?,
            Step::TakeOver(run) => self.take_over(run),
            Step::Mark(run) => self.mark(run),
            Step::Swap(run) => self.swap(run, seen)?,
            Step::Close(run) => {
                let close = CloseClaim { repo_id: REPO.0, claim: self.runs[run].claim };
                self.replica.apply(Change::CloseClaim(close));
                self.runs[run].is_over = self.runs[run].marked.is_none();
            }
        }
        let (wanted, stored) = (reached(self.targets()), self.stored());
        check(REACHED, wanted.is_subset(&stored), || format!("{wanted:?} of {stored:?}"))?;
        self.sweep(seen)
    }
}

/// What `tips` reach: N needs X.
fn reached(mut tips: BTreeSet<u8>) -> BTreeSet<u8> {
    if tips.contains(&N) {
        tips.insert(X);
    }
    tips
}

fn first(pack: &Pack) -> u8 {
    pack.pack_id[0]
}

fn small(at: usize) -> u8 {
    u8::try_from(at).expect("because runs are few")
}

fn walk_with(wrong: Wrong, bounds: Bounds) -> Walked {
    walk("pushes beside drop runs", Drops::new(wrong, bounds), bounds.depth)
}

#[test]
fn s12_s15_s35_pushes_beside_drop_runs_in_any_order_model() {
    let wanted = [
        "a push of another counter was refused",
        "an old object is leaned upon",
        "a second claim was refused",
        "a swap was refused",
        "a swap",
        "X was dropped",
        "an output was swept",
    ];
    walk_with(Wrong::Nothing, ALL).holds(20_000, &wanted);
    walk_with(Wrong::Nothing, ONE).holds_wholly(10_000, &wanted);
}

#[test]
fn s15_starts_of_drop_runs_wait_for_a_push_refused_twice_model() {
    walk_with(Wrong::Nothing, WAITING).holds_wholly(1_000, &["a start was refused"]);
    walk_with(Wrong::NobodyWaits, WAITING).breaks(FIRST);
}

#[test]
fn s15_s16_the_model_of_drop_runs_notices_what_is_dropped_and_reached() {
    for wrong in [
        Wrong::FreshCounter,
        Wrong::RaisedBySwap,
        Wrong::MarkedLate,
        Wrong::Stored,
        Wrong::AllInputs,
    ] {
        walk_with(wrong, ALL).breaks(REACHED);
    }
}

#[test]
fn s15_s35_the_model_of_drop_runs_notices_a_second_claim_and_an_older_counter() {
    walk_with(Wrong::ClaimUnread, ALL).breaks(ALONE);
    walk_with(Wrong::AnyClaim, ALL).breaks(OLDER);
}

#[test]
fn s12_s35_the_model_of_drop_runs_notices_an_output_that_is_swept_and_listed() {
    walk_with(Wrong::AnyCompaction, ALL).breaks(SWEPT);
}
