use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::git::{Ran, code};
use crate::moment::now;
use crate::stratum::{Stratum, program};
use crate::wire::http::Http;

/// Longest wait for readiness and for a stop.
const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process of one role that joins a running system; killed when dropped.
#[derive(Debug)]
pub struct Member {
    role: &'static str,
    folder: PathBuf,
    ports: Vec<(&'static str, u16)>,
    child: Option<Child>,
}

impl Member {
    /// An object node that has yet to be started, with a folder and ports of its own.
    ///
    /// # Errors
    /// When its settings cannot be written.
    pub fn object(stratum: &Stratum, name: &str) -> Result<Self> {
        Self::new(stratum, name, ("object", &["object", "bulk", "metrics"]), "")
    }

    /// A control plane that has yet to be started: it is given the authority's key.
    ///
    /// # Errors
    /// When its settings cannot be written.
    pub fn control(stratum: &Stratum, name: &str) -> Result<Self> {
        let data = stratum.data().display();
        let authority =
            format!("authority:\n  certificateFile: {data}/ca.crt\n  keyFile: {data}/ca.key\n");
        Self::new(stratum, name, ("control", &["control", "control-raft", "metrics"]), &authority)
    }

    /// A metadata node that has yet to be started.
    ///
    /// # Errors
    /// When its settings cannot be written.
    pub fn metadata(stratum: &Stratum, name: &str) -> Result<Self> {
        let services = &["metadata", "metadata-raft", "metrics"];
        Self::new(stratum, name, ("metadata", services), "")
    }

    /// A frontend that has yet to be started.
    ///
    /// # Errors
    /// When its settings cannot be written.
    pub fn frontend(stratum: &Stratum, name: &str) -> Result<Self> {
        let more = format!("sshHostKeyFile: {}/ssh_host_key\n", stratum.data().display());
        Self::new(stratum, name, ("frontend", &["http", "ssh", "metrics"]), &more)
    }

    fn new(
        stratum: &Stratum,
        name: &str,
        (role, services): (&'static str, &[&'static str]),
        more: &str,
    ) -> Result<Self> {
        let folder = stratum.scratch().join(name);
        std::fs::create_dir_all(&folder)?;
        let held: Vec<_> =
            services.iter().map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let ports = services
            .iter()
            .zip(&held)
            .map(|(service, held)| Ok::<_, anyhow::Error>((*service, held.local_addr()?.port())));
        let ports = ports.collect::<Result<Vec<_>>>()?;
        let member = Self { role, folder, ports, child: None };
        std::fs::write(member.config(), member.settings(stratum)? + more)?;
        Ok(member)
    }

    /// The settings file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn settings(&self, stratum: &Stratum) -> Result<String> {
        let addresses = std::fs::read(stratum.data().join("addresses.json"))?;
        let addresses: Value = serde_json::from_slice(&addresses)?;
        let nodes = addresses["nodes"].as_array().context("no nodes")?;
        let doors: Vec<&str> = nodes.iter().filter_map(|node| node["control"].as_str()).collect();
        let listen = self.ports.iter().map(|(name, port)| format!("  {name}: 127.0.0.1:{port}\n"));
        Ok(format!(
            "version: 1\ndirectory: {}\njoin:\n  tokenFile: {}\n  control: [{}]\nlisten:\n{}",
            self.data().display(),
            stratum.data().join("join.token").display(),
            doors.join(", "),
            listen.collect::<String>()
        ))
    }

    /// `http://HOST:PORT` of its probes and metrics.
    pub fn metrics(&self) -> String {
        format!("http://{}", self.at("metrics"))
    }

    /// `HOST:PORT` where it listens for `service`.
    pub fn at(&self, service: &str) -> String {
        let port = self.ports.iter().find(|(name, _)| *name == service).map_or(0, |(_, at)| *at);
        format!("127.0.0.1:{port}")
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// With its log's end, when it does not get ready.
    pub fn start(&mut self) -> Result<()> {
        self.begin()?;
        self.wait_ready()
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it runs already.
    pub fn begin(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let child = self.command().stdout(log.try_clone()?).stderr(log).spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// With its log's end, when it does not get ready.
    pub fn wait_ready(&mut self) -> Result<()> {
        let began = now();
        while began.elapsed() < START_WITHIN {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().transpose());
            if let Some(status) = ended.transpose()? {
                self.child = None;
                bail!("it ended with {}:\n{}", code(status), self.log_end());
            }
            if self.readiness().is_some_and(|(status, _)| status == 200) {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("it was not ready in time:\n{}", self.log_end())
    }

    /// Starts it and waits until it has ended by itself.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self) -> Result<Ran> {
        let output = self.command().output()?;
        Ok(Ran {
            code: code(output.status),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.args([self.role, "--config"]).arg(self.config()).stdin(Stdio::null());
        command
    }

    /// Status and text of its readiness probe; `None` while nothing answers.
    pub fn readiness(&self) -> Option<(u16, String)> {
        let page = Http::new(&self.metrics(), "").request("GET", "/readyz", &[], b"").ok()?;
        Some((page.status, String::from_utf8_lossy(&page.body).into_owned()))
    }

    /// The id that it goes by: the node of `gitstratum node list` with its address.
    ///
    /// # Errors
    /// When no node has it.
    pub fn id(&self, stratum: &Stratum) -> Result<String> {
        let nodes: Value = serde_json::from_str(&stratum.cli(&["node", "list", "-o", "json"])?)?;
        let (service, _) = self.ports[0];
        let own = self.at(service);
        let found = nodes.as_array().into_iter().flatten();
        let mut found = found.filter(|node| node["endpoints"][service] == own.as_str());
        let node = found.next().with_context(|| format!("no node on {own}: {nodes}"))?;
        Ok(node["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks it to stop, waits, and returns its exit code.
    ///
    /// # Errors
    /// When it does not run or does not stop in time.
    pub fn stop(&mut self) -> Result<i32> {
        let mut child = self.child.take().context("it does not run")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let began = now();
        while began.elapsed() < STOP_WITHIN {
            if let Some(status) = child.try_wait()? {
                return Ok(code(status));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        child.kill()?;
        child.wait()?;
        bail!("it did not stop in time:\n{}", self.log_end())
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The end of its log.
    pub fn log_end(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself: then there is nothing to kill.
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.folder.display(), self.log_end());
        }
    }
}
