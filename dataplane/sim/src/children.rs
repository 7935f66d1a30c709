//! Every seed runs in a process of its own, which may take so much time and memory and no more.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::panic;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_sim::{Outcome, SWITCHES, Settings, Switch, Verdict, find, run};

use crate::Cli;

/// Longest that a seed may take, on a machine that does other things too.
const SEED_WITHIN: Duration = Duration::from_secs(240);
/// Most memory of a seed, bytes.
const SEED_BYTES_MAX: u64 = 2 << 30;
/// How often a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of a page, as `/proc` counts.
const PAGE_BYTES: u64 = 4_096;
/// Status of a process whose seed showed that an invariant is broken.
const CAUGHT: i32 = 3;

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn say(line: &str) {
    println!("{line}");
}

/// Lists what can be done wrong.
pub(crate) fn list() -> bool {
    for switch in SWITCHES {
        say(&format!("{:<28} {}", switch.name, switch.wrong));
    }
    true
}

/// Runs the first seed in this process.
pub(crate) fn here(cli: &Cli) -> Result<bool> {
    let panics = count_panics();
    let sabotage = cli.sabotage.as_deref().map(switch).transpose()?;
    let settings =
        Settings { seed: cli.from, sabotage, is_told: cli.story, is_detailed: cli.details };
    let outcome = run(&settings)?;
    say(&line(&outcome));
    let panics = panics.load(Ordering::Relaxed);
    if panics > 0 {
        say(&format!("seed {}: {panics} tasks panicked, see above", cli.from));
    }
    if matches!(outcome.verdict, Verdict::Broken(..)) {
        std::process::exit(CAUGHT);
    }
    Ok(outcome.verdict == Verdict::Holds && panics == 0)
}

fn switch(name: &str) -> Result<&'static Switch> {
    find(name).with_context(|| format!("no wrong is called {name}: see --list"))
}

fn line(outcome: &Outcome) -> String {
    let verdict = match &outcome.verdict {
        Verdict::Holds => "holds".to_owned(),
        Verdict::Broken(invariant, what) => format!("BROKEN {invariant}: {what}"),
        Verdict::Invalid(why) => format!("INVALID: {why}"),
    };
    let counts = outcome.counts.iter().map(|(name, count)| format!("{count} {name}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    let sabotaged = match outcome.sabotaged {
        0 => String::new(),
        times => format!(", {times} times wrong"),
    };
    format!("seed {}: {verdict}; {counts}{sabotaged}; {}", outcome.seed, outcome.digest)
}

/// Tasks that panic are caught and told in the log; here none may.
fn count_panics() -> Arc<AtomicU64> {
    let (count, told) = (Arc::<AtomicU64>::default(), panic::take_hook());
    let counted = Arc::clone(&count);
    panic::set_hook(Box::new(move |panicked| {
        counted.fetch_add(1, Ordering::Relaxed);
        told(panicked);
    }));
    count
}

/// Runs all that was asked for.
pub(crate) fn run_all(cli: &Cli) -> Result<bool> {
    ensure!(cli.jobs > 0, "at least one seed has to run");
    match cli.sabotage.as_deref() {
        None => seeds(cli),
        Some("all") => {
            let mut are_caught = true;
            for switch in SWITCHES {
                are_caught &= sabotage(cli, switch)?;
            }
            Ok(are_caught)
        }
        Some(name) => sabotage(cli, switch(name)?),
    }
}

/// All seeds; each has to hold.
fn seeds(cli: &Cli) -> Result<bool> {
    let mut is_green = true;
    each_seed(cli, None, |_, ended| {
        say(ended.told.trim_end());
        is_green &= ended.is_green();
        true
    })?;
    Ok(is_green)
}

/// Seeds until one shows that `switch` is noticed.
fn sabotage(cli: &Cli, switch: &Switch) -> Result<bool> {
    let (mut tried, mut caught) = (0, None);
    each_seed(cli, Some(switch), |seed, ended| {
        tried += 1;
        if ended.status.and_then(|status| status.code()) == Some(CAUGHT) {
            caught = Some((seed, ended.told.trim_end().to_owned()));
        }
        caught.is_none()
    })?;
    match &caught {
        Some((seed, told)) => {
            let told = told.lines().next().unwrap_or_default();
            say(&format!("{}: caught after {tried} seeds by {seed}: {told}", switch.name));
        }
        None => say(&format!("{}: NOT CAUGHT in {tried} seeds", switch.name)),
    }
    Ok(caught.is_some())
}

/// A seed's process that has ended.
struct Ended {
    told: String,
    /// None when it was stopped.
    status: Option<ExitStatus>,
}

impl Ended {
    fn is_green(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// Runs the seeds, some at once, and tells of each in its turn until `go_on` says no.
fn each_seed(
    cli: &Cli,
    switch: Option<&Switch>,
    mut go_on: impl FnMut(u64, Ended) -> bool,
) -> Result<()> {
    let (mut next, end) = (cli.from, cli.from.saturating_add(cli.seeds));
    let mut turn = next;
    let (mut running, mut ended) = (Vec::<Running>::new(), BTreeMap::new());
    while turn < end {
        while running.len() < cli.jobs && next < end {
            running.push(Running::start(cli, switch, next)?);
            next += 1;
        }
        sleep(LOOK_EVERY);
        let mut left = Vec::new();
        for mut each in running {
            match each.look()? {
                Some(done) => drop(ended.insert(each.seed, done)),
                None => left.push(each),
            }
        }
        running = left;
        while let Some(done) = ended.remove(&turn) {
            if !go_on(turn, done) {
                return running.into_iter().try_for_each(Running::stop);
            }
            turn += 1;
        }
    }
    Ok(())
}

/// A seed's process.
struct Running {
    seed: u64,
    child: Child,
    looks: u32,
    why: Option<String>,
}

impl Running {
    fn start(cli: &Cli, switch: Option<&Switch>, seed: u64) -> Result<Self> {
        let program = std::env::current_exe().context("where this program is")?;
        let mut command = Command::new(program);
        command.args(["--here", "--from", &seed.to_string()]);
        command.args(switch.iter().flat_map(|switch| ["--sabotage", switch.name]));
        command.args(cli.story.then_some("--story")).args(cli.details.then_some("--details"));
        if switch.is_some() && !cli.story {
            // Tasks that panic by what is done wrong are no news.
            command.stderr(Stdio::null());
        }
        let child = command.stdout(Stdio::piped()).spawn().context("a process for a seed")?;
        Ok(Self { seed, child, looks: 0, why: None })
    }

    /// What came of it, once it is over; stops it when it takes too much.
    fn look(&mut self) -> Result<Option<Ended>> {
        self.looks += 1;
        if let Some(status) = self.child.try_wait()? {
            let mut told = String::new();
            if let Some(out) = &mut self.child.stdout {
                out.read_to_string(&mut told)?;
            }
            if let Some(why) = &self.why {
                told.push_str(why);
            }
            if told.is_empty() {
                told = format!("seed {}: INVALID: its process ended: {status}", self.seed);
            }
            return Ok(Some(Ended { told, status: self.why.is_none().then_some(status) }));
        }
        let bytes = self.bytes();
        let why = match () {
            () if LOOK_EVERY * self.looks > SEED_WITHIN => format!("takes over {SEED_WITHIN:?}"),
            () if bytes > SEED_BYTES_MAX => format!("takes {bytes} bytes of memory"),
            () => return Ok(None),
        };
        if self.why.is_none() {
            self.why = Some(format!("seed {}: INVALID: {why}", self.seed));
            self.child.kill()?;
        }
        Ok(None)
    }

    /// Memory that it has.
    fn bytes(&self) -> u64 {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()));
        let pages = pages.ok().and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
        pages.unwrap_or_default() * PAGE_BYTES
    }

    fn stop(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}
