//! The processes of the nodes: each is started again when it dies, unless it was stopped.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gitstratum_control_plane::Founding;
use gitstratum_core::NodeId;
use gitstratum_process::{Drain, TaskGroup};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::addresses::Addresses;
use super::super::plan::{Plan, node_folder};
use super::{LOOK_EVERY, READY_WITHIN, living_in, preparation};

/// First and longest pause before a node that died is started again.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LONGEST: Duration = Duration::from_secs(5);
/// A node that ran for so long has not died of its start.
const SETTLED: Duration = Duration::from_secs(10);
/// How long a node may take to stop: each of its layers drains for 30 s at most, one after
/// the other.
const STOP_WITHIN: Duration = Duration::from_secs(100);

/// What a node's process is started with.
pub(super) struct Run {
    number: u8,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Run {
    pub(super) fn of(plan: &Plan, addresses: &Addresses, number: u8) -> Result<Self> {
        let arguments = preparation::arguments(plan, addresses, number)?;
        Ok(Self { number, folder: node_folder(&plan.data, number), arguments })
    }
}

/// What is wanted of a node, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Its process runs, or will soon.
    Up,
    /// It has none, and gets none until it is started.
    Down,
}

/// One node, as its owner commands it.
struct Kept {
    number: u8,
    folder: PathBuf,
    wanted: watch::Sender<Stand>,
    stand: watch::Receiver<Stand>,
    /// Held by who commands it: a start waits until a stop has ended.
    commanding: tokio::sync::Mutex<()>,
}

/// The nodes of this machine.
pub(super) struct Children {
    kept: Vec<Kept>,
    was_ready: watch::Sender<bool>,
}

impl Children {
    /// Starts a process for each, kept up until the drain starts. A keeper ends early, with
    /// an error, when its node refuses to start before the system was ever ready.
    pub(super) fn start(runs: Vec<Run>, stopping: &Drain) -> (Self, TaskGroup<Result<()>>) {
        let mut keepers = TaskGroup::new("nodes");
        let was_ready = watch::Sender::new(false);
        let keep = |run: Run| {
            let (wanted, wish) = watch::channel(Stand::Up);
            let (shown, stand) = watch::channel(Stand::Up);
            let (number, folder) = (run.number, run.folder.clone());
            let stopping = stopping.clone();
            let was_ready = was_ready.subscribe();
            let keeper = Keeper { run, wish, shown, was_ready, has_refused: false, stopping };
            keepers.spawn(keeper.keep());
            Kept { number, folder, wanted, stand, commanding: tokio::sync::Mutex::default() }
        };
        let kept = runs.into_iter().map(keep).collect();
        (Self { kept, was_ready }, keepers)
    }

    /// From now on a node that refuses to start is tried again.
    pub(super) fn system_is_ready(&self) {
        self.was_ready.send_replace(true);
    }

    /// The folders of all nodes, in the order of their numbers.
    pub(super) fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.kept.iter().map(|kept| &kept.folder)
    }

    /// Stops a node, which stays down; `None` if there is no such node.
    pub(super) async fn stop(&self, node: NodeId) -> Option<Result<()>> {
        let kept = self.find(node)?;
        let _commanding = kept.commanding.lock().await;
        kept.wanted.send_replace(Stand::Down);
        let mut stand = kept.stand.clone();
        let stopped = stand.wait_for(|stand| *stand == Stand::Down);
        Some(match tokio::time::timeout(STOP_WITHIN, stopped).await {
            Ok(stopped) => stopped.map(drop).context("the system stops"),
            Err(_) => Err(anyhow::anyhow!("it did not stop within {STOP_WITHIN:?}")),
        })
    }

    /// Starts a node again and waits until it is ready; `None` if there is no such node.
    pub(super) async fn restart(&self, node: NodeId) -> Option<Result<()>> {
        let kept = self.find(node)?;
        let _commanding = kept.commanding.lock().await;
        kept.wanted.send_replace(Stand::Up);
        let ready = async {
            while living_in(&kept.folder).is_none() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let ready = tokio::time::timeout(READY_WITHIN, ready).await;
        Some(ready.with_context(|| format!("it was not ready within {READY_WITHIN:?}")))
    }

    fn find(&self, node: NodeId) -> Option<&Kept> {
        self.kept.iter().find(|kept| Founding::node(kept.number) == node)
    }
}

/// Keeps one node up.
struct Keeper {
    run: Run,
    wish: watch::Receiver<Stand>,
    shown: watch::Sender<Stand>,
    was_ready: watch::Receiver<bool>,
    /// Whether it has ended by itself before the system was ever ready.
    has_refused: bool,
    stopping: Drain,
}

/// Why a process is no more, or not yet.
enum Ended {
    /// The system stops.
    Stopping,
    /// The node was stopped.
    Down,
    /// By itself.
    Died(ExitStatus),
}

impl Keeper {
    async fn keep(mut self) -> Result<()> {
        let mut pause = RESTART_FIRST;
        loop {
            let began = Instant::now();
            match self.run_once().await {
                Ok(Ended::Stopping) => return Ok(()),
                Ok(Ended::Down) => {
                    if !self.stay_down().await {
                        return Ok(());
                    }
                    pause = RESTART_FIRST;
                    continue;
                }
                Ok(Ended::Died(status)) => self.judge(status)?,
                Err(error) if self.stopping.is_started() => return Err(error),
                Err(error) => {
                    let (number, error) = (self.run.number, format!("{error:#}"));
                    tracing::error!(number, %error, "a node could not be run");
                }
            }
            let is_settled = began.elapsed() > SETTLED;
            pause = if is_settled { RESTART_FIRST } else { (pause * 2).min(RESTART_LONGEST) };
            tokio::select! {
                biased;
                () = self.stopping.started() => return Ok(()),
                () = wished(&mut self.wish, Stand::Down) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// What killed it may not come again; what it said itself, it will say again, unless it
    /// was of damage: its next start sets aside what it found.
    fn judge(&mut self, status: ExitStatus) -> Result<()> {
        let number = self.run.number;
        let refuses = status.code().is_some() && !*self.was_ready.borrow();
        if refuses && std::mem::replace(&mut self.has_refused, true) {
            bail!("node {number} did not start; its reason is above");
        }
        tracing::error!(number, %status, "a node died; it is started again");
        Ok(())
    }

    async fn run_once(&mut self) -> Result<Ended> {
        if *self.wish.borrow() == Stand::Down {
            return Ok(Ended::Down);
        }
        let number = self.run.number;
        let mut child = self.spawn().with_context(|| format!("starting node {number}"))?;
        let ended = tokio::select! {
            biased;
            () = self.stopping.started() => Ended::Stopping,
            () = wished(&mut self.wish, Stand::Down) => Ended::Down,
            status = child.wait() => return Ok(Ended::Died(status?)),
        };
        stop(number, child).await?;
        Ok(ended)
    }

    fn spawn(&self) -> Result<Child> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command
            .arg("up")
            .args(&self.run.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            // Ctrl-C is for the process that watches: the nodes hear of it once, from there.
            .process_group(0);
        Ok(command.spawn()?)
    }

    /// Waits until the node is wanted again; `false` if the system stops before.
    async fn stay_down(&mut self) -> bool {
        tracing::info!(number = self.run.number, "the node is stopped");
        self.shown.send_replace(Stand::Down);
        let is_wanted = tokio::select! {
            biased;
            () = self.stopping.started() => false,
            () = wished(&mut self.wish, Stand::Up) => true,
        };
        self.shown.send_replace(Stand::Up);
        is_wanted
    }
}

/// Waits until that is wanted; for ever if nobody can wish any more.
async fn wished(wish: &mut watch::Receiver<Stand>, wanted: Stand) {
    if wish.wait_for(|wish| *wish == wanted).await.is_err() {
        std::future::pending().await
    }
}

async fn stop(number: u8, mut child: Child) -> Result<()> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::debug!(number, %error, "the node has ended by itself");
    }
    let status = match tokio::time::timeout(STOP_WITHIN, child.wait()).await {
        Ok(status) => status?,
        Err(_) => bail!("node {number} did not stop in time"),
    };
    ensure!(status.success(), "node {number} ended with {status}");
    Ok(())
}
