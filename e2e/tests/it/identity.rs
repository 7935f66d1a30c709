//! Certificates of three nodes in time: renewed under load, without the control plane, and
//! when nodes end in unusual ways (S46, issue 5).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Git, Options, Ran, Stratum, is_long, now};
use rustix::process::{Pid, Signal, kill_process};

use crate::stalls::Stalls;
use crate::work::{commit, create, folder, history, mirror_equals};

/// What a node logs when it has new certificates.
const RENEWED: &str = "the node's certificates are renewed";

/// Three nodes and a working copy that is pushed to them.
pub(crate) struct Nodes {
    pub(crate) stratum: Stratum,
    pub(crate) source: PathBuf,
    repository: String,
    pushed: usize,
}

/// Pushes to one repository: with 1,000 packs it takes no more.
const REPOSITORY_PUSHES: usize = 800;

impl Nodes {
    pub(crate) fn start(more: &[&str], variables: Vec<(String, String)>) -> Result<Self> {
        let args = ["--nodes", "3"].iter().chain(more).map(|text| (*text).to_owned()).collect();
        let stratum = Stratum::start_with(Options { args, variables, ..Options::default() })?;
        create(&stratum, "demo/three", "sha1")?;
        let source = folder(&stratum, "source");
        history(&stratum.git(), &source, 3, "sha1")?;
        let repository = "demo/three".to_owned();
        let mut nodes = Self { stratum, source, repository, pushed: 0 };
        let url = nodes.url(0);
        nodes.push(&url)?;
        Ok(nodes)
    }

    fn url(&self, index: usize) -> String {
        let Self { stratum, repository, .. } = self;
        format!("{}/{repository}.git", stratum.endpoint().nodes[index % 3].http)
    }

    fn ssh(&self, index: usize) -> String {
        let Self { stratum, repository, .. } = self;
        format!("{}/{repository}.git", stratum.endpoint().nodes[index % 3].ssh)
    }

    /// Goes on in a new repository, once the one so far has nearly all the packs that it may have.
    fn begin_repository_when_full(&mut self) -> Result<()> {
        if self.pushed.is_multiple_of(REPOSITORY_PUSHES) {
            self.verify(&format!("full-{}", self.pushed))?;
            self.repository = format!("demo/three-{}", self.pushed);
            create(&self.stratum, &self.repository, "sha1")?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.pushed += 1;
        commit(&self.stratum.git(), &self.source, "file", &format!("push {}\n", self.pushed))
    }

    fn try_push(&mut self, url: &str) -> Result<Ran> {
        self.commit()?;
        self.stratum.git().try_run(&self.source, &["push", "-q", url, "main"])
    }

    /// A push that is taken.
    fn push(&mut self, url: &str) -> Result<()> {
        self.commit()?;
        let git = self.stratum.git();
        let push = || git.try_run(&self.source, &["push", "-q", url, "main"]);
        let ran = Stalls::of(&self.stratum).again(push)?;
        let shown = || self.troubles();
        ensure!(ran.code == 0, "push {} to {url}: {}\n{}", self.pushed, ran.err, shown());
        Ok(())
    }

    pub(crate) fn verify(&self, name: &str) -> Result<()> {
        for index in 0..3 {
            let to = folder(&self.stratum, &format!("{name}-{index}.git"));
            mirror_equals(&self.stratum.git(), &self.source, &self.url(index), &to)
                .with_context(|| format!("through node {index}:\n{}", self.troubles()))?;
        }
        Ok(())
    }

    /// Lines of the log that tell of what did not go well.
    fn troubles(&self) -> String {
        let log = self.stratum.log();
        let lines = log.lines().filter(|line| !line.contains("\"result\":\"ok\""));
        let lines: Vec<&str> = lines.filter(|line| line.contains("\"level\"")).collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Again and again until `holds`, for at most `within`.
    fn until(&self, what: &str, within: Duration, holds: impl Fn() -> Result<bool>) -> Result<()> {
        let began = now();
        while !holds()? {
            let took = began.elapsed();
            ensure!(took < within, "{what}: not within {took:?}\n{}", self.troubles());
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

/// Certificates of 2 minutes, 30 minutes of load; in CI of 15 s for a minute and a half.
#[test]
fn s46_certificates_are_renewed_under_load_without_a_failed_push() -> Result<()> {
    let (lifetime, load) = if is_long() { ("120", 1_800) } else { ("15", 75) };
    let mut nodes = Nodes::start(&["--certificate-lifetime", lifetime], Vec::new())?;
    let began = now();
    while began.elapsed() < Duration::from_secs(load) {
        nodes.begin_repository_when_full()?;
        let url = nodes.url(nodes.pushed);
        nodes.push(&url)?;
        if nodes.pushed.is_multiple_of(10) {
            let to = folder(&nodes.stratum, &format!("clone-{}.git", nodes.pushed));
            let url = nodes.url(nodes.pushed / 10);
            let name = to.to_str().context("a path that is no text")?;
            nodes.stratum.git().run(&nodes.source, &["clone", "-q", "--mirror", &url, name])?;
        }
    }
    let log = nodes.stratum.log();
    let renewed = log.matches(RENEWED).count();
    let control = log.matches("the control plane's certificate is renewed").count();
    eprintln!("{} pushes, {renewed} renewals of nodes, {control} of control planes", nodes.pushed);
    let expected = 3 * if is_long() { 20 } else { 5 };
    ensure!(renewed >= expected, "{renewed} renewals, {expected} were due\n{}", nodes.troubles());
    ensure!(control >= expected, "{control} renewals of control planes");
    nodes.verify("renewed")
}

/// The places where the control plane does not answer while the file is there.
fn silence(file: &Path) -> Vec<(String, String)> {
    let plan = |place| format!("{place}=fail-while:{}", file.display());
    let plans = [plan("control.call.answer"), plan("control.log.receive")].join(";");
    vec![("GITSTRATUM_FAILPOINTS".to_owned(), plans)]
}

fn git_says(git: &Git, at: &Path, url: &str) -> Result<Ran> {
    git.try_run(at, &["ls-remote", url, "refs/heads/main"])
}

/// The control plane away on all nodes: clones, pushes and logins go on, with new
/// repositories refused; after `offlineGrace` credentials are refused, naming since when;
/// back: converged.
/// GS-FE-31: requests are routed by what was streamed before.
#[test]
fn s46_without_the_control_plane_work_goes_on_for_offline_grace_and_then_says_why() -> Result<()> {
    const GRACE: Duration = Duration::from_secs(45);
    /// The time counts from the last news, which were up to one heartbeat old.
    const LAST_NEWS: Duration = Duration::from_secs(1);
    let hold = tempfile::tempdir()?;
    let file = hold.path().join("silent");
    let grace = GRACE.as_secs().to_string();
    let mut nodes = Nodes::start(&["--offline-grace", &grace], silence(&file))?;
    nodes.stratum.register_key()?;
    let url = nodes.url(0);
    nodes.push(&url)?;

    std::fs::write(&file, b"")?;
    let began = now();
    let refused = nodes.stratum.try_cli(&["repo", "create", "demo/late"])?;
    ensure!(refused.code != 0, "a repository was made without a control plane");
    ensure!(refused.err.contains("control plane"), "it says why: {}", refused.err);
    let status = nodes.stratum.try_cli(&["status"])?;
    let said = format!("{}{}", status.out, status.err);
    ensure!(said.contains("control plane is not there"), "status says nothing of it: {said}");
    for index in 0..3 {
        let (http, ssh) = (nodes.url(index), nodes.ssh(index));
        nodes.push(&http)?;
        if index == 0 {
            nodes.push(&ssh)?;
        }
    }
    nodes.verify("silent")?;
    ensure!(began.elapsed() < GRACE, "this machine is too slow for a grace of {GRACE:?}");

    let (git, source) = (nodes.stratum.git(), nodes.source.clone());
    for index in 0..3 {
        let url = nodes.url(index);
        nodes.until("refused", GRACE * 3, || Ok(git_says(&git, &source, &url)?.code != 0))?;
        let took = began.elapsed();
        let said = git_says(&git, &source, &url)?.err;
        ensure!(said.contains("no news from the control plane since 20"), "{said}");
        ensure!(took + LAST_NEWS >= GRACE, "refused after {took:?}");
    }
    let said = git_says(&git, &source, &nodes.ssh(0))?.err;
    ensure!(said.contains("no news from the control plane since 20"), "over ssh: {said}");

    // The count goes on across restarts: they do not make old credentials young.
    ensure!(nodes.stratum.stop()? == 0, "it did not stop cleanly");
    nodes.stratum.launch()?;
    let said = git_says(&git, &source, &nodes.url(1))?;
    ensure!(said.code != 0 && said.err.contains("no news from the control plane"), "{}", said.err);

    std::fs::remove_file(&file)?;
    let back = now();
    for index in 0..3 {
        let url = nodes.url(index);
        let served = || Ok(git_says(&git, &source, &url)?.code == 0);
        nodes.until("served again", Duration::from_secs(30), served)?;
    }
    eprintln!("served again {:?} after the control plane was back", back.elapsed());
    create(&nodes.stratum, "demo/late", "sha1")?;
    let url = nodes.url(2);
    nodes.push(&url)?;
    nodes.verify("back")
}

/// Nodes whose certificates ran out while the control plane was away go on with each other,
/// and renew when it is back.
#[test]
fn s46_certificates_that_run_out_without_news_are_believed_within_offline_grace() -> Result<()> {
    let hold = tempfile::tempdir()?;
    let file = hold.path().join("silent");
    let mut nodes = Nodes::start(&["--certificate-lifetime", "20"], silence(&file))?;
    let url = nodes.url(0);
    nodes.push(&url)?;
    std::fs::write(&file, b"")?;
    let began = now();
    while began.elapsed() < Duration::from_secs(35) {
        let url = nodes.url(nodes.pushed);
        nodes.push(&url)?;
    }
    // Every connection is opened anew, by certificates that ran out.
    ensure!(nodes.stratum.stop()? == 0, "it did not stop cleanly");
    nodes.stratum.launch()?;
    let pushed = |nodes: &mut Nodes| -> Result<bool> {
        let url = nodes.url(nodes.pushed);
        Ok(nodes.try_push(&url)?.code == 0)
    };
    let (again, within) = (now(), Duration::from_secs(30));
    while !pushed(&mut nodes)? {
        ensure!(again.elapsed() < within, "no push in {within:?}\n{}", nodes.troubles());
    }
    let before = nodes.stratum.log().matches(RENEWED).count();
    std::fs::remove_file(&file)?;
    let renewed = || Ok(nodes.stratum.log().matches(RENEWED).count() >= before + 3);
    nodes.until("renewed", Duration::from_secs(60), renewed)?;
    nodes.verify("renewed-late")
}

#[test]
fn bad_input_162_all_nodes_at_once_are_ready_in_time_with_cold_caches() -> Result<()> {
    let mut nodes = Nodes::start(&[], Vec::new())?;
    let url = nodes.url(0);
    nodes.push(&url)?;
    for _ in 0..3 {
        nodes.stratum.kill()?;
        let took = nodes.stratum.launch()?;
        ensure!(took < Duration::from_secs(60), "ready after {took:?}");
        eprintln!("ready after {took:?}");
    }
    nodes.verify("herd")
}

#[test]
fn bad_input_164_a_second_signal_a_kill_or_a_stop_in_the_drain_loses_nothing() -> Result<()> {
    let mut nodes = Nodes::start(&[], Vec::new())?;
    for (round, signals) in
        [[Signal::TERM, Signal::TERM], [Signal::TERM, Signal::KILL], [Signal::TERM, Signal::STOP]]
            .into_iter()
            .enumerate()
    {
        let url = nodes.url(round);
        // Right after a start a partition's leader may have yet to hear of the latest grants.
        let began = now();
        loop {
            let ran = nodes.try_push(&url)?;
            if ran.code == 0 {
                break;
            }
            let waits = ran.err.contains("yet to hear of the latest grants");
            let waits = waits && began.elapsed() < Duration::from_secs(10);
            ensure!(waits, "push to {url}: {}\n{}", ran.err, nodes.troubles());
        }
        let pid = Pid::from_raw(i32::try_from(nodes.stratum.endpoint().pid)?).context("no pid")?;
        for signal in signals {
            // It may have ended between the two.
            kill_process(pid, signal).unwrap_or_default();
            std::thread::sleep(Duration::from_millis(20));
        }
        if signals[1] == Signal::STOP {
            std::thread::sleep(Duration::from_millis(500));
            kill_process(pid, Signal::CONT).unwrap_or_default();
        }
        nodes.stratum.wait_ended()?;
        nodes.stratum.launch()?;
    }
    nodes.verify("ended")?;
    let checked = nodes.stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    Ok(())
}
