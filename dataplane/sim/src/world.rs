//! One run: nodes, clients, faults, and the verdict.

mod ending;
mod links;
mod suffering;
mod wiping;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use gitstratum_control_plane::Founding;
use gitstratum_core::{Entropy as _, NodeId, SeededEntropy};
use parking_lot::Mutex;
use turmoil::Sim;

use crate::checks::{Broken, Watch};
use crate::clock::SimClock;
use crate::complaints;
use crate::disk::{Disk, End};
use crate::events;
use crate::faults::{Fault, Plan};
use crate::git::Client;
use crate::late::{self, Late};
use crate::network::host;
use crate::node::{Cluster, SimNode};
use crate::operator::{self, Operator, Progress};
use crate::workload::{History, Part, Racer, Runner, Worker};
use links::Link;
use wiping::Wiping;

const NODES: u8 = 3;
/// Nodes that faults happen to: those that joined too.
const PLACES: usize = 4;
const PARTITIONS: u32 = 4;
const WORKERS: [(Part, u64); 6] = [
    (Part::Chain, 2),
    (Part::Single, 2),
    (Part::Atomic, 1),
    (Part::Clone, 1),
    (Part::Probe, 1),
    (Part::Return, 2),
];
/// The repository that every new cluster has.
const REPOSITORY: &str = "demo/hello";
/// Until when the first push has to be taken, and the private repository be there.
const BEGUN_WITHIN: Duration = Duration::from_secs(30);
/// How long faults go on, once the cluster is there; longer where few pushes were taken so far.
const FAULTS_LAST: Duration = Duration::from_secs(50);
const FAULTS_LONGEST: Duration = Duration::from_secs(90);
/// How long a process is away that ended by itself.
const AWAY: Duration = Duration::from_millis(500);
/// Where the link between two nodes is not slow.
const LATENCY_MAX: Duration = Duration::from_millis(5);
/// Parts of a run that random numbers are drawn for, one for each node of the last two.
const INLINE: u64 = 500;
const LATE: u64 = 1_000;
const DISKS: u64 = 2_000;
/// Largest segments that lie in rows: of none, of some, or of all but those of a few pushes.
const INLINE_BYTES: [usize; 3] = [0, 512, 256 * 1024];
/// What is broken when something has to happen in time and does not.
const LIVENESS: &str = "all-is-well-again-in-time";

/// Random numbers of one part of a run.
#[derive(Debug)]
pub(crate) struct Draw(Arc<SeededEntropy>);

impl Draw {
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        let hash = blake3::hash(&[seed.to_be_bytes(), part.to_be_bytes()].concat());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        Self(SeededEntropy::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])))
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

    pub(crate) fn small(&self, end: u8) -> u8 {
        u8::try_from(self.below(u64::from(end))).unwrap_or_default()
    }
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

pub(crate) struct World {
    sim: Sim<'static>,
    places: Vec<Place>,
    cluster: Arc<Cluster>,
    watch: Arc<Watch>,
    draw: Draw,
    seed: u64,
    token: String,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) progress: Arc<Mutex<Progress>>,
    /// Nodes that people reach.
    nodes: Arc<Mutex<Vec<NodeId>>>,
    /// Faults that happened, by kind.
    pub(crate) happened: BTreeMap<&'static str, usize>,
    /// Faults under way and when they end.
    under_way: Vec<(Duration, Fault)>,
    /// How they left the links between places.
    links: BTreeMap<(usize, usize), Link>,
    /// The disk that is to be lost, and the one that was.
    wiping: Wiping,
    spools: tempfile::TempDir,
    /// Segments that are larger lie in files, on every node.
    inline_bytes_max: usize,
}

impl World {
    pub(crate) fn new(seed: u64) -> Result<Self> {
        let (draw, entropy) = (Draw::new(seed, 1), SeededEntropy::new(seed));
        let founding = Founding::draw(NODES, PARTITIONS, &*SimClock::new(), &*entropy)?;
        let token = founding.admin_token.expose().to_owned();
        let cluster = Cluster::new(founding);
        let watch = Watch::new();
        late::tap();
        let tells = Arc::clone(&watch);
        gitstratum_client::metadata::tap::listen(Arc::new(move |told| tells.renewed(told)));
        let sim = turmoil::Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_secs(24 * 3_600))
            .tick_duration(Duration::from_millis(1))
            .max_message_latency(LATENCY_MAX)
            .tcp_capacity(4_096)
            .build();
        let spools = tempfile::tempdir().context("a folder for packs on their way in")?;
        let mut world = Self {
            sim,
            places: Vec::new(),
            cluster: Arc::clone(&cluster),
            watch,
            draw,
            seed,
            token,
            history: Arc::default(),
            progress: Arc::default(),
            nodes: Arc::default(),
            happened: BTreeMap::new(),
            under_way: Vec::new(),
            links: BTreeMap::new(),
            wiping: Wiping::default(),
            spools,
            inline_bytes_max: INLINE_BYTES[Draw::new(seed, INLINE).index(INLINE_BYTES.len())],
        };
        let inline = world.inline_bytes_max;
        events::story(|| format!("segments of more than {inline} bytes lie in files"));
        for id in cluster.founders() {
            world.add(id)?;
        }
        Ok(world)
    }

    /// A node that starts now.
    fn add(&mut self, id: NodeId) -> Result<()> {
        let draw = Draw::new(self.seed, DISKS + id.0);
        let disk = Disk::new(host(id), id, Arc::clone(&self.watch), draw);
        self.watch.add(id, &disk);
        let node = Arc::new(SimNode {
            id,
            cluster: Arc::clone(&self.cluster),
            disk,
            clock: SimClock::new(),
            entropy: SeededEntropy::new(self.seed ^ id.0),
            spool: self.spools.path().join(host(id)),
            late: Late::new(Draw::new(self.seed, LATE + id.0)),
            inline_bytes_max: self.inline_bytes_max,
            runtime: Mutex::default(),
        });
        std::fs::create_dir(&node.spool)?;
        let has_ended = Arc::new(AtomicBool::new(false));
        let (starts, ends) = (Arc::clone(&node), Arc::clone(&has_ended));
        self.sim.host(host(id), move || {
            let (node, ends) = (Arc::clone(&starts), Arc::clone(&ends));
            async move {
                // The world restarts it, as a supervisor would.
                let (name, disk) = (host(node.id), Arc::clone(&node.disk));
                let how = node.run().await;
                if !disk.has_failed_sync() {
                    complaints::ended(&name, &how);
                }
                ends.store(true, Ordering::SeqCst);
                std::future::pending().await
            }
        });
        self.places.push(Place { name: host(id), node, has_ended, starts_at: None });
        self.nodes.lock().push(id);
        Ok(())
    }

    /// All of it.
    pub(crate) fn play(&mut self) -> Result<()> {
        let first = self.worker("first", Part::Chain, 2);
        self.until(BEGUN_WITHIN, "the first push", first, |history| history.acked > 0)?;
        self.prepare()?;
        let begun = self.sim.elapsed();
        let is_over = Arc::new(AtomicBool::new(false));
        let mut number = 10;
        for (part, count) in WORKERS {
            for at in 0..count {
                number += 1;
                let worker = self.worker(&format!("{part:?}-{at}").to_lowercase(), part, number);
                let (name, is_over) = (worker.name.clone(), Arc::clone(&is_over));
                self.sim.client(name, async move { Ok(worker.run(is_over).await?) });
            }
        }
        let runner = self.runner(7)?;
        let over = Arc::clone(&is_over);
        self.sim.client("runner", async move { Ok(runner.run(over).await?) });
        let worker = self.worker("racer", Part::Return, 9);
        let racer = Racer { worker, runner: self.runner(10)? };
        let over = Arc::clone(&is_over);
        self.sim.client("racer", async move { Ok(racer.run(over).await?) });
        let operator = self.operator(5);
        let changes = operator::plan(&operator.draw, usize::from(NODES));
        self.sim.client("operator", async move { Ok(operator.run(begun, changes).await?) });
        let plan = Plan::draw(&self.draw, PLACES, FAULTS_LONGEST);
        self.suffer(&plan, begun)?;
        is_over.store(true, Ordering::SeqCst);
        self.end()
    }

    fn operator(&self, part: u64) -> Operator {
        Operator {
            cluster: Arc::clone(&self.cluster),
            draw: Draw::new(self.seed, part),
            progress: Arc::clone(&self.progress),
        }
    }

    /// Who has runs made on the repository.
    fn runner(&self, part: u64) -> Result<Runner> {
        Ok(Runner {
            cluster: Arc::clone(&self.cluster),
            repo: self.progress.lock().repo.context("the repository is not known")?,
            nodes: Arc::clone(&self.nodes),
            draw: Draw::new(self.seed, part),
            history: Arc::clone(&self.history),
        })
    }

    /// A second repository beside the first.
    fn prepare(&mut self) -> Result<()> {
        let operator = self.operator(6);
        self.sim.client("founder", async move { Ok(operator.prepare(REPOSITORY).await?) });
        let until = self.sim.elapsed() + BEGUN_WITHIN;
        while self.progress.lock().private.is_none() {
            self.step()?;
            ensure!(self.sim.elapsed() < until, "the private repository is not made in time");
        }
        Ok(())
    }

    fn worker(&self, name: &str, part: Part, number: u64) -> Worker {
        let private = self.progress.lock().private.clone();
        Worker {
            name: name.to_owned(),
            part,
            client: Client::new(&self.token, REPOSITORY),
            private: private.map(|path| Client::new(&self.token, &path)),
            nodes: Arc::clone(&self.nodes),
            draw: Draw::new(self.seed, number),
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
                worked = worker.run(Arc::default()) => Ok(worked?),
            }
        });
        loop {
            self.step()?;
            if holds(&self.history.lock()) {
                break;
            }
            let words = || format!("{what}: not within {within:?}");
            ensure!(self.sim.elapsed() < until, Broken::new(LIVENESS, words()));
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
        self.follow_operator()?;
        let broken = self.watch.broken().or_else(|| self.cluster.broken());
        let broken = broken.or_else(|| self.history.lock().broken.clone());
        let broken = broken.or_else(complaints::broken);
        broken.map_or(Ok(()), |broken| Err(broken.into()))
    }

    /// Starts those that were let in, stops those that were removed.
    fn follow_operator(&mut self) -> Result<()> {
        let (admitted, removed) = {
            let mut progress = self.progress.lock();
            (std::mem::take(&mut progress.admitted), std::mem::take(&mut progress.removed))
        };
        for id in admitted {
            self.add(id)?;
        }
        for id in removed {
            self.nodes.lock().retain(|node| *node != id);
            if let Some(at) = self.places.iter().position(|place| place.node.id == id) {
                self.stop(at, End::PowerCut, Duration::MAX);
            }
        }
        Ok(())
    }

    pub(crate) fn leader_changes(&self) -> usize {
        self.cluster.leader_changes()
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
}

/// Returns once `stopped` is set.
async fn when(stopped: Arc<AtomicBool>) {
    while !stopped.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
