//! Three nodes, each a process with its own disk and certificates (issue 5): what one takes
//! all have, and any of them may die or hang.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{NodeEndpoint, Options, Ran, Stratum, is_long, now};
use rustix::process::{Pid, Signal, kill_process};

use crate::stalls::Stalls;
use crate::work::{commit, create, folder, history, mirror_equals};

/// Within what pushes go on on a machine of their own: after a node was killed, and after one
/// hangs. `--long` asks for that; in CI other tests run beside these, on two cores.
const KILLED_WITHIN: Duration = Duration::from_secs(3);
const HUNG_WITHIN: Duration = Duration::from_secs(5);
/// Within what a restarted system answers again: a node that has died again and again is started
/// after a pause of up to 5 s.
const SERVED_WITHIN: Duration = Duration::from_secs(10);
/// Within what a node that died is there again, with nothing or with all it had.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// Pushes through one node and looks through another, one after the other (P-C5).
const PAIRS: usize = 60;

pub(crate) fn beside_others(limit: Duration) -> Duration {
    if is_long() { limit } else { limit * 2 }
}

/// A system of three nodes and a history that is pushed to it.
pub(crate) struct Three {
    pub(crate) stratum: Stratum,
    pub(crate) source: PathBuf,
    pushed: usize,
}

impl Three {
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// With more arguments of `up`.
    pub(crate) fn start_with(args: &[&str]) -> Result<Self> {
        Self::start_in(Options::default(), args)
    }

    pub(crate) fn start_in(options: Options, args: &[&str]) -> Result<Self> {
        let args = ["--nodes", "3"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let stratum = Stratum::start_with(Options { args, ..options })?;
        ensure!(stratum.endpoint().nodes.len() == 3);
        create(&stratum, "demo/three", "sha1")?;
        let source = folder(&stratum, "source");
        history(&stratum.git(), &source, 3, "sha1")?;
        Ok(Self { stratum, source, pushed: 0 })
    }

    pub(crate) fn node(&self, index: usize) -> &NodeEndpoint {
        &self.stratum.endpoint().nodes[index % 3]
    }

    pub(crate) fn url(&self, index: usize) -> String {
        format!("{}/demo/three.git", self.node(index).http)
    }

    /// One commit more, pushed through a node; its id.
    pub(crate) fn push(&mut self, index: usize) -> Result<String> {
        self.pushed += 1;
        let git = self.stratum.git();
        commit(&git, &self.source, "file", &format!("push {}\n", self.pushed))?;
        let push = || git.try_run(&self.source, &["push", "-q", &self.url(index), "main"]);
        let pushed = Stalls::of(&self.stratum).again(push)?;
        ensure!(pushed.code == 0, "push {} failed: {}", self.pushed, pushed.err);
        Ok(git.run(&self.source, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// The same, again and again until it is taken; how long that took.
    pub(crate) fn push_until_taken(&mut self, index: usize, within: Duration) -> Result<Duration> {
        let git = self.stratum.git();
        self.pushed += 1;
        commit(&git, &self.source, "file", &format!("push {}\n", self.pushed))?;
        let (began, within) = (now(), beside_others(within));
        loop {
            let url = self.url(index);
            let ran = git.try_run(&self.source, &["push", "-q", &url, "main"])?;
            let took = began.elapsed();
            ensure!(took < within, "not taken within {took:?}: {}", ran.err);
            if ran.code == 0 {
                return Ok(took);
            }
        }
    }

    /// A push of one commit more that may be refused.
    pub(crate) fn try_push(&mut self, index: usize) -> Result<Ran> {
        self.pushed += 1;
        let git = self.stratum.git();
        commit(&git, &self.source, "file", &format!("push {}\n", self.pushed))?;
        git.try_run(&self.source, &["push", "-q", &self.url(index), "main"])
    }

    /// Where `main` is, as a node says, if it does.
    pub(crate) fn try_tip(&self, index: usize) -> Result<Ran> {
        let git = self.stratum.git();
        git.try_run(&self.source, &["ls-remote", &self.url(index), "refs/heads/main"])
    }

    /// Where `main` is, as a node says.
    pub(crate) fn tip(&self, index: usize) -> Result<String> {
        let git = self.stratum.git();
        let listed = git.run(&self.source, &["ls-remote", &self.url(index), "refs/heads/main"])?;
        Ok(listed.split_whitespace().next().unwrap_or_default().to_owned())
    }

    pub(crate) fn signal(&self, index: usize, signal: Signal) -> Result<u32> {
        let pid = self.node(index).current_pid().context("the node is not up")?;
        let raw = Pid::from_raw(i32::try_from(pid)?).context("no process")?;
        kill_process(raw, signal)?;
        Ok(pid)
    }

    /// Waits until the node was started again.
    pub(crate) fn wait_for_new(&self, index: usize, old: u32) -> Result<()> {
        let began: Instant = now();
        while self.node(index).current_pid().is_none_or(|pid| pid == old) {
            let took = began.elapsed();
            ensure!(
                took < BACK_WITHIN,
                "node {index} did not come back; its log:\n{}",
                self.troubles()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Lets a node that was stopped go on, and waits until one process of it stays: one that
    /// was stalled for long ends, and is started again (S39).
    pub(crate) fn go_on(&self, index: usize) -> Result<()> {
        const STAYS: Duration = Duration::from_millis(1_500);
        self.signal(index, Signal::CONT)?;
        let (began, mut seen) = (now(), (None, now()));
        while seen.0.is_none() || seen.1.elapsed() < STAYS {
            ensure!(began.elapsed() < Duration::from_secs(40), "node {index} does not stay");
            let pid = self.node(index).current_pid();
            let living = pid.filter(|pid| PathBuf::from(format!("/proc/{pid}/stat")).exists());
            if living != seen.0 {
                seen = (living, now());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.wait_for_service(index)
    }

    /// Waits until a fetch through a node is answered: after all were killed, on a busy
    /// machine, the partitions may be without a leader for longer than a request waits.
    pub(crate) fn wait_for_service(&self, index: usize) -> Result<()> {
        let (git, url, began) = (self.stratum.git(), self.url(index), now());
        let bare = folder(&self.stratum, "look.git");
        std::fs::create_dir_all(&bare)?;
        git.run(&bare, &["init", "-q", "--bare"])?;
        while git.try_run(&bare, &["fetch", "-q", "--depth=1", &url, "main"])?.code != 0 {
            let took = began.elapsed();
            ensure!(
                took < beside_others(SERVED_WITHIN),
                "no fetch in {took:?}; its log:\n{}",
                self.troubles()
            );
        }
        Ok(())
    }

    /// The last lines of the log that tell of what did not go well; not those of git's first try,
    /// which is without a name.
    pub(crate) fn troubles(&self) -> String {
        let log = self.stratum.log();
        let is_trouble = |line: &&str| {
            line.contains("\"level\"")
                && !line.contains("\"result\":\"ok\"")
                && !line.contains("\"user\":\"-\"")
        };
        let lines: Vec<&str> = log.lines().filter(is_trouble).collect();
        let shown = lines[lines.len().saturating_sub(20)..].iter();
        shown.map(|line| line.chars().take(500).collect::<String>() + "\n").collect()
    }

    /// Every node gives what the source has.
    pub(crate) fn verify(&self, name: &str) -> Result<()> {
        for index in 0..3 {
            self.wait_for_service(index)?;
            let to = folder(&self.stratum, &format!("{name}-{index}.git"));
            mirror_equals(&self.stratum.git(), &self.source, &self.url(index), &to)
                .with_context(|| format!("through node {index}; its log:\n{}", self.troubles()))?;
        }
        Ok(())
    }
}

#[test]
fn p_c5_a_push_through_one_node_is_seen_at_once_through_the_others() -> Result<()> {
    let mut three = Three::start()?;
    for pair in 0..PAIRS {
        let id = three.push(pair)?;
        for other in [pair + 1, pair + 2] {
            ensure!(three.tip(other)? == id, "pair {pair}: node {} is behind", other % 3);
        }
    }
    three.verify("seen")?;
    let checked = three.stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    ensure!(three.stratum.stop()? == 0, "it did not stop cleanly");
    three.stratum.launch()?;
    three.verify("again")
}

/// GS-FE-32: a frontend goes with each of them, and takes nothing along.
#[test]
fn gs_op_39_any_node_may_be_killed_and_pushes_go_on() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    for victim in 0..3 {
        let old = three.signal(victim, Signal::KILL)?;
        let took = three.push_until_taken(victim + 1, KILLED_WITHIN)?;
        eprintln!("node {victim} killed: pushed after {took:?}");
        three.push_until_taken(victim + 2, KILLED_WITHIN)?;
        three.wait_for_new(victim, old)?;
        three.push_until_taken(victim, KILLED_WITHIN)?;
    }
    three.verify("killed")
}

#[test]
fn p_a8_any_node_may_hang_and_pushes_go_on() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    for victim in 0..3 {
        three.signal(victim, Signal::STOP)?;
        let took = three.push_until_taken(victim + 1, HUNG_WITHIN);
        let next = took.and_then(|took| {
            eprintln!("node {victim} hangs: pushed after {took:?}");
            let next = three.push_until_taken(victim + 1, HUNG_WITHIN)?;
            eprintln!("node {victim} hangs: next push in {next:?}");
            let to = folder(&three.stratum, &format!("hung-{victim}.git"));
            mirror_equals(&three.stratum.git(), &three.source, &three.url(victim + 2), &to)?;
            Ok(())
        });
        three.signal(victim, Signal::CONT)?;
        next?;
        three.push_until_taken(victim, HUNG_WITHIN)?;
    }
    three.verify("after-hung")
}

#[test]
fn p_d2_all_three_killed_at_once_lose_nothing() -> Result<()> {
    let mut three = Three::start()?;
    for round in 0..5 {
        for push in 0..4 {
            three.push_until_taken(round + push, HUNG_WITHIN)?;
        }
        let tip = three.tip(0)?;
        // The nodes die with the one that watches over them.
        three.stratum.kill()?;
        three.stratum.launch()?;
        for index in 0..3 {
            ensure!(three.tip(index)? == tip, "round {round}: node {index} forgot a push");
        }
    }
    three.verify("all-killed")
}

#[test]
fn gs_op_39_one_node_is_stopped_and_started_by_command() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    for victim in 0..3 {
        let id = three.node(victim).id.clone();
        three.stratum.cli(&["node", "stop", &id])?;
        ensure!(three.node(victim).current_pid().is_none(), "it says still where it is found");
        three.push_until_taken(victim + 1, KILLED_WITHIN)?;
        let status = three.stratum.cli(&["status"])?;
        ensure!(status.contains(&format!("node {id} does not answer")), "{status}");
        three.stratum.cli(&["node", "start", &id])?;
        ensure!(three.node(victim).current_pid().is_some(), "it is not ready");
        three.push_until_taken(victim, KILLED_WITHIN)?;
    }
    three.verify("stopped")?;
    let unknown = three.stratum.try_cli(&["node", "stop", "00010000000000ff"])?;
    ensure!(unknown.code == 1 && unknown.err.contains("runs here"), "{}", unknown.err);
    Ok(())
}

#[test]
fn people_are_served_while_the_first_node_hangs() -> Result<()> {
    let three = Three::start()?;
    three.signal(0, Signal::STOP)?;
    let asked = answered(&three.stratum, &["repo", "list"], "demo/three");
    let asked = asked.and_then(|()| answered(&three.stratum, &["status"], "does not answer"));
    three.signal(0, Signal::CONT)?;
    asked
}

/// Asks until there is an answer, with these words in it: it may have led the control plane.
fn answered(stratum: &Stratum, args: &[&str], words: &str) -> Result<()> {
    let began = now();
    loop {
        let ran = stratum.try_cli(args)?;
        if ran.code == 0 {
            ensure!(ran.out.contains(words), "{args:?}: {}", ran.out);
            return Ok(());
        }
        ensure!(began.elapsed() < beside_others(HUNG_WITHIN), "{args:?}: {}", ran.err);
    }
}
