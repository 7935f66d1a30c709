//! Replicas of refs that were lost or rolled back while their node was down come back by
//! themselves (S23; `healing` has those that were damaged); a control plane of which that is true goes on, or says that it
//! is lost (S45).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use gitstratum_e2e::now;
use rustix::process::Signal;

use crate::three_nodes::{Three, beside_others};

/// Until replicas that began anew have a vote again (P-A7).
const BACK_WITHIN: Duration = Duration::from_secs(60);
const PUSH_WITHIN: Duration = Duration::from_secs(10);
/// Partitions of `up`.
const PARTITIONS: usize = 4;
const HAS_A_VOTE: &str = "the new replica has a vote";

fn store(three: &Three, index: usize, role: &str) -> PathBuf {
    three.node(index).dir.join(role)
}

/// Stops a node so that nothing of it runs, lets `harm` have its disk, and ends it: it is
/// started again on what is left.
fn harm_while_down(
    three: &Three,
    index: usize,
    harm: impl FnOnce(&Three) -> Result<()>,
) -> Result<()> {
    let old = three.signal(index, Signal::STOP)?;
    harm(three)?;
    three.signal(index, Signal::KILL)?;
    three.wait_for_new(index, old)
}

fn votes(three: &Three) -> usize {
    three.stratum.log().lines().filter(|line| line.contains(HAS_A_VOTE)).count()
}

/// Waits until so many replicas more than before have a vote.
fn wait_for_votes(three: &Three, before: usize, more: usize) -> Result<Duration> {
    let began = now();
    while votes(three) < before + more {
        let took = began.elapsed();
        ensure!(
            took < beside_others(BACK_WITHIN),
            "{} of {more} replicas after {took:?}; the log:\n{}",
            votes(three) - before,
            three.troubles()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(began.elapsed())
}

/// The node's replicas make a majority with those of another node.
fn carries_a_majority(three: &mut Three, index: usize) -> Result<()> {
    let hung = index + 1;
    three.signal(hung, Signal::STOP)?;
    let pushed = three.push_until_taken(index + 2, PUSH_WITHIN);
    three.go_on(hung)?;
    pushed.map(drop)
}

fn is_clean(three: &Three) -> Result<()> {
    let checked = three.stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    Ok(())
}

#[test]
fn s23_a_deleted_metadata_directory_is_learned_again() -> Result<()> {
    let mut three = Three::start()?;
    for victim in 0..3 {
        three.push(victim)?;
        let before = votes(&three);
        harm_while_down(&three, victim, |three| {
            Ok(fs::remove_dir_all(store(three, victim, "metadata"))?)
        })?;
        three.push_until_taken(victim + 1, PUSH_WITHIN)?;
        let took = wait_for_votes(&three, before, PARTITIONS)?;
        eprintln!("node {victim}: {PARTITIONS} replicas have a vote again after {took:?}");
        carries_a_majority(&mut three, victim)?;
    }
    three.verify("deleted")?;
    is_clean(&three)
}

#[test]
fn s23_a_metadata_directory_that_was_rolled_back_is_learned_again() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    let (db, copy) = (store(&three, 1, "metadata"), three.stratum.scratch().join("older"));
    ensure!(three.stratum.stop()? == 0, "it did not stop cleanly");
    copy_folder(&db, &copy)?;
    three.stratum.launch()?;
    for push in 0..10 {
        three.push_until_taken(push, PUSH_WITHIN)?;
    }
    let before = votes(&three);
    harm_while_down(&three, 1, |_| {
        fs::remove_dir_all(&db)?;
        copy_folder(&copy, &db)
    })?;
    three.push_until_taken(0, PUSH_WITHIN)?;
    wait_for_votes(&three, before, PARTITIONS)?;
    carries_a_majority(&mut three, 1)?;
    three.verify("rolled-back")?;
    is_clean(&three)
}

#[test]
fn s45_a_wiped_control_plane_voter_joins_anew_and_founds_nothing() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    let before = votes(&three);
    harm_while_down(&three, 0, |three| Ok(fs::remove_dir_all(store(three, 0, "control"))?))?;
    wait_for_votes(&three, before, 1)?;
    three.signal(1, Signal::STOP)?;
    let made = until_made(&three, "after-the-wipe");
    three.go_on(1)?;
    made?;
    three.push_until_taken(0, PUSH_WITHIN)?;
    three.verify("control")
}

/// Creates a user, as soon as somebody leads.
fn until_made(three: &Three, name: &str) -> Result<()> {
    let began = now();
    loop {
        let made = three.stratum.try_cli(&["user", "create", name])?;
        if made.code == 0 {
            return Ok(());
        }
        ensure!(began.elapsed() < beside_others(PUSH_WITHIN), "{}", made.err);
    }
}

/// Sockets are not copied: a new process makes new ones.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
