//! Three nodes between which the network breaks, wholly, in part, or one way (issue 5): who has
//! a majority goes on, who has none says so soon, and all are of one mind when it is mended.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Apart, is_long, now, skip};
use serde_json::Value;

use crate::work::{commit, create, folder, history, mirror_equals};

/// Within what pushes go on through a node that has a majority.
const ON_WITHIN: Duration = Duration::from_secs(5);
/// Within what a node that was cut off serves again.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Within what a node without a majority refuses: 2 s (P-A8), and git around it.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);
/// How long a link that flaps is gone, and there; and for how long it does.
const FLAP: Duration = Duration::from_secs(1);
const FLAPS_FOR: Duration = Duration::from_secs(30);
/// More terms than that are an election storm.
const TERMS_A_MINUTE: u64 = 5;
const PATH: &str = "demo/apart";

/// Other tests run beside these on two cores.
fn beside_others(limit: Duration) -> Duration {
    if is_long() { limit } else { limit * 2 }
}

struct Rig {
    apart: Apart,
    source: PathBuf,
    pushed: usize,
}

impl Rig {
    /// Started, unless nodes cannot be parted here: then the skip is told.
    fn start() -> Result<Option<Self>> {
        if let Some(reason) = Apart::why_unavailable() {
            skip(&reason);
            return Ok(None);
        }
        let apart = Apart::start(|stratum| create(stratum, PATH, "sha1"))?;
        let source = folder(&apart.stratum, "source");
        history(&apart.stratum.git(), &source, 3, "sha1")?;
        let mut rig = Self { apart, source, pushed: 0 };
        rig.push(0, BACK_WITHIN)?;
        Ok(Some(rig))
    }

    /// One commit more, pushed through a node until it is taken; how long that took.
    fn push(&mut self, index: usize, within: Duration) -> Result<Duration> {
        self.pushed += 1;
        let git = self.apart.stratum.git();
        commit(&git, &self.source, "file", &format!("push {}\n", self.pushed))?;
        let (began, within) = (now(), beside_others(within));
        let url = self.apart.http(index, PATH);
        loop {
            let ran = git.try_run(&self.source, &["push", "-q", &url, "main"])?;
            let took = began.elapsed();
            ensure!(
                took < within,
                "node {index}: not taken within {took:?}: {}\n{}",
                ran.err,
                self.apart.log_ends()
            );
            if ran.code == 0 {
                return Ok(took);
            }
        }
    }

    /// A push that must be refused, and what was said.
    fn refused(&self, index: usize) -> Result<(Duration, String)> {
        let (git, began) = (self.apart.stratum.git(), now());
        let url = self.apart.http(index, PATH);
        let ran = git.try_run(&self.source, &["push", "-q", &url, "main:refs/heads/refused"])?;
        ensure!(ran.code != 0, "a node without a majority took a push");
        Ok((began.elapsed(), ran.err))
    }

    fn clone_through(&self, index: usize, name: &str) -> Result<()> {
        let to = folder(&self.apart.stratum, &format!("{name}-{index}.git"));
        mirror_equals(&self.apart.stratum.git(), &self.source, &self.apart.http(index, PATH), &to)
            .with_context(|| format!("{name}: clone through node {index}"))
    }

    /// The term of each group, the control plane's first.
    fn terms(&self) -> Result<Vec<u64>> {
        let told = self.apart.stratum.cli(&["status", "-o", "json"])?;
        let status: Value = serde_json::from_str(&told)?;
        let partitions = status["partitions"].as_array().context("no partitions")?;
        let groups = std::iter::once(&status).chain(partitions);
        groups.map(|group| group["term"].as_u64().context("a group without a term")).collect()
    }

    /// Mends the network; every node takes a push and gives what the others give.
    fn mend(&mut self, name: &str) -> Result<()> {
        self.apart.mend()?;
        for index in 0..3 {
            self.push(index, BACK_WITHIN).context(format!("{name}: mended"))?;
        }
        (0..3).try_for_each(|index| self.clone_through(index, name))
    }
}

/// RV-C3: who was cut off writes nothing, also if it led; GS-FE-32: the others do not need it.
#[test]
fn p_a8_a_node_that_is_cut_off_refuses_soon_and_the_others_go_on() -> Result<()> {
    let Some(mut rig) = Rig::start()? else { return Ok(()) };
    for victim in 0..3 {
        let others = [(victim + 1) % 3, (victim + 2) % 3];
        for other in others {
            rig.apart.cut(victim, other)?;
            rig.apart.cut(other, victim)?;
        }
        let took = rig.push(others[0], ON_WITHIN)?;
        eprintln!("node {victim} cut off: pushed after {took:?}");
        others.iter().try_for_each(|other| rig.clone_through(*other, &format!("cut-{victim}")))?;
        let (took, said) = rig.refused(victim)?;
        eprintln!("node {victim} cut off: it refused after {took:?}: {}", said.trim());
        ensure!(took < beside_others(REFUSED_WITHIN), "it refused after {took:?}: {said}");
        rig.mend(&format!("mended-{victim}"))?;
    }
    Ok(())
}

/// Bad input 159.
#[test]
fn p_a8_one_way_that_is_cut_stops_nobody_who_has_a_majority() -> Result<()> {
    let Some(mut rig) = Rig::start()? else { return Ok(()) };
    for victim in 0..3 {
        let others = [(victim + 1) % 3, (victim + 2) % 3];
        for (name, outwards) in [("out", true), ("in", false)] {
            for other in others {
                match outwards {
                    true => rig.apart.cut(victim, other)?,
                    false => rig.apart.cut(other, victim)?,
                }
            }
            let took = rig.push(others[0], ON_WITHIN)?;
            eprintln!("node {victim} cut one way, {name}: pushed after {took:?}");
            let name = format!("{name}-{victim}");
            others.iter().try_for_each(|other| rig.clone_through(*other, &name))?;
            rig.mend(&format!("mended-{name}"))?;
        }
    }
    Ok(())
}

#[test]
fn p_a8_two_nodes_that_do_not_reach_each_other_stop_nobody_who_reaches_both() -> Result<()> {
    let Some(mut rig) = Rig::start()? else { return Ok(()) };
    for between in 0..3 {
        let (one, two) = ((between + 1) % 3, (between + 2) % 3);
        rig.apart.cut(one, two)?;
        rig.apart.cut(two, one)?;
        let took = rig.push(between, ON_WITHIN)?;
        eprintln!("nodes {one} and {two} parted: pushed through {between} after {took:?}");
        let next = rig.push(between, ON_WITHIN)?;
        eprintln!("nodes {one} and {two} parted: the next after {next:?}");
        rig.clone_through(between, &format!("between-{between}"))?;
        rig.mend(&format!("met-{between}"))?;
    }
    Ok(())
}

/// A link that is there for a second and gone for the next: who reaches all goes on, and leaders stay.
#[test]
fn bad_input_159_a_link_that_flaps_stops_nobody_and_makes_no_election_storm() -> Result<()> {
    let Some(mut rig) = Rig::start()? else { return Ok(()) };
    let before = rig.terms()?;
    let (began, flaps_for) = (now(), if is_long() { 2 * FLAPS_FOR } else { FLAPS_FOR });
    while began.elapsed() < flaps_for {
        rig.apart.cut(0, 1)?;
        rig.apart.cut(1, 0)?;
        rig.push(2, ON_WITHIN)?;
        std::thread::sleep(FLAP);
        rig.apart.mend()?;
        rig.push(2, ON_WITHIN)?;
        std::thread::sleep(FLAP);
    }
    rig.mend("flapped")?;
    let after = rig.terms()?;
    let most = TERMS_A_MINUTE * began.elapsed().as_secs().div_ceil(60);
    let grown = before.iter().zip(&after).map(|(before, after)| after - before).max();
    eprintln!("terms before {before:?}, after {after:?}, pushes {}", rig.pushed);
    ensure!(before.len() == after.len() && grown <= Some(most), "{before:?} became {after:?}");
    Ok(())
}

/// Large packets of one node are swallowed, small ones pass: it looks well until it has something to say,
/// also if it leads.
#[test]
fn bad_input_159_a_node_whose_large_packets_are_lost_stops_no_other() -> Result<()> {
    let Some(mut rig) = Rig::start()? else { return Ok(()) };
    for victim in 0..3 {
        let others = [(victim + 1) % 3, (victim + 2) % 3];
        rig.apart.narrow(victim)?;
        for other in others {
            let took = rig.push(other, ON_WITHIN)?;
            eprintln!("node {victim} narrow: pushed through {other} after {took:?}");
        }
        others.iter().try_for_each(|other| rig.clone_through(*other, &format!("wide-{victim}")))?;
        rig.mend(&format!("widened-{victim}"))?;
    }
    Ok(())
}
