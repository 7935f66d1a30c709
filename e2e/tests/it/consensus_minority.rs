//! A node that has lost the majority refuses, soon and in words that say why (P-A8).

use std::time::Duration;

use anyhow::{Result, ensure};
use gitstratum_e2e::now;
use rustix::process::Signal;

use crate::three_nodes::{Three, beside_others};

/// P-A8; the process of git and its questions before the refusal come on top.
const REFUSED_WITHIN: Duration = Duration::from_millis(2_000);
/// Until the nodes that hang are taken for gone: heartbeats, the lease.
const SETTLED: Duration = Duration::from_secs(2);
const BACK_WITHIN: Duration = Duration::from_secs(10);
const WORDS: &str = "too few replicas";

/// RV-C1, RV-C3: below a quorum nothing is written, and nothing that was said earlier counts.
#[test]
fn p_a8_a_minority_refuses_pushes_and_fetches_within_2_s_and_says_why() -> Result<()> {
    let mut three = Three::start()?;
    let tip = three.push(0)?;
    for alone in 0..3 {
        let others = [(alone + 1) % 3, (alone + 2) % 3];
        for other in others {
            three.signal(other, Signal::STOP)?;
        }
        let refused = refusals(&mut three, alone);
        for other in others {
            three.go_on(other)?;
        }
        refused?;
        three.push_until_taken(alone, BACK_WITHIN)?;
    }
    ensure!(three.tip(0)? != tip, "the pushes of the majority are there");
    three.verify("minority")
}

/// At once after the others hang, and once everybody has noticed.
fn refusals(three: &mut Three, alone: usize) -> Result<()> {
    for pause in [Duration::ZERO, SETTLED] {
        std::thread::sleep(pause);
        let began = now();
        let pushed = three.try_push(alone)?;
        let took = began.elapsed();
        eprintln!("node {alone} alone, {pause:?} later: push refused after {took:?}");
        ensure!(pushed.code != 0, "a minority took a push");
        ensure!(pushed.err.contains(WORDS), "node {alone}: {}", pushed.err);
        ensure!(took < beside_others(REFUSED_WITHIN), "node {alone} refused after {took:?}");
        let began = now();
        let listed = three.try_tip(alone)?;
        let took = began.elapsed();
        ensure!(listed.code != 0, "a minority answered a read: {}", listed.out);
        // Its question is a POST, of whose refusal git shows the status only.
        ensure!(took < beside_others(REFUSED_WITHIN), "node {alone} refused a read after {took:?}");
    }
    Ok(())
}
