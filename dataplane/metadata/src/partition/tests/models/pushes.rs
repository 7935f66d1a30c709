//! Sessions, pushes that arrive late and twice, floors, sweeping (S10–S12).
//!
//! Two frontends. F pushes a branch (job 0) and another one (job 2), G deletes the first again
//! (job 1), so that job 0 could be applied twice. Every request may be lost, come late, twice, after
//! the end of its session, be answered to nobody, or be denied; once a drop run has the first be
//! sent again; sessions end and are opened anew; outcomes are forgotten in time. What an owner reads of a
//! segment in any state it may act by in every later one.
//!
//! Driven is the product's `apply`, what it answers to an owner's reading, and the owner's
//! verdict. What a frontend does is told here: it counts its pushes, and its floor is the least
//! number under way.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gitstratum_client::garbage::{Verdict, judge};
use gitstratum_core::{NodeId, SessionId};
use gitstratum_proto::metadata::v1::{ClaimKind, Refusal, UpdateRefsResponse};
use prost::Message;

use super::explorer::{Broken, Seen, Walked, World, check, walk};
use super::replica::{Replica, Writer, changed};
use crate::partition::entry::{
    Change, CloseSession, Floor, OpenClaim, OpenSession, PushKey, RaiseFloors, Refuse, Tick,
    UpdateRefs,
};
use crate::partition::query;
use crate::partition::record::{SessionRow, Who};
use crate::partition::tests::rig::{MAIN, NODE, REPO, Rig, command, pack, update};

/// By job: the frontend that pushes it.
const PUSHER: [usize; JOBS] = [0, 1, 0];
const JOBS: usize = 3;
/// How many of the jobs there are, and steps from the first state: one alone through all that can
/// come of it, and all as far as time allows.
#[derive(Clone, Copy)]
struct Bounds {
    jobs: usize,
    depth: usize,
}

const ONE: Bounds = Bounds { jobs: 1, depth: 99 };
const ALL: Bounds = Bounds { jobs: JOBS, depth: 7 };

/// How often the network brings one request.
const DELIVERIES: u8 = 2;
/// How much time passes at once, and how often: outcomes are kept for 600 s.
const TICK_MILLIS: u64 = 400_000;
const TICKS: u64 = 2;

const TWICE: &str = "S11: a push is applied once";
const TOLD: &str = "S11: a push that was refused is not applied";
const UNKNOWN: &str = "S11: what is unknown is not applied later";
const KEPT: &str = "S11: an outcome is kept";
const FLOOR: &str = "S10: a floor never falls, and what is closed stays closed";
const SWEPT: &str = "S12: what may be swept is never listed";

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    Nothing,
    /// `apply` does not look at what it has recorded.
    RecordsUnread,
    /// Nor at the ids that are listed; and no answer is ever heard.
    AppliedAsNew,
    /// `apply` takes pushes of closed sessions.
    ClosedAccepted,
    /// `apply` takes pushes below the floor.
    FloorUnread,
    /// Outcomes go with the session's close.
    ForgottenAtClose,
    /// A push is sent again under another number.
    AnotherNumber,
    /// A push whose outcome is unknown is sent again in another session.
    AnotherSession,
    /// A leader denies without an entry.
    DeniedAside,
    /// Owners take "unlisted" of one reading and "closed" of a later one.
    TwoReadings,
    /// Owners are told floors that are not committed.
    FloorOfMemory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    Unsent,
    UnderWay,
    /// Only this attempt was refused.
    Again,
    /// Nobody waits any more: it was answered or given up.
    Over,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Job {
    phase: Phase,
    session: u64,
    number: u64,
    attempt: u32,
    /// Who its segments say has written them.
    writer: Writer,
    applied: u8,
    /// An entry has refused it for good.
    refused: bool,
    /// Somebody was told so.
    told_refused: bool,
    told_unknown: bool,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Frontend {
    session: Option<u64>,
    next: u64,
}

/// A request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Letter {
    job: usize,
    session: u64,
    number: u64,
    attempt: u32,
    floor: u64,
    counter: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize),
    /// It arrives and is proposed; whether its frontend hears the answer.
    Deliver(Letter, bool),
    /// It arrives at a leader that denies it.
    Deny(Letter),
    GiveUp(usize),
    RaiseFloor(usize, u64),
    Close(usize),
    Open(usize),
    StartDrop,
    Tick,
}

#[derive(Clone, Hash)]
struct Pushes {
    wrong: Wrong,
    replica: Replica,
    frontends: [Frontend; 2],
    jobs: Vec<Job>,
    wire: BTreeMap<Letter, u8>,
    denials: u8,
    closes: u8,
    /// What owners have seen unlisted, and what they may delete.
    unlisted: BTreeSet<u8>,
    swept: BTreeSet<u8>,
}

impl Pushes {
    fn new(wrong: Wrong, bounds: Bounds) -> Self {
        let mut rig = Rig::new();
        let frontends = [(); 2].map(|()| Frontend { session: Some(rig.open()), next: 1 });
        let job = Job {
            phase: Phase::Unsent,
            session: 0,
            number: 0,
            attempt: 0,
            writer: Writer::Push(0, 0),
            applied: 0,
            refused: false,
            told_refused: false,
            told_unknown: false,
        };
        Self {
            wrong,
            replica: Replica::of(&rig),
            frontends,
            jobs: vec![job; bounds.jobs],
            wire: BTreeMap::new(),
            // What is denied hides some of what is wrong elsewhere.
            denials: u8::from(matches!(wrong, Wrong::Nothing | Wrong::DeniedAside)),
            closes: u8::from(wrong != Wrong::AppliedAsNew),
            unlisted: BTreeSet::new(),
            swept: BTreeSet::new(),
        }
    }

    /// All numbers of the frontend's session below are done.
    fn floor(&self, frontend: usize) -> u64 {
        let Frontend { session, next } = self.frontends[frontend];
        let under_way = self.jobs.iter().filter(|job| {
            Some(job.session) == session && matches!(job.phase, Phase::UnderWay | Phase::Again)
        });
        under_way.map(|job| job.number).min().unwrap_or(next)
    }

    /// Whether `job` may be sent now: for the first time, or again.
    fn may_send(&self, job: usize) -> bool {
        let held = &self.jobs[job];
        let session = self.frontends[PUSHER[job]].session;
        match held.phase {
            Phase::Unsent => session.is_some(),
            Phase::Again => session == Some(held.session) && held.attempt < 2,
            Phase::UnderWay => false,
            Phase::Over => {
                self.wrong == Wrong::AnotherSession
                    && held.told_unknown
                    && session.is_some_and(|session| session != held.session)
            }
        }
    }

    fn send(&mut self, job: usize) {
        let pusher = &mut self.frontends[PUSHER[job]];
        let session = pusher.session.expect("because it may send");
        let held = &mut self.jobs[job];
        held.attempt += 1;
        if held.phase != Phase::Again || self.wrong == Wrong::AnotherNumber {
            (held.session, held.number) = (session, pusher.next);
            pusher.next += 1;
        }
        if held.phase == Phase::Unsent {
            held.writer = Writer::Push(held.session, held.number);
        }
        held.phase = Phase::UnderWay;
        let (number, attempt) = (held.number, held.attempt);
        let (floor, counter) = (self.floor(PUSHER[job]), self.replica.repository().drop_counter);
        self.wire.insert(Letter { job, session, number, attempt, floor, counter }, DELIVERIES);
    }

    /// The push as the leader proposes it.
    fn entry(&self, letter: &Letter) -> UpdateRefs {
        let (commands, brought) = match letter.job {
            0 => (vec![command(MAIN, 0, 1)], Some(pack(1))),
            1 => (vec![command(MAIN, 1, 0)], None),
            _ => (vec![command("refs/heads/other", 0, 2)], Some(pack(2))),
        };
        let push = UpdateRefs { drop_counter: letter.counter, ..update(key(letter), commands) };
        // Each session has its own segments.
        let again = self.jobs[letter.job].writer != Writer::Push(letter.session, letter.number);
        let id = if again && self.wrong == Wrong::AnotherSession { 20 } else { 0 };
        UpdateRefs { pack: brought.map(|held| pack(held.pack_id[0] + id)), ..push }
    }

    fn deliver(&mut self, letter: Letter, heard: bool, seen: &mut Seen) -> Result<(), Broken> {
        self.arrive(letter);
        let before = self.replica.clone();
        let change = Change::UpdateRefs(self.entry(&letter));
        let wrong = self.wrong;
        let view = move |row_key: &[u8], row: Bytes| match (wrong, row_key[0]) {
            (Wrong::RecordsUnread, b'o') | (Wrong::AppliedAsNew, b'o' | b'p' | b's') => None,
            (Wrong::ClosedAccepted, b'S') => Some(changed::<SessionRow>(&row, |row| {
                // So high that the entry's own does not lift it.
                (row.closed, row.floor) = (false, row.floor.max(letter.number));
            })),
            (Wrong::FloorUnread, b'S') => Some(changed::<SessionRow>(&row, |row| {
                row.floor = row.floor.min(letter.number);
            })),
            _ => Some(row),
        };
        let answer = self.replica.apply_through(change, &view);
        let grew = self.replica.repository().push_sequence > before.repository().push_sequence;
        self.jobs[letter.job].applied += u8::from(grew);
        check(UNKNOWN, !(grew && self.jobs[letter.job].told_unknown), || format!("{letter:?}"))?;
        self.hear(letter, (&answer, heard), &before, seen)
    }

    /// Whether the frontend waits for the answer to `letter`.
    fn waits(&self, letter: &Letter) -> bool {
        let Letter { job, session, number, attempt, .. } = *letter;
        let job = &self.jobs[job];
        job.phase == Phase::UnderWay
            && (job.session, job.number, job.attempt) == (session, number, attempt)
    }

    fn arrive(&mut self, letter: Letter) {
        match self.wire.remove(&letter) {
            Some(left) if left > 1 => drop(self.wire.insert(letter, left - 1)),
            _ => {}
        }
    }

    /// What an answer says, and what the frontend makes of it, if it hears it.
    fn hear(
        &mut self,
        letter: Letter,
        (answer, heard): (&Bytes, bool),
        before: &Replica,
        seen: &mut Seen,
    ) -> Result<(), Broken> {
        let answer = UpdateRefsResponse::decode(&answer[..]).expect("because it answers");
        let waits = heard && self.waits(&letter);
        let job = &mut self.jobs[letter.job];
        let is_done = job.applied > 0 || job.refused;
        let verdict = answer.results.first().map(|result| result.refusal());
        let next = match (answer.refusal(), verdict) {
            (Refusal::None, Some(Refusal::None)) => {
                seen.note("applied");
                Phase::Over
            }
            (Refusal::DropCounter, _) => {
                seen.note("an attempt refused");
                Phase::Again
            }
            (Refusal::Unknown, _) => {
                seen.note("unknown");
                check(KEPT, !(is_done && is_kept(before, &letter)), || format!("{letter:?}"))?;
                job.told_unknown |= heard;
                Phase::Over
            }
            _ => {
                seen.note("refused");
                job.refused = true;
                job.told_refused |= heard;
                Phase::Over
            }
        };
        if waits {
            job.phase = next;
        }
        Ok(())
    }

    fn deny(&mut self, letter: Letter, seen: &mut Seen) -> Result<(), Broken> {
        self.arrive(letter);
        self.denials -= 1;
        if self.wrong == Wrong::DeniedAside {
            let job = &mut self.jobs[letter.job];
            (job.phase, job.told_refused) = (Phase::Over, true);
            return Ok(());
        }
        let before = self.replica.clone();
        let refuse = Refuse {
            push: key(&letter),
            refusal: Refusal::Denied.into(),
            message: "no".to_owned(),
            who: Who::default(),
        };
        let answer = self.replica.apply(Change::Refuse(refuse));
        seen.note("denied");
        self.hear(letter, (&answer, true), &before, seen)
    }

    fn close(&mut self, frontend: usize) {
        let session = self.frontends[frontend].session.take().expect("because it is open");
        self.closes -= 1;
        self.replica.apply(Change::CloseSession(CloseSession { session }));
        if self.wrong == Wrong::ForgottenAtClose {
            let start = [&[b'o'][..], &session.to_be_bytes()].concat();
            self.replica.rows.0.retain(|key, _| !key.starts_with(&start));
        }
    }

    fn open(&mut self, frontend: usize) {
        let open = OpenSession { node: NODE, incarnation: 1 };
        self.replica.apply(Change::OpenSession(open));
        self.frontends[frontend] = Frontend { session: Some(self.replica.index), next: 1 };
    }

    /// What owners read of every segment now.
    fn sweep(&mut self, seen: &mut Seen) -> Result<(), Broken> {
        for (job, id) in [(0, 1), (2, 2)] {
            if self.jobs.get(job).is_none_or(|job| job.phase == Phase::Unsent) {
                continue;
            }
            let mut state = self.replica.state(id, self.jobs[job].writer);
            check(SWEPT, !(state.listed && self.swept.contains(&id)), || format!("pack {id}"))?;
            if let (Wrong::FloorOfMemory, Writer::Push(_, number)) =
                (self.wrong, self.jobs[job].writer)
            {
                state.writer_closed |= number < self.floor(PUSHER[job]);
            }
            if self.wrong == Wrong::TwoReadings {
                if !state.listed {
                    self.unlisted.insert(id);
                }
                state.listed = !self.unlisted.contains(&id);
            }
            if judge(NodeId(NODE), 0, &state) == Verdict::Garbage {
                seen.note("swept");
                self.swept.insert(id);
            }
        }
        Ok(())
    }
}

impl World for Pushes {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> =
            (0..self.jobs.len()).filter(|job| self.may_send(*job)).map(Step::Send).collect();
        for letter in self.wire.keys() {
            steps.push(Step::Deliver(*letter, false));
            if self.waits(letter) && self.wrong != Wrong::AppliedAsNew {
                steps.push(Step::Deliver(*letter, true));
            }
            if self.denials > 0 && letter.job == 0 {
                steps.push(Step::Deny(*letter));
            }
        }
        if matches!(self.jobs[0].phase, Phase::UnderWay) {
            steps.push(Step::GiveUp(0));
        }
        if self.frontends[0].session.is_some() {
            steps.extend((1..=self.floor(0)).map(|floor| Step::RaiseFloor(0, floor)));
            steps.extend((self.closes > 0).then_some(Step::Close(0)));
        } else {
            steps.push(Step::Open(0));
            steps.extend((self.replica.log_time < TICKS * TICK_MILLIS).then_some(Step::Tick));
        }
        if query::claim(&self.replica.rows, REPO).unwrap().is_none() {
            steps.push(Step::StartDrop);
        }
        steps
    }

    fn take(&mut self, step: Step, seen: &mut Seen) -> Result<(), Broken> {
        let before = query::sessions(&self.replica.rows).unwrap();
        match step {
            Step::Send(job) => self.send(job),
            Step::Deliver(letter, heard) => self.deliver(letter, heard, seen)?,
            Step::Deny(letter) => self.deny(letter, seen)?,
            Step::GiveUp(job) => self.jobs[job].phase = Phase::Over,
            Step::RaiseFloor(frontend, floor) => {
                let session = self.frontends[frontend].session.expect("because it is open");
                let floors = vec![Floor { session, floor }];
                self.replica.apply(Change::RaiseFloors(RaiseFloors { floors }));
            }
            Step::Close(frontend) => self.close(frontend),
            Step::Open(frontend) => self.open(frontend),
            Step::StartDrop => {
                let kind = ClaimKind::Drop.into();
                let open = OpenClaim { repo_id: REPO.0, kind, node: NODE, takes_over: 0 };
                self.replica.apply(Change::OpenClaim(open));
            }
            Step::Tick => {
                self.replica.log_time += TICK_MILLIS;
                self.replica.apply(Change::Tick(Tick {}));
            }
        }
        for job in &self.jobs {
            check(TWICE, job.applied <= 1, || format!("{job:?}"))?;
            check(TOLD, job.applied == 0 || !job.told_refused, || format!("{job:?}"))?;
        }
        self.check_floors(&before)?;
        self.sweep(seen)
    }
}

impl Pushes {
    fn check_floors(&self, before: &[(SessionId, SessionRow)]) -> Result<(), Broken> {
        for (session, was) in before {
            let is = query::session(&self.replica.rows, *session).unwrap();
            let holds =
                is.as_ref().is_none_or(|is| is.floor >= was.floor && (is.closed || !was.closed));
            check(FLOOR, holds, || format!("{session:?}: {was:?}, then {is:?}"))?;
        }
        Ok(())
    }
}

fn key(letter: &Letter) -> PushKey {
    let Letter { session, number, attempt, floor, .. } = *letter;
    PushKey { session, push_number: number, attempt, floor, repo_id: REPO.0 }
}

/// Whether the outcome of what `letter` sends has to be kept: no floor has passed it, and its
/// session was open lately.
fn is_kept(replica: &Replica, letter: &Letter) -> bool {
    let row = query::session(&replica.rows, SessionId(letter.session)).unwrap();
    let lately = |row: &SessionRow| !row.closed || replica.log_time <= row.closed_at + 600_000;
    row.is_some_and(|row| letter.number >= row.floor && lately(&row))
}

fn walk_with(wrong: Wrong, bounds: Bounds) -> Walked {
    walk("sessions and sweeping", Pushes::new(wrong, bounds), bounds.depth)
}

#[test]
fn s10_s11_s12_a_push_late_and_twice_in_any_order_model() {
    let wanted = ["applied", "an attempt refused", "unknown", "denied", "swept"];
    walk_with(Wrong::Nothing, ONE).holds_wholly(1_000, &wanted);
}

#[test]
fn s10_s11_s12_pushes_late_and_twice_in_any_order_model() {
    let wanted = ["applied", "an attempt refused", "unknown", "refused", "denied", "swept"];
    walk_with(Wrong::Nothing, ALL).holds(50_000, &wanted);
}

#[test]
fn s11_the_model_of_pushes_notices_what_is_applied_again() {
    walk_with(Wrong::AppliedAsNew, ALL).breaks(TWICE);
    walk_with(Wrong::RecordsUnread, ALL).breaks(TOLD);
    walk_with(Wrong::AnotherSession, ALL).breaks(UNKNOWN);
}

#[test]
fn s11_the_model_of_pushes_notices_a_denial_or_an_outcome_that_is_not_kept() {
    walk_with(Wrong::DeniedAside, ALL).breaks(TOLD);
    walk_with(Wrong::ForgottenAtClose, ALL).breaks(KEPT);
}

#[test]
fn s10_s12_the_model_of_pushes_notices_what_is_swept_and_listed() {
    for wrong in [
        Wrong::ClosedAccepted,
        Wrong::FloorUnread,
        Wrong::AnotherNumber,
        Wrong::TwoReadings,
        Wrong::FloorOfMemory,
    ] {
        walk_with(wrong, ALL).breaks(SWEPT);
    }
}
