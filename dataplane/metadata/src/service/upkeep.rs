//! What the leader of a partition does about the copies of its segments: it works the repair list
//! off (S18, S21), and moves copies to where the ring wants them (S19, S20). It holds no state that
//! another leader would miss: lists are compared by number, and copying again is harmless.

mod back_off;
pub(crate) mod job;
pub(crate) mod nodes;
mod rest;
mod walk;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gitstratum_core::{ErrorKind, NodeId, SegmentId};
use gitstratum_process::Drain;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Deps;
use super::hosted::Hosted;
use crate::config::Config;
use crate::error::{Error, chain};
use crate::partition::query;

use back_off::{BackOff, Pauses};
use job::Job;
use nodes::Ground;
pub(super) use nodes::{Lost, Nodes};
use rest::Rest;
use walk::Walk;

/// The flag by which an operator holds copies where they are.
const MOVES_FLAG: &str = "flag.moves";
/// Segments whose copies are made at once, of one partition.
const JOBS_MAX: usize = 8;
/// Segments of the repair list read at once.
const PAGE: usize = 64;
/// How long a node that did not answer is left alone.
const NODE_PAUSES: Pauses =
    Pauses { first: Duration::from_millis(500), longest: Duration::from_secs(5) };
/// How long a segment is left alone for which no copy could be made.
const SEGMENT_PAUSES: Pauses =
    Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(20) };

/// Looks after the copies of the segments of `hosted` while this node leads it, until `drain`
/// starts.
pub(super) async fn keep(hosted: Arc<Hosted>, config: Config, deps: Deps, drain: Drain) {
    let crew = Crew {
        hosted,
        interval: config.upkeep_interval,
        walk_interval: config.walk_interval,
        deps,
        nodes_out: Mutex::new(BackOff::new(NODE_PAUSES)),
        segments_out: Mutex::new(BackOff::new(SEGMENT_PAUSES)),
        busy: Mutex::default(),
        nodes: Mutex::default(),
    };
    let working = async { tokio::join!(crew.work_repairs_off(), crew.follow_ring()) };
    tokio::select! {
        biased;
        () = drain.started() => {}
        _ = working => {}
    }
}

/// Where a round of the repair list is.
#[derive(Default)]
struct Round {
    after: Option<SegmentId>,
    /// At most a page.
    waiting: VecDeque<(Arc<Nodes>, Job)>,
    rest: Rest,
}

/// Those who make copies for one partition.
struct Crew {
    hosted: Arc<Hosted>,
    interval: Duration,
    walk_interval: Duration,
    deps: Deps,
    nodes_out: Mutex<BackOff<NodeId>>,
    segments_out: Mutex<BackOff<SegmentId>>,
    /// Segments whose copies are being made.
    busy: Mutex<BTreeSet<SegmentId>>,
    /// The nodes by the layout and fences last seen: making a ring is not for nothing.
    nodes: Mutex<Option<(Ground, Arc<Nodes>)>>,
}

impl Crew {
    /// Goes round the repair list, again and again. A copy that takes long holds up no other.
    async fn work_repairs_off(&self) {
        let (mut round, mut under_way) = (Round::default(), FuturesUnordered::new());
        let mut look_at = Instant::now() + self.interval;
        loop {
            while under_way.len() < JOBS_MAX {
                let Some((nodes, job)) = round.waiting.pop_front() else { break };
                under_way.push(self.do_job(nodes, job));
            }
            tokio::select! {
                Some(has_changed) = under_way.next() => if has_changed {
                    round.rest.note_change();
                },
                () = tokio::time::sleep_until(look_at), if round.waiting.is_empty() => {
                    let is_over = self.read_repairs(&mut round).await.unwrap_or_else(|error| {
                        self.tell(&error);
                        true
                    });
                    let pause = if is_over { self.interval } else { Duration::ZERO };
                    look_at = Instant::now() + pause;
                }
            }
        }
    }

    /// Takes what stands next on the repair list and can be tried now. Whether that was its end.
    async fn read_repairs(&self, round: &mut Round) -> Result<bool, Error> {
        self.hosted.leading_term()?;
        let from = round.after;
        let Some(nodes) = self.nodes().await? else { return Ok(true) };
        if from.is_none() {
            let count = self.hosted.read(query::group).await?.repairs_count;
            let now = self.deps.clock.monotonic();
            if !round.rest.is_over((count, &nodes), now) {
                return Ok(true);
            }
        }
        let read = move |rows: &dyn crate::partition::Rows| {
            let listed = query::repairs_after(rows, from, PAGE)?;
            let last = listed.last().map(|(id, _)| *id).filter(|_| listed.len() == PAGE);
            let mut jobs = Vec::with_capacity(listed.len());
            for (id, _) in listed {
                jobs.extend(query::listed_segment(rows, id)?.and_then(|(_, p)| Job::of(&p, id)));
            }
            Ok((jobs, last))
        };
        let (jobs, last) = self.hosted.read(read).await?;
        round.after = last;
        round.waiting.extend(self.due(jobs).into_iter().map(|job| (Arc::clone(&nodes), job)));
        Ok(last.is_none())
    }

    /// Walks all segments, when the ring has changed and now and then, and has moved what is not
    /// where the ring wants it.
    async fn follow_ring(&self) {
        let mut walk = Walk::default();
        loop {
            tokio::time::sleep(self.interval).await;
            let stepped = self.walk_on(&mut walk).await;
            if let Err(error) = stepped {
                walk = Walk::default();
                self.tell(&error);
            }
        }
    }

    async fn walk_on(&self, walk: &mut Walk) -> Result<(), Error> {
        let term = self.hosted.leading_term()?;
        let Some(nodes) = self.nodes().await? else { return Ok(()) };
        let layout = self.deps.feed.current().layout().epoch;
        let now = self.deps.clock.monotonic();
        if !self.may_move() {
            return Ok(());
        }
        if !walk.is_due((term, layout), &nodes, (now, self.walk_interval)) {
            return Ok(());
        }
        if walk.is_at_start() {
            self.hosted.note_misplaced(self.count_misplaced(&nodes).await?);
        }
        while self.may_move() {
            self.hosted.leading_term()?;
            let from = walk.next();
            let page = self.hosted.read(move |rows| walk::read_page(rows, from.as_ref())).await?;
            let jobs: Vec<Job> =
                page.jobs.into_iter().filter(|job| !job.is_settled(&nodes)).collect();
            let found = jobs.len();
            let changed = self.run(&nodes, jobs).await;
            self.hosted.note_moved(changed);
            if walk.step(page.next, found - changed, now) {
                self.hosted.note_misplaced(walk.misplaced());
                return Ok(());
            }
        }
        Ok(())
    }

    /// Segments that are not where the ring wants them.
    async fn count_misplaced(&self, nodes: &Nodes) -> Result<usize, Error> {
        let (mut count, mut next) = (0, None);
        loop {
            let page = self.hosted.read(move |rows| walk::read_page(rows, next.as_ref())).await?;
            count += page.jobs.iter().filter(|job| !job.is_settled(nodes)).count();
            next = page.next;
            if next.is_none() {
                return Ok(count);
            }
        }
    }

    /// Whether copies are to follow the ring: `rebalance stop` holds them where they are.
    fn may_move(&self) -> bool {
        self.deps.feed.current().setting(MOVES_FLAG) != Some("off")
    }

    /// Those of `jobs` whose segments are not left alone now.
    fn due(&self, mut jobs: Vec<Job>) -> Vec<Job> {
        let now = self.deps.clock.monotonic();
        let out = self.segments_out.lock();
        jobs.retain(|job| !out.is_out(&job.segment, now));
        jobs
    }

    /// Does the jobs, some at a time; says how many changed their segment's list.
    async fn run(&self, nodes: &Arc<Nodes>, jobs: Vec<Job>) -> usize {
        let due = futures::stream::iter(self.due(jobs));
        let done = due.map(|job| self.do_job(Arc::clone(nodes), job));
        let done = done.buffer_unordered(JOBS_MAX);
        done.filter(|changed| std::future::ready(*changed)).count().await
    }

    async fn do_job(&self, nodes: Arc<Nodes>, job: Job) -> bool {
        let segment = job.segment;
        if !self.busy.lock().insert(segment) {
            return false;
        }
        let _busy = Busy { segments: &self.busy, segment };
        let done = self.mend(&nodes, job).await;
        let now = self.deps.clock.monotonic();
        let mut out = self.segments_out.lock();
        match done {
            Ok(true) => {
                out.worked(&segment);
                return true;
            }
            Ok(false) => out.failed(segment, now),
            Err(error) => {
                out.failed(segment, now);
                drop(out);
                self.tell(&error);
            }
        }
        false
    }

    /// Nodes that answered lately, or were not asked.
    fn answering(&self, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
        let now = self.deps.clock.monotonic();
        let out = self.nodes_out.lock();
        nodes.retain(|node| !out.is_out(node, now));
        nodes
    }

    fn note_answer(&self, node: NodeId, failure: Option<ErrorKind>) {
        let mut out = self.nodes_out.lock();
        match failure {
            Some(ErrorKind::Unavailable) => out.failed(node, self.deps.clock.monotonic()),
            _ => out.worked(&node),
        }
    }

    /// The nodes of the layout held here, less those that the partition has fenced.
    async fn nodes(&self) -> Result<Option<Arc<Nodes>>, Error> {
        let fences = self.hosted.read(query::fences).await?;
        let fenced: BTreeSet<NodeId> = fences.into_keys().collect();
        let snapshot = self.deps.feed.current();
        let ground = Ground::new(snapshot.layout());
        let mut held = self.nodes.lock();
        let fresh =
            |(known, nodes): &&(Ground, Arc<Nodes>)| *known == ground && nodes.fenced == fenced;
        if let Some((_, nodes)) = held.as_ref().filter(fresh) {
            return Ok(Some(Arc::clone(nodes)));
        }
        let nodes = Nodes::new(snapshot.layout(), fenced).map(Arc::new);
        // What could not be done before may be possible now.
        *self.segments_out.lock() = BackOff::new(SEGMENT_PAUSES);
        *held = nodes.clone().map(|nodes| (ground, nodes));
        Ok(nodes)
    }

    fn tell(&self, error: &Error) {
        if !matches!(error, Error::NotLeader { .. }) {
            let partition = self.hosted.partition.0;
            tracing::warn!(partition, error = %chain(error), "looking after copies failed");
        }
    }
}

/// Takes a segment out again when its copies are made, or nobody waits for them any more.
struct Busy<'a> {
    segments: &'a Mutex<BTreeSet<SegmentId>>,
    segment: SegmentId,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.segments.lock().remove(&self.segment);
    }
}
