//! Calls between nodes that what a client asks for causes, by the request's id in the lines that
//! whoever answers a call writes at debug level.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gitstratum_e2e::{Options, Stratum, now};
use serde_json::Value;

/// What has a line of every call written.
const FILTER: &str = "info,gitstratum_client=debug";
/// Commits of the repository before its flows are looked at.
const COMMITS: usize = 20;
/// Lines of a flow are there when none came for so long.
const QUIET: Duration = Duration::from_millis(500);

/// Calls by who answers them and their name, `metadata UpdateRefs`.
pub(crate) type Calls = BTreeMap<String, usize>;

/// The calls of each flow, in the order in which they are made: push, clones, fetch, `ls-remote`.
pub(crate) fn of_flows(nodes: usize) -> Result<Vec<(&'static str, Calls)>> {
    let args = ["--nodes", &nodes.to_string(), "--log-filter", FILTER].map(str::to_owned).to_vec();
    let mut stratum = Stratum::start_with(Options { args, ..Options::default() })?;
    stratum.cli(&["repo", "create", "demo/calls"])?;
    let (git, url) = (stratum.git(), stratum.http("demo/calls"));
    let at = |name: &str| stratum.scratch().join(name).to_string_lossy().into_owned();
    let (home, source) = (stratum.scratch(), stratum.scratch().join("calls"));
    fs::create_dir_all(&source)?;
    git.run(&source, &["init", "-q", "-b", "main"])?;
    let commit = |number: usize| {
        fs::write(source.join(format!("file{number}")), format!("commit {number}\n"))?;
        git.run(&source, &["add", "."])?;
        git.run(&source, &["commit", "-q", "-m", "one more"]).map(drop)
    };
    (0..COMMITS).try_for_each(commit)?;
    git.run(&source, &["push", "-q", &url, "main"])?;
    commit(COMMITS)?;
    let flow = |name, args: &[&str]| -> Result<_> {
        Ok((name, counted(&stratum, || git.run(home, args).map(drop))?))
    };
    let (from, first, again) = (source.to_string_lossy().into_owned(), at("first"), at("again"));
    let mut flows = vec![
        flow("push of one commit", &["-C", &from, "push", "-q", &url, "main"])?,
        flow("ls-remote", &["ls-remote", "-q", &url])?,
        flow("clone, depth 1", &["clone", "-q", "--depth", "1", &url, &at("shallow")])?,
        flow("clone", &["clone", "-q", &url, &first])?,
        flow("clone again", &["clone", "-q", &url, &again])?,
        flow("fetch of nothing new", &["-C", &first, "fetch", "-q"])?,
    ];
    commit(COMMITS + 1)?;
    git.run(&source, &["push", "-q", &url, "main"])?;
    flows.push(flow("fetch of one commit", &["-C", &first, "fetch", "-q"])?);
    stratum.stop()?;
    Ok(flows)
}

/// What the requests of `work` caused.
fn counted(stratum: &Stratum, work: impl FnOnce() -> Result<()>) -> Result<Calls> {
    quiet(stratum)?;
    let before = stratum.log().len();
    work()?;
    quiet(stratum)?;
    let log = stratum.log();
    let lines = log[before..].lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.collect();
    let said = |what| lines.iter().filter(move |line| line["message"] == what);
    let requests = said("request").filter_map(|line| line["request_id"].as_str());
    let requests: BTreeSet<&str> = requests.collect();
    let mut calls = Calls::new();
    for line in said("call answered") {
        let span = line["spans"].as_array().and_then(|spans| spans.last()).context("no span")?;
        if span["request_id"].as_str().is_some_and(|id| requests.contains(id)) {
            *calls.entry(name(span)).or_default() += 1;
        }
    }
    Ok(calls)
}

/// `metadata GetRefs` of role and path of a call, `object PUT segment` where the path ends in an
/// id.
fn name(span: &Value) -> String {
    let role = span["role"].as_str().unwrap_or("nobody");
    let operation = span["operation"].as_str().unwrap_or("nothing");
    match operation.split_once(' ') {
        Some((method, path)) if path.contains("/segments/") => format!("{role} {method} segment"),
        Some((method, path)) => format!("{role} {method} {}", end(path)),
        None => format!("{role} {}", end(operation)),
    }
}

fn end(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Waits until nothing is written any more.
fn quiet(stratum: &Stratum) -> Result<()> {
    let length = || fs::metadata(stratum.log_path()).map(|log| log.len());
    let (mut last, mut since) = (length()?, now());
    while since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(50));
        if length()? != last {
            (last, since) = (length()?, now());
        }
    }
    Ok(())
}
