//! What an operator sees: numbers, probes, one line for each request, one id across roles.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::now;
use gitstratum_e2e::wire::Wire;
use gitstratum_e2e::wire::http::Http;
use gitstratum_e2e::{Options, Stratum};
use serde_json::Value;

use crate::chain::mixed;
use crate::work::{create, folder, history};

/// A page of metrics: each line's name and labels, and its value.
pub(crate) struct Page(BTreeMap<String, f64>);

impl Page {
    fn of(stratum: &Stratum) -> Result<Self> {
        Self::at(&stratum.endpoint().metrics)
    }

    /// The page of the node whose metrics are at `url`.
    pub(crate) fn at(url: &str) -> Result<Self> {
        let page = Http::new(url, "").request("GET", "/metrics", &[], b"")?;
        ensure!(page.status == 200, "{}", page.status);
        let text = page.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').context("a line without a value")?;
            Ok((name.to_owned(), value.parse()?))
        });
        Ok(Self(values.collect::<Result<_>>()?))
    }

    /// A metric with its labels; 0 while nothing was counted.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The sum over all labels.
    fn sum(&self, name: &str) -> f64 {
        let of_it = |key: &str| key == name || key.starts_with(&format!("{name}{{"));
        self.0.iter().filter(|(key, _)| of_it(key)).map(|(_, value)| value).sum()
    }
}

#[test]
fn gs_mx_01_to_12_numbers_follow_what_happens() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 12, "sha1")?;
    let noise: Vec<u8> = (0..1 << 20).flat_map(|at| mixed(at).to_be_bytes()).collect();
    std::fs::write(source.join("noise"), &noise)?;
    git.run(&source, &["add", "-A"])?;
    git.run(&source, &["commit", "-q", "-m", "noise"])?;
    create(&stratum, "demo/seen", "sha1")?;
    let url = stratum.http("demo/seen");
    let before = Page::of(&stratum)?;
    git.run(&source, &["push", "-q", &url, "main", "main:topic"])?;
    let pushed = Page::of(&stratum)?;
    git.run(stratum.scratch(), &["clone", "-q", "--bare", &url, "seen.git"])?;
    let cloned = Page::of(&stratum)?;

    let requests = |page: &Page, operation: &str| {
        page.get(&format!(
            "gitstratum_frontend_requests_total{{operation=\"{operation}\",result=\"ok\"}}"
        ))
    };
    let timed = |page: &Page, operation: &str| {
        let name = "gitstratum_frontend_request_duration_seconds_count";
        page.get(&format!("{name}{{operation=\"{operation}\"}}"))
    };
    for count in [requests, timed] {
        ensure!(count(&before, "push") == 0.0 && count(&pushed, "push") == 1.0, "one push");
        ensure!(count(&pushed, "fetch") == 0.0 && count(&cloned, "fetch") == 1.0, "one fetch");
    }
    ensure!(cloned.sum("gitstratum_frontend_cache_hits_total") > 0.0, "GS-MX-03");
    ensure!(pushed.get("gitstratum_control_raft_leader") == 1.0, "GS-MX-05");
    ensure!(pushed.get("gitstratum_metadata_refs_total") == 2.0, "GS-MX-08");
    ensure!(cloned.get("gitstratum_metadata_commit_graph_size") == 13.0, "GS-MX-09");
    let (hits, misses) = (
        cloned.get("gitstratum_metadata_refs_cache_hits_total"),
        cloned.get("gitstratum_metadata_refs_cache_misses_total"),
    );
    let ratio = cloned.get("gitstratum_metadata_refs_cache_hit_ratio");
    ensure!(hits > 0.0 && (ratio - hits / (hits + misses)).abs() < 0.001, "GS-MX-10: {ratio}");
    let stored = cloned.get("gitstratum_object_stored_bytes");
    let on_disk = bytes_below(&stratum.data().join("nodes/1/object/segments"))? as f64;
    ensure!((stored / on_disk - 1.0).abs() < 0.05, "GS-MX-11: {stored} of {on_disk}");
    let name = "gitstratum_object_read_bytes_total";
    let read = cloned.get(name) - pushed.get(name);
    ensure!(read >= noise.len() as f64, "GS-MX-12: {read}");
    Ok(())
}

#[test]
fn gs_mx_04_open_connections_are_told() -> Result<()> {
    let stratum = Stratum::start()?;
    let open = || {
        Ok::<_, anyhow::Error>(Page::of(&stratum)?.get("gitstratum_frontend_active_connections"))
    };
    ensure!(open()? == 0.0);
    let address = stratum.endpoint().http.trim_start_matches("http://").to_owned();
    let connections = [Wire::open(&address)?, Wire::open(&address)?];
    wait_until("two connections are counted", || Ok(open()? == 2.0))?;
    drop(connections);
    wait_until("none is counted", || Ok(open()? == 0.0))
}

#[test]
fn gs_mx_06_decisions_are_counted_by_result() -> Result<()> {
    let stratum = Stratum::start()?;
    stratum.cli(&["repo", "list"])?;
    let allowed = Page::of(&stratum)?;
    let of = |page: &Page, result: &str| {
        page.get(&format!("gitstratum_control_auth_decisions_total{{result=\"{result}\"}}"))
    };
    ensure!(of(&allowed, "allowed") >= 1.0);
    let all = allowed.sum("gitstratum_control_auth_decisions_total");
    let wrong = stratum.scratch().join("wrong.token");
    std::fs::write(&wrong, "gst_0000000000000000000000000000000000000000\n")?;
    let wrong = wrong.to_str().context("a path that is no text")?;
    let ran = stratum.try_cli(&["repo", "list", "--token-file", wrong])?;
    ensure!(ran.code != 0, "a wrong token was taken");
    let refused = Page::of(&stratum)?;
    ensure!(of(&refused, "allowed") == of(&allowed, "allowed"), "it counts as allowed");
    ensure!(refused.sum("gitstratum_control_auth_decisions_total") > all, "it is not counted");
    Ok(())
}

#[test]
fn gs_fe_15_and_16_each_request_has_one_line_and_one_count() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    git.run(stratum.scratch(), &["clone", "-q", &stratum.http("demo/hello"), "hello"])?;
    let lines = requests_in(&stratum.log())?;
    ensure!(!lines.is_empty(), "no line");
    for line in &lines {
        for field in ["request_id", "operation", "client", "user", "repo", "result"] {
            ensure!(line[field].is_string(), "no {field}: {line}");
        }
        for field in ["bytes_in", "bytes_out", "duration_ms"] {
            ensure!(line[field].is_u64(), "no {field}: {line}");
        }
    }
    let mut ids: Vec<&str> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == lines.len(), "two lines of one request");
    let counted = Page::of(&stratum)?.sum("gitstratum_frontend_requests_total");
    ensure!(counted == lines.len() as f64, "{counted} counted, {} lines", lines.len());
    Ok(())
}

#[test]
fn one_id_names_a_request_in_all_roles() -> Result<()> {
    let filter = "info,gitstratum_client=debug".to_owned();
    let args = vec!["--log-filter".to_owned(), filter];
    let stratum = Stratum::start_with(Options { args, ..Options::default() })?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 2, "sha1")?;
    git.run(&source, &["push", "-q", &stratum.http("demo/hello"), "main"])?;
    let log = stratum.log();
    let requests = requests_in(&log)?;
    let push = requests.iter().find(|line| line["operation"] == "push").context("no push")?;
    let id = push["request_id"].as_str().context("no id")?;
    for role in ["metadata", "object"] {
        let has_it =
            log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|line| {
                let spans = line["spans"].as_array().cloned().unwrap_or_default();
                spans.iter().any(|span| span["request_id"] == id && span["role"] == role)
            });
        ensure!(has_it, "no line of {role} with {id}");
    }
    let audit = stratum.cli(&["audit", "-o", "json"])?;
    ensure!(audit.contains(id), "the audit log does not know {id}");
    Ok(())
}

#[test]
fn probes_answer_and_nothing_else_does() -> Result<()> {
    let stratum = Stratum::start()?;
    let http = Http::new(&stratum.endpoint().metrics, "");
    for (path, status) in
        [("/livez", 200), ("/readyz", 200), ("/startupz", 200), ("/", 404), ("/debug", 404)]
    {
        let answer = http.request("GET", path, &[], b"")?;
        ensure!(answer.status == status, "{path}: {}", answer.status);
    }
    Ok(())
}

/// Looks until it is so, for ten seconds at most.
fn wait_until(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let began = now();
    while !is_so()? {
        ensure!(began.elapsed() < Duration::from_secs(10), "never seen: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The lines of requests in a log.
fn requests_in(log: &str) -> Result<Vec<Value>> {
    let lines = log.lines().filter(|line| line.contains("\"message\":\"request\""));
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}
