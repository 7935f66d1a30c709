//! Voters of the control plane come and go while everything goes on (issue 5, GS-CP-36).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Member, Stratum};
use rustix::process::Signal;

use crate::members::{Load, check, json, wait};
use crate::three_nodes::Three;

/// The control plane's voters, and its leader.
pub(crate) fn voters(stratum: &Stratum) -> Result<(Vec<String>, String)> {
    let status = json(stratum, &["status"])?;
    let voters = status["controlVoters"].as_array().context("no voters")?;
    let voters = voters.iter().filter_map(|voter| voter.as_str().map(str::to_owned)).collect();
    Ok((voters, status["leader"].as_str().unwrap_or_default().to_owned()))
}

fn wait_for_voters(stratum: &Stratum, wanted: &[&str]) -> Result<Duration> {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wait("the voters", || {
        let (found, leader) = voters(stratum)?;
        ensure!(found == wanted, "voters are {found:?}, not {wanted:?}");
        ensure!(found.contains(&leader), "{leader} leads");
        Ok(true)
    })
}

#[test]
fn gs_cp_36_the_control_plane_grows_to_five_voters_and_shrinks_under_load() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    let founders: Vec<String> = (0..3).map(|index| three.node(index).id.clone()).collect();
    let [first, second, third] = [&*founders[0], &*founders[1], &*founders[2]];
    wait_for_voters(&three.stratum, &[first, second, third])?;
    let load = Load::start(&three)?;

    let mut fourth = Member::control(&three.stratum, "fourth")?;
    fourth.start()?;
    let fourth_id = fourth.id(&three.stratum)?;
    // An even number of voters is never made.
    three.push(1)?;
    wait_for_voters(&three.stratum, &[first, second, third])?;
    let mut fifth = Member::control(&three.stratum, "fifth")?;
    fifth.start()?;
    let fifth_id = fifth.id(&three.stratum)?;
    let five = [first, second, third, &fourth_id, &fifth_id];
    let took = wait_for_voters(&three.stratum, &five)
        .with_context(|| format!("{}\n---\n{}", fourth.log_end(), fifth.log_end()))?;
    eprintln!("five vote {took:?} after the fifth was ready");

    // One dies and comes back as the same voter.
    fifth.kill()?;
    three.stratum.cli(&["user", "create", "ann"])?;
    fifth.start()?;
    ensure!(fifth.id(&three.stratum)? == fifth_id, "it came back as another node");

    // The leader leaves: another leads, and it votes no more.
    let (_, leader) = voters(&three.stratum)?;
    let leaving = leader.as_str();
    three.stratum.cli(&["node", "drain", leaving])?;
    let took = wait("the leader has left", || {
        let (found, now) = voters(&three.stratum)?;
        ensure!(!found.iter().any(|voter| voter == leaving) && now != leaving, "{found:?}");
        ensure!(found.len() == 3, "{found:?}");
        Ok(true)
    })?;
    eprintln!("{leaving}, which led, votes no more {took:?} after it was drained");
    three.stratum.cli(&["user", "create", "bob"])?;
    three.stratum.cli(&["node", "undrain", leaving])?;
    wait_for_voters(&three.stratum, &five)?;

    // Both that joined leave, and the founders are as before.
    let refused = three.stratum.try_cli(&["node", "remove", &fifth_id])?;
    ensure!(refused.code == 1 && refused.err.contains("not been drained"), "{}", refused.err);
    for id in [&fourth_id, &fifth_id] {
        three.stratum.cli(&["node", "drain", id])?;
    }
    let took = wait_for_voters(&three.stratum, &[first, second, third])?;
    eprintln!("three vote {took:?} after two were drained");
    for (member, id) in [(&mut fourth, &fourth_id), (&mut fifth, &fifth_id)] {
        wait("it is removed", || Ok(three.stratum.try_cli(&["node", "remove", id])?.code == 0))?;
        ensure!(member.stop()? == 0, "it did not stop cleanly: {}", member.log_end());
    }
    three.stratum.cli(&["user", "create", "cid"])?;
    load.finish()?;
    check(&three.stratum)?;
    three.verify("members")
}

/// First the log, then the voters that let it in, then what it serves: until then it is not ready.
#[test]
fn gs_cp_47_a_control_plane_is_not_ready_before_the_others_have_let_it_in() -> Result<()> {
    let mut three = Three::start()?;
    three.push(0)?;
    let mut fourth = Member::control(&three.stratum, "fourth")?;
    fourth.start()?;
    ensure!(fourth.stop()? == 0, "it did not stop cleanly: {}", fourth.log_end());
    for index in 0..3 {
        three.signal(index, Signal::STOP)?;
    }
    fourth.begin()?;
    let told = wait("it tells that it is not ready", || {
        let (status, text) = fourth.readiness().context("nothing answers")?;
        ensure!(status == 503 && text.contains("let it in"), "{status}: {text}");
        Ok(true)
    });
    for index in 0..3 {
        three.signal(index, Signal::CONT)?;
    }
    told.with_context(|| fourth.log_end())?;
    fourth.wait_ready()
}
