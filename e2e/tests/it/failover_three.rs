//! Three nodes under pushes: all or one killed at random moments, all power lost at once, and
//! what one takes seen through the others (issue 5).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::ObjectFormat;
use gitstratum_e2e::fetch::ls_refs;
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::http::{Credentials, Http};
use gitstratum_e2e::{Options, is_long, now};
use lossyfs::Loss;
use rustix::process::{Pid, Signal, kill_process};

use crate::chain::{Chain, mixed};
use crate::failover_kill::{seed, strike};
use crate::failover_power::cut;
use crate::objects::Objects;
use crate::shared::Up;
use crate::slate::Slate;
use crate::work::create;

/// Rounds in CI, and in the long run.
const KILLS: u32 = 10;
const KILLS_LONG: u32 = 200;
const CUTS: u32 = 5;
const CUTS_LONG: u32 = 100;
const MOMENT_MAX_MILLIS: u32 = 1_000;
/// On the disk that forgets every call takes its time.
const POWER_MOMENT_MAX_MILLIS: u32 = 4_000;
/// Pushes to one repository: with 1,000 packs it takes no more.
const CHAIN_MAX: usize = 800;
/// How long is pushed after one node was killed.
const AFTER_MILLIS: u64 = 1_500;
/// Within what a system answers again.
const BACK_WITHIN: Duration = Duration::from_secs(20);
/// Looks through other nodes at what one took, half as many pushes.
const PAIRS: usize = 10_000;
/// Who pushes at once, each to a repository of its own.
const PUSHERS: usize = 8;
const BRANCH: &str = "refs/heads/main";

fn three() -> Options {
    let args = ["--nodes".to_owned(), "3".to_owned()].to_vec();
    Options { args, ..Options::default() }
}

/// The state after a restart; partitions may be without a leader for a moment.
fn settle(chain: &mut Chain, up: &Up) -> Result<()> {
    let began = now();
    loop {
        match chain.settle(up) {
            Err(error) if began.elapsed() > BACK_WITHIN => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
            Ok(()) => return Ok(()),
        }
    }
}

/// A restarted system may refuse for a moment, and say to try again.
fn push_until_taken(chain: &mut Chain, up: &Up) -> Result<()> {
    let began = now();
    while !chain.push(up)? {
        ensure!(began.elapsed() < BACK_WITHIN, "no push was taken");
        settle(chain, up)?;
    }
    Ok(())
}

#[test]
fn p_d2_no_kill_of_all_three_loses_an_acknowledged_push() -> Result<()> {
    let mut up = Up::start_with(three())?;
    let mut chain = Chain::begin(&up, "demo/three")?;
    let seed = seed();
    let kills = if is_long() { KILLS_LONG } else { KILLS };
    for round in 0..kills {
        let moment = mixed(seed ^ round) % MOMENT_MAX_MILLIS;
        let seen = || format!("seed {seed}, round {round}, killed after {moment} ms");
        strike(&up, &mut chain, moment).with_context(seen)?;
        up.stratum.kill()?;
        up.stratum.launch().with_context(seen)?;
        settle(&mut chain, &up).with_context(seen)?;
    }
    eprintln!("{kills} kills of all three, {} pushes", chain.len());
    ensure!(chain.len() > usize::try_from(kills)?, "{} pushes prove nothing", chain.len());
    chain.verify(&up, "three.git")
}

/// GS-MD-23.
#[test]
fn p_d2_no_kill_of_one_of_three_loses_an_acknowledged_push() -> Result<()> {
    let up = Up::start_with(three())?;
    let mut chain = Chain::begin(&up, "demo/one")?;
    let (seed, mut full) = (seed(), 0);
    let kills = if is_long() { KILLS_LONG } else { KILLS };
    for round in 0..kills {
        if chain.len() > CHAIN_MAX {
            chain.verify(&up, &format!("one-{round}.git"))?;
            full += chain.len();
            chain = Chain::begin(&up, &format!("demo/one-{round}"))?;
        }
        let random = mixed(seed ^ round);
        let (victim, moment) = ((random % 3) as usize, random / 3 % MOMENT_MAX_MILLIS);
        let seen = || format!("seed {seed}, round {round}, node {victim} after {moment} ms");
        kill_one(&up, &mut chain, (victim, moment)).with_context(seen)?;
        settle(&mut chain, &up).with_context(seen)?;
    }
    let pushes = full + chain.len();
    eprintln!("{kills} kills of one, {pushes} pushes");
    ensure!(pushes > usize::try_from(kills)?, "{pushes} pushes prove nothing");
    chain.verify(&up, "one.git")
}

/// Kills one node while pushes go on through the first, and some time after.
fn kill_one(up: &Up, chain: &mut Chain, (victim, moment): (usize, u32)) -> Result<()> {
    let (node, is_over) = (&up.stratum.endpoint().nodes[victim], AtomicBool::new(false));
    let old = node.current_pid().context("the node is not up")?;
    let pid = Pid::from_raw(i32::try_from(old)?).context("no process")?;
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                if !chain.push(up)? {
                    settle(chain, up)?;
                }
            }
            Ok(())
        });
        std::thread::sleep(Duration::from_millis(moment.into()));
        let killed = kill_process(pid, Signal::KILL);
        std::thread::sleep(Duration::from_millis(AFTER_MILLIS));
        is_over.store(true, Ordering::Relaxed);
        pushing.join().map_err(|_| anyhow::anyhow!("the pushing thread panicked"))??;
        Ok::<(), anyhow::Error>(killed?)
    })?;
    let began = now();
    while node.current_pid().is_none_or(|pid| pid == old) {
        ensure!(began.elapsed() < BACK_WITHIN, "node {victim} did not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn p_d3_no_loss_of_all_power_loses_an_acknowledged_push_of_three_nodes() -> Result<()> {
    let Some(mut slate) = Slate::new()? else { return Ok(()) };
    let mut up = Up::start_with(Options { data: Some(slate.data()), ..three() })?;
    let mut chain = Chain::begin(&up, "demo/power3")?;
    let seed = seed();
    let cuts = if is_long() { CUTS_LONG } else { CUTS };
    for round in 0..cuts {
        let moment = mixed(seed ^ round) % POWER_MOMENT_MAX_MILLIS;
        let loss = match round % 2 {
            0 => Loss::Everything,
            _ => Loss::Some { seed: u64::from(mixed(seed ^ round)) },
        };
        let seen = || format!("seed {seed}, round {round}, {loss:?} after {moment} ms");
        push_until_taken(&mut chain, &up).with_context(seen)?;
        cut(&slate, &up, &mut chain, (moment, loss)).with_context(seen)?;
        up.stratum.kill()?;
        slate.remount().with_context(seen)?;
        up.stratum.launch().with_context(seen)?;
        settle(&mut chain, &up).with_context(seen)?;
    }
    eprintln!("{cuts} losses of all power, {} pushes", chain.len());
    ensure!(chain.len() > usize::try_from(cuts)?, "{} pushes prove nothing", chain.len());
    chain.verify(&up, "power3.git")?;
    up.stratum.stop()?;
    Ok(())
}

/// RV-C2.
#[test]
fn p_c5_ten_thousand_looks_through_other_nodes_see_what_one_acknowledged() -> Result<()> {
    let up = &Up::start_with(three())?;
    let began = now();
    std::thread::scope(|scope| {
        let push = |pusher| scope.spawn(move || push_and_look(up, pusher));
        let pushing: Vec<_> = (0..PUSHERS).map(push).collect();
        for pusher in pushing {
            pusher.join().map_err(|_| anyhow::anyhow!("a pusher panicked"))??;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    eprintln!("{PAIRS} looks by {PUSHERS} in {:?}", began.elapsed());
    Ok(())
}

/// Pushes through each node in turn, and looks through both others at once.
fn push_and_look(up: &Up, pusher: usize) -> Result<()> {
    let path = format!("demo/pairs{pusher}");
    create(&up.stratum, &path, "sha1")?;
    let door = |node: usize| {
        let http = &up.stratum.endpoint().nodes[node % 3].http;
        Http::new(http, &path).with(Credentials::Bearer(up.token.clone()))
    };
    let mut tip = None;
    for round in 0..PAIRS / PUSHERS / 2 {
        let mut objects = Objects::new();
        let parents: Vec<_> = tip.into_iter().collect();
        let next = objects.small_commit(&parents, &format!("{pusher} {round}\n"));
        let push = match tip {
            None => Push::new().create(BRANCH, &next),
            Some(tip) => Push::new().update(BRANCH, &tip, &next),
        };
        let report = push.pack(objects.pack()).send(&door(round))?;
        ensure!(report.is_done(), "{pusher}, round {round}: {}", report.why());
        for other in [round + 1, round + 2] {
            let refs = ls_refs(&door(other), ObjectFormat::Sha1)?;
            let seen = refs.get(BRANCH).map(String::as_str);
            let is_seen = seen == Some(&next.to_string());
            ensure!(is_seen, "{pusher}, round {round}: node {} shows {seen:?}", other % 3);
        }
        tip = Some(next);
    }
    Ok(())
}
