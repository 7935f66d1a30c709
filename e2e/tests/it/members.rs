//! Nodes that join a running system, take part in it and leave it: processes of one role, each
//! with a disk of its own (issue 5, 8).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Git, Member, Stratum, now};
use serde_json::Value;

use crate::chain::mixed;
use crate::observe::Page;
use crate::three_nodes::Three;
use crate::work::{commit, folder, history, mirror_equals};

/// Within what a node is let in, and copies have moved, other tests running beside.
const MOVED_WITHIN: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Bytes that were copied to a node.
const PULLED_BYTES: &str = "gitstratum_object_pulled_bytes_total";
/// Segments that a node holds.
const SEGMENTS: &str = "gitstratum_object_segments";

pub(crate) fn json(stratum: &Stratum, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["-o", "json"]).collect();
    Ok(serde_json::from_str(&stratum.cli(&words)?)?)
}

/// Looks until `holds` does, and says how long that took.
pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let began = now();
    loop {
        // A look may fail while leaders change.
        let error = match holds() {
            Ok(true) => return Ok(began.elapsed()),
            Ok(false) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        ensure!(began.elapsed() < MOVED_WITHIN, "{what}: {error}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A started object node that is in the ring, and its id.
fn join(stratum: &Stratum, name: &str) -> Result<(Member, String)> {
    let mut member = Member::object(stratum, name)?;
    member.start()?;
    let id = member.id(stratum)?;
    let took = wait("it is in the ring", || {
        let node = json(stratum, &["node", "show", &id])?;
        Ok(node["inRing"] == true && node["state"] == "up")
    })
    .with_context(|| member.log_end())?;
    eprintln!("{name} is node {id}, in the ring {took:?} after it was ready");
    Ok((member, id))
}

/// No segment lacks a copy, and none is on another node than the ring says.
fn is_settled(stratum: &Stratum) -> Result<bool> {
    let status = json(stratum, &["status"])?;
    let partitions = status["partitions"].as_array().context("no partitions")?;
    let settled = partitions
        .iter()
        .all(|partition| partition["underReplicated"] == 0 && partition["misplaced"] == 0);
    ensure!(settled, "{status}");
    Ok(true)
}

fn check(stratum: &Stratum) -> Result<()> {
    let checked = stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    Ok(())
}

#[test]
fn gs_cp_39_gs_cp_49_an_object_node_joins_by_token_and_takes_its_place() -> Result<()> {
    let mut three = Three::start()?;
    for push in 0..8 {
        three.push(push)?;
    }
    let (mut member, id) = join(&three.stratum, "fourth")?;
    let ring = json(&three.stratum, &["ring", "show"])?;
    ensure!(ring["shares"].as_array().map(Vec::len) == Some(4), "{ring}");
    let took = wait("copies have moved", || is_settled(&three.stratum))?;
    let held = Page::at(&member.metrics())?.get(SEGMENTS);
    eprintln!("placement is the ring's after {took:?}; the new node holds {held} segments");
    ensure!(held >= 1.0, "nothing has moved to it: the test proves nothing");
    for push in 0..8 {
        three.push(push)?;
    }
    check(&three.stratum)?;
    ensure!(member.stop()? == 0, "it did not stop cleanly: {}", member.log_end());
    three.push(0)?;
    member.start()?;
    ensure!(member.id(&three.stratum)? == id, "it came back as another node");
    wait("it is up", || Ok(json(&three.stratum, &["node", "show", &id])?["state"] == "up"))?;
    let node = json(&three.stratum, &["node", "show", &id])?;
    ensure!(node["incarnation"] == 2, "{node}");
    wait("its copies are back", || is_settled(&three.stratum))?;
    check(&three.stratum)?;
    three.verify("joined")
}

#[test]
fn gs_cp_49_who_cannot_join_is_told_why() -> Result<()> {
    let three = Three::start()?;
    let member = Member::object(&three.stratum, "stranger")?;
    let sound = std::fs::read_to_string(member.config())?;
    let refused = |text: String, why: &str| -> Result<()> {
        std::fs::write(member.config(), text)?;
        let ran = member.run()?;
        ensure!(ran.code == 1 && ran.err.contains(why), "{why}: {} {}", ran.code, ran.err);
        Ok(())
    };
    refused(sound.replace("version: 1", "version: 1\nzoen: a"), "zoen")?;
    refused(sound.replace("version: 1", "version: 7"), "`version` is 7")?;
    ensure!(!member.data().exists(), "a refused start has made something");
    // Another cluster's token, with this cluster's authority.
    let token = std::fs::read_to_string(three.stratum.data().join("join.token"))?;
    let admin = three.stratum.admin_token()?;
    let (_, authority) = token.split_once('\n').context("a line")?;
    let wrong = member.folder().join("wrong.token");
    std::fs::write(&wrong, format!("{admin}\n{authority}"))?;
    let own = three.stratum.data().join("join.token");
    let text = sound.replace(&own.display().to_string(), &wrong.display().to_string());
    refused(text, "join token")?;
    let nodes = json(&three.stratum, &["node", "list"])?;
    ensure!(nodes.as_array().map(Vec::len) == Some(3), "{nodes}");
    Ok(())
}

/// Pushes and clones through all three frontends until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    pushes: Arc<AtomicUsize>,
    clones: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Result<()>>>,
}

impl Load {
    /// A thread for each frontend, with a repository of its own.
    fn start(three: &Three) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (pushes, clones) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut threads = Vec::new();
        for index in 0..3 {
            let path = format!("demo/load{index}");
            three.stratum.cli(&["repo", "create", &path])?;
            let source = folder(&three.stratum, &format!("load{index}"));
            let git = three.stratum.git();
            history(&git, &source, 1, "sha1")?;
            let url = format!("{}/{path}.git", three.node(index).http);
            let to = folder(&three.stratum, &format!("load{index}.clone"));
            let (stop, pushes, clones) =
                (Arc::clone(&stop), Arc::clone(&pushes), Arc::clone(&clones));
            threads.push(std::thread::spawn(move || {
                let work = Work { git, source, url, to };
                while !stop.load(Ordering::Relaxed) {
                    work.push(pushes.fetch_add(1, Ordering::Relaxed))?;
                    if pushes.load(Ordering::Relaxed).is_multiple_of(4) {
                        work.clone_again()?;
                        clones.fetch_add(1, Ordering::Relaxed);
                    }
                }
                work.verify()
            }));
        }
        Ok(Self { stop, pushes, clones, threads })
    }

    /// Stops; every push and clone was taken, and what was pushed is there.
    fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the load panicked"))??;
        }
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        eprintln!(
            "load: {} pushes, {} clones, none failed",
            count(&self.pushes),
            count(&self.clones)
        );
        Ok(())
    }
}

struct Work {
    git: Git,
    source: std::path::PathBuf,
    url: String,
    to: std::path::PathBuf,
}

impl Work {
    fn push(&self, number: usize) -> Result<()> {
        // Some of every size: rows and files.
        let words = if number.is_multiple_of(5) { 75_000 } else { 250 };
        let seed = u32::try_from(number)?.wrapping_mul(1_000_003);
        let noise: String =
            (0..words).map(|at: u32| format!("{:08x}", mixed(seed.wrapping_add(at)))).collect();
        std::fs::write(self.source.join("noise"), noise)?;
        commit(&self.git, &self.source, "file", &format!("push {number}\n"))?;
        let pushed = self.git.try_run(&self.source, &["push", "-q", &self.url, "main"])?;
        ensure!(pushed.code == 0, "push {number} failed: {}", pushed.err);
        Ok(())
    }

    fn clone_again(&self) -> Result<()> {
        drop(std::fs::remove_dir_all(&self.to));
        let to = self.to.to_str().context("a path that is no text")?;
        let cloned = self.git.try_run(&self.source, &["clone", "-q", "--bare", &self.url, to])?;
        ensure!(cloned.code == 0, "a clone failed: {}", cloned.err);
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        let to = self.to.with_extension("mirror");
        mirror_equals(&self.git, &self.source, &self.url, &to)
    }
}

/// Bytes that all these nodes have copied.
fn pulled(pages: &[String]) -> Result<f64> {
    pages.iter().map(|url| Ok(Page::at(url)?.get(PULLED_BYTES))).sum()
}

/// Empties a node and takes it out for good.
fn remove(stratum: &Stratum, (member, id): (&mut Member, &str)) -> Result<Duration> {
    stratum.cli(&["node", "drain", id])?;
    let took = wait("nothing names it", || {
        let status = json(stratum, &["rebalance", "status"])?;
        let emptying = status["emptying"].as_array().context("no list")?;
        let own = emptying.iter().find(|emptying| emptying["node"] == id).context("not there")?;
        ensure!(own["clear"] == true && own["segments"] == 0, "{status}");
        Ok(true)
    })?;
    stratum.cli(&["node", "remove", id])?;
    ensure!(member.stop()? == 0, "it did not stop cleanly: {}", member.log_end());
    Ok(took)
}

/// What a second of copying may carry, and what a bucket lets pass beyond it.
const RATE: f64 = 4.0 * 1024.0 * 1024.0;

#[test]
fn gs_ob_26_gs_cp_40_three_object_nodes_become_five_and_three_again_under_load() -> Result<()> {
    let mut three = Three::start()?;
    three.stratum.cli(&["config", "set", "object.copyBytesPerSecond", "4M"])?;
    for push in 0..6 {
        three.push(push)?;
    }
    let load = Load::start(&three)?;
    let began = now();
    let (fourth, fourth_id) = join(&three.stratum, "fourth")?;
    let (fifth, fifth_id) = join(&three.stratum, "fifth")?;
    let took = wait("five share it", || is_settled(&three.stratum))?;
    eprintln!("five: placement is the ring's after {took:?}");
    // Two others take their places.
    let (sixth, sixth_id) = join(&three.stratum, "sixth")?;
    let (seventh, seventh_id) = join(&three.stratum, "seventh")?;
    let mut members =
        [(fourth, fourth_id), (fifth, fifth_id), (sixth, sixth_id), (seventh, seventh_id)];
    let mut pages: Vec<String> = (0..3).map(|index| three.node(index).metrics.clone()).collect();
    pages.extend(members.iter().map(|(member, _)| member.metrics()));
    let mut copied = 0.0;
    for (member, id) in &mut members {
        let page = [member.metrics()];
        let own = pulled(&page)?;
        let took = remove(&three.stratum, (member, id)).with_context(|| member.log_end())?;
        copied += own;
        pages.retain(|url| *url != page[0]);
        eprintln!(
            "node {id}: nothing named it {took:?} after the drain, it had copied {own} bytes"
        );
    }
    let took = wait("three hold all", || is_settled(&three.stratum))?;
    copied += pulled(&pages)?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "three again after {took:?}: {copied} bytes copied in {seconds:.0} s, {:.0} a second of {RATE}",
        copied / seconds
    );
    load.finish()?;
    // Every node's share of the rate is its own bucket, with a burst of a fifth of a second.
    ensure!(copied > 0.0 && copied <= RATE * (seconds + 2.0), "{copied} bytes in {seconds} s");
    let ring = json(&three.stratum, &["ring", "show"])?;
    ensure!(ring["shares"].as_array().map(Vec::len) == Some(3), "{ring}");
    let nodes = json(&three.stratum, &["node", "list"])?;
    ensure!(nodes.as_array().map(Vec::len) == Some(3), "{nodes}");
    wait("all is where the ring says", || is_settled(&three.stratum))?;
    check(&three.stratum)?;
    three.verify("three-again")
}
