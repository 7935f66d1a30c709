//! `up` with several nodes: a process for each, started again when it dies, and this one
//! that watches over them. It holds nothing of theirs: what they are told is in the data
//! directory and in their arguments.

mod children;
mod doors;
mod preparation;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use gitstratum_process::{Drain, Signals, exit_at_once, spawn};
use gitstratum_store::SystemFiles;
use gitstratum_store::files::{self, Files};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, test_kill_process};

use super::endpoint::{self, Endpoint};
use super::greeting;
use super::plan::{Plan, node_folder};
use children::{Children, Run};

pub(super) use preparation::is_for_several;

/// Held while a data directory is in use.
const LOCK: &str = "up.lock";
/// Nodes of a cluster of several.
const NODES: u8 = 3;
/// Longest wait for all nodes to be ready at the start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often it is looked whether one was started again.
const RETELL_EVERY: Duration = Duration::from_millis(250);

/// For a node's process: it must not outlive `parent`, which watches over it.
pub(super) fn die_with(parent: u32) -> Result<()> {
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    bound.context("binding to the parent process")?;
    // It may have died before it was listened for.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    ensure!(now == Some(parent), "the process that watched over this one is gone");
    Ok(())
}

/// Runs the nodes until a signal asks to stop.
pub(super) async fn run(plan: &Plan, signals: Signals) -> Result<()> {
    let files = SystemFiles::new();
    files
        .create_directory(&plan.data)
        .with_context(|| format!("making {}", plan.data.display()))?;
    let _lock = lock(files.as_ref(), &plan.data)?;
    endpoint::remove(&plan.data);
    (1..=NODES).for_each(|number| endpoint::remove(&node_folder(&plan.data, number)));
    let (addresses, _ports) = preparation::prepare(plan, files.as_ref()).await?;
    let (stop, stopping) = Drain::new();
    let runs: Result<Vec<Run>> =
        (1..=NODES).map(|number| Run::of(plan, &addresses, number)).collect();
    let (children, mut keepers) = Children::start(runs?, &stopping);
    let children = Arc::new(children);
    let doors = doors::open(&plan.data, &children, &stopping)?;
    let stop = Arc::new(stop);
    let stopper = Arc::clone(&stop);
    let waiting = spawn("stop signal", async move {
        let signal = signals.first(exit_at_once).await;
        tracing::info!(?signal, "stopping");
        stopper.start();
    });
    let mut ended = tokio::select! {
        biased;
        () = stopping.started() => Ok(()),
        Some(ended) = keepers.next() => ended.context("a node's keeper").flatten(),
        ready = ready(plan) => match ready {
            Ok(endpoint) => {
                children.system_is_ready();
                tell(plan, endpoint, &stopping).await
            }
            Err(error) => Err(error),
        },
    };
    stop.start();
    while let Some(node) = keepers.next().await {
        ended = ended.and(node.context("a node's keeper").flatten());
    }
    endpoint::remove(&plan.data);
    drop((waiting, doors));
    ended
}

/// Says where everything is found, and again when a node was started again, until the drain
/// starts.
async fn tell(plan: &Plan, mut told: Endpoint, stopping: &Drain) -> Result<()> {
    told.write(&plan.data).context("writing endpoint.json")?;
    greeting::print(plan, &told);
    loop {
        tokio::select! {
            biased;
            () = stopping.started() => return Ok(()),
            () = tokio::time::sleep(RETELL_EVERY) => {}
        }
        let found: Option<Vec<Endpoint>> = (1..=NODES).map(|number| living(plan, number)).collect();
        let Some(now) = found.and_then(|found| whole(plan, found)) else { continue };
        let pids =
            |endpoint: &Endpoint| endpoint.nodes.iter().map(|node| node.pid).collect::<Vec<_>>();
        if pids(&now) == pids(&told) {
            continue;
        }
        match now.write(&plan.data) {
            Ok(()) => told = now,
            Err(error) => tracing::warn!(error = %format!("{error:#}"), "endpoint.json is old"),
        }
    }
}

fn lock(files: &dyn Files, data: &Path) -> Result<Box<dyn files::Lock>> {
    files.lock(&data.join(LOCK)).map_err(|error| match error {
        files::Error::Locked { .. } => {
            anyhow::anyhow!("{} is in use by another process", data.display())
        }
        other => anyhow::Error::new(other).context(format!("locking {}", data.display())),
    })
}

/// Where everything is found, once every node says so.
async fn ready(plan: &Plan) -> Result<Endpoint> {
    let all = join_all((1..=NODES).map(|number| come_up(plan, number)));
    let found = tokio::time::timeout(READY_WITHIN, all).await;
    let found = found.context("not every node was ready in time; the log says why")?;
    whole(plan, found).context("there are no nodes")
}

async fn come_up(plan: &Plan, number: u8) -> Endpoint {
    loop {
        if let Some(endpoint) = living(plan, number) {
            return endpoint;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What a node says, if the process that said it is there.
fn living(plan: &Plan, number: u8) -> Option<Endpoint> {
    living_in(&node_folder(&plan.data, number))
}

fn living_in(folder: &Path) -> Option<Endpoint> {
    endpoint::read(folder).filter(is_of_a_living_process)
}

/// The whole system, from what each node says; outside it is the first one's.
fn whole(plan: &Plan, found: Vec<Endpoint>) -> Option<Endpoint> {
    let nodes = found.iter().flat_map(|endpoint| endpoint.nodes.clone()).collect();
    let control = plan.data.join("control.sock");
    let first = found.into_iter().next()?;
    Some(Endpoint { nodes, control, pid: std::process::id(), ..first })
}

/// A process that was killed leaves its file.
fn is_of_a_living_process(endpoint: &Endpoint) -> bool {
    let pid = i32::try_from(endpoint.pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}
