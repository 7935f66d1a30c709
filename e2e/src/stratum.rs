use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::git::{Git, Ran, code};
use crate::home::{Place, home};
use crate::moment::now;
use crate::skip::nodes_wanted;

/// Longest wait for readiness and for a stop.
const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where a running system is found: `endpoint.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Endpoint {
    /// `http://HOST:PORT`.
    pub http: String,
    /// `ssh://git@HOST:PORT`.
    pub ssh: String,
    /// `https://HOST:PORT`, when served.
    pub https: Option<String>,
    /// `http://HOST:PORT` of probes and metrics.
    pub metrics: String,
    /// `ssh-ed25519 …`.
    pub ssh_host_key: String,
    /// The Unix socket of the control plane.
    pub control: PathBuf,
    /// The file with the first admin's token.
    pub admin_token_file: PathBuf,
    /// The process.
    pub pid: u32,
    /// The nodes, in the order of their numbers.
    pub nodes: Vec<NodeEndpoint>,
}

/// One node of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NodeEndpoint {
    /// Its id.
    pub id: String,
    /// `http://HOST:PORT`.
    pub http: String,
    /// `ssh://git@HOST:PORT`.
    pub ssh: String,
    /// `http://HOST:PORT` of its probes and metrics.
    pub metrics: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its process, when the system got ready.
    pub pid: u32,
}

impl NodeEndpoint {
    /// Its process now: one that died is started again.
    pub fn current_pid(&self) -> Option<u32> {
        let text = std::fs::read(self.dir.join("endpoint.json")).ok()?;
        Some(serde_json::from_slice::<Endpoint>(&text).ok()?.pid)
    }
}

/// How a system is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More arguments of `up`.
    pub args: Vec<String>,
    /// More environment variables.
    pub variables: Vec<(String, String)>,
    /// Data directory; a temporary one if `None`.
    pub data: Option<PathBuf>,
    /// Where the temporary one is made.
    pub place: Place,
}

/// A running `gitstratum up`, killed when dropped.
#[derive(Debug)]
pub struct Stratum {
    /// Home of git, logs, and the data unless given.
    temp: TempDir,
    data: PathBuf,
    options: Options,
    child: Option<Child>,
    endpoint: Option<Endpoint>,
    /// Frontends that were named so far.
    named: AtomicUsize,
}

/// The built program, beside this test's own.
///
/// # Panics
/// When it was not built: `cargo xtask test` builds it, or `cargo build --workspace --bins`.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("because a running test has a path");
    let folder = test.ancestors().nth(2).expect("because tests lie two levels below");
    let program = folder.join("gitstratum");
    assert!(program.exists(), "{} is not built: cargo build --workspace --bins", program.display());
    program
}

impl Stratum {
    /// Starts a new system and waits until it is ready.
    ///
    /// # Errors
    /// With its log's end, when it does not get ready.
    pub fn start() -> Result<Self> {
        Self::start_with(Options::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`Stratum::start`].
    pub fn start_with(options: Options) -> Result<Self> {
        let temp = home(options.place)?;
        let data = options.data.clone().unwrap_or_else(|| temp.path().join("data"));
        let mut options = options;
        if let Some(nodes) =
            nodes_wanted().filter(|_| !options.args.iter().any(|arg| arg == "--nodes"))
        {
            options.args.extend(["--nodes".to_owned(), nodes]);
        }
        let (child, endpoint, named) = (None, None, AtomicUsize::new(0));
        let mut stratum = Self { temp, data, options, child, endpoint, named };
        stratum.launch()?;
        Ok(stratum)
    }

    /// Starts it again on the same data after a stop or a kill; returns how long it took
    /// until it was ready.
    ///
    /// # Errors
    /// As [`Stratum::start`].
    pub fn launch(&mut self) -> Result<Duration> {
        ensure!(self.child.is_none(), "it runs already");
        let began = now();
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(program());
        command
            .arg("up")
            .args(["--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .arg("--data")
            .arg(&self.data)
            .args(&self.options.args)
            .envs(self.options.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = command.spawn().context("starting gitstratum")?;
        let ready = self.wait_ready(&mut child, began);
        self.child = Some(child);
        let (endpoint, took) = ready?;
        self.endpoint = Some(endpoint);
        Ok(took)
    }

    fn wait_ready(&self, child: &mut Child, began: Instant) -> Result<(Endpoint, Duration)> {
        while began.elapsed() < START_WITHIN {
            if let Some(status) = child.try_wait()? {
                bail!("gitstratum ended with {}:\n{}", code(status), self.log_end());
            }
            let file = std::fs::read(self.data.join("endpoint.json"));
            let endpoint =
                file.ok().and_then(|text| serde_json::from_slice::<Endpoint>(&text).ok());
            // One that a killed process left names another process.
            if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.pid == child.id()) {
                return Ok((endpoint, began.elapsed()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("gitstratum was not ready in time:\n{}", self.log_end())
    }

    /// Sets an environment variable of the next launch.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.clear_variable(name);
        self.options.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Takes an environment variable of the next launch back.
    pub fn clear_variable(&mut self, name: &str) {
        self.options.variables.retain(|(known, _)| known != name);
    }

    /// Waits until it has ended by itself and returns its exit code; 128 plus the signal when it
    /// was killed.
    ///
    /// # Errors
    /// When it does not run, or goes on running.
    pub fn wait_ended(&mut self) -> Result<i32> {
        let mut child = self.child.take().context("it does not run")?;
        let status = ended_within(&mut child, STOP_WITHIN)?;
        self.endpoint = None;
        match status {
            Some(status) => Ok(code(status)),
            None => {
                self.child = Some(child);
                bail!("gitstratum goes on running:\n{}", self.log_end())
            }
        }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        self.endpoint = None;
        Ok(())
    }

    /// Kills it with SIGKILL and does not wait: for whoever only looks on while others use
    /// it. [`Stratum::kill`] has to follow.
    ///
    /// # Errors
    /// When it does not run.
    pub fn strike(&self) -> Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        Ok(kill_process(Pid::from_child(child), Signal::KILL)?)
    }

    /// Asks it to stop, waits, and returns its exit code.
    ///
    /// # Errors
    /// When it does not run or does not stop in time.
    pub fn stop(&mut self) -> Result<i32> {
        let mut child = self.child.take().context("it does not run")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        if let Some(status) = ended_within(&mut child, STOP_WITHIN)? {
            self.endpoint = None;
            return Ok(code(status));
        }
        child.kill()?;
        bail!("gitstratum did not stop in time:\n{}", self.log_end())
    }

    /// Where it is found.
    ///
    /// # Panics
    /// When it does not run.
    pub fn endpoint(&self) -> &Endpoint {
        self.endpoint.as_ref().expect("because it runs")
    }

    /// The frontends in turn: whoever asks one after the other goes through all of them.
    ///
    /// # Panics
    /// When it does not run.
    pub fn frontend(&self) -> &NodeEndpoint {
        let nodes = &self.endpoint().nodes;
        &nodes[self.named.fetch_add(1, Ordering::Relaxed) % nodes.len()]
    }

    /// `http://…/PATH.git`, of the next frontend.
    pub fn http(&self, path: &str) -> String {
        format!("{}/{path}.git", self.frontend().http)
    }

    /// `ssh://git@…/PATH.git`, of the next frontend.
    pub fn ssh(&self, path: &str) -> String {
        format!("{}/{path}.git", self.frontend().ssh)
    }

    /// The first admin's token.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn admin_token(&self) -> Result<String> {
        let text = std::fs::read_to_string(&self.endpoint().admin_token_file)?;
        Ok(text.trim_end().to_owned())
    }

    /// A folder of its own for whatever a test makes.
    pub fn scratch(&self) -> &Path {
        self.temp.path()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Git with the admin's credentials, by the credential helper that `up` prints.
    pub fn git(&self) -> Git {
        let helper = format!("!{} credential --data {}", program().display(), self.data.display());
        let key = self.temp.path().join("id_ed25519");
        let known = self.temp.path().join("known_hosts");
        let ssh = format!(
            "ssh -F none -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={} -o BatchMode=yes",
            key.display(),
            known.display()
        );
        Git::new(self.temp.path(), &helper, &ssh)
    }

    /// Makes an SSH key, registers it for user `admin`, and trusts the host key.
    ///
    /// # Errors
    /// When a step fails.
    pub fn register_key(&self) -> Result<()> {
        let key = self.temp.path().join("id_ed25519");
        if !key.exists() {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&key)
                .status()?;
            ensure!(made.success(), "ssh-keygen failed");
        }
        let public = key.with_extension("pub");
        let public = public.to_str().context("a path that is no text")?;
        self.cli(&["user", "key", "add", "admin", public])?;
        self.trust_host_key()
    }

    /// Writes the host key, which all nodes have, where ssh looks for it.
    ///
    /// # Errors
    /// When the endpoint names no port.
    pub fn trust_host_key(&self) -> Result<()> {
        let mut lines = String::new();
        for node in &self.endpoint().nodes {
            let port = node.ssh.rsplit(':').next().context("no port")?;
            lines += &format!("[127.0.0.1]:{port} {}\n", self.endpoint().ssh_host_key);
        }
        std::fs::write(self.temp.path().join("known_hosts"), lines)?;
        Ok(())
    }

    /// Registers a public key, a line as in a `.pub` file, for a user.
    ///
    /// # Errors
    /// When the command line refuses it.
    pub fn register_public(&self, user: &str, line: &str) -> Result<()> {
        let name = format!("key{}.pub", line.len() + line.bytes().map(usize::from).sum::<usize>());
        let path = self.temp.path().join(name);
        std::fs::write(&path, format!("{line}\n"))?;
        let path = path.to_str().context("a path that is no text")?;
        self.cli(&["user", "key", "add", user, path])?;
        Ok(())
    }

    /// Runs `gitstratum ARGS` against it, whatever it returns.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn try_cli(&self, args: &[&str]) -> Result<Ran> {
        let output = Command::new(program())
            .args(args)
            .arg("--data")
            .arg(&self.data)
            .env("HOME", self.temp.path())
            .stdin(Stdio::null())
            .output()?;
        Ok(Ran {
            code: code(output.status),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs `gitstratum ARGS` against it and returns what it printed.
    ///
    /// # Errors
    /// When it does not exit with 0.
    pub fn cli(&self, args: &[&str]) -> Result<String> {
        let ran = self.try_cli(args)?;
        ensure!(ran.code == 0, "gitstratum {} gave {}:\n{}", args.join(" "), ran.code, ran.err);
        Ok(ran.out)
    }

    /// Where its log is.
    pub fn log_path(&self) -> PathBuf {
        self.temp.path().join("up.log")
    }

    /// Its whole log.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The most memory that it has had resident, in bytes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn memory_peak(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.endpoint().pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no peak in its status")?.parse::<u64>()? << 10)
    }

    /// The end of its log.
    pub fn log_end(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

fn ended_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let began = now();
    while began.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(None)
}

impl Drop for Stratum {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself: then there is nothing to kill.
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- log of gitstratum\n{}", self.log_end());
        }
    }
}
