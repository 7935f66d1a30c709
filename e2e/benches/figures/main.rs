//! Figures of small pushes: one node and three beside stock git and beside what the disk itself
//! takes to sync, all in one run on one machine. `cargo xtask bench` builds and runs it.
//!
//! Times on a shared machine move twofold from hour to hour: only the ratios mean something.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod calls;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::http::{Credentials, Http};
use gitstratum_e2e::{Options, Place, Stratum, now};
use gitstratum_git::testing::{self, PackBuilder, id_of};
use lossyfs::Mount;

use calls::Calls;

/// Pushes of one writer, of stock git, and syncs of the disk.
const PUSHES: usize = 200;
const STOCK_PUSHES: usize = 20;
const SYNCS: usize = 200;
/// Pushes of each of many writers, and how many those are.
const PUSHES_EACH: usize = 4;
const WRITERS: usize = 64;
/// How long a system is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(10);
const BRANCH: &str = "refs/heads/main";

fn main() -> Result<()> {
    let machine = machine()?;
    println!("{machine}");
    println!("build: {}", if cfg!(debug_assertions) { "development" } else { "release" });
    let sync = median(&mut syncs()?);
    println!("\nfdatasync of 4 KiB, median of {SYNCS}: {}", millis(sync));
    let stock = stock_pushes()?;
    println!("git push to a bare repository beside, {STOCK_PUSHES}: {}", spread(stock));
    let mut figures = Vec::new();
    for nodes in [1, 3] {
        figures.push(Figures::measure(nodes)?);
    }
    println!("\n{:34}{:>22}{:>22}", "", "one node", "three nodes");
    let row = |name: &str, cell: &dyn Fn(&Figures) -> String| {
        println!("{name:34}{:>22}{:>22}", cell(&figures[0]), cell(&figures[1]));
    };
    row("push, one writer, p50 / p95", &|f| spread(f.push.clone()));
    row("  p50 in median fdatasyncs", &|f| ratio(f.push.clone(), sync));
    row("git push over HTTP, p50 / p95", &|f| spread(f.git_push.clone()));
    row("fsyncs of an ack, 1 writer", &|f| format!("{:.2}", f.syncs_alone));
    row("fsyncs of an ack, 64 writers", &|f| format!("{:.2}", f.syncs_together));
    row("memory idle, all processes", &|f| format!("{} MiB", f.idle_bytes >> 20));
    println!("\ncalls that a client's requests cause, by who answers");
    for (number, (name, alone)) in figures[0].calls.iter().enumerate() {
        println!("{name:24}one node     {}", told(alone));
        println!("{:24}three nodes  {}", "", told(&figures[1].calls[number].1));
    }
    println!("\n{}", json(&machine, sync, &figures));
    Ok(())
}

/// What was measured of one system.
struct Figures {
    nodes: usize,
    push: Vec<Duration>,
    git_push: Vec<Duration>,
    syncs_alone: f64,
    syncs_together: f64,
    idle_bytes: u64,
    calls: Vec<(&'static str, Calls)>,
}

impl Figures {
    fn measure(nodes: usize) -> Result<Self> {
        let mut stratum = start(nodes, None)?;
        std::thread::sleep(IDLE);
        let idle_bytes = resident(&stratum)?;
        let mut writer = Writer::new(&stratum, "demo/alone")?;
        let push = (0..PUSHES).map(|_| writer.push()).collect::<Result<_>>()?;
        let git_push = git_pushes(&stratum)?;
        stratum.stop()?;
        let (syncs_alone, syncs_together) = synced(nodes)?;
        let calls = calls::of_flows(nodes)?;
        Ok(Self { nodes, push, git_push, syncs_alone, syncs_together, idle_bytes, calls })
    }
}

fn start(nodes: usize, data: Option<std::path::PathBuf>) -> Result<Stratum> {
    let args = vec!["--nodes".to_owned(), nodes.to_string()];
    Stratum::start_with(Options { args, data, place: Place::Disk, ..Options::default() })
}

/// Who pushes one small commit after the other, over one connection each.
struct Writer {
    door: Http,
    tip: Option<ObjectId>,
    number: usize,
}

impl Writer {
    fn new(stratum: &Stratum, path: &str) -> Result<Self> {
        stratum.cli(&["repo", "create", path])?;
        let credentials = Credentials::Bearer(stratum.admin_token()?);
        let door = Http::new(&stratum.endpoint().http, path).with(credentials);
        let mut writer = Self { door, tip: None, number: 0 };
        // The first one opens the session.
        writer.push()?;
        Ok(writer)
    }

    fn push(&mut self) -> Result<Duration> {
        self.number += 1;
        let blob = format!("push {}\n", self.number).into_bytes();
        let format = ObjectFormat::Sha1;
        let blob_id = id_of(format, ObjectKind::Blob, &blob);
        let tree = testing::tree(&[("100644", b"file", blob_id)]);
        let tree_id = id_of(format, ObjectKind::Tree, &tree);
        let parents: Vec<ObjectId> = self.tip.into_iter().collect();
        let commit = testing::commit(&tree_id, &parents, "push");
        let id = id_of(format, ObjectKind::Commit, &commit);
        let pack = PackBuilder::new(format).object(ObjectKind::Blob, &blob);
        let pack = pack.object(ObjectKind::Tree, &tree).object(ObjectKind::Commit, &commit);
        let push = match self.tip {
            None => Push::new().create(BRANCH, &id),
            Some(tip) => Push::new().update(BRANCH, &tip, &id),
        };
        let push = push.pack(pack.build());
        let began = now();
        let report = push.send(&self.door)?;
        let took = began.elapsed();
        ensure!(report.is_done(), "{}", report.why());
        self.tip = Some(id);
        Ok(took)
    }
}

/// fsyncs of an acknowledgement with one writer and with many, on a disk that counts them.
fn synced(nodes: usize) -> Result<(f64, f64)> {
    let (backing, point) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mount = Mount::new(backing.path(), point.path())?;
    let control = mount.control();
    let mut stratum = start(nodes, Some(point.path().join("data")))?;
    let mut alone = Writer::new(&stratum, "demo/alone")?;
    let writers = (0..WRITERS).map(|number| Writer::new(&stratum, &format!("demo/w{number}")));
    let mut writers: Vec<Writer> = writers.collect::<Result<_>>()?;
    let count = |first| control.events_since(first).iter().filter(|e| e.kind.is_sync()).count();
    let first = control.next_event();
    for _ in 0..PUSHES / 4 {
        alone.push()?;
    }
    let of_one = count(first) as f64 / (PUSHES / 4) as f64;
    let first = control.next_event();
    std::thread::scope(|scope| {
        let pushing = writers.iter_mut().map(|writer| {
            scope.spawn(|| (0..PUSHES_EACH).try_for_each(|_| writer.push().map(drop)))
        });
        let pushing: Vec<_> = pushing.collect();
        for pushing in pushing {
            pushing.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    let of_many = count(first) as f64 / (WRITERS * PUSHES_EACH) as f64;
    stratum.stop()?;
    Ok((of_one, of_many))
}

/// Whole runs of `git push` over HTTP.
fn git_pushes(stratum: &Stratum) -> Result<Vec<Duration>> {
    stratum.cli(&["repo", "create", "demo/stock"])?;
    let url = stratum.http("demo/stock");
    stock(&stratum.git(), &stratum.scratch().join("stock"), &url)
}

/// Whole runs of `git push` to a bare repository on the same disk, every object synced.
fn stock_pushes() -> Result<Vec<Duration>> {
    let folder = tempfile::tempdir()?;
    let git = gitstratum_e2e::Git::new(folder.path(), "", "ssh");
    let bare = folder.path().join("bare.git");
    fs::create_dir_all(&bare)?;
    git.run(&bare, &["init", "-q", "--bare"])?;
    git.run(&bare, &["config", "core.fsync", "all"])?;
    let url = bare.to_str().context("a path that is no text")?;
    stock(&git, &folder.path().join("work"), url)
}

fn stock(git: &gitstratum_e2e::Git, at: &Path, url: &str) -> Result<Vec<Duration>> {
    fs::create_dir_all(at)?;
    git.run(at, &["init", "-q", "-b", "main"])?;
    let mut took = Vec::new();
    for number in 0..=STOCK_PUSHES {
        fs::write(at.join("file"), format!("push {number}\n"))?;
        git.run(at, &["add", "file"])?;
        git.run(at, &["commit", "-q", "-m", "push"])?;
        let began = now();
        git.run(at, &["push", "-q", url, "main"])?;
        took.push(began.elapsed());
    }
    Ok(took.split_off(1))
}

/// What the disk takes to make a few bytes durable.
fn syncs() -> Result<Vec<Duration>> {
    let folder = tempfile::tempdir()?;
    let file = File::create(folder.path().join("log"))?;
    let mut took = Vec::with_capacity(SYNCS);
    for at in 0..SYNCS as u64 {
        file.write_all_at(&[1; 4096], at * 4096)?;
        let began = now();
        file.sync_data()?;
        took.push(began.elapsed());
    }
    Ok(took)
}

/// Bytes that all processes of the system have resident.
fn resident(stratum: &Stratum) -> Result<u64> {
    let endpoint = stratum.endpoint();
    let nodes = endpoint.nodes.iter().map(|node| node.pid);
    let all: std::collections::BTreeSet<u32> = nodes.chain([endpoint.pid]).collect();
    all.into_iter().try_fold(0, |sum, pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
        Ok(sum + (kib.parse::<u64>()? << 10))
    })
}

fn machine() -> Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let of = |key: &str| {
        let line = info.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, value)| value)
    };
    let has_sha = of("flags").split(' ').any(|flag| flag == "sha_ni");
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    let sha = if has_sha { "with" } else { "without" };
    Ok(format!("{count} × {}, {sha} SHA-NI", of("model name")))
}

fn median(took: &mut [Duration]) -> Duration {
    at(took, 50)
}

fn at(took: &mut [Duration], percent: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() * percent / 100).min(took.len() - 1)]
}

fn spread(mut took: Vec<Duration>) -> String {
    format!("{} / {}", millis(at(&mut took, 50)), millis(at(&mut took, 95)))
}

fn ratio(mut took: Vec<Duration>, of: Duration) -> String {
    format!("{:.1}", at(&mut took, 50).as_secs_f64() / of.as_secs_f64())
}

/// `3 object segment, 1 metadata UpdateRefs`, or `none`.
fn told(calls: &Calls) -> String {
    let each = calls.iter().map(|(name, count)| format!("{count} {name}"));
    let each: Vec<String> = each.collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

fn millis(took: Duration) -> String {
    format!("{:.2} ms", took.as_secs_f64() * 1e3)
}

/// The same for programs, one line.
fn json(machine: &str, sync: Duration, figures: &[Figures]) -> String {
    let of = |f: &Figures| {
        serde_json::json!({
            "nodes": f.nodes,
            "pushMicros": f.push.iter().map(Duration::as_micros).collect::<Vec<_>>(),
            "gitPushMicros": f.git_push.iter().map(Duration::as_micros).collect::<Vec<_>>(),
            "syncsOfAnAck": { "alone": f.syncs_alone, "together": f.syncs_together },
            "idleBytes": f.idle_bytes,
            "calls": f.calls.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    };
    let systems: Vec<_> = figures.iter().map(of).collect();
    let all = serde_json::json!({
        "machine": machine,
        "fdatasyncMicros": sync.as_micros(),
        "systems": systems,
    });
    drop(std::io::stdout().flush());
    all.to_string()
}
