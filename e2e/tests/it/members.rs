//! Nodes that join a running system, take part in it and leave it: processes of one role, each
//! with a disk of its own (issue 5, 8).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gitstratum_e2e::{Git, Member, Stratum, now};
use serde_json::Value;

use crate::chain::mixed;
use crate::observe::Page;
use crate::stalls::Stalls;
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

pub(crate) fn wait(what: &str, holds: impl FnMut() -> Result<bool>) -> Result<Duration> {
    wait_within(MOVED_WITHIN, what, holds)
}

/// Looks until `holds` does, for at most `limit`, and says how long that took.
pub(crate) fn wait_within(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let began = now();
    loop {
        // A look may fail while leaders change.
        let error = match holds() {
            Ok(true) => return Ok(began.elapsed()),
            Ok(false) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        ensure!(began.elapsed() < limit, "{what}: {error}");
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
pub(crate) fn is_settled(stratum: &Stratum) -> Result<bool> {
    let status = json(stratum, &["status"])?;
    let partitions = status["partitions"].as_array().context("no partitions")?;
    let settled = partitions
        .iter()
        .all(|partition| partition["underReplicated"] == 0 && partition["misplaced"] == 0);
    ensure!(settled, "{status}");
    Ok(true)
}

pub(crate) fn check(stratum: &Stratum) -> Result<()> {
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
    let took = wait("copies have moved", || {
        let copied = Page::at(&member.metrics())?.get(PULLED_BYTES);
        Ok(copied >= 1.0 && is_settled(&three.stratum)?)
    })?;
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

/// GS-FE-32.
#[test]
fn gs_cp_49_a_frontend_joins_and_serves_what_the_others_do() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    let mut member = Member::frontend(&three.stratum, "frontend")?;
    member.start()?;
    let token = three.stratum.admin_token()?;
    let url = format!("http://x-token:{token}@{}/demo/three.git", member.at("http"));
    let git = three.stratum.git();
    for push in 0..3 {
        commit(&git, &three.source, "file", &format!("through the fourth {push}\n"))?;
        git.run(&three.source, &["push", "-q", &url, "main"])?;
        let tip = git.run(&three.source, &["rev-parse", "HEAD"])?;
        ensure!(three.tip(push)? == tip.trim(), "a founder is behind");
    }
    mirror_equals(&git, &three.source, &url, &folder(&three.stratum, "fourth.git"))?;
    three.stratum.cli(&["repo", "create", "demo/new"])?;
    let new = url.replace("demo/three", "demo/new");
    git.run(&three.source, &["push", "-q", &new, "main"])?;
    // Killed it takes nothing along: what it acknowledged is there, and it comes back by itself.
    member.kill()?;
    let through_others = three.push(1)?;
    member.start()?;
    let seen = git.run(&three.source, &["ls-remote", &url, "refs/heads/main"])?;
    ensure!(seen.starts_with(&through_others), "{seen} is not {through_others}");
    commit(&git, &three.source, "file", "after the kill\n")?;
    git.run(&three.source, &["push", "-q", &url, "main"])?;
    ensure!(member.stop()? == 0, "it did not stop cleanly: {}", member.log_end());
    let nodes = json(&three.stratum, &["node", "list"])?;
    let roles = |node: &Value| node["roles"].as_array().map_or(0, Vec::len);
    let alone = nodes.as_array().into_iter().flatten().filter(|node| roles(node) == 1);
    let [frontend] = alone.collect::<Vec<_>>()[..] else { bail!("{nodes}") };
    // Nothing lies on it: it is removed as it is.
    let id = frontend["id"].as_str().context("an id")?;
    let refused = three.stratum.try_cli(&["node", "drain", id])?;
    ensure!(
        refused.code == 1 && refused.err.contains("`gitstratum node remove`"),
        "{}",
        refused.err
    );
    three.stratum.cli(&["node", "remove", id])?;
    let nodes = json(&three.stratum, &["node", "list"])?;
    ensure!(nodes.as_array().map(Vec::len) == Some(3), "{nodes}");
    three.verify("fourth")
}

/// The join token of `up`, and the certificate below it.
fn join_token(stratum: &Stratum) -> Result<(String, String)> {
    let text = std::fs::read_to_string(stratum.data().join("join.token"))?;
    let (token, authority) = text.split_once('\n').context("a line")?;
    Ok((token.to_owned(), authority.to_owned()))
}

#[test]
fn gs_cp_39_a_join_token_is_replaced_and_the_old_one_lets_nobody_in_any_more() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mut three = Three::start()?;
    let path = three.stratum.data().join("join.token");
    let (old, authority) = join_token(&three.stratum)?;
    let stranger = Member::object(&three.stratum, "stranger")?;
    let kept = stranger.folder().join("old.token");
    std::fs::copy(&path, &kept)?;
    let text = std::fs::read_to_string(stranger.config())?;
    let text = text.replace(&path.display().to_string(), &kept.display().to_string());
    std::fs::write(stranger.config(), text)?;

    let told = three.stratum.cli(&["node", "token", "rotate"])?;
    ensure!(told.contains(&path.display().to_string()) && !told.contains("gst_"), "{told}");
    let (second, same) = join_token(&three.stratum)?;
    ensure!(second != old && same == authority, "the file has not changed as it should");
    let told = json(&three.stratum, &["node", "token", "rotate"])?;
    let (third, _) = join_token(&three.stratum)?;
    ensure!(third != second && told["token"] == third.as_str(), "{told}");
    ensure!(std::fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600);

    let refused = stranger.run()?;
    ensure!(refused.code == 1 && refused.err.contains("join token"), "{}", refused.err);
    let (mut member, id) = join(&three.stratum, "fourth")?;
    let audit = three.stratum.cli(&["audit"])?;
    let lines: Vec<&str> = audit.lines().filter(|line| line.contains("join-token.set")).collect();
    ensure!(lines.len() == 2 && !audit.contains("gst_"), "{audit}");

    // Who has joined goes by its certificates, and who starts anew by the new file.
    ensure!(member.stop()? == 0, "it did not stop cleanly: {}", member.log_end());
    ensure!(three.stratum.stop()? == 0, "it did not stop cleanly");
    three.stratum.launch()?;
    member.start()?;
    // Nodes are ready before their control plane is led (S45).
    wait("it is the same node", || Ok(member.id(&three.stratum)? == id))?;
    ensure!(member.stop()? == 0, "it did not stop cleanly: {}", member.log_end());

    // A byte of its identity is lost: it does not come back as another node, either.
    let identity = member.data().join("agent/identity");
    let sound = std::fs::read(&identity)?;
    let mut bytes = sound.clone();
    bytes[sound.len() / 2] ^= 0x10;
    std::fs::write(&identity, bytes)?;
    let refused = member.run()?;
    ensure!(refused.code == 1 && refused.err.contains("identity is damaged"), "{}", refused.err);
    let nodes = json(&three.stratum, &["node", "list"])?;
    ensure!(nodes.as_array().map(Vec::len) == Some(4), "{nodes}");
    std::fs::write(&identity, sound)?;
    member.start()?;
    three.push_until_taken(0, MOVED_WITHIN)?;
    three.verify("rotated")
}

/// Pushes and clones through all three frontends until it is told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pushes: Arc<AtomicUsize>,
    clones: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Result<()>>>,
}

impl Load {
    /// A thread for each frontend, with a repository of its own.
    pub(crate) fn start(three: &Three) -> Result<Self> {
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
            let stalls = Stalls::of(&three.stratum);
            threads.push(std::thread::spawn(move || {
                let work = Work { git, source, url, to, stalls };
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
    pub(crate) fn finish(self) -> Result<()> {
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
    stalls: Stalls,
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
        let push = || self.git.try_run(&self.source, &["push", "-q", &self.url, "main"]);
        let pushed = self.stalls.again(push)?;
        ensure!(pushed.code == 0, "push {number} failed: {}", pushed.err);
        Ok(())
    }

    fn clone_again(&self) -> Result<()> {
        let to = self.to.to_str().context("a path that is no text")?;
        let cloned = self.stalls.again(|| {
            drop(std::fs::remove_dir_all(&self.to));
            self.git.try_run(&self.source, &["clone", "-q", "--bare", &self.url, to])
        })?;
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

/// Empties a node and takes it out for good, once nothing names it.
fn empty(stratum: &Stratum, id: &str) -> Result<Duration> {
    stratum.cli(&["node", "drain", id])?;
    let took = wait("nothing names it", || {
        let status = json(stratum, &["rebalance", "status"])?;
        let emptying = status["emptying"].as_array().context("no list")?;
        let own = emptying.iter().find(|emptying| emptying["node"] == id).context("not there")?;
        ensure!(own["clear"] == true && own["segments"] == 0, "{status}");
        Ok(true)
    })?;
    stratum.cli(&["node", "remove", id])?;
    Ok(took)
}

/// Something was copied to each of these nodes, and all is where the ring says.
fn is_shared(stratum: &Stratum, members: &[(Member, String)]) -> Result<bool> {
    for (member, id) in members {
        let page = Page::at(&member.metrics())?;
        let (held, copied) = (page.get(SEGMENTS), page.get(PULLED_BYTES));
        ensure!(held >= 1.0 && copied >= 1.0, "node {id} holds {held}, copied {copied}");
    }
    is_settled(stratum)
}

/// Bytes that all nodes together may copy in a second, as `config set` is told.
const RATE_TEXT: &str = "4M";
const RATE: f64 = 4.0 * 1024.0 * 1024.0;
/// What the nodes' buckets let pass at once after a rest, in seconds at the rate, and a piece
/// more for each.
const BURST_SECONDS: f64 = 1.0;
/// Pushes before any node joins, and their bytes: enough that the rate is what bounds moves.
const PUSHES_BEFORE: usize = 12;
const PUSH_BYTES: usize = 2_500_000;

/// How much was copied in a phase, at most at the rate.
fn judge_rate(what: &str, copied: f64, took: Duration) -> Result<()> {
    let seconds = took.as_secs_f64();
    let rate = copied / seconds;
    eprintln!("{what}: {copied} bytes copied in {seconds:.1} s, {rate:.0} of {RATE} a second");
    ensure!(copied <= RATE * (seconds + BURST_SECONDS), "{what}: faster than the rate");
    Ok(())
}

/// Files that do not compress, so that each push is a segment of its own.
fn fill(three: &mut Three) -> Result<()> {
    for push in 0..PUSHES_BEFORE {
        let seed = u32::try_from(push)?.wrapping_mul(7_919);
        let words = u32::try_from(PUSH_BYTES / 4)?;
        let noise: Vec<u8> =
            (0..words).flat_map(|at| mixed(seed.wrapping_add(at)).to_be_bytes()).collect();
        std::fs::write(three.source.join(format!("noise{push}")), noise)?;
        three.push(push)?;
    }
    Ok(())
}

/// RV-H2: what the plan took away is read back as gone.
#[test]
fn gs_ob_26_gs_cp_40_three_object_nodes_become_five_and_three_again_under_load() -> Result<()> {
    let mut three = Three::start()?;
    three.stratum.cli(&["config", "set", "object.copyBytesPerSecond", RATE_TEXT])?;
    fill(&mut three)?;
    let load = Load::start(&three)?;
    let founders: Vec<String> = (0..3).map(|index| three.node(index).metrics.clone()).collect();
    let (before, began) = (pulled(&founders)?, now());
    let mut members = vec![join(&three.stratum, "fourth")?, join(&three.stratum, "fifth")?];
    wait("five share it", || is_shared(&three.stratum, &members))?;
    let mut pages = founders.clone();
    pages.extend(members.iter().map(|(member, _)| member.metrics()));
    judge_rate("three to five", pulled(&pages)? - before, began.elapsed())?;
    // Two others take their places, then nobody does.
    // Those who join have copied nothing before.
    let (before, began) = (pulled(&pages)?, now());
    members.push(join(&three.stratum, "sixth")?);
    members.push(join(&three.stratum, "seventh")?);
    pages = founders;
    pages.extend(members.iter().map(|(member, _)| member.metrics()));
    let mut gone = 0.0;
    for (member, id) in &mut members {
        let page = [member.metrics()];
        let took = empty(&three.stratum, id).with_context(|| member.log_end())?;
        eprintln!("node {id}: nothing named it {took:?} after the drain");
        gone += pulled(&page)?;
        pages.retain(|url| *url != page[0]);
        ensure!(member.stop()? == 0, "it did not stop cleanly: {}", member.log_end());
    }
    wait("three hold all", || is_settled(&three.stratum))?;
    judge_rate("two replaced, then three again", pulled(&pages)? + gone - before, began.elapsed())?;
    load.finish()?;
    let ring = json(&three.stratum, &["ring", "show"])?;
    ensure!(ring["shares"].as_array().map(Vec::len) == Some(3), "{ring}");
    let nodes = json(&three.stratum, &["node", "list"])?;
    ensure!(nodes.as_array().map(Vec::len) == Some(3), "{nodes}");
    wait("all is where the ring says", || is_settled(&three.stratum))?;
    check(&three.stratum)?;
    three.verify("three-again")
}
