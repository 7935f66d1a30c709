//! Bad inputs 104 to 106: paths and requests of HTTP.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use gitstratum_core::ObjectFormat;
use gitstratum_e2e::wire::Program;
use gitstratum_e2e::wire::http::Answer;
use gitstratum_e2e::{Stratum, now};

use crate::ground::{ERR_WITHIN, Ground};
use crate::shared::{Shared, Up};

static UP: Shared = Shared::new();

/// How long after it is ready `up` may take to say so.
const PRINTED_WITHIN: Duration = Duration::from_secs(10);
const ADVERTISE: &str = "info/refs?service=git-upload-pack";

fn get(ground: &Ground, target: &str) -> Result<Answer> {
    let answer = ground.http().request("GET", target, &[], b"")?;
    ensure!(answer.took <= ERR_WITHIN, "{target}: after {:?}", answer.took);
    Ok(answer)
}

/// The answer is an error with this status and a body of JSON that tells nothing of us.
fn is_error(answer: &Answer, statuses: &[u16], what: &str) -> Result<()> {
    ensure!(statuses.contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    // Some are refused by the parser, before anything of ours is asked.
    if answer.body.is_empty() {
        return Ok(());
    }
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let words = body["error"].as_str().unwrap_or_default();
    ensure!(!words.is_empty(), "{what}: no words in {body}");
    for inside in ["/work", "src/", ".rs", "rocksdb", "panic"] {
        ensure!(!words.contains(inside), "{what}: {words}");
    }
    Ok(())
}

#[test]
fn bad_input_104_paths_that_go_elsewhere() -> Result<()> {
    let ground = Ground::new(&UP, "paths")?;
    let long = format!("{}.git", "x".repeat(60 << 10));
    let repositories = [
        "..%2fbad/paths.git",
        "bad/..%2fpaths.git",
        "bad/%2e%2e/bad/paths.git",
        "bad/../bad/paths.git",
        "bad/paths.git%00",
        "bad%00/paths.git",
        "%252e%252e/bad/paths.git",
        "bad/%2570aths.git",
        "/bad/paths.git",
        "bad//paths.git",
        "bad/paths.git/",
        "bad/paths.git;x",
        "bad;x/paths.git",
        "bad\\paths.git",
        "bad%5cpaths.git",
        "bad/%c0%ae%c0%ae/paths.git",
        "bad/paths%c0%af.git",
        "bad/%ff.git",
        "bad/%2.git",
        "bad/%zz.git",
        "bad/-paths.git",
        "bad/.paths.git",
        "bad/paths.git.git",
        &long,
    ];
    for repository in repositories {
        let answer = get(&ground, &format!("/{repository}/{ADVERTISE}"))?;
        let what = &repository[..repository.len().min(60)];
        is_error(&answer, &[400, 404, 414, 431], what)?;
    }
    ground.unharmed()
}

#[test]
fn bad_input_104_a_path_of_64_kib() -> Result<()> {
    let ground = Ground::new(&UP, "path-long")?;
    let target = format!("/bad/{}.git/{ADVERTISE}", "x".repeat(64 << 10));
    let answer = get(&ground, &target)?;
    is_error(&answer, &[400, 404, 414, 431], "64 KiB")?;
    ground.unharmed()
}

#[test]
fn bad_input_105_all_spellings_are_one_repository() -> Result<()> {
    let ground = Ground::new(&UP, "spellings")?;
    let expected = ground.http().protocol(None).advertise(Program::UploadPack)?;
    ensure!(expected.status == 200 && expected.complete, "{}", expected.text());
    let spellings = [
        "bad/spellings",
        "git/bad/spellings.git",
        "git/bad/spellings",
        "bad/s%70ellings.git",
        "b%61d/spellings%2egit",
    ];
    for spelling in spellings {
        let target = format!("/{spelling}/{ADVERTISE}");
        let answer = ground.http().protocol(None).request("GET", &target, &[], b"")?;
        ensure!(answer.status == 200, "{spelling}: {}", answer.text());
        ensure!(answer.body == expected.body, "{spelling} is another repository");
    }
    for other in ["bad/Spellings", "bad/spellings.GIT", "Bad/spellings"] {
        is_error(&get(&ground, &format!("/{other}/{ADVERTISE}"))?, &[404], other)?;
    }
    ground.unharmed()
}

#[test]
fn bad_input_105_names_that_may_not_be_made() -> Result<()> {
    // A system of its own: in a shared one other tests make repositories meanwhile.
    let ground = Ground::of(Arc::new(Up::start()?), "bad/creations", ObjectFormat::Sha1)?;
    let stratum = &ground.up.stratum;
    let before = stratum.cli(&["repo", "list", "-o", "json"])?;
    let paths = [
        "bad/a.git",
        "bad/a.lock",
        "info/refs",
        "INFO/refs",
        "bad/git-upload-pack",
        "bad/git-receive-pack",
        "git/x",
        "api/x",
        "admin/x",
        "metrics/x",
        "healthz/x",
        "_/x",
        "gitstratum/x",
        "GIT/x",
        "bad/.x",
        "bad/..",
        "bad/a b",
        "bad/a/b",
        "bad",
        "/x",
        "bad/",
        "bad/\u{e9}",
    ];
    for path in paths {
        let ran = stratum.try_cli(&["repo", "create", path])?;
        ensure!(matches!(ran.code, 1 | 2), "{path:?} gave {}: {}", ran.code, ran.err);
        ensure!(!ran.err.trim().is_empty(), "{path:?}: not a word");
    }
    let long = format!("bad/{}", "x".repeat(101));
    ensure!(stratum.try_cli(&["repo", "create", &long])?.code != 0, "a name of 101 bytes");
    ensure!(stratum.cli(&["repo", "list", "-o", "json"])? == before, "something was made");
    ground.unharmed()
}

/// What `up` prints is taken as it stands, by a user who has a helper of their own.
#[test]
fn the_clone_line_works_whatever_helper_is_configured() -> Result<()> {
    let stratum = Stratum::start()?;
    let line = printed_line(&stratum)?;
    let line = line.as_str();
    ensure!(!line.contains("gst_"), "the line shows a token");
    let home = stratum.scratch().join("home");
    std::fs::create_dir(&home)?;
    let asked = home.join("asked");
    let evil = format!(
        "[credential]\n\thelper = \"!f() {{ echo $1 >> {}; echo username=x; echo password=y; }}; f\"\n",
        asked.display()
    );
    std::fs::write(home.join(".gitconfig"), evil)?;
    let clone = home.join("hello");
    let push = "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first && \
        git push -q origin HEAD:main";
    for (folder, line) in [(&home, line), (&clone, push)] {
        let mut shell = Command::new("sh");
        shell.current_dir(folder).args(["-c", line]).stdin(Stdio::null());
        shell.env("HOME", &home).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        let ran = shell.env_remove("GIT_CONFIG_GLOBAL").env_remove("XDG_CONFIG_HOME").output()?;
        ensure!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    ensure!(
        !asked.exists(),
        "the user's own helper was asked: {}",
        std::fs::read_to_string(asked)?
    );
    let kept = std::fs::read_to_string(clone.join(".git/config"))?;
    ensure!(!kept.contains("gst_"), "the clone keeps a token");
    Ok(())
}

/// The line that begins with `git`; it is printed once all else is ready.
fn printed_line(stratum: &Stratum) -> Result<String> {
    let began = now();
    while began.elapsed() < PRINTED_WITHIN {
        let log = stratum.log();
        let line = log.lines().map(str::trim).find(|line| line.starts_with("git "));
        // A line that is still being written has no end.
        if let Some(line) = line.filter(|_| log.contains("Stop with Ctrl-C.")) {
            return Ok(line.to_owned());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("no clone line was printed:\n{}", stratum.log_end())
}

#[test]
fn bad_input_106_requests_of_the_wrong_kind() -> Result<()> {
    let ground = Ground::new(&UP, "requests")?;
    let http = ground.http();
    let path = format!("/{}.git", ground.path);
    for program in [Program::UploadPack, Program::ReceivePack] {
        let (target, right) = http.rpc(program);
        let fetch = "application/x-git-upload-pack-request";
        let push = "application/x-git-receive-pack-request";
        let other = if right == fetch { push } else { fetch };
        for media_type in ["text/plain", "application/json", "", other] {
            let headers = [("Content-Type", media_type)];
            let answer = http.request("POST", &target, &headers, b"0000")?;
            is_error(&answer, &[415], media_type)?;
        }
        is_error(&http.request("POST", &target, &[], b"0000")?, &[415], "no type")?;
        let answer = http.request("GET", &target, &[], b"")?;
        is_error(&answer, &[405], "GET on RPC")?;
        ensure!(answer.header("allow") == Some("POST"), "{:?}", answer.headers);
    }
    for query in ["", "?", "?service=", "?service=git-evil", "?service=git-upload-archive"] {
        is_error(&get(&ground, &format!("{path}/info/refs{query}"))?, &[403], query)?;
    }
    let twice = "?service=git-upload-pack&service=git-receive-pack";
    is_error(&get(&ground, &format!("{path}/info/refs{twice}"))?, &[403], twice)?;
    for file in ["HEAD", "objects/info/packs", "config", "objects/00/11", "packed-refs"] {
        is_error(&get(&ground, &format!("{path}/{file}"))?, &[403, 404], file)?;
    }
    let posted = http.request("POST", &format!("{path}/{ADVERTISE}"), &[], b"")?;
    is_error(&posted, &[405], "POST on info/refs")?;
    ground.unharmed()
}
