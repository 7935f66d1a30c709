//! Pushes that create, move, force, delete and refuse (GS-FE-08).

use anyhow::{Result, ensure};
use gitstratum_e2e::Stratum;

use crate::work::{commit, create, folder, history, mirror_equals, refs};

#[test]
fn gs_fe_08_refs_are_created_moved_forced_and_deleted() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 5, "sha1")?;
    create(&stratum, "demo/push", "sha1")?;
    let url = stratum.http("demo/push");
    git.run(&source, &["tag", "-a", "v1", "-m", "one"])?;
    git.run(&source, &["push", "-q", &url, "main", "main:topic", "v1"])?;
    mirror_after(&stratum, &url, &["refs/heads/main", "refs/heads/topic", "refs/tags/v1"])?;
    commit(&git, &source, "x", "more\n")?;
    git.run(&source, &["push", "-q", &url, "main"])?;
    git.run(&source, &["push", "-q", "--force", &url, "main~3:topic"])?;
    git.run(&source, &["push", "-q", &url, ":v1"])?;
    mirror_after(&stratum, &url, &["refs/heads/main", "refs/heads/topic"])?;
    let behind = git.try_run(&source, &["push", &url, "main~2:main"])?;
    ensure!(behind.code != 0 && behind.err.contains("rejected"), "{}", behind.err);
    Ok(())
}

fn mirror_after(stratum: &Stratum, url: &str, names: &[&str]) -> Result<()> {
    let git = stratum.git();
    let listed = git.run(stratum.scratch(), &["ls-remote", url])?;
    let mut found: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .filter(|name| *name != "HEAD" && !name.ends_with("^{}"))
        .collect();
    found.sort_unstable();
    ensure!(found == names, "{found:?}");
    Ok(())
}

#[test]
fn an_atomic_push_with_one_bad_ref_changes_nothing() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 5, "sha1")?;
    create(&stratum, "demo/atomic", "sha1")?;
    let url = stratum.http("demo/atomic");
    git.run(&source, &["push", "-q", &url, "main"])?;
    let before = git.run(&source, &["ls-remote", &url])?;
    let refused = git
        .try_run(&source, &["push", "--atomic", &url, "main:new", "main:refs/heads/main/below"])?;
    ensure!(refused.code != 0, "{}", refused.err);
    ensure!(git.run(&source, &["ls-remote", &url])? == before);
    Ok(())
}

#[test]
fn two_thousand_refs_and_a_large_file_survive() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 3, "sha1")?;
    let mut noise = vec![0_u8; 50 << 20];
    let mut state = 1_u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = state.to_be_bytes()[0];
    }
    std::fs::write(source.join("large"), &noise)?;
    git.run(&source, &["add", "-A"])?;
    git.run(&source, &["commit", "-q", "-m", "large"])?;
    for number in 0..2_000 {
        let name = format!("refs/heads/topic/{number}");
        git.run(&source, &["update-ref", &name, "main"])?;
    }
    create(&stratum, "demo/large", "sha1")?;
    let url = stratum.http("demo/large");
    git.run(&source, &["push", "-q", "--mirror", &url])?;
    ensure!(refs(&git, &source)?.lines().count() == 2_001);
    mirror_equals(&git, &source, &url, &folder(&stratum, "large.git"))
}
