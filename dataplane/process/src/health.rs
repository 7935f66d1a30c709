use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::Drain;

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// `/livez`: is a restart the only help?
    Live,
    /// `/readyz`: may it be sent work?
    Ready,
    /// `/startupz`: has it come up?
    Startup,
}

/// A check that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Its name.
    pub check: &'static str,
    /// Why, for a person.
    pub reason: String,
}

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The named checks of a process. A probe holds when all its checks do.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<BTreeMap<(Probe, &'static str), Check>>>,
}

impl Health {
    /// No checks: every probe holds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, or replaces the one of that name. It is asked on every probe,
    /// so it looks at something at hand and never waits.
    pub fn check(
        &self,
        probe: Probe,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.checks.write().insert((probe, name), Arc::new(check));
    }

    /// Adds a check that says what it was last told; at first that it is starting.
    pub fn flag(&self, probe: Probe, name: &'static str) -> Flag {
        let flag = Flag { state: Arc::new(Mutex::new(Err("starting".to_owned()))) };
        let state = Arc::clone(&flag.state);
        self.check(probe, name, move || state.lock().clone());
        flag
    }

    /// Is unready from the moment that `drain` starts.
    pub fn watch(&self, drain: Drain) {
        let check = move || if drain.is_started() { Err("draining".to_owned()) } else { Ok(()) };
        self.check(Probe::Ready, "drain", check);
    }

    /// The checks that do not hold, by name.
    pub fn failing(&self, probe: Probe) -> Vec<Failing> {
        let checks = self.checks.read();
        let of_probe = checks.iter().filter(|((candidate, _), _)| *candidate == probe);
        of_probe
            .filter_map(|((_, name), check)| {
                check().err().map(|reason| Failing { check: name, reason })
            })
            .collect()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.checks.read().keys()).finish()
    }
}

/// A check that its owner sets.
#[derive(Clone, Debug)]
pub struct Flag {
    state: Arc<Mutex<Result<(), String>>>,
}

impl Flag {
    /// It holds from now on.
    pub fn pass(&self) {
        *self.state.lock() = Ok(());
    }

    /// It does not hold, because of `reason`.
    pub fn fail(&self, reason: impl Into<String>) {
        *self.state.lock() = Err(reason.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gf_11_a_probe_holds_when_all_its_checks_do() {
        let health = Health::new();
        let (raft, store) = (health.flag(Probe::Ready, "raft"), health.flag(Probe::Ready, "store"));
        assert_eq!(health.failing(Probe::Ready).len(), 2);
        assert!(health.failing(Probe::Live).is_empty());
        raft.pass();
        store.pass();
        assert!(health.failing(Probe::Ready).is_empty());
        raft.fail("no quorum");
        let failing = Failing { check: "raft", reason: "no quorum".to_owned() };
        assert_eq!(health.failing(Probe::Ready), [failing]);
    }

    #[test]
    fn gs_op_41_a_draining_process_is_unready_and_alive() {
        let (trigger, drain) = Drain::new();
        let health = Health::new();
        health.watch(drain);
        assert!(health.failing(Probe::Ready).is_empty());
        trigger.start();
        assert_eq!(health.failing(Probe::Ready)[0].reason, "draining");
        assert!(health.failing(Probe::Live).is_empty());
    }
}
