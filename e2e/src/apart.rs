//! Three nodes that share nothing but a switch: each process in a network namespace of its own
//! with an address of its own, so that any way between two of them can be cut.
//!
//! Cutting is one way: what the first sends to the second goes to a hardware address that nobody
//! has. Nothing tells the sender, as with a broken cable. A narrow link swallows large packets only.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::moment::now;
use crate::stratum::{Endpoint, Options, Stratum, program};

/// Nodes of the cluster.
const NODES: usize = 3;
/// The largest packet of a link, in bytes, and of one that swallows what is larger.
const PACKET_BYTES: &str = "1500";
const NARROW_BYTES: &str = "600";
/// A hardware address that no machine has.
const NOBODY: &str = "02:00:00:00:00:ee";
/// Longest wait until a node says where it is found.
const START_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines of a log that are shown.
const LOG_LINES: usize = 40;

/// A cluster of three whose nodes can be parted.
pub struct Apart {
    /// The data directory and the tools; its own processes are stopped.
    pub stratum: Stratum,
    nodes: Vec<Child>,
    /// Dropped after the processes in it.
    net: Net,
    endpoint: Endpoint,
}

impl Apart {
    /// Why no nodes can be parted here: this user may make no namespaces, or `ip` is missing.
    pub fn why_unavailable() -> Option<String> {
        let probe = format!("gs{}-probe", std::process::id());
        match ip(&["netns", "add", &probe]) {
            Ok(()) => ip(&["netns", "del", &probe]).err().map(|error| error.to_string()),
            // Another test may look at this moment.
            Err(error) if error.to_string().contains("File exists") => None,
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// Founds a cluster of three nodes, lets `prepare` use it, and starts each node again apart
    /// from the others. The calling thread, and what it starts, is on the switch from then on.
    ///
    /// # Errors
    /// When this user may not make namespaces, or a node does not get ready.
    pub fn start(prepare: impl FnOnce(&Stratum) -> Result<()>) -> Result<Self> {
        let args = vec!["--nodes".to_owned(), "3".to_owned()];
        let mut stratum = Stratum::start_with(Options { args, ..Options::default() })?;
        prepare(&stratum)?;
        let endpoint = stratum.endpoint().clone();
        ensure!(stratum.stop()? == 0, "it did not stop cleanly:\n{}", stratum.log_end());
        let net = Net::make()?;
        let addresses = stratum.data().join("addresses.json");
        let moved = move_apart(&std::fs::read_to_string(&addresses)?)?;
        std::fs::write(&addresses, serde_json::to_vec_pretty(&moved)?)?;
        // From here on what was launched is killed whatever fails.
        let mut apart = Self { stratum, nodes: Vec::new(), net, endpoint };
        for index in 0..NODES {
            let node = launch(&apart.stratum, &apart.net, index, &moved)?;
            apart.nodes.push(node);
        }
        apart.wait_ready()?;
        Ok(apart)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let mut found = Vec::new();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            found.push(wait_ready(&self.stratum, index, node)?);
        }
        self.endpoint.http.clone_from(&found[0].http);
        self.endpoint.control.clone_from(&found[0].control);
        self.endpoint.nodes = found.into_iter().flat_map(|found| found.nodes).collect();
        // Whoever asks for credentials looks there for where the system is.
        let path = self.stratum.data().join("endpoint.json");
        std::fs::write(path, serde_json::to_vec(&self.endpoint)?)?;
        Ok(())
    }

    /// The last lines of each node's log.
    pub fn log_ends(&self) -> String {
        let end = |index| format!("node {index}:\n{}\n", log_end(&self.stratum, index));
        (0..NODES).map(end).collect()
    }

    /// `http://…/PATH.git` at one node.
    pub fn http(&self, index: usize, path: &str) -> String {
        format!("{}/{path}.git", self.endpoint.nodes[index % NODES].http)
    }

    /// Cuts the way from one node to another.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn cut(&self, from: usize, to: usize) -> Result<()> {
        self.net.cut(from % NODES, to % NODES)
    }

    /// From now on large packets from and to a node are lost, small ones pass, and nobody is told.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn narrow(&self, index: usize) -> Result<()> {
        self.net.set_packets(index % NODES, NARROW_BYTES)
    }

    /// Mends every cut, and every link that is narrow.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn mend(&self) -> Result<()> {
        (0..NODES).try_for_each(|index| self.net.set_packets(index, PACKET_BYTES))?;
        self.net.mend()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Ok(pid) = i32::try_from(node.id())
                && let Some(pid) = Pid::from_raw(pid)
            {
                // It may have ended by itself.
                let _gone = kill_process(pid, Signal::KILL);
            }
            drop(node.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- log of the nodes\n{}", self.log_ends());
        }
    }
}

/// The addresses of the nodes, each moved to its own host.
fn move_apart(text: &str) -> Result<serde_json::Value> {
    let mut addresses: serde_json::Value = serde_json::from_str(text)?;
    let nodes = addresses["nodes"].as_array_mut().context("no nodes in addresses.json")?;
    ensure!(nodes.len() == NODES, "{} nodes", nodes.len());
    for (index, node) in nodes.iter_mut().enumerate() {
        for (_, address) in node.as_object_mut().context("a node that is no object")? {
            let port = address.as_str().and_then(|text| text.strip_prefix("127.0.0.1:"));
            let port = port.context("an address that is not of this host")?;
            *address = format!("{}:{port}", host(index)).into();
        }
    }
    Ok(addresses)
}

fn host(index: usize) -> String {
    format!("10.77.0.{}", index + 1)
}

fn log_path(stratum: &Stratum, index: usize) -> PathBuf {
    stratum.log_path().with_file_name(format!("node-{}.log", index + 1))
}

fn log_end(stratum: &Stratum, index: usize) -> String {
    let log = std::fs::read_to_string(log_path(stratum, index)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

fn launch(
    stratum: &Stratum,
    net: &Net,
    index: usize,
    addresses: &serde_json::Value,
) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log_path(stratum, index))?;
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &net.node(index)]).arg(program());
    command.arg("up").arg("--data").arg(stratum.data()).args(["--nodes", "3", "--insecure-http"]);
    command.args(["--node", &(index + 1).to_string()]);
    // `ip` becomes the node's process, whose parent this one is.
    command.args(["--watched-by", &std::process::id().to_string()]);
    for name in ["http", "ssh", "metrics"] {
        let address = addresses["nodes"][index][name].as_str().context("no address")?;
        command.args([format!("--{name}"), address.to_owned()]);
    }
    let command = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("starting a node")
}

fn wait_ready(stratum: &Stratum, index: usize, node: &mut Child) -> Result<Endpoint> {
    let path: PathBuf = stratum.data().join(format!("nodes/{}/endpoint.json", index + 1));
    let began = now();
    while began.elapsed() < START_WITHIN {
        if let Some(status) = node.try_wait()? {
            bail!("node {index} ended with {status}:\n{}", log_end(stratum, index));
        }
        let text = std::fs::read(&path).unwrap_or_default();
        let found = serde_json::from_slice::<Endpoint>(&text).ok();
        if let Some(found) = found.filter(|found| found.pid == node.id()) {
            return Ok(found);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("node {index} was not ready in time:\n{}", log_end(stratum, index))
}

/// A switch and a namespace for each node. All of it is gone when dropped.
struct Net {
    name: String,
}

impl Net {
    fn make() -> Result<Self> {
        let thread = format!("{:?}", std::thread::current().id());
        let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
        let net = Self { name: format!("gs{}-{thread}", std::process::id()) };
        let switch = net.switch();
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "set", "lo", "up"])?;
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "addr", "add", "10.77.0.254/24", "dev", "br0"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for index in 0..NODES {
            let (node, port) = (net.node(index), format!("port{index}"));
            ip(&["netns", "add", &node])?;
            let peer = ["type", "veth", "peer", "name", "eth0", "netns", &node];
            ip(&[&["-n", &switch, "link", "add", &port][..], &peer[..]].concat())?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
            ip(&["-n", &node, "addr", "add", &format!("{}/24", host(index)), "dev", "eth0"])?;
            // Each packet by itself: several that are handed over as one fit through anything.
            ip(&["-n", &node, "link", "set", "eth0", "gso_max_segs", "1", "up"])?;
            ip(&["-n", &node, "link", "set", "lo", "up"])?;
        }
        let switch = File::open(format!("/run/netns/{switch}"))?;
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&switch),
            Some(LinkNameSpaceType::Network),
        )?;
        Ok(net)
    }

    fn switch(&self) -> String {
        format!("{}-s", self.name)
    }

    fn node(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }

    fn cut(&self, from: usize, to: usize) -> Result<()> {
        let (node, to) = (self.node(from), host(to));
        ip(&["-n", &node, "neigh", "replace", &to, "lladdr", NOBODY, "dev", "eth0"])
    }

    /// The largest packet that passes between a node and the switch.
    fn set_packets(&self, index: usize, bytes: &str) -> Result<()> {
        let port = format!("port{index}");
        ip(&["-n", &self.switch(), "link", "set", &port, "mtu", bytes])
    }

    fn mend(&self) -> Result<()> {
        for from in 0..NODES {
            for to in (0..NODES).filter(|to| *to != from) {
                // It may be that nothing was ever sent there.
                drop(ip(&["-n", &self.node(from), "neigh", "del", &host(to), "dev", "eth0"]));
            }
        }
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in (0..NODES).map(|index| self.node(index)).chain([self.switch()]) {
            // One that was never made cannot be taken away.
            drop(ip(&["netns", "del", &name]));
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let ran = Command::new("ip").args(args).output().context("running ip")?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success(), "ip {}: {said}", args.join(" "));
    Ok(())
}
