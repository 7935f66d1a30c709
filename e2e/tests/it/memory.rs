//! What one node holds in memory: idle, while it takes a large push, while it gives it
//! back (P-L1, GS-OB-22, GS-FE-22). Both pushes and clones are stock git's.

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Git, Stratum};
use std::path::{Path, PathBuf};

use crate::chain::mixed;
use crate::work::{create, folder};

/// Bounds of issue and promises: a node that does nothing; a push and a clone above that.
const IDLE_BYTES_MAX: u64 = 150 << 20;
const PUSH_BYTES_MAX: u64 = 256 << 20;
const CLONE_BYTES_MAX: u64 = 64 << 20;

#[test]
fn p_l1_three_hundred_mebibytes_of_files_fit() -> Result<()> {
    fits("files", |git, source| {
        for number in 0..30 {
            std::fs::write(source.join(format!("file{number}")), noise(number, 10 << 20))?;
            if number % 10 == 9 {
                commit_all(git, source)?;
            }
        }
        Ok(())
    })
}

#[test]
fn p_l1_thirty_thousand_files_of_ten_kibibytes_fit() -> Result<()> {
    fits("many", |git, source| {
        for folder in 0..10 {
            let path = source.join(format!("folder{folder}"));
            std::fs::create_dir(&path)?;
            for number in 0..3_000 {
                let seed = folder * 3_000 + number;
                std::fs::write(path.join(format!("file{number}")), noise(seed, 10 << 10))?;
            }
            commit_all(git, source)?;
        }
        Ok(())
    })
}

/// Pushes a history and clones it from a fresh process.
fn fits(name: &str, make: impl FnOnce(&Git, &Path) -> Result<()>) -> Result<()> {
    let mut stratum = Stratum::start()?;
    let source = folder(&stratum, "source");
    {
        let git = stratum.git();
        std::fs::create_dir_all(&source)?;
        git.run(&source, &["init", "-q", "-b", "main"])?;
        // Noise is not worth the time that deflate takes.
        git.run(&source, &["config", "core.compression", "0"])?;
        make(&git, &source)?;
    }
    let path = format!("demo/{name}");
    create(&stratum, &path, "sha1")?;
    let push = measured(&mut stratum, |stratum| {
        stratum.git().run(&source, &["push", "-q", &stratum.http(&path), "main"])?;
        Ok(())
    })?;
    let clone = measured(&mut stratum, |stratum| {
        let to: PathBuf = stratum.scratch().join("clone.git");
        let to = to.to_str().context("a path that is no text")?;
        let from = stratum.http(&path);
        stratum.git().run(stratum.scratch(), &["clone", "-q", "--bare", &from, to])?;
        Ok(())
    })?;
    for (what, above, most) in [("push", push, PUSH_BYTES_MAX), ("clone", clone, CLONE_BYTES_MAX)] {
        ensure!(above <= most, "{name}: a {what} took {} MiB above idle", above >> 20);
    }
    stratum.stop()?;
    Ok(())
}

/// The most memory that `work` takes above what a fresh process takes for nothing.
fn measured(stratum: &mut Stratum, work: impl FnOnce(&Stratum) -> Result<()>) -> Result<u64> {
    stratum.stop()?;
    stratum.launch()?;
    let idle = stratum.memory_peak()?;
    ensure!(idle <= IDLE_BYTES_MAX, "{} MiB idle", idle >> 20);
    work(stratum)?;
    let peak = stratum.memory_peak()?;
    eprintln!("idle {} MiB, peak {} MiB", idle >> 20, peak >> 20);
    Ok(peak.saturating_sub(idle))
}

fn commit_all(git: &Git, source: &Path) -> Result<()> {
    git.run(source, &["add", "-A"])?;
    git.run(source, &["commit", "-q", "-m", "more"])?;
    Ok(())
}

fn noise(seed: u32, bytes: u32) -> Vec<u8> {
    (0..bytes / 4).flat_map(|at| mixed(at ^ seed.rotate_left(16)).to_be_bytes()).collect()
}
