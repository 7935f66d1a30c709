//! A machine that does not run a node, or does not write for it, for seconds breaks what is under
//! way there, as it should (S39, P-A4). Where that nothing breaks is to be shown, what such a
//! stall has cut is done again and told: it says nothing of us.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use gitstratum_e2e::{Ran, Stratum, now};

use crate::three_nodes::beside_others;

/// What a node logs of it.
const TOLD: [&str; 2] = ["a sync takes too long", "this process was stalled"];
/// Within what it goes on.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5);

/// The stalls of a system, by its log.
pub(crate) struct Stalls(PathBuf);

impl Stalls {
    pub(crate) fn of(stratum: &Stratum) -> Self {
        Self(stratum.log_path())
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        let log = read(&self.0);
        TOLD.iter().map(|told| log.matches(told).count()).sum()
    }

    /// What `run` gives; once more while it fails and there was a stall since it began.
    pub(crate) fn again(&self, run: impl Fn() -> Result<Ran>) -> Result<Ran> {
        let before = self.count();
        let (mut ran, began) = (run()?, now());
        while ran.code != 0
            && self.count() > before
            && began.elapsed() < beside_others(GOES_ON_WITHIN)
        {
            eprintln!("this machine has stalled, once more after: {}", ran.err.trim_end());
            ran = run()?;
        }
        Ok(ran)
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}
