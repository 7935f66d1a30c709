//! SIGKILL at random moments of a push loop (P-D2).

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gitstratum_e2e::Stratum;

use crate::work::{commit, create, folder, history};

/// Kills in CI; the long run does 200.
const KILLS: u64 = 20;

#[test]
fn p_d2_no_kill_loses_an_acknowledged_push() -> Result<()> {
    let mut stratum = Stratum::start()?;
    let source = folder(&stratum, "source");
    history(&stratum.git(), &source, 2, "sha1")?;
    create(&stratum, "demo/kill", "sha1")?;
    let first = stratum.http("demo/kill");
    stratum.git().run(&source, &["push", "-q", &first, "main"])?;
    let mut acknowledged = head(&stratum, &source, "main")?;
    for round in 0..KILLS {
        let git = stratum.git();
        commit(&git, &source, "chain", &format!("round {round}\n"))?;
        let tip = head(&stratum, &source, "main")?;
        let url = stratum.http("demo/kill");
        let mut push = git
            .command(&source, &["push", "-q", &url, "main"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // Moments from before the first byte to after the acknowledgement.
        std::thread::sleep(Duration::from_millis((round * 37) % 160));
        stratum.kill()?;
        let acked = push.wait()?.success();
        let took = stratum.launch()?;
        ensure!(took < Duration::from_secs(5), "ready after {took:?}");
        let url = stratum.http("demo/kill");
        let listed = stratum.git().run(&source, &["ls-remote", &url, "refs/heads/main"])?;
        let now = listed.split_whitespace().next().context("the branch is gone")?.to_owned();
        let allowed = if acked { vec![&tip] } else { vec![&tip, &acknowledged] };
        ensure!(allowed.contains(&&now), "round {round}: {now} is none of {allowed:?}");
        if now != tip {
            stratum.git().run(&source, &["push", "-q", &url, "main"])?;
        }
        acknowledged = tip;
    }
    let checked = stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    Ok(())
}

fn head(stratum: &Stratum, at: &std::path::Path, name: &str) -> Result<String> {
    Ok(stratum.git().run(at, &["rev-parse", name])?.trim().to_owned())
}
