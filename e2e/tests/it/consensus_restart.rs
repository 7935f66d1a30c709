//! Nodes restarted one after the other under pushes: each hands its leaderships over
//! before it stops (S39).

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use gitstratum_e2e::now;
use rustix::process::Signal;

use crate::control_members::voters;
use crate::stalls::Stalls;
use crate::three_nodes::{Three, beside_others};

/// Pushes go on for so long behind each restart.
const AFTER: Duration = Duration::from_secs(2);
/// The longest push, git's own time included.
const PUSH_WITHIN: Duration = Duration::from_secs(2);

/// GS-CP-37: each hands its leaderships over, finishes what is open, and votes again afterwards.
#[test]
fn gs_op_39_a_rolling_restart_fails_no_push() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    let before = voters(&three.stratum)?.0;
    let stalls = Stalls::of(&three.stratum);
    let (mut longest, mut pushes) = (Duration::ZERO, 0);
    for restarted in 0..3 {
        let old = three.signal(restarted, Signal::TERM)?;
        let began = now();
        let mut back = None;
        while back.is_none_or(|at: std::time::Instant| at.elapsed() < AFTER) {
            ensure!(began.elapsed() < Duration::from_secs(40), "node {restarted} is not back");
            let (pushed, before) = (now(), stalls.count());
            three.push(restarted + 1 + pushes % 2).map_err(|error| {
                let troubles = three.troubles();
                anyhow!("a push while node {restarted} restarts: {error:#}\n{troubles}")
            })?;
            if stalls.count() == before {
                longest = longest.max(pushed.elapsed());
            }
            pushes += 1;
            if back.is_none() && three.node(restarted).current_pid().is_some_and(|pid| pid != old) {
                back = Some(now());
            }
        }
    }
    eprintln!("{pushes} pushes during three restarts, the longest took {longest:?}");
    ensure!(longest < beside_others(PUSH_WITHIN), "a push took {longest:?}");
    let after = voters(&three.stratum)?.0;
    ensure!(before.len() == 3 && after == before, "voters were {before:?} and are {after:?}");
    three.verify("restarted")
}
