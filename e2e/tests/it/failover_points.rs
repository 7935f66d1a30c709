//! SIGKILL at every step that the sources name (P-D2): where a crash falls between two
//! states of the disk, a random moment rarely does.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::chain::Chain;
use crate::shared::Up;
use crate::work::{folder, history};

/// What tells the program where to die.
pub(crate) const VARIABLE: &str = "GITSTRATUM_FAILPOINTS";
/// How often a place is passed before it kills: the first time is mostly in the start, and
/// then a start has to survive it.
const SKIPS: [u32; 2] = [0, 9];
/// Pushes within which the place has to be reached.
const PUSHES_MAX: usize = 60;
/// A process that was killed.
const KILLED: i32 = 128 + 9;
/// Places that a node of three passes when it comes back with an emptied disk, and the others
/// while they take it in.
pub(crate) const ON_RETURN: [&str; 19] = [
    "agent.identity.before_store",
    "agent.refusals.before_sync",
    "agent.snapshot.before_sync",
    "consensus.learner.before_add",
    "consensus.start.after_raise",
    "consensus.start.before_raise",
    "consensus.vote.after_save",
    "consensus.vote.before_save",
    "consensus.voter.before_add",
    "control.command.before_propose",
    "metadata.floors.before_raise",
    "metadata.incarnation.before_show",
    "metadata.loss.after_propose",
    "metadata.loss.before_propose",
    "metadata.owners.after_change",
    "metadata.owners.before_change",
    "metadata.session.after_open",
    "metadata.session.before_close",
    "object.admission.before_show",
];
/// The same, of copies that are made.
pub(crate) const ON_REPAIR: [&str; 5] = [
    "object.loss.before_report",
    "object.pull.after_seal",
    "object.pull.before_seal",
    "store.file.after_rename",
    "store.file.before_rename",
];
/// Places of a replica that is sent a snapshot.
pub(crate) const ON_SNAPSHOT: [&str; 3] = [
    "consensus.snapshot.after_flip",
    "consensus.snapshot.before_flip",
    "consensus.snapshot.before_old_go",
];
/// Places of a compaction and of a drop run.
const ON_RUN: [&str; 3] =
    ["object.run.after_claim", "object.run.before_swap", "object.run.after_swap"];
/// Places where other tests have something fail: a control plane that cannot be asked, a log that
/// is kept short.
const FAILING: [&str; 3] = ["consensus.log.long", "control.call.answer", "control.log.receive"];

#[test]
fn p_d2_no_kill_at_a_failpoint_loses_an_acknowledged_push() -> Result<()> {
    let places = places()?;
    let mut up = Up::start()?;
    let mut chain = Chain::begin(&up, "demo/points")?;
    let apart = [&ON_RETURN[..], &ON_REPAIR, &ON_SNAPSHOT, &ON_RUN, &FAILING].concat();
    for place in apart.iter() {
        ensure!(places.iter().any(|known| known == place), "{place} is in no source");
    }
    ensure!(places.len() >= 40, "{} places, at least 40 are promised", places.len());
    for place in places.iter().filter(|place| !apart.contains(&place.as_str())) {
        for skip in SKIPS {
            let plan = format!("{place}=kill@{skip}");
            die_at(&mut up, &mut chain, &plan).with_context(|| plan)?;
        }
    }
    chain.verify(&up, "points.git")
}

/// A compaction and a drop run end at each of their failpoints; the next one goes on with the claim.
#[test]
fn p_d2_p_i4_no_kill_at_a_failpoint_of_a_run_loses_anything() -> Result<()> {
    let mut up = Up::start()?;
    let mut chain = Chain::begin(&up, "demo/runs")?;
    for place in ON_RUN {
        for run in ["compact", "gc"] {
            for _ in 0..3 {
                ensure!(chain.push(&up)?, "a push was not taken");
            }
            leave_garbage(&up)?;
            up.stratum.stop()?;
            up.stratum.set_variable(VARIABLE, &format!("{place}=kill"));
            up.stratum.launch()?;
            let broken_off = up.stratum.try_cli(&[run, "demo/runs"])?;
            ensure!(broken_off.code != 0, "{run} went on behind {place}: {}", broken_off.out);
            let code = up.stratum.wait_ended()?;
            ensure!(code == KILLED, "{run} at {place} ended with {code}");
            up.stratum.clear_variable(VARIABLE);
            up.stratum.launch()?;
            chain.settle(&up)?;
            up.stratum.cli(&[run, "demo/runs"])?;
        }
    }
    chain.verify(&up, "runs.git")
}

/// Objects of a branch that was made and deleted: something for a drop run.
fn leave_garbage(up: &Up) -> Result<()> {
    let git = up.stratum.git();
    let (at, url) = (folder(&up.stratum, "garbage"), up.stratum.http("demo/runs"));
    std::fs::create_dir_all(&at)?;
    history(&git, &at, 1, "sha1")?;
    git.run(&at, &["push", "-q", &url, "HEAD:refs/heads/garbage"])?;
    git.run(&at, &["push", "-q", &url, ":refs/heads/garbage"])?;
    std::fs::remove_dir_all(&at)?;
    Ok(())
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
