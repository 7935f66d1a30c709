//! A run of one seed, and what is made of it.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::checks::Broken;
use crate::complaints;
use crate::events::{self, Digest, Told};
use crate::sabotage::Switch;
use crate::world::World;

/// Least share of pushes that succeed, in percent, least number of them, of changes of a
/// partition's leader, of changes of the members, and of looks at what is served: else a run
/// proves nothing.
pub(crate) const ACKED_MIN: u64 = 200;
const ACKED_PERCENT_MIN: u64 = 30;
const LEADERS_MIN: usize = 2;
const CHANGES_MIN: usize = 1;
const LOOKS_MIN: u64 = 3;
const FAULTS_MIN: usize = 8;

/// What is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everything follows from it.
    pub seed: u64,
    /// What is done wrong on purpose.
    pub sabotage: Option<&'static Switch>,
    /// Whether the story is told on standard error, and every message with it.
    pub is_told: bool,
    /// See [`Settings::is_told`].
    pub is_detailed: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant holds.
    Holds,
    /// One does not: its name, and what was seen.
    Broken(&'static str, String),
    /// Too little happened to say, or the run itself failed.
    Invalid(String),
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Its events.
    pub digest: Digest,
    /// Counts of what happened, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// How often the place of the sabotage was passed.
    pub sabotaged: u64,
}

/// Runs `settings`. Everything happens on this thread.
///
/// # Errors
/// When the machine has no folder for packs on their way in.
pub fn run(settings: &Settings) -> Result<Outcome> {
    gitstratum_process::run_blocking_in_line();
    gitstratum_process::sabotage::set(settings.sabotage.map(|switch| switch.name));
    gitstratum_consensus::testing::seed_elections(settings.seed);
    let told = match (settings.is_told, settings.is_detailed) {
        (_, true) => Told::Everything,
        (true, false) => Told::Story,
        (false, false) => Told::Nothing,
    };
    events::begin(told);
    // What is done wrong on purpose has to be noticed from outside.
    let _heard = settings.sabotage.is_none().then(complaints::listen);
    let mut world = World::new(settings.seed)?;
    let ended = world.play();
    let digest = events::end();
    let counts = world.counts();
    let verdict = match ended {
        Ok(()) => vacuity(&counts).map_or(Verdict::Holds, Verdict::Invalid),
        Err(error) => match error.downcast::<Broken>() {
            Ok(Broken { invariant, what }) => Verdict::Broken(invariant, what),
            Err(error) => Verdict::Invalid(format!("{error:#}")),
        },
    };
    let sabotaged = gitstratum_process::sabotage::done();
    gitstratum_process::sabotage::set(None);
    Ok(Outcome { seed: settings.seed, verdict, digest, counts, sabotaged })
}

impl World {
    /// What happened, counted.
    fn counts(&self) -> BTreeMap<&'static str, u64> {
        let history = self.history.lock();
        let faults: usize = self.happened.values().sum();
        BTreeMap::from([
            ("acked", history.acked),
            ("pushes", history.begun),
            ("clones", history.clones),
            ("probes", history.probes),
            ("returns", history.returns),
            ("runs", history.runs),
            ("dropped", history.dropped),
            ("races", history.races),
            ("faults", faults as u64),
            ("wiped", self.happened.get("wipe").copied().unwrap_or_default() as u64),
            ("leaders", self.leader_changes() as u64),
            ("changes", self.progress.lock().changes as u64),
        ])
    }
}

/// Why a run that went well proves nothing, if so.
fn vacuity(counts: &BTreeMap<&'static str, u64>) -> Option<String> {
    let of = |name: &str| counts.get(name).copied().unwrap_or_default();
    let least = [
        ("acked", ACKED_MIN),
        ("leaders", LEADERS_MIN as u64),
        ("changes", CHANGES_MIN as u64),
        ("faults", FAULTS_MIN as u64),
        ("clones", LOOKS_MIN),
        ("probes", LOOKS_MIN),
        ("returns", LOOKS_MIN),
        ("runs", LOOKS_MIN),
        ("dropped", LOOKS_MIN),
    ];
    let few = least.iter().find(|(name, least)| of(name) < *least);
    if let Some((name, least)) = few {
        return Some(format!("{} {name}, fewer than {least}", of(name)));
    }
    let (acked, pushes) = (of("acked"), of("pushes"));
    (acked * 100 < pushes * ACKED_PERCENT_MIN)
        .then(|| format!("only {acked} of {pushes} pushes succeeded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(acked: u64, pushes: u64, leaders: u64) -> BTreeMap<&'static str, u64> {
        let others = [("changes", 1), ("faults", 20), ("clones", 9), ("probes", 9)];
        let others = others.into_iter().chain([("returns", 9), ("runs", 9), ("dropped", 9)]);
        BTreeMap::from_iter(
            [("acked", acked), ("pushes", pushes), ("leaders", leaders)].into_iter().chain(others),
        )
    }

    #[test]
    fn a_run_in_which_too_little_happened_proves_nothing() {
        assert_eq!(vacuity(&counts(200, 300, 2)), None);
        assert!(vacuity(&counts(199, 300, 2)).is_some());
        assert!(vacuity(&counts(200, 700, 2)).is_some());
        assert!(vacuity(&counts(200, 300, 1)).is_some());
    }
}
