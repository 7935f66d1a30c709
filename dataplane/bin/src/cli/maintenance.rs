use std::io;
use std::process::ExitCode;

use clap::Args;
use gitstratum_core::RepoPath;
use gitstratum_ctl::maintenance::{self, Doing, Outcome, Progress, Run};
use gitstratum_ctl::{Connection, Exit};
use gitstratum_process::Signals;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Console, Failure};

/// What the bar on a terminal looks like.
const BAR: &str = "{bar:30} {pos}/{len} {msg}";

/// Make one pack of a repository's many
///
/// A node that has the packs copies them into one, reads that back and hashes every object, then
/// swaps it in. Pushes and clones go on. The disk of the old packs is free when nobody can read them
/// any more, some seconds later. Ctrl-C ends the run; nothing has changed then.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum compact team/engine
  gitstratum compact --dry-run
  gitstratum compact team/engine -o json")]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    of: RunArgs,
}

/// Drop objects that no ref reaches
///
/// As `compact`, but without objects that no branch, tag or other ref reaches, nor reached within the
/// last minute. They are kept out of sight for as long as setting `object.gcRetention` says, then
/// their disk is free. Pushes go on: one that needs an object which is about to go is checked again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum gc team/engine --dry-run
  gitstratum gc team/engine
  gitstratum config set object.gcRetention 1d")]
pub(crate) struct GcArgs {
    #[command(flatten)]
    of: RunArgs,
}

#[derive(Args, Debug)]
struct RunArgs {
    /// Only this repository [default: all that you may see, one after the other]
    #[arg(value_parser = RepoPath::parse, value_name = "OWNER/NAME")]
    path: Option<RepoPath>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl CompactArgs {
    pub(super) async fn run(self, console: &Console) -> Result<ExitCode, Failure> {
        self.of.run(console, Run::Compaction).await
    }
}

impl GcArgs {
    pub(super) async fn run(self, console: &Console) -> Result<ExitCode, Failure> {
        self.of.run(console, Run::Drop).await
    }
}

impl RunArgs {
    async fn run(self, console: &Console, run: Run) -> Result<ExitCode, Failure> {
        let signals = Signals::install()?;
        let stopped = signals.first(|| {});
        tokio::select! {
            done = self.run_all(console, run) => done,
            _ = stopped => {
                console.remark("stopped: the run is ended, and has changed nothing");
                Ok(ExitCode::from(Exit::Failed.code()))
            }
        }
    }

    async fn run_all(&self, console: &Console, run: Run) -> Result<ExitCode, Failure> {
        let connection = console.connect().await?;
        let paths = match &self.path {
            Some(path) => vec![path.clone()],
            None => maintenance::all(&connection).await?,
        };
        let doing = if self.dry_run { Doing::DryRun } else { Doing::Now };
        let mut outcomes = Vec::with_capacity(paths.len());
        let mut failed = None;
        for path in &paths {
            match one(console, &connection, path, (run, doing)).await {
                Ok(outcome) => outcomes.push(outcome),
                // One that fails is no reason to leave the others as they are.
                Err(failure) if paths.len() > 1 => {
                    failure.report(&mut io::stderr());
                    failed = Some(Exit::Failed);
                }
                Err(failure) => return Err(failure),
            }
        }
        if !console.is_for_people() {
            console.write(&maintenance::report(&outcomes, console.format)?)?;
        }
        Ok(ExitCode::from(failed.unwrap_or(Exit::Done).code()))
    }
}

async fn one(
    console: &Console,
    connection: &Connection,
    path: &RepoPath,
    what: (Run, Doing),
) -> Result<Outcome, Failure> {
    let bar = bar(console);
    let mut seen = |progress: Progress| {
        bar.set_message(format!("{} {path}", progress.stage));
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let outcome = maintenance::run(connection, path, what, &mut seen).await;
    bar.finish_and_clear();
    let outcome = outcome.map_err(|error| {
        Failure::from(error).or_look("`gitstratum repo list` shows those that you may see")
    })?;
    if console.is_for_people() && !console.is_quiet() {
        console.write(&outcome.text())?;
    }
    Ok(outcome)
}

/// A bar on standard error, where that is a terminal.
fn bar(console: &Console) -> ProgressBar {
    if console.is_quiet() || !console.is_for_people() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
