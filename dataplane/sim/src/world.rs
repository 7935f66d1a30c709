//! One run: nodes, clients, faults, and the verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use gitstratum_control_plane::Founding;
use gitstratum_core::{Entropy as _, NodeId, ObjectId, SeededEntropy};
use parking_lot::Mutex;
use turmoil::Sim;

use crate::checks;
use crate::clock::SimClock;
use crate::disk::{Disk, End};
use crate::events::{self, Digest, Told};
use crate::faults::{Fault, Plan, Planned};
use crate::git::Client;
use crate::network::host;
use crate::node::{Cluster, SimNode};
use crate::workload::{BRANCH, History, Worker};

const NODES: u8 = 3;
const PARTITIONS: u32 = 4;
const CLIENTS: usize = 4;
/// The repository that every new cluster has.
const REPOSITORY: &str = "demo/hello";
/// Until when the first push has to be taken.
const BEGUN_WITHIN: Duration = Duration::from_secs(30);
/// How long faults go on, once the cluster is there.
const FAULTS_LAST: Duration = Duration::from_secs(75);
/// Within this after the last fault every push succeeds again.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// How long a process is away that ended by itself.
const AWAY: Duration = Duration::from_millis(500);
/// Pause before what failed is tried again at the end.
const RETRY_AFTER: Duration = Duration::from_millis(300);
/// Where the link between two nodes is not slow.
const LATENCY_MAX: Duration = Duration::from_millis(5);
/// Least share of pushes that succeed, in percent, and least number of them: else a run
/// proves nothing.
const ACKED_MIN: u64 = 200;
const ACKED_PERCENT_MIN: u64 = 30;

/// What is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everything follows from it.
    pub seed: u64,
    /// Whether the story is told on standard error, and every message with it.
    pub is_told: bool,
    /// See [`Settings::is_told`].
    pub is_detailed: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant holds.
    Holds,
    /// One does not.
    Broken(String),
    /// Too little happened to say.
    Invalid(String),
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Its events.
    pub digest: Digest,
    /// Pushes acknowledged, and begun.
    pub acked: u64,
    /// See [`Outcome::acked`].
    pub pushes: u64,
    /// Faults that happened.
    pub faults: usize,
}

/// Random numbers of one part of a run.
#[derive(Debug)]
pub(crate) struct Draw(Arc<SeededEntropy>);

impl Draw {
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        Self(SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part))
    }

    fn next(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// Less than `end`, or 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or_default()
    }

    pub(crate) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }
}

/// Runs `settings`. Everything happens on this thread.
///
/// # Errors
/// When the machine has no folder for packs on their way in.
pub fn run(settings: &Settings) -> Result<Outcome> {
    gitstratum_process::run_blocking_in_line();
    gitstratum_consensus::testing::seed_elections(settings.seed);
    let told = match (settings.is_told, settings.is_detailed) {
        (_, true) => Told::Everything,
        (true, false) => Told::Story,
        (false, false) => Told::Nothing,
    };
    events::begin(told);
    let mut world = World::new(settings.seed)?;
    let ran = world.play();
    let digest = events::end();
    let history = world.history.lock();
    let (acked, pushes) = (history.acked(), history.pushes.len() as u64);
    let verdict = match ran.and_then(|tip| checks::chain(&history, tip)) {
        Err(error) => Verdict::Broken(format!("{error:#}")),
        Ok(()) if acked < ACKED_MIN => Verdict::Invalid(format!("only {acked} pushes succeeded")),
        Ok(()) if acked * 100 < pushes * ACKED_PERCENT_MIN => {
            Verdict::Invalid(format!("only {acked} of {pushes} pushes succeeded"))
        }
        Ok(()) => Verdict::Holds,
    };
    drop(history);
    let (seed, faults) = (settings.seed, world.happened);
    Ok(Outcome { seed, verdict, digest, acked, pushes, faults })
}

/// A node as the world sees it.
struct Place {
    name: String,
    node: Arc<SimNode>,
    /// Its process has ended by itself.
    has_ended: Arc<AtomicBool>,
    /// When it starts again; none while it runs.
    starts_at: Option<Duration>,
}

struct World {
    sim: Sim<'static>,
    places: Vec<Place>,
    draw: Draw,
    seed: u64,
    token: String,
    history: Arc<Mutex<History>>,
    happened: usize,
    /// Faults under way and when they end.
    under_way: Vec<(Duration, Fault)>,
    _spools: tempfile::TempDir,
}

impl World {
    fn new(seed: u64) -> Result<Self> {
        let (draw, entropy) = (Draw::new(seed, 1), SeededEntropy::new(seed));
        let founding = Founding::draw(NODES, PARTITIONS, &*SimClock::new(), &*entropy)?;
        let token = founding.admin_token.expose().to_owned();
        let cluster = Cluster::new(founding);
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_secs(24 * 3_600))
            .tick_duration(Duration::from_millis(1))
            .max_message_latency(LATENCY_MAX)
            .tcp_capacity(4_096)
            .build();
        let spools = tempfile::tempdir().context("a folder for packs on their way in")?;
        let mut places = Vec::new();
        for id in cluster.nodes() {
            let node = Arc::new(SimNode {
                id,
                cluster: Arc::clone(&cluster),
                disk: Disk::new(host(id)),
                clock: SimClock::new(),
                entropy: SeededEntropy::new(seed ^ id.0),
                spool: spools.path().join(host(id)),
            });
            std::fs::create_dir(&node.spool)?;
            let has_ended = Arc::new(AtomicBool::new(false));
            let (starts, ends) = (Arc::clone(&node), Arc::clone(&has_ended));
            sim.host(host(id), move || {
                let (node, ends) = (Arc::clone(&starts), Arc::clone(&ends));
                async move {
                    // The world restarts it, as a supervisor would.
                    let _told = node.run().await;
                    ends.store(true, Ordering::SeqCst);
                    std::future::pending().await
                }
            });
            places.push(Place { name: host(id), node, has_ended, starts_at: None });
        }
        let history = Arc::default();
        let under_way = Vec::new();
        Ok(Self {
            sim,
            places,
            draw,
            seed,
            token,
            history,
            happened: 0,
            under_way,
            _spools: spools,
        })
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.places.iter().map(|place| place.node.id).collect()
    }

    /// All of it; returns the tip at the end.
    fn play(&mut self) -> Result<Option<ObjectId>> {
        self.until(BEGUN_WITHIN, "the first push", Self::worker(self, "first", 2), |history| {
            history.acked() > 0
        })?;
        let begun = self.sim.elapsed();
        let ends = begun + FAULTS_LAST;
        for number in 0..CLIENTS {
            let worker = self.worker(&format!("client-{number}"), 10 + number as u64);
            self.sim.client(format!("client-{number}"), async move { Ok(worker.run(ends).await?) });
        }
        let plan = Plan::draw(&self.draw, self.places.len(), FAULTS_LAST);
        self.suffer(&plan, begun, ends)?;
        let before = self.history.lock().acked();
        self.until(
            BACK_WITHIN,
            "pushes after the last fault",
            self.worker("last", 3),
            |history| history.acked() >= before + 5,
        )?;
        self.read_everywhere()
    }

    fn worker(&self, name: &str, part: u64) -> Worker {
        Worker {
            name: name.to_owned(),
            client: Client::new(&self.token, REPOSITORY),
            nodes: self.nodes(),
            draw: Draw::new(self.seed, part),
            history: Arc::clone(&self.history),
        }
    }

    /// Has `worker` work until `holds`, for at most `within`.
    fn until(
        &mut self,
        within: Duration,
        what: &str,
        worker: Worker,
        holds: impl Fn(&History) -> bool,
    ) -> Result<()> {
        let (name, until) = (worker.name.clone(), self.sim.elapsed() + within);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        self.sim.client(name, async move {
            tokio::select! {
                biased;
                () = when(stopped) => Ok(()),
                worked = worker.run(Duration::MAX) => Ok(worked?),
            }
        });
        loop {
            self.step()?;
            if holds(&self.history.lock()) {
                break;
            }
            anyhow::ensure!(self.sim.elapsed() < until, "{what}: not within {within:?}");
        }
        stop.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        self.sim.step().map_err(|error| anyhow!("{error}"))?;
        let now = self.sim.elapsed();
        events::stepped(now);
        for index in 0..self.places.len() {
            if self.places[index].has_ended.swap(false, Ordering::SeqCst) {
                self.stop(index, End::Kill, now + AWAY);
            }
            let place = &mut self.places[index];
            if place.starts_at.is_some_and(|at| at <= now) {
                place.starts_at = None;
                self.sim.bounce(place.name.as_str());
            }
        }
        Ok(())
    }

    fn stop(&mut self, index: usize, end: End, until: Duration) {
        let place = &mut self.places[index];
        if place.starts_at.is_none() {
            self.sim.crash(place.name.as_str());
            place.has_ended.store(false, Ordering::SeqCst);
        }
        place.node.disk.end(end);
        place.starts_at = Some(place.starts_at.map_or(until, |at| at.max(until)));
    }

    /// Has everything in `plan` happen, and ends it.
    fn suffer(&mut self, plan: &Plan, begun: Duration, ends: Duration) -> Result<()> {
        let mut planned = plan.0.iter().peekable();
        while self.sim.elapsed() < ends {
            let now = self.sim.elapsed();
            while let Some(next) = planned.next_if(|next| begun + next.at <= now) {
                self.begin(next, now);
            }
            self.end_those_over(now);
            self.step()?;
        }
        self.end_those_over(Duration::MAX);
        Ok(())
    }

    fn begin(&mut self, planned: &Planned, now: Duration) {
        events::story(|| planned.to_string());
        self.happened += 1;
        let until = now + planned.lasts;
        let name = |index: usize| self.places[index].name.clone();
        match planned.fault {
            Fault::Kill(node) => return self.stop(node, End::Kill, until),
            Fault::PowerCut(node) => return self.stop(node, End::PowerCut, until),
            Fault::PowerCutAll => {
                return (0..self.places.len())
                    .for_each(|node| self.stop(node, End::PowerCut, until));
            }
            Fault::Cut(one, other) => self.sim.partition(name(one), name(other)),
            Fault::CutOneWay(from, to) => self.sim.partition_oneway(name(from), name(to)),
            Fault::Isolate(node) => self.others(node, |sim, one, other| sim.partition(one, other)),
            Fault::SlowDisk(node, millis) => {
                self.places[node].node.disk.set_sync(Duration::from_millis(millis));
            }
            Fault::SlowLink(one, other, millis) => {
                self.sim.set_link_latency(name(one), name(other), Duration::from_millis(millis));
            }
            Fault::ClockJump(node, millis) => self.places[node].node.clock.set_wrong(millis),
        }
        self.under_way.push((until, planned.fault.clone()));
    }

    fn others(&self, node: usize, each: impl Fn(&Sim<'static>, &str, &str)) {
        for other in (0..self.places.len()).filter(|other| *other != node) {
            each(&self.sim, &self.places[node].name, &self.places[other].name);
        }
    }

    fn end_those_over(&mut self, now: Duration) {
        let (over, going_on): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.under_way).into_iter().partition(|(until, _)| *until <= now);
        self.under_way = going_on;
        for (_, fault) in over {
            events::story(|| format!("{fault:?} is over"));
            let name = |index: usize| self.places[index].name.clone();
            match fault {
                Fault::Kill(_) | Fault::PowerCut(_) | Fault::PowerCutAll => {}
                Fault::Cut(one, other) | Fault::CutOneWay(one, other) => {
                    self.sim.repair(name(one), name(other));
                }
                Fault::Isolate(node) => self.others(node, |sim, one, other| sim.repair(one, other)),
                Fault::SlowDisk(node, _) => {
                    self.places[node].node.disk.set_sync(Duration::from_micros(200));
                }
                Fault::SlowLink(one, other, _) => {
                    // turmoil has no way to give a link its range of latencies back.
                    self.sim.set_link_latency(name(one), name(other), LATENCY_MAX / 2);
                }
                Fault::ClockJump(node, _) => self.places[node].node.clock.set_wrong(0),
            }
        }
    }

    /// The tip through every frontend, which is the same, with all that it reaches.
    fn read_everywhere(&mut self) -> Result<Option<ObjectId>> {
        let found = Arc::new(Mutex::new(Vec::new()));
        let (seen, nodes) = (Arc::clone(&found), self.nodes());
        let client = Client::new(&self.token, REPOSITORY);
        let reader = self.worker("reader", 4);
        self.sim.client("reader", async move {
            for node in nodes {
                // A connection that a fault has cut may be noticed only now.
                let found = loop {
                    match whole(&reader, &client, node).await {
                        Ok(found) => break found,
                        Err(error) => events::story(|| format!("{node} gives no clone: {error:#}")),
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                };
                seen.lock().push(found);
            }
            Ok(())
        });
        let until = self.sim.elapsed() + BACK_WITHIN;
        while found.lock().len() < self.places.len() {
            self.step()?;
            anyhow::ensure!(self.sim.elapsed() < until, "{BRANCH} is not read everywhere");
        }
        let found = found.lock();
        anyhow::ensure!(
            found.iter().all(|(tip, _)| *tip == found[0].0),
            "frontends show different tips: {found:?}"
        );
        Ok(found[0].0)
    }
}

/// The tip through `node`, and bytes of a pack with all that it reaches.
async fn whole(
    reader: &Worker,
    client: &Client,
    node: NodeId,
) -> Result<(Option<ObjectId>, usize)> {
    let tip = reader.read(node).await;
    let tip = tip.with_context(|| format!("nothing was read through {node}"))?;
    let pack = match &tip {
        Some(tip) => client.fetch(node, tip).await?,
        None => Vec::new(),
    };
    Ok((tip, pack.len()))
}

/// Returns once `stopped` is set.
async fn when(stopped: Arc<AtomicBool>) {
    while !stopped.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
