//! Nodes as an admin sees them: how they are, in and out of the ring, settings.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Options, Stratum};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::members::{json, wait_within};
use crate::work::{commit, create, folder, history, mirror_equals};

/// Within what a state or a leader is to be seen: ten seconds of silence, an election before
/// them, and other tests on two cores.
const SEEN_WITHIN: Duration = Duration::from_secs(45);

fn three() -> Result<Stratum> {
    let args = ["--nodes".to_owned(), "3".to_owned()].to_vec();
    Stratum::start_with(Options { args, ..Options::default() })
}

fn wait(what: &str, holds: impl FnMut() -> Result<bool>) -> Result<Duration> {
    wait_within(SEEN_WITHIN, what, holds)
}

/// The id and the state of node `index` of three.
fn node(stratum: &Stratum, index: usize) -> Result<(String, String)> {
    let nodes = json(stratum, &["node", "list"])?;
    let text = |name: &str| nodes[index][name].as_str().unwrap_or_default().to_owned();
    Ok((text("id"), text("state")))
}

#[test]
fn gs_cp_03_gs_cp_04_a_hung_node_is_down_and_heard_of_again_it_is_up() -> Result<()> {
    let stratum = three()?;
    wait("all up", || Ok((0..3).all(|at| node(&stratum, at).is_ok_and(|node| node.1 == "up"))))?;
    let victim = 2;
    let (id, _) = node(&stratum, victim)?;
    let pid = stratum.endpoint().nodes[victim].current_pid().context("it runs")?;
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a process")?;
    kill_process(pid, Signal::STOP)?;
    let seen = wait("suspect", || Ok(node(&stratum, victim)?.1 != "up")).and_then(|suspect| {
        let down = wait("down", || Ok(node(&stratum, victim)?.1 == "down"))?;
        let status = stratum.cli(&["status"])?;
        ensure!(status.contains("down since"), "{status}");
        Ok((suspect, down))
    });
    kill_process(pid, Signal::CONT)?;
    let (suspect, down) = seen?;
    let up = wait("up again", || Ok(node(&stratum, victim)?.1 == "up"))?;
    eprintln!("not up after {suspect:?}, down {down:?} later, up {up:?} after it went on");
    let shown = json(&stratum, &["node", "show", &id])?;
    ensure!(shown["failures"] == 1, "{shown}");
    let lines = stratum.cli(&["audit"])?;
    ensure!(lines.contains("node.state"), "{lines}");
    Ok(())
}

#[test]
fn gs_cp_24_the_ring_is_shown_by_a_voter_without_a_leader() -> Result<()> {
    let stratum = three()?;
    wait("all up", || Ok((0..3).all(|at| node(&stratum, at).is_ok_and(|node| node.1 == "up"))))?;
    let fresh = json(&stratum, &["ring", "show"])?;
    let mut hung = Vec::new();
    for victim in [1, 2] {
        let pid = stratum.endpoint().nodes[victim].current_pid().context("it runs")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process")?;
        kill_process(pid, Signal::STOP)?;
        hung.push(pid);
    }
    let stale = wait("a stale view", || {
        let stale = json(&stratum, &["ring", "show", "--stale"])?;
        ensure!(stale == fresh, "{stale}");
        Ok(true)
    });
    let led = stratum.try_cli(&["ring", "show"]);
    for pid in hung {
        kill_process(pid, Signal::CONT)?;
    }
    stale?;
    let led = led?;
    ensure!(led.code != 0, "two of three hang, and it says: {}", led.out);
    Ok(())
}

#[test]
fn s20_a_drained_node_gets_no_new_segments_and_leads_nothing() -> Result<()> {
    let stratum = three()?;
    create(&stratum, "demo/drain", "sha1")?;
    let source = folder(&stratum, "source");
    history(&stratum.git(), &source, 3, "sha1")?;
    let url = stratum.http("demo/drain");
    stratum.git().run(&source, &["push", "-q", &url, "main"])?;
    let (first, _) = node(&stratum, 0)?;
    let (second, _) = node(&stratum, 1)?;
    let held =
        || Ok::<_, anyhow::Error>(json(&stratum, &["node", "show", &first])?["segments"].as_u64());
    wait("the push is on it", || Ok(held()?.is_some_and(|segments| segments > 0)))?;
    ensure!(json(&stratum, &["ring", "show"])?["shares"].as_array().map(Vec::len) == Some(3));
    let plan = json(&stratum, &["ring", "plan", "--remove", &first])?;
    ensure!(plan["after"]["shares"].as_array().map(Vec::len) == Some(2), "{plan}");

    stratum.cli(&["node", "drain", &first])?;
    let refused = stratum.try_cli(&["node", "drain", &second])?;
    ensure!(refused.code == 1 && refused.err.contains("a push needs 2"), "{}", refused.err);
    let ring = json(&stratum, &["ring", "show"])?;
    ensure!(ring["shares"].as_array().map(Vec::len) == Some(2) && ring["epoch"] == 2, "{ring}");
    let took = wait("others lead", || {
        let status = json(&stratum, &["status"])?;
        let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
        let leads = |partition: &Value| partition["leader"].as_str() == Some(first.as_str());
        let is_led = |partition: &Value| partition["leader"].is_string();
        Ok(!partitions.iter().any(leads) && partitions.iter().all(is_led))
    })?;
    eprintln!("others lead after {took:?}");

    let before = held()?;
    for push in 0..5 {
        commit(&stratum.git(), &source, "file", &format!("push {push}\n"))?;
        stratum.git().run(&source, &["push", "-q", &url, "main"])?;
    }
    let after = json(&stratum, &["node", "show", &first])?;
    ensure!(after["state"] == "leaving" && after["inRing"] == false, "{after}");
    let refused = stratum.try_cli(&["node", "remove", &second])?;
    ensure!(refused.code == 1 && refused.err.contains("has not been drained"), "{}", refused.err);
    let took = wait("nothing names it", || {
        let status = json(&stratum, &["rebalance", "status"])?;
        let first = &status["emptying"][0];
        ensure!(first["clear"] == true && first["segments"] == 0, "{status}");
        Ok(true)
    })?;
    eprintln!("nothing names it after {took:?}");
    ensure!(held()? <= before, "new segments came: {before:?}, {:?}", held()?);
    let refused = stratum.try_cli(&["node", "remove", &first])?;
    ensure!(refused.code == 1 && refused.err.contains("is a voter of 4"), "{}", refused.err);
    let to = folder(&stratum, "drained.git");
    mirror_equals(&stratum.git(), &source, &url, &to)?;

    stratum.cli(&["node", "undrain", &first])?;
    let ring = json(&stratum, &["ring", "show"])?;
    ensure!(ring["shares"].as_array().map(Vec::len) == Some(3) && ring["epoch"] == 3, "{ring}");
    ensure!(node(&stratum, 0)?.1 == "up");
    let took = wait("its copies are back", || {
        let status = json(&stratum, &["status"])?;
        let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
        let is_whole = |partition: &Value| partition["underReplicated"] == 0;
        ensure!(!partitions.is_empty() && partitions.iter().all(is_whole), "{status}");
        Ok(true)
    })?;
    eprintln!("its copies are back after {took:?}");
    Ok(())
}

#[test]
fn gs_cp_17_settings_are_set_kept_and_refused_by_name() -> Result<()> {
    let mut stratum = Stratum::start()?;
    stratum.cli(&["config", "set", "nodeDownAfter", "20s"])?;
    stratum.cli(&["flag", "set", "autoRebalance", "off"])?;
    let refused = stratum.try_cli(&["config", "set", "nodeDownAfterr", "20s"])?;
    ensure!(refused.code == 1 && refused.err.contains("`nodeDownAfterr` does not exist"));
    let refused = stratum.try_cli(&["config", "set", "nodeDownAfter", "1s"])?;
    ensure!(refused.code == 1 && refused.err.contains("3s to 3600s"), "{}", refused.err);
    ensure!(stratum.stop()? == 0);
    stratum.launch()?;
    let setting = json(&stratum, &["config", "get", "nodeDownAfter"])?;
    ensure!(setting["value"] == "20s" && setting["default"] == "10s", "{setting}");
    ensure!(stratum.cli(&["flag", "list"])?.contains("autoRebalance  off"));
    Ok(())
}
