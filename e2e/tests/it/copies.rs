//! Copies of segments come back (S18, S21): a node that was away while others took pushes has
//! all of them again soon after it returned.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::now;
use rustix::process::Signal;
use serde_json::Value;

use crate::observe::Page;
use crate::three_nodes::{Three, beside_others};
use crate::work::{folder, mirror_equals};

/// Within what redundancy is back after a node has returned.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const PUSHES: usize = 12;
const SEGMENTS: &str = "gitstratum_object_segments";
const PULLED: &str = "gitstratum_object_segments_pulled_total";
const HUNG_WITHIN: Duration = Duration::from_secs(5);

/// Segments that lack copies, in all partitions.
fn missing(three: &Three) -> Result<u64> {
    let text = three.stratum.cli(&["status", "-o", "json"])?;
    let status: Value = serde_json::from_str(&text).context(text.clone())?;
    let partitions = status["partitions"].as_array().context("no partitions")?;
    let of = |partition: &Value| partition["underReplicated"].as_u64();
    partitions.iter().map(|p| of(p).with_context(|| format!("not known: {text}"))).sum()
}

fn held(three: &Three, index: usize) -> Result<f64> {
    Ok(Page::at(&three.node(index).metrics)?.get(SEGMENTS))
}

/// What [`votes`] gives where nobody lacks one.
pub(crate) const EVERY_VOTE: [(f64, bool); 3] = [(4.0, true); 3];

/// In how many partitions each node that answers has a vote, and whether in the control plane.
pub(crate) fn votes(three: &Three) -> Vec<(f64, bool)> {
    let of = |index| -> Result<_> {
        let page = Page::at(&three.node(index).metrics)?;
        let is_in_control = page.get("gitstratum_control_raft_voter") == 1.0;
        Ok((page.get("gitstratum_metadata_partition_votes"), is_in_control))
    };
    (0..3).filter_map(|index| of(index).ok()).collect()
}

/// Waits until redundancy is back: no segment lacks copies, all nodes hold the same number of
/// segments, and each has all its votes.
pub(crate) fn wait_for_copies(three: &Three) -> Result<Duration> {
    wait(three, |held| held[0].is_some() && held.iter().all(|count| *count == held[0]))
}

/// The same where pushes were cut, which leave some nodes with more until that is swept: every
/// copy that is listed is there.
pub(crate) fn wait_for_redundancy(three: &Three) -> Result<Duration> {
    wait(three, |_| three.stratum.try_cli(&["check"]).is_ok_and(|checked| checked.code == 0))
}

fn wait(three: &Three, is_right: impl Fn(&[Option<f64>]) -> bool) -> Result<Duration> {
    let began = now();
    loop {
        let lacking = missing(three);
        let held: Vec<Option<f64>> = (0..3).map(|index| held(three, index).ok()).collect();
        let votes = votes(three);
        if matches!(lacking, Ok(0)) && votes == EVERY_VOTE && is_right(&held) {
            return Ok(began.elapsed());
        }
        if began.elapsed() >= beside_others(BACK_WITHIN) {
            let check = three.stratum.try_cli(&["check"])?;
            anyhow::bail!(
                "{lacking:?} segments lack copies, held: {held:?}, votes: {votes:?}; check gave {}: {}{}; its log:\n{}",
                check.code,
                check.out,
                check.err,
                three.stratum.log_end()
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How a node goes away.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// An operator stops it.
    Stopped,
    /// It hangs, and is killed after that: what it had not made durable is gone.
    Hung,
}

/// Pushes while a node is away; it is back at the end, and had missed something.
fn push_without(three: &mut Three, victim: usize, away: Away) -> Result<()> {
    let id = three.node(victim).id.clone();
    let old = match away {
        Away::Hung => three.signal(victim, Signal::STOP)?,
        Away::Stopped => {
            three.stratum.cli(&["node", "stop", &id])?;
            0
        }
    };
    for push in 0..PUSHES {
        three.push_until_taken(victim + 1 + push % 2, HUNG_WITHIN)?;
    }
    match away {
        Away::Hung => {
            three.signal(victim, Signal::KILL)?;
            three.wait_for_new(victim, old)
        }
        Away::Stopped => {
            let lacking = missing(three)?;
            ensure!(lacking > 0, "status does not tell what is missing");
            let waited = three.stratum.try_cli(&["status", "--wait", "--timeout", "3"])?;
            let is_told = waited.err.contains("not all in place within 3 s");
            ensure!(waited.code == 1 && is_told, "{}{}", waited.out, waited.err);
            three.stratum.cli(&["node", "start", &id])?;
            // RV-H4: ALL.
            three.stratum.cli(&["status", "--wait", "--timeout", "120"])?;
            ensure!(missing(three)? == 0, "what was waited for is not so");
            Ok(())
        }
    }
}

/// GS-OB-05, GS-OB-35: pushes go on without the node, and the copies that it missed are made: it
/// is printed within what time.
/// RV-H3: two of three nodes serve and take pushes, and `status` tells what lacks copies. RV-H4: who
/// needs all of them waits for it.
#[test]
fn s18_s21_a_node_that_was_away_has_all_segments_within_60_s_of_its_return() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    let first = wait_for_copies(&three)?;
    eprintln!("all copies are there after {first:?}");
    for (victim, away) in [(2, Away::Stopped), (1, Away::Hung)] {
        push_without(&mut three, victim, away)?;
        let took = wait_for_copies(&three)?;
        let pulled = Page::at(&three.node(victim).metrics)?.get(PULLED);
        eprintln!("{away:?} node {victim}: copies are back after {took:?}, {pulled} pulled");
        ensure!(pulled >= 1.0, "nothing was missing: the test proves nothing");
    }
    let checked = three.stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    // Each of the two that were away serves all of it without the node that was not.
    three.signal(0, Signal::STOP)?;
    // Once the others have leaders.
    let led = three.push_until_taken(1, HUNG_WITHIN);
    let served = [1, 2].into_iter().try_for_each(|index| {
        let to = folder(&three.stratum, &format!("served-{index}.git"));
        mirror_equals(&three.stratum.git(), &three.source, &three.url(index), &to)
    });
    three.signal(0, Signal::CONT)?;
    led.and(served)
}
