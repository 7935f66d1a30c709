//! A node is emptied and comes back, again and again, while some process dies at each place that
//! this passes (P-D2, P-I5).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::Options;

use crate::copies::{wait_for_copies, wait_for_redundancy};
use crate::failover_points::{ON_REPAIR, ON_RETURN, ON_SNAPSHOT, VARIABLE};
use crate::three_nodes::Three;
use crate::work::folder;

/// Returns within which a place has to be reached.
const RETURNS_MAX: usize = 6;
/// Places armed at a time.
const ARMED: usize = 5;
/// Longest until a push is taken while nodes die one after the other.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
/// Pushes that make a log longer than is kept, where it is kept short.
const PUSHES: usize = 60;

#[test]
fn p_d2_p_i5_no_kill_at_a_failpoint_of_a_return_loses_an_acknowledged_push() -> Result<()> {
    let places = [&ON_RETURN[..], &ON_REPAIR].concat();
    die_at_each(&places, &[], 1)
}

/// The others have compacted their logs: who comes back is sent a snapshot.
#[test]
fn p_d2_s40_no_kill_at_a_failpoint_of_a_snapshot_loses_an_acknowledged_push() -> Result<()> {
    die_at_each(&ON_SNAPSHOT, &["consensus.log.long=fail"], PUSHES)
}

/// Nodes of three are emptied until a process has died at each of `places`, which are planned with
/// what is `planned` besides. Before that come so many `pushes`.
fn die_at_each(places: &[&str], planned: &[&str], pushes: usize) -> Result<()> {
    let armory = tempfile::tempdir()?;
    let file = |place: &str| armory.path().join(place);
    let plan = |place: &&str| format!("{place}=kill-once:{}", file(place).display());
    let plans: Vec<String> =
        places.iter().map(plan).chain(planned.iter().map(|plan| (*plan).to_owned())).collect();
    let variables = vec![(VARIABLE.to_owned(), plans.join(";"))];
    let mut three = Three::start_in(Options { variables, ..Options::default() }, &[])?;
    (0..pushes).try_for_each(|push| three.push(push % 3).map(drop))?;
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
