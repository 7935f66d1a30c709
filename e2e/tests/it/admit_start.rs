//! Starts that must be refused: one clear line each, and nothing touched. A full disk,
//! which must be survived.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use gitstratum_core::{ObjectFormat, ObjectId};
use gitstratum_e2e::fetch::{Fetch, ls_refs};
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::http::{Credentials, Http};
use gitstratum_e2e::{Options, Stratum, now, program};
use lossyfs::Space;
use tempfile::TempDir;

use crate::chain::mixed;
use crate::objects::{FILE, Objects};
use crate::shared::Up;
use crate::slate::Slate;
use crate::work::create;

/// How long a start may take to be refused.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long a system may take to notice that there is space again.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);

/// Runs `up` with these arguments, which must be refused; gives its last words.
fn refused(args: &[&str]) -> Result<String> {
    let log = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(program());
    command.arg("up").args(args).stdin(Stdio::null());
    command.stdout(log.reopen()?).stderr(log.reopen()?);
    let (mut child, began) = (command.spawn()?, now());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > REFUSED_WITHIN {
            child.kill()?;
            child.wait()?;
            bail!("it was not refused: {args:?}");
        }
        std::thread::sleep(LOOK_EVERY);
    };
    ensure!(matches!(status.code(), Some(1 | 2)), "it gave {status}: {args:?}");
    let text = String::from_utf8_lossy(&std::fs::read(log.path())?).into_owned();
    let words: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
    ensure!(!words.is_empty(), "not a word: {text}");
    ensure!(words.len() <= 2, "more than a line and a hint: {words:?}");
    ensure!(!text.contains("panicked"), "{text}");
    Ok(words.join("\n"))
}

/// `up` on `data`, at free ports.
fn refused_on(data: &Path) -> Result<String> {
    let data = data.to_str().context("a path that is no text")?;
    let free = "127.0.0.1:0";
    refused(&["--data", data, "--http", free, "--ssh", free, "--metrics", free])
}

/// Every file below `folder` with its bytes.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_type()?.is_file() {
                found.insert(entry.path(), std::fs::read(entry.path())?);
            }
        }
    }
    Ok(found)
}

/// `up` on `data` is refused with words that contain all of `parts`, and changes nothing.
fn untouched(data: &Path, parts: &[&str]) -> Result<()> {
    let before = files(data)?;
    let words = refused_on(data)?;
    for part in parts {
        ensure!(words.contains(part), "{words:?} does not say {part:?}");
    }
    let after = files(data)?;
    let changed = before.iter().find(|(path, bytes)| after.get(*path) != Some(*bytes));
    ensure!(changed.is_none(), "{:?} was changed", changed.map(|(path, _)| path));
    ensure!(after.len() == before.len(), "files were made");
    Ok(())
}

/// A data directory of a system that ran and was stopped.
fn stopped() -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut stratum =
        Stratum::start_with(Options { data: Some(data.clone()), ..Options::default() })?;
    ensure!(stratum.stop()? == 0, "it did not stop well");
    Ok((folder, data))
}

/// Changes a file for the time of `then`.
fn with_file(path: &Path, bytes: &[u8], then: impl FnOnce() -> Result<()>) -> Result<()> {
    let kept = std::fs::read(path)?;
    std::fs::write(path, bytes)?;
    let done = then();
    std::fs::write(path, kept)?;
    done.with_context(|| format!("{}", path.display()))
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("notes.txt"), "mine\n")?;
    let path = folder.path().to_str().context("no text")?;
    untouched(folder.path(), &[path, "notes.txt"])?;
    let file = folder.path().join("notes.txt");
    let words = refused_on(&file)?;
    ensure!(words.contains("notes.txt"), "{words}");
    ensure!(std::fs::read(&file)? == b"mine\n", "the file was changed");
    Ok(())
}

#[test]
fn newer_older_and_foreign_formats_are_left_alone() -> Result<()> {
    let (_folder, data) = stopped()?;
    for role in ["control", "metadata", "object", "agent"] {
        let format = data.join("nodes/1").join(role).join("format");
        let name = format!("nodes/1/{role}");
        for (text, word) in [("99", "99"), ("0", "0")] {
            let bytes = format!("gitstratum {role} {text}\n");
            with_file(&format, bytes.as_bytes(), || untouched(&data, &[&name, word]))?;
        }
        let other = if role == "object" { "metadata" } else { "object" };
        let bytes = format!("gitstratum {other} 1\n");
        with_file(&format, bytes.as_bytes(), || untouched(&data, &[&name, other]))?;
        with_file(&format, b"nonsense", || untouched(&data, &[&name]))?;
    }
    let cluster = data.join("cluster.json");
    let newer = std::fs::read_to_string(&cluster)?.replacen("\"version\": 1", "\"version\": 99", 1);
    with_file(&cluster, newer.as_bytes(), || untouched(&data, &["cluster.json", "99"]))?;
    let mut again =
        Stratum::start_with(Options { data: Some(data.clone()), ..Options::default() })?;
    ensure!(again.stop()? == 0, "it does not run any more");
    Ok(())
}

/// What the file with the time would hold, had it been written at `millis`.
fn clock_file(millis: u128) -> String {
    let body = format!("gitstratum-clock 1\nmillis {millis}\n");
    format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()))
}

/// The time that the file holds.
fn clock_shown(data: &Path) -> Result<u128> {
    let text = std::fs::read_to_string(data.join("nodes/1/clock"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("millis "));
    Ok(line.context("no time in it")?.parse()?)
}

#[test]
fn a_clock_set_back_is_told_in_one_line() -> Result<()> {
    let (_folder, data) = stopped()?;
    let (file, shown) = (data.join("nodes/1/clock"), clock_shown(&data)?);
    let hour = 60 * 60 * 1_000;
    // What it would be like if the clock had been set back by two hours since.
    let ahead = clock_file(shown + 2 * hour);
    with_file(&file, ahead.as_bytes(), || {
        untouched(&data, &["clock was set back", "nodes/1/clock"])
    })?;
    Ok(())
}

#[test]
fn p_c7_a_clock_set_back_by_half_an_hour_changes_nothing() -> Result<()> {
    let (_folder, data) = stopped()?;
    let (file, shown) = (data.join("nodes/1/clock"), clock_shown(&data)?);
    std::fs::write(&file, clock_file(shown + 30 * 60 * 1_000))?;
    let up = Up::start_with(Options { data: Some(data.clone()), ..Options::default() })?;
    ensure!(up.stratum.log().matches("clock was set back").count() == 1, "not told once");
    create(&up.stratum, "demo/back", "sha1")?;
    ensure!(branch("back", 1_000).send(&http(&up, "demo/back"))?.is_done(), "no push");
    up.stratum.cli(&["check"])?;
    ensure!(clock_shown(&data)? < shown + 60 * 1_000, "the file has the old time");
    Ok(())
}

#[test]
fn lost_keys_are_named_and_nothing_is_touched() -> Result<()> {
    let (_folder, data) = stopped()?;
    for name in ["admin.token", "join.token", "ca.crt", "ca.key", "ssh_host_key"] {
        let (path, away) = (data.join(name), data.with_file_name(name));
        std::fs::rename(&path, &away)?;
        untouched(&data, &[name])?;
        std::fs::rename(&away, &path)?;
    }
    for role in ["control", "metadata", "object", "agent"] {
        let (path, away) = (data.join("nodes/1").join(role), data.with_file_name(role));
        std::fs::rename(&path, &away)?;
        untouched(&data, &[&format!("nodes/1/{role}")])?;
        ensure!(!path.exists(), "{role} was made anew");
        std::fs::rename(&away, &path)?;
    }
    Ok(())
}

#[test]
fn verbs_that_need_a_running_system_say_that_there_is_none() -> Result<()> {
    let (_folder, data) = stopped()?;
    let data = data.to_str().context("no text")?;
    for verb in [&["check"][..], &["audit", "--since", "1h"], &["status"], &["repo", "list"]] {
        let ran = Command::new(program()).args(verb).args(["--data", data]).output()?;
        ensure!(ran.status.code() == Some(3), "{verb:?} gave {}", ran.status);
        let words = String::from_utf8_lossy(&ran.stderr).into_owned();
        ensure!(words.lines().count() <= 2 && words.contains(data), "{verb:?}: {words}");
    }
    Ok(())
}

#[test]
fn s45_a_lost_record_of_the_cluster_is_not_made_anew() -> Result<()> {
    let (_folder, data) = stopped()?;
    let cluster = data.join("cluster.json");
    let kept = std::fs::read(&cluster)?;
    std::fs::remove_file(&cluster)?;
    untouched(&data, &["cluster.json"])?;
    std::fs::write(&cluster, kept)?;
    std::fs::remove_dir_all(data.join("nodes/1/control"))?;
    let before = std::fs::read(&cluster)?;
    let words = refused_on(&data)?;
    ensure!(words.contains("control"), "{words}");
    ensure!(std::fs::read(&cluster)? == before, "another cluster was founded");
    Ok(())
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let taken = taken.local_addr().map(|at| (taken, at.to_string()))?;
    for option in ["--http", "--ssh", "--metrics"] {
        let data = folder.path().join(option.trim_start_matches('-'));
        let data = data.to_str().context("no text")?;
        let mut args = vec!["--data", data];
        for each in ["--http", "--ssh", "--metrics"] {
            args.extend([each, if each == option { taken.1.as_str() } else { "127.0.0.1:0" }]);
        }
        let words = refused(&args)?;
        ensure!(words.contains(&taken.1), "{option}: {words}");
        ensure!(!Path::new(data).exists(), "{option}: the directory was made");
    }
    Ok(())
}

#[test]
fn passwords_are_not_sent_in_clear_by_default() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let path = data.to_str().context("no text")?;
    let words = refused(&["--data", path, "--http", "0.0.0.0:0"])?;
    ensure!(words.contains("--http"), "{words}");
    ensure!(!data.exists(), "the directory was made");
    Ok(())
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() -> Result<()> {
    let up = Up::start()?;
    let data = up.stratum.data();
    let endpoint = std::fs::read(data.join("endpoint.json"))?;
    let words = refused_on(data)?;
    ensure!(words.contains("in use"), "{words}");
    ensure!(std::fs::read(data.join("endpoint.json"))? == endpoint, "the endpoint was changed");
    ensure!(data.join("control.sock").exists(), "the socket is gone");
    up.stratum.cli(&["repo", "list"])?;
    let url = up.stratum.http("demo/hello");
    up.stratum.git().run(up.stratum.scratch(), &["ls-remote", &url])?;
    Ok(())
}

fn http(up: &Up, path: &str) -> Http {
    Http::new(&up.stratum.endpoint().http, path).with(Credentials::Bearer(up.token.clone()))
}

/// A push of a new branch of so many bytes.
fn branch(name: &str, bytes: u32) -> Push {
    let mut objects = Objects::new();
    let noise: Vec<u8> = (0..bytes / 4).flat_map(|at| mixed(at).to_be_bytes()).collect();
    let blob = objects.blob(&[name.as_bytes(), &noise].concat());
    let tree = objects.tree(&[(FILE, b"file", blob)]);
    let tip = objects.commit(&tree, &[], name);
    Push::new().create(&format!("refs/heads/{name}"), &tip).pack(objects.pack())
}

#[test]
fn p_d6_a_full_disk_refuses_pushes_serves_reads_and_recovers() -> Result<()> {
    let Some(slate) = Slate::new()? else { return Ok(()) };
    let mut up = slate.start()?;
    create(&up.stratum, "demo/full", "sha1")?;
    let client = http(&up, "demo/full");
    ensure!(branch("before", 1_000).send(&client)?.is_done(), "no push with space");
    slate.control()?.set_space(Space::Full);
    for (name, bytes) in [("row", 1_000), ("file", 1 << 20)] {
        let report = branch(name, bytes).send(&client)?;
        ensure!(report.is_refused(), "{name}: {report:?}");
        let why = report.why();
        ensure!(why.contains("space") || why.contains("full"), "{name}: {why}");
    }
    let made = up.stratum.try_cli(&["repo", "create", "demo/none"])?;
    ensure!(made.code == 1 && made.err.contains("space"), "create: {} {}", made.code, made.err);
    let refs = ls_refs(&client, ObjectFormat::Sha1)?;
    ensure!(refs.keys().map(String::as_str).eq(["refs/heads/before"]), "{refs:?}");
    let tip = ObjectId::from_hex(ObjectFormat::Sha1, refs["refs/heads/before"].as_bytes())?;
    ensure!(Fetch::new().want(&tip).done().send(&client)?.is_done(), "no reads");
    // Sessions are renewed each second, and must survive it that they cannot be written.
    std::thread::sleep(Duration::from_secs(3));
    slate.control()?.set_space(Space::Free);
    let (began, mut number) = (now(), 0);
    loop {
        number += 1;
        let report = branch(&format!("after{number}"), 1_000).send(&client)?;
        if report.is_done() {
            break;
        }
        ensure!(began.elapsed() < RECOVERED_WITHIN, "no push with space again: {}", report.why());
        std::thread::sleep(Duration::from_millis(200));
    }
    let checked = up.stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    up.stratum.stop()?;
    Ok(())
}

#[test]
fn p_d6_a_system_on_a_full_disk_can_be_stopped() -> Result<()> {
    let Some(slate) = Slate::new()? else { return Ok(()) };
    let mut up = slate.start()?;
    create(&up.stratum, "demo/full", "sha1")?;
    ensure!(branch("before", 1_000).send(&http(&up, "demo/full"))?.is_done(), "no push");
    slate.control()?.set_space(Space::Full);
    let report = branch("row", 1_000).send(&http(&up, "demo/full"))?;
    ensure!(report.is_refused(), "{report:?}");
    up.stratum.stop()?;
    let words = refused_on(&slate.data())?;
    ensure!(words.contains("space"), "{words}");
    slate.control()?.set_space(Space::Free);
    up.stratum.launch()?;
    let refs = ls_refs(&http(&up, "demo/full"), ObjectFormat::Sha1)?;
    ensure!(refs.keys().map(String::as_str).eq(["refs/heads/before"]), "{refs:?}");
    up.stratum.cli(&["check"])?;
    Ok(())
}

#[test]
fn a_start_on_a_full_disk_says_so() -> Result<()> {
    let Some(slate) = Slate::new()? else { return Ok(()) };
    slate.control()?.set_space(Space::Full);
    let words = refused_on(&slate.data())?;
    ensure!(words.to_lowercase().contains("space"), "{words}");
    slate.control()?.set_space(Space::Free);
    slate.start()?.stratum.stop()?;
    Ok(())
}
