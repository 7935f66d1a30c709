//! `up` with several nodes: a process for each, started again when it dies, and this one
//! that watches over them. It holds nothing of theirs: what they are told is in the data
//! directory and in their arguments.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::join_all;
use gitstratum_control_plane::Founding;
use gitstratum_process::{Drain, Signals, TaskGroup, exit_at_once, spawn};
use gitstratum_store::SystemFiles;
use gitstratum_store::files::{self, Files};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use super::addresses::Addresses;
use super::endpoint::{self, Endpoint};
use super::folder::Folder;
use super::plan::{PARTITIONS, Plan, node_folder, nodes_folder};
use super::{greeting, secrets, sockets};

/// Held while a data directory is in use.
const LOCK: &str = "up.lock";
/// Nodes of a cluster of several.
const NODES: u8 = 3;
/// First and longest pause before a node that died is started again.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LONGEST: Duration = Duration::from_secs(5);
/// A node that ran for so long has not died of its start.
const SETTLED: Duration = Duration::from_secs(10);
/// Longest wait for all nodes to be ready at the start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often it is looked whether one was started again.
const RETELL_EVERY: Duration = Duration::from_millis(250);
/// How long a node may take to stop; it drains for 30 s at most itself.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// Most callers of the control plane at once.
const CALLERS_MAX: usize = 64;

/// Whether the data directory has, or is to have, several nodes.
///
/// # Errors
/// When it has another number than was asked for.
pub(super) fn is_for_several(plan: &Plan) -> Result<bool> {
    let folder = Folder::look(SystemFiles::new().as_ref(), &plan.data)?;
    let recorded = folder.recorded.as_ref().map(|cluster| cluster.nodes.len());
    let nodes = match (recorded, plan.nodes) {
        (Some(recorded), Some(asked)) if recorded != usize::from(asked) => bail!(
            "--nodes {asked}: the cluster in {} has {recorded}; leave the option out",
            plan.data.display()
        ),
        (Some(recorded), _) => recorded,
        (None, asked) => usize::from(asked.unwrap_or(1)),
    };
    Ok(nodes > 1)
}

/// For a node's process: it must not outlive the one that watches over it.
pub(super) fn die_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("binding to the parent process")
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
    let addresses = prepare(plan, files.as_ref())?;
    let (stop, stopping) = Drain::new();
    let mut nodes = TaskGroup::new("nodes");
    for number in 1..=NODES {
        let arguments = arguments(plan, &addresses, number)?;
        nodes.spawn(keep_running(number, arguments, stopping.clone()));
    }
    let socket = sockets::listen(&plan.data.join("control.sock"))?;
    let joined = join_with_control(socket, plan.data.clone(), stopping.clone());
    let joining = spawn("control socket", joined);
    let waiting = spawn("stop signal", async move {
        let signal = signals.first(exit_at_once).await;
        tracing::info!(?signal, "stopping");
        stop.start();
    });
    let ready = tokio::select! {
        biased;
        () = stopping.started() => None,
        Some(ended) = nodes.next() => {
            ended.context("a node's keeper")??;
            None
        }
        ready = ready(plan) => Some(ready?),
    };
    if let Some(endpoint) = ready {
        endpoint.write(&plan.data).context("writing endpoint.json")?;
        greeting::print(plan, &endpoint);
        keep_endpoint(plan, endpoint, &stopping).await;
    }
    let mut ended = Ok(());
    while let Some(node) = nodes.next().await {
        ended = ended.and(node.context("a node's keeper").flatten());
    }
    endpoint::remove(&plan.data);
    drop((waiting, joining));
    ended
}

/// Tells of nodes that were started again, until the drain starts.
async fn keep_endpoint(plan: &Plan, mut told: Endpoint, stopping: &Drain) {
    loop {
        tokio::select! {
            biased;
            () = stopping.started() => return,
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

/// Makes what the nodes find: the cluster's secrets, where everybody listens.
fn prepare(plan: &Plan, files: &dyn Files) -> Result<Addresses> {
    let folder = Folder::look(files, &plan.data)?;
    let known = Addresses::read(files, &plan.data)?;
    let cluster = match (&folder.recorded, known) {
        (Some(cluster), _) => cluster.id,
        // The founding was cut short: it goes on with what was drawn, once a log may know it.
        (None, Some(addresses)) if has_begun(files, &plan.data)? => addresses.cluster()?,
        (None, _) => draw(plan, files)?,
    };
    Addresses::settle(files, plan, (cluster, usize::from(NODES)))
}

fn has_begun(files: &dyn Files, data: &Path) -> Result<bool> {
    Ok(files.metadata(&nodes_folder(data))?.is_some())
}

fn draw(plan: &Plan, files: &dyn Files) -> Result<gitstratum_core::ClusterId> {
    let (clock, entropy) =
        (gitstratum_core::SystemClock::new(), gitstratum_core::SystemEntropy::new());
    let founding = Founding::draw(NODES, PARTITIONS, clock.as_ref(), entropy.as_ref())?;
    secrets::write(files, &plan.data, &founding, entropy.as_ref())?;
    Ok(founding.cluster)
}

/// What a node's process is started with.
fn arguments(plan: &Plan, addresses: &Addresses, number: u8) -> Result<Vec<String>> {
    let node = addresses.node(number)?;
    let data = plan.data.to_str().context("the data directory's name is no text")?;
    let mut arguments: Vec<String> = [
        ("--data", data.to_owned()),
        ("--nodes", NODES.to_string()),
        ("--node", number.to_string()),
        ("--http", node.http.to_string()),
        ("--ssh", node.ssh.to_string()),
        ("--metrics", node.metrics.to_string()),
        ("--log-filter", plan.log_filter.clone()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect();
    if let (Some(https), Some(address)) = (&plan.https, node.https) {
        let text = |path: &Path| path.to_str().map(str::to_owned);
        let (certificate, key) = (text(&https.certificate), text(&https.key));
        let (certificate, key) = certificate.zip(key).context("a file's name is no text")?;
        let https =
            [("--https", address.to_string()), ("--tls-cert", certificate), ("--tls-key", key)];
        arguments.extend(https.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    }
    for (name, span) in [
        ("--certificate-lifetime", plan.certificate_lifetime),
        ("--offline-grace", plan.offline_grace),
    ] {
        arguments.extend(
            span.into_iter().flat_map(|span| [name.to_owned(), span.as_secs().to_string()]),
        );
    }
    if !plan.http.ip().is_loopback() {
        arguments.push("--insecure-http".to_owned());
    }
    Ok(arguments)
}

/// Starts a node, and again whenever it dies, until the drain starts; then stops it.
async fn keep_running(number: u8, arguments: Vec<String>, stopping: Drain) -> Result<()> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut pause = RESTART_FIRST;
    loop {
        let began = tokio::time::Instant::now();
        let mut child = Command::new(&program)
            .arg("up")
            .args(&arguments)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            // Ctrl-C is for the process that watches: the nodes hear of it once, from there.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting node {number}"))?;
        let status = tokio::select! {
            biased;
            () = stopping.started() => return stop(number, child).await,
            status = child.wait() => status.with_context(|| format!("waiting for node {number}"))?,
        };
        tracing::error!(number, %status, "a node died; it is started again");
        pause = if began.elapsed() > SETTLED {
            RESTART_FIRST
        } else {
            (pause * 2).min(RESTART_LONGEST)
        };
        tokio::select! {
            biased;
            () = stopping.started() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn stop(number: u8, mut child: Child) -> Result<()> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::debug!(number, %error, "the node has ended by itself");
    }
    let status: ExitStatus = match tokio::time::timeout(STOP_WITHIN, child.wait()).await {
        Ok(status) => status?,
        Err(_) => bail!("node {number} did not stop in time"),
    };
    ensure!(status.success(), "node {number} ended with {status}");
    Ok(())
}

/// Where everything is found, once every node says so.
async fn ready(plan: &Plan) -> Result<Endpoint> {
    let one = |number| async move {
        loop {
            if let Some(endpoint) = living(plan, number) {
                return endpoint;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let all = join_all((1..=NODES).map(one));
    let found = tokio::time::timeout(READY_WITHIN, all).await;
    let found = found.context("not every node was ready in time; the log says why")?;
    whole(plan, found).context("there are no nodes")
}

/// What a node says, if the process that said it is there.
fn living(plan: &Plan, number: u8) -> Option<Endpoint> {
    endpoint::read(&node_folder(&plan.data, number)).filter(is_of_a_living_process)
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
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// Joins every caller with the control plane of a node that is up; it passes them on to the
/// leader.
async fn join_with_control(listener: UnixListener, data: PathBuf, drain: Drain) {
    let data: Arc<Path> = data.into();
    let mut callers = TaskGroup::new("control callers");
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.started() => return,
            _ = callers.next(), if callers.len() >= CALLERS_MAX => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((caller, _)) => callers.spawn(join(caller, Arc::clone(&data))),
            Err(error) => tracing::warn!(%error, "a caller was not accepted"),
        }
    }
}

async fn join(mut caller: UnixStream, data: Arc<Path>) {
    for number in 1..=NODES {
        let path = node_folder(&data, number).join("control.sock");
        let Ok(mut node) = UnixStream::connect(&path).await else { continue };
        if let Err(error) = tokio::io::copy_bidirectional(&mut caller, &mut node).await {
            tracing::debug!(%error, "a caller's connection broke");
        }
        return;
    }
}
