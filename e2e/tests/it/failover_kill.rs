//! SIGKILL at random moments of a push loop (P-D2).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::{Entropy as _, SystemEntropy};
use gitstratum_e2e::is_long;

use crate::chain::{Chain, mixed};
use crate::shared::Up;

/// Kills in CI, and in the long run.
const KILLS: u32 = 20;
const KILLS_LONG: u32 = 200;
/// Moments from before the first byte of a push to after many acknowledgements.
const MOMENT_MAX_MILLIS: u32 = 700;
/// How soon it must be ready again.
const READY_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn p_d2_no_kill_loses_an_acknowledged_push() -> Result<()> {
    let mut up = Up::start()?;
    let mut chain = Chain::begin(&up, "demo/kill")?;
    let seed = seed();
    let kills = if is_long() { KILLS_LONG } else { KILLS };
    for round in 0..kills {
        let moment = mixed(seed ^ round) % MOMENT_MAX_MILLIS;
        let seen = || format!("seed {seed}, round {round}, killed after {moment} ms");
        strike(&up, &mut chain, moment).with_context(seen)?;
        up.stratum.kill()?;
        let took = up.stratum.launch()?;
        ensure!(took < READY_WITHIN, "{}: ready after {took:?}", seen());
        chain.settle(&up).with_context(seen)?;
    }
    eprintln!("{kills} kills, {} pushes", chain.len());
    let enough = chain.len() > usize::try_from(kills)?;
    ensure!(enough, "{} pushes in {kills} rounds prove nothing", chain.len());
    chain.verify(&up, "kill.git")
}

/// Kills the server some time after the next pushes have begun.
pub(crate) fn strike(up: &Up, chain: &mut Chain, moment: u32) -> Result<()> {
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| chain.push_until_gone(up));
        std::thread::sleep(Duration::from_millis(moment.into()));
        up.stratum.strike()?;
        pushing.join().map_err(|_| anyhow::anyhow!("the pushing thread panicked"))?
    })
}

/// Where the moments begin; a failure tells it.
pub(crate) fn seed() -> u32 {
    let mut bytes = [0; 4];
    SystemEntropy::new().fill(&mut bytes);
    u32::from_be_bytes(bytes)
}
