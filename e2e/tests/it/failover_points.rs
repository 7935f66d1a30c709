//! SIGKILL at every step that the sources name (P-D2): where a crash falls between two
//! states of the disk, a random moment rarely does.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::chain::Chain;
use crate::shared::Up;

/// What tells the program where to die.
const VARIABLE: &str = "GITSTRATUM_FAILPOINTS";
/// How often a place is passed before it kills: the first time is mostly in the start, and
/// then a start has to survive it.
const SKIPS: [u32; 2] = [0, 9];
/// Pushes within which the place has to be reached.
const PUSHES_MAX: usize = 60;
/// A process that was killed.
const KILLED: i32 = 128 + 9;
/// Places that pushes to one node do not pass: nobody sends it a snapshot or entries of a log, a
/// push asks the control plane nothing, and nobody asks for a compaction.
const NOT_PASSED: [&str; 7] = [
    "consensus.snapshot.before_flip",
    "consensus.snapshot.after_flip",
    "control.call.answer",
    "control.log.receive",
    "object.run.after_claim",
    "object.run.before_swap",
    "object.run.after_swap",
];

#[test]
fn p_d2_no_kill_at_a_failpoint_loses_an_acknowledged_push() -> Result<()> {
    let places = places()?;
    ensure!(places.len() > 10, "found only {places:?}");
    let mut up = Up::start()?;
    let mut chain = Chain::begin(&up, "demo/points")?;
    for place in places.iter().filter(|place| !NOT_PASSED.contains(&place.as_str())) {
        for skip in SKIPS {
            let plan = format!("{place}=kill@{skip}");
            die_at(&mut up, &mut chain, &plan).with_context(|| plan)?;
        }
    }
    chain.verify(&up, "points.git")
}

/// Starts it with the plan, pushes until it has died of it, and looks at what is there.
fn die_at(up: &mut Up, chain: &mut Chain, plan: &str) -> Result<()> {
    up.stratum.stop()?;
    up.stratum.set_variable(VARIABLE, plan);
    // One that dies in its start is gone when this returns.
    if up.stratum.launch().is_ok() {
        let mut pushes = 0;
        while chain.push(up)? {
            pushes += 1;
            ensure!(pushes < PUSHES_MAX, "{pushes} pushes did not pass it");
        }
    }
    let code = up.stratum.wait_ended()?;
    ensure!(code == KILLED, "it ended with {code}");
    up.stratum.clear_variable(VARIABLE);
    up.stratum.launch()?;
    chain.settle(up)
}

/// Every place in the sources, from all rooms.
fn places() -> Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for rooms in ["dataplane", "operator"] {
        gather(&root.join(rooms), &mut found)?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn gather(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            // The name may stand on the next line.
            let named = text.split("failpoint!(").skip(1);
            let named = named.filter_map(|rest| rest.trim_start().strip_prefix('"'));
            let names = named.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
            // The macro's own page and tests name places that are none.
            let is_macro = path.ends_with("process/src/failpoint.rs");
            found.extend(names.filter(|_| !is_macro).map(str::to_owned));
        }
    }
    Ok(())
}
