//! Voters of partitions come and go while everything goes on (issue 5, S39).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Member, Stratum};
use serde_json::Value;

use crate::members::{Load, check, json, wait};
use crate::three_nodes::Three;

/// Partitions of `up`.
const PARTITIONS: usize = 4;

fn ids(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// In how many partitions each node votes, as the groups themselves say.
fn votes(stratum: &Stratum) -> Result<BTreeMap<String, usize>> {
    let status = json(stratum, &["status"])?;
    let partitions = status["partitions"].as_array().context("no partitions")?;
    ensure!(partitions.len() == PARTITIONS, "{status}");
    let mut votes = BTreeMap::new();
    for partition in partitions {
        let voters = ids(&partition["voters"]);
        ensure!(voters.len() == 3, "a partition has other than three voters: {partition}");
        for voter in voters {
            *votes.entry(voter).or_default() += 1;
        }
    }
    Ok(votes)
}

/// Waits until these nodes and no others vote, each in as many partitions as the others, or one
/// more.
pub(crate) fn wait_for_voters(stratum: &Stratum, wanted: &[&str]) -> Result<Duration> {
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    wait("the votes are spread", || {
        let votes = votes(stratum)?;
        let found: BTreeSet<&str> = votes.keys().map(String::as_str).collect();
        ensure!(found == wanted, "{votes:?}, not {wanted:?}");
        let counts = || votes.values().copied();
        let (most, least) = (counts().max().unwrap_or(0), counts().min().unwrap_or(0));
        ensure!(most <= least + 1, "{votes:?}");
        Ok(true)
    })
}

/// What is known of the nodes and their votes, and what they have said of them.
pub(crate) fn told(three: &Three, joined: &[&Member]) -> String {
    let ask = |words: &[&str]| {
        three.stratum.try_cli(words).map(|ran| ran.out + &ran.err).unwrap_or_default()
    };
    let log = three.stratum.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("vote")).collect();
    let own = lines[lines.len().saturating_sub(60)..].join("\n");
    let ends: Vec<String> = joined.iter().map(|member| member.log_end()).collect();
    let (nodes, status) = (ask(&["node", "list"]), ask(&["status"]));
    format!("{nodes}\n{status}\n{own}\n---\n{}", ends.join("\n---\n"))
}

#[test]
fn s39_gs_cp_36_three_metadata_nodes_become_five_and_three_again_under_load() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    let founders: Vec<String> = (0..3).map(|index| three.node(index).id.clone()).collect();
    let [first, second, third] = [&*founders[0], &*founders[1], &*founders[2]];
    wait_for_voters(&three.stratum, &[first, second, third])?;
    let load = Load::start(&three)?;

    let mut fourth = Member::metadata(&three.stratum, "fourth")?;
    fourth.start()?;
    let fourth_id = fourth.id(&three.stratum)?;
    let mut fifth = Member::metadata(&three.stratum, "fifth")?;
    fifth.start()?;
    let fifth_id = fifth.id(&three.stratum)?;
    let took = wait_for_voters(&three.stratum, &[first, second, third, &fourth_id, &fifth_id])
        .with_context(|| told(&three, &[&fourth, &fifth]))?;
    eprintln!("five nodes vote {took:?} after the fifth was ready");

    // One stops and comes back as the same voter.
    ensure!(fifth.stop()? == 0, "it did not stop cleanly: {}", fifth.log_end());
    three.push(1)?;
    fifth.start()?;
    ensure!(fifth.id(&three.stratum)? == fifth_id, "it came back as another node");

    // A founder's votes go elsewhere; its segments and its vote in the control plane stay.
    let refused = three.stratum.try_cli(&["node", "remove", &fifth_id])?;
    ensure!(refused.code == 1 && refused.err.contains("not been drained"), "{}", refused.err);
    three.stratum.cli(&["node", "drain", first])?;
    let took = wait_for_voters(&three.stratum, &[second, third, &fourth_id, &fifth_id])
        .with_context(|| told(&three, &[&fourth, &fifth]))?;
    eprintln!("founder {first} votes no more {took:?} after it was drained");
    three.push(0)?;
    three.stratum.cli(&["node", "undrain", first])?;
    wait_for_voters(&three.stratum, &[first, second, third, &fourth_id, &fifth_id])?;

    // Both that joined leave, and the founders are as before.
    for (member, id) in [(&mut fourth, &fourth_id), (&mut fifth, &fifth_id)] {
        three.stratum.cli(&["node", "drain", id])?;
        let took = wait("it is removed", || {
            let removed = three.stratum.try_cli(&["node", "remove", id])?;
            ensure!(removed.code == 0, "{}", removed.err);
            Ok(true)
        })
        .with_context(|| told(&three, &[member]))?;
        eprintln!("{id} was removed {took:?} after it was drained");
        ensure!(member.stop()? == 0, "it did not stop cleanly: {}", member.log_end());
    }
    wait_for_voters(&three.stratum, &[first, second, third])?;
    load.finish()?;
    check(&three.stratum)?;
    three.verify("members")
}

/// One of the three that `up` founded leaves for good: what it had is on nodes that joined.
#[test]
fn s39_gs_cp_40_a_founder_is_taken_out_once_others_have_what_it_had() -> Result<()> {
    let mut three = Three::start()?;
    for push in 0..3 {
        three.push(push)?;
    }
    let founders: Vec<String> = (0..3).map(|index| three.node(index).id.clone()).collect();
    let [first, second, third] = [&*founders[0], &*founders[1], &*founders[2]];
    let mut joined = Vec::new();
    for mut member in [
        Member::object(&three.stratum, "segments")?,
        Member::control(&three.stratum, "directory")?,
        Member::metadata(&three.stratum, "refs")?,
    ] {
        member.start()?;
        joined.push((member.id(&three.stratum)?, member));
    }
    let (refs, _) = &joined[2];
    three.stratum.cli(&["node", "drain", first])?;
    let took = wait("it is removed", || {
        let removed = three.stratum.try_cli(&["node", "remove", first])?;
        ensure!(removed.code == 0, "{}", removed.err);
        Ok(true)
    })
    .with_context(|| three.troubles())?;
    eprintln!("founder {first} was removed {took:?} after it was drained");
    three.stratum.cli(&["node", "stop", first])?;
    wait_for_voters(&three.stratum, &[second, third, refs])?;
    for push in [1, 2, 1] {
        three.push(push)?;
    }
    check(&three.stratum)?;
    let tip = three.push(2)?;
    ensure!(three.tip(1)? == tip, "what one node took the other has not");
    Ok(())
}
