//! SIGKILL at every step that the sources name (P-D2): where a crash falls between two
//! states of the disk, a random moment rarely does.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::Options;

use crate::chain::Chain;
use crate::copies::{wait_for_copies, wait_for_redundancy};
use crate::shared::Up;
use crate::three_nodes::Three;
use crate::work::folder;

/// What tells the program where to die.
const VARIABLE: &str = "GITSTRATUM_FAILPOINTS";
/// How often a place is passed before it kills: the first time is mostly in the start, and
/// then a start has to survive it.
const SKIPS: [u32; 2] = [0, 9];
/// Pushes within which the place has to be reached.
const PUSHES_MAX: usize = 60;
/// A process that was killed.
const KILLED: i32 = 128 + 9;
/// Places that a node of three passes when it comes back with an emptied disk, and the others
/// while they take it in.
const ON_RETURN: [&str; 19] = [
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
const ON_REPAIR: [&str; 5] = [
    "object.loss.before_report",
    "object.pull.after_seal",
    "object.pull.before_seal",
    "store.file.after_rename",
    "store.file.before_rename",
];
/// Places of a replica that is sent a snapshot, of a control plane that cannot be asked, and of a
/// compaction: other tests are of these.
const ELSEWHERE: [&str; 8] = [
    "consensus.snapshot.after_flip",
    "consensus.snapshot.before_flip",
    "consensus.snapshot.before_old_go",
    "control.call.answer",
    "control.log.receive",
    "object.run.after_claim",
    "object.run.before_swap",
    "object.run.after_swap",
];
/// Returns within which a place has to be reached.
const RETURNS_MAX: usize = 6;
/// Places armed at a time.
const ARMED: usize = 5;
/// Longest until a push is taken while nodes die one after the other.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn p_d2_no_kill_at_a_failpoint_loses_an_acknowledged_push() -> Result<()> {
    let places = places()?;
    let mut up = Up::start()?;
    let mut chain = Chain::begin(&up, "demo/points")?;
    let apart = [&ON_RETURN[..], &ON_REPAIR, &ELSEWHERE].concat();
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

/// A node comes back empty, again and again, and at every place that this passes some process dies.
#[test]
fn p_d2_p_i5_no_kill_at_a_failpoint_of_a_return_loses_an_acknowledged_push() -> Result<()> {
    let armory = tempfile::tempdir()?;
    let file = |place: &str| armory.path().join(place);
    let places = [&ON_RETURN[..], &ON_REPAIR].concat();
    let plan = |place: &&str| format!("{place}=kill-once:{}", file(place).display());
    let plans: Vec<String> = places.iter().map(plan).collect();
    let variables = vec![(VARIABLE.to_owned(), plans.join(";"))];
    let mut three = Three::start_in(Options { variables, ..Options::default() }, &[])?;
    three.push(0)?;
    wait_for_copies(&three)?;
    let (mut next, mut returns) = (0, 0);
    let mut armed: Vec<(&str, usize)> = Vec::new();
    while next < places.len() || !armed.is_empty() {
        while armed.len() < ARMED && next < places.len() {
            std::fs::write(file(places[next]), b"")?;
            armed.push((places[next], returns));
            next += 1;
        }
        return_once(&mut three, returns % 3).with_context(|| {
            format!("return {returns}, armed: {armed:?}; its log:\n{}", three.troubles())
        })?;
        returns += 1;
        armed.retain(|(place, _)| file(place).exists());
        let late = armed.iter().find(|(_, since)| returns - since >= RETURNS_MAX);
        ensure!(late.is_none(), "{RETURNS_MAX} returns did not pass {late:?}");
    }
    eprintln!("{} places in {returns} returns", places.len());
    let checked = three.stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    three.verify("returned")
}

/// One node is emptied while it runs, and comes back beside pushes.
fn return_once(three: &mut Three, victim: usize) -> Result<()> {
    let next = (victim + 1) % 3;
    refuse(three, next)?;
    let directory = three.node(victim).dir.clone();
    let aside = folder(&three.stratum, "gone");
    std::fs::rename(&directory, &aside)?;
    std::fs::remove_dir_all(&aside).or_else(|_| std::fs::remove_dir_all(&aside))?;
    for push in 0..3 {
        three.push_until_taken((next + push % 2) % 3, TAKEN_WITHIN)?;
    }
    // The second in a row is a line more in the file of those that were refused.
    refuse(three, next)?;
    wait_for_redundancy(three).map(drop)
}

/// A stranger is refused by a node, which may be away just now.
fn refuse(three: &Three, node: usize) -> Result<()> {
    let stranger = three.url(node).replacen("http://", "http://nobody:wrong@", 1);
    let refused = three.stratum.git().try_run(&three.source, &["ls-remote", &stranger])?;
    ensure!(refused.code != 0, "a stranger was let in");
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
