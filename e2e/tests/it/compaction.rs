//! Packs of a repository become one, and what no ref reaches goes, while people work (S35–S38).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use gitstratum_e2e::{Git, Stratum, now};

use crate::members::{check, json, wait_within};
use crate::observe::Page;
use crate::three_nodes::Three;
use crate::work::{commit, create, folder, history, mirror_equals};

/// Pushes before the first compaction.
const PUSHES: usize = 30;
/// Within what the disk of replaced packs is given back: sessions renew each second, owners sweep
/// every ten; other tests run beside.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(90);
/// Segments that a node holds, and their bytes.
const SEGMENTS: &str = "gitstratum_object_segments";

/// Live packs of a repository, as `compact --dry-run` tells.
fn packs(stratum: &Stratum, path: &str) -> Result<u64> {
    let told = json(stratum, &["compact", path, "--dry-run"])?;
    Ok(told[0]["packsBefore"].as_u64().unwrap_or_default())
}

/// Segments that all nodes hold together.
fn segments(stratum: &Stratum) -> Result<f64> {
    let nodes = stratum.endpoint().nodes.iter();
    nodes.map(|node| Ok(Page::at(&node.metrics)?.get(SEGMENTS))).sum()
}

/// Many pushes by one, a branch and a tag among them.
fn many_pushes(git: &Git, source: &Path, url: &str, count: usize) -> Result<()> {
    for number in 0..count {
        commit(git, source, &format!("file{}", number % 5), &format!("push {number}\n"))?;
        if number % 7 == 3 {
            git.run(source, &["tag", "-a", "-m", "a tag", &format!("t{number}")])?;
            git.run(source, &["branch", &format!("b{number}")])?;
        }
        git.run(source, &["push", "-q", url, "--all"])?;
        git.run(source, &["push", "-q", url, "--tags"])?;
    }
    Ok(())
}

fn compacts(stratum: &Stratum, url: &dyn Fn(usize) -> String, source: &Path) -> Result<()> {
    let git = stratum.git();
    many_pushes(&git, source, &url(0), PUSHES)?;
    let before = packs(stratum, "demo/three")?;
    ensure!(before >= PUSHES as u64, "{before} packs: the test proves nothing");
    let held = segments(stratum)?;
    let done = json(stratum, &["compact", "demo/three"])?;
    ensure!(done[0]["changed"] == true && done[0]["packsAfter"] == 1, "{done}");
    ensure!(done[0]["objectsDropped"] == 0, "{done}");
    ensure!(packs(stratum, "demo/three")? == 1);
    for node in 0..stratum.endpoint().nodes.len() {
        mirror_equals(&git, source, &url(node), &folder(stratum, &format!("compacted{node}")))?;
    }
    check(stratum)?;
    let took = wait_within(GIVEN_BACK_WITHIN, "the disk is given back", || {
        let now = segments(stratum)?;
        ensure!(now < held / 2.0, "{now} segments of {held}");
        Ok(true)
    })?;
    eprintln!("{before} packs became one; {held} segments were given back after {took:?}");
    // Nothing is left to do, and what comes later is compacted with the rest.
    let again = json(stratum, &["compact", "demo/three"])?;
    ensure!(again[0]["changed"] == false, "{again}");
    many_pushes(&git, source, &url(0), 3)?;
    json(stratum, &["compact", "demo/three"])?;
    ensure!(packs(stratum, "demo/three")? == 1);
    mirror_equals(&git, source, &url(0), &folder(stratum, "again"))?;
    check(stratum)
}

#[test]
fn gs_ob_08_s35_many_small_pushes_become_one_pack_on_one_node() -> Result<()> {
    let stratum = Stratum::start_with(gitstratum_e2e::Options {
        args: vec!["--nodes".to_owned(), "1".to_owned()],
        ..gitstratum_e2e::Options::default()
    })?;
    create(&stratum, "demo/three", "sha256")?;
    let source = folder(&stratum, "source");
    history(&stratum.git(), &source, 3, "sha256")?;
    compacts(&stratum, &|_| stratum.http("demo/three"), &source)
}

#[test]
fn gs_ob_08_s35_many_small_pushes_become_one_pack_on_three_nodes() -> Result<()> {
    let three = Three::start()?;
    compacts(&three.stratum, &|node| three.url(node), &three.source)
}

/// Pushes to one branch until it is told to stop; how many were taken.
fn push_on(
    git: &Git,
    source: &Path,
    url: &str,
    (stop, taken): (&AtomicBool, &AtomicUsize),
) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let number = taken.load(Ordering::Relaxed);
        commit(git, source, &format!("file{}", number % 5), &format!("push {number}\n"))?;
        git.run(source, &["push", "-q", url, "main"])?;
        taken.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Pushes on beside `work`, and says how many went through.
fn beside_pushes(three: &Three, work: impl FnOnce() -> Result<()>) -> Result<usize> {
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (git, source, url) = (three.stratum.git(), three.source.clone(), three.url(0));
    let pusher = {
        let shared = (Arc::clone(&stop), Arc::clone(&taken));
        std::thread::spawn(move || push_on(&git, &source, &url, (&shared.0, &shared.1)))
    };
    let done = work();
    stop.store(true, Ordering::Relaxed);
    let pushed = pusher.join().map_err(|_| anyhow::anyhow!("the pusher panicked"))?;
    done?;
    pushed?;
    Ok(taken.load(Ordering::Relaxed))
}

/// S35, S36: nobody who works notices; whoever clones in the middle gets all of it.
#[test]
fn s35_pushes_and_clones_go_on_while_packs_become_one() -> Result<()> {
    let three = Three::start()?;
    let git = three.stratum.git();
    many_pushes(&git, &three.source, &three.url(0), 10)?;
    let pushed = beside_pushes(&three, || {
        for round in 0..6 {
            json(&three.stratum, &["compact", "demo/three"])?;
            let to = folder(&three.stratum, &format!("beside{round}"));
            let name = to.to_string_lossy().into_owned();
            git.run(&three.source, &["clone", "-q", "--mirror", &three.url(round), &name])?;
            let fsck = git.try_run(&to, &["fsck", "--full", "--strict"])?;
            ensure!(fsck.code == 0, "round {round}: {}", fsck.err);
        }
        Ok(())
    })?;
    ensure!(pushed >= 3, "{pushed} pushes went on beside: the test proves nothing");
    mirror_equals(&git, &three.source, &three.url(1), &folder(&three.stratum, "after"))?;
    check(&three.stratum)
}

/// A branch with commits of its own, pushed and deleted again; the working copy that still has it.
fn lose_a_branch(git: &Git, source: &Path, url: &str, name: &str) -> Result<PathBuf> {
    git.run(source, &["checkout", "-q", "-b", name])?;
    for number in 0..4 {
        commit(git, source, &format!("only-{name}"), &format!("{name} {number}\n"))?;
    }
    git.run(source, &["push", "-q", url, name])?;
    git.run(source, &["checkout", "-q", "main"])?;
    let copy = source.with_file_name(format!("kept-{name}"));
    let text = copy.to_string_lossy().into_owned();
    git.run(source, &["clone", "-q", "--branch", name, ".", &text])?;
    git.run(source, &["push", "-q", url, &format!(":{name}")])?;
    git.run(source, &["branch", "-q", "-D", name])?;
    Ok(copy)
}

/// GS-OB-09, GS-OB-10: what no ref reaches goes, `--dry-run` tells it before, nothing else goes.
#[test]
fn gs_ob_09_gs_ob_10_a_deleted_branch_is_dropped_and_a_dry_run_tells_the_truth() -> Result<()> {
    let three = Three::start()?;
    let (stratum, git) = (&three.stratum, three.stratum.git());
    stratum.cli(&["config", "set", "object.gcRetention", "1s"])?;
    many_pushes(&git, &three.source, &three.url(0), 5)?;
    let nothing = json(stratum, &["gc", "demo/three"])?;
    ensure!(nothing[0]["changed"] == false, "{nothing}");
    let kept = lose_a_branch(&git, &three.source, &three.url(0), "lost")?;
    let lost = git.run(&kept, &["rev-parse", "lost"])?.trim().to_owned();
    let told = json(stratum, &["gc", "demo/three", "--dry-run"])?;
    // Four commits, each with a root tree, a tree and a blob of its own.
    ensure!(told[0]["changed"] == true && told[0]["objectsDropped"] == 16, "{told}");
    let refs = git.run(&three.source, &["ls-remote", &three.url(1)])?;
    let done = json(stratum, &["gc", "demo/three"])?;
    for field in ["objectsDropped", "objectsKept", "bytesDropped", "packsBefore", "packsAfter"] {
        ensure!(told[0][field] == done[0][field], "{field}: {told} {done}");
    }
    ensure!(git.run(&three.source, &["ls-remote", &three.url(1)])? == refs);
    // Bad input 23: an id that is gone is no way in, before or after.
    // Who still has it asks for nothing.
    let empty = folder(stratum, "empty.git");
    std::fs::create_dir_all(&empty)?;
    git.run(&empty, &["init", "-q", "--bare"])?;
    let wanted = git.try_run(&empty, &["fetch", "-q", &three.url(2), &lost])?;
    ensure!(wanted.code != 0 && wanted.err.contains("not our ref"), "{}", wanted.err);
    mirror_equals(&git, &three.source, &three.url(1), &folder(stratum, "dropped"))?;
    check(stratum)?;
    // A thin push on what is gone is asked for the whole of it, and may bring it back.
    commit(&git, &kept, "only-lost", "again\n")?;
    git.run(&kept, &["push", "-q", &three.url(0), "lost"])?;
    let to = folder(stratum, "brought-back");
    let name = to.to_string_lossy().into_owned();
    git.run(&kept, &["clone", "-q", "--branch", "lost", &three.url(1), &name])?;
    ensure!(git.run(&to, &["rev-parse", "HEAD~1"])?.trim() == lost);
    let fsck = git.try_run(&to, &["fsck", "--full", "--strict"])?;
    ensure!(fsck.code == 0, "{}", fsck.err);
    check(stratum)
}

/// P-I4: branches come and go, and are pushed again while drop runs go round: nothing that a ref
/// reaches is ever gone.
#[test]
fn p_i4_pushes_of_old_objects_while_drop_runs_go_round_lose_nothing() -> Result<()> {
    let three = Three::start()?;
    let (stratum, git) = (&three.stratum, three.stratum.git());
    stratum.cli(&["config", "set", "object.gcRetention", "1s"])?;
    many_pushes(&git, &three.source, &three.url(0), 3)?;
    let kept = lose_a_branch(&git, &three.source, &three.url(0), "old")?;
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicUsize::new(0));
    let worker = {
        let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
        let (git, kept, url) = (three.stratum.git(), kept.clone(), three.url(1));
        std::thread::spawn(move || -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                let round = rounds.fetch_add(1, Ordering::Relaxed);
                let name = format!("again{round}");
                // An older commit, and a child of it: both rest on what may be going.
                git.run(
                    &kept,
                    &["push", "-q", &url, &format!("old~{}:refs/heads/{name}", round % 3)],
                )?;
                commit(&git, &kept, "more", &format!("round {round}\n"))?;
                git.run(&kept, &["push", "-q", &url, "HEAD:refs/heads/tip", "--force"])?;
                let read = git.try_run(&kept, &["fetch", "-q", &url, &name, "tip"])?;
                ensure!(read.code == 0, "round {round}: {}", read.err);
                git.run(&kept, &["push", "-q", &url, &format!(":{name}")])?;
            }
            Ok(())
        })
    };
    let began = now();
    let mut dropped = 0;
    while began.elapsed() < Duration::from_secs(25) && !worker.is_finished() {
        // A start may be held back for a push that two have refused (S15).
        let ran = stratum.try_cli(&["gc", "demo/three", "-o", "json"])?;
        ensure!(ran.code == 0 || ran.err.contains("refused twice"), "{}", ran.err);
        if ran.code == 0 {
            let told: serde_json::Value = serde_json::from_str(&ran.out)?;
            dropped += told[0]["objectsDropped"].as_u64().unwrap_or_default();
        }
    }
    stop.store(true, Ordering::Relaxed);
    worker.join().map_err(|_| anyhow::anyhow!("the pusher panicked"))??;
    let rounds = rounds.load(Ordering::Relaxed);
    eprintln!("{rounds} rounds of pushes, {dropped} objects dropped meanwhile");
    ensure!(rounds >= 3 && dropped > 0, "the test proves nothing");
    check(stratum)?;
    let to = folder(stratum, "end");
    let name = to.to_string_lossy().into_owned();
    git.run(&three.source, &["clone", "-q", "--mirror", &three.url(2), &name])?;
    let fsck = git.try_run(&to, &["fsck", "--full", "--strict"])?;
    ensure!(fsck.code == 0, "{}", fsck.err);
    Ok(())
}

#[test]
fn gs_ob_08_a_run_that_cannot_be_is_told_why() -> Result<()> {
    let stratum = Stratum::start()?;
    let gone = stratum.try_cli(&["compact", "demo/nothing"])?;
    ensure!(gone.code == 1 && gone.err.contains("repo list"), "{} {}", gone.code, gone.err);
    let empty = json(&stratum, &["gc", "demo/hello"])?;
    ensure!(empty[0]["changed"] == false, "{empty}");
    let usage = stratum.try_cli(&["gc", "demo/hello", "--wrong"])?;
    ensure!(usage.code == 2, "{}", usage.code);
    Ok(())
}
