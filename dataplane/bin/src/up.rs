//! `gitstratum up`: the whole system without Kubernetes, every role of one node in this
//! process. The one place that knows all rooms: it builds each from its own settings,
//! gives it what it needs, and drains them in order.

mod addresses;
mod beside;
mod book;
mod certificates;
mod clock_mark;
mod ending;
mod endpoint;
mod folder;
mod greeting;
mod inspection;
mod leading;
mod node;
mod plan;
mod roles;
mod secrets;
pub(crate) mod single;
mod sockets;
mod supervisor;
mod transport;

use std::process::ExitCode;

use anyhow::{Context, Result};
use gitstratum_process::{Drain, LogConfig, LogFormat, Signals, exit_at_once, start_logging};

use crate::cli::up_args::UpArgs;
pub(crate) use secrets::{join_token_file, replace_join_token};

use ending::unless_stopped;
use node::Node;
use plan::Plan;

/// Runs until a signal asks it to stop.
///
/// # Errors
/// What is wrong, in one line with its causes. A data directory that is not sound, not ours
/// or in use is left as it is.
pub(crate) async fn run(args: UpArgs) -> Result<ExitCode> {
    let plan = Plan::of(&args)?;
    // The nodes of `--nodes` write to one log.
    let process = plan.node.map(|number| format!("node-{number}"));
    let filter = plan.log_filter.clone();
    start_logging(&LogConfig { filter, format: LogFormat::Auto, process })
        .context("starting the log")?;
    let signals = Signals::install().context("listening for signals")?;
    if plan.node.is_none() && supervisor::is_for_several(&plan)? {
        supervisor::run(&plan, signals).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(parent) = args.watched_by {
        supervisor::die_with(parent)?;
    }
    let (stop, stopping) = Drain::new();
    let waiting = gitstratum_process::spawn("stop signal", async move {
        let signal = signals.first(exit_at_once).await;
        tracing::info!(?signal, "stopping");
        stop.start();
    });
    let started = unless_stopped(&stopping, Node::start(&plan)).await?;
    let Some(node) = started else { return Ok(ExitCode::SUCCESS) };
    let endpoint = node.endpoint(&plan);
    endpoint.write(&plan.endpoint_folder()).context("writing endpoint.json")?;
    if plan.node.is_none() {
        greeting::print(&plan, &endpoint);
    }
    let ended = node.run(stopping).await;
    endpoint::remove(&plan.endpoint_folder());
    drop(waiting);
    ended?;
    Ok(ExitCode::SUCCESS)
}
