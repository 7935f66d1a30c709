//! What several tests do: make histories, compare repositories.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use gitstratum_e2e::{Git, Stratum};

/// A working copy with `commits` commits on `main`, a few files each.
pub(crate) fn history(git: &Git, at: &Path, commits: usize, format: &str) -> Result<()> {
    std::fs::create_dir_all(at)?;
    git.run(at, &["init", "-q", "-b", "main", &format!("--object-format={format}")])?;
    for number in 0..commits {
        commit(git, at, &format!("file{}", number % 7), &format!("line {number}\n"))?;
    }
    Ok(())
}

/// Appends to a file in a folder and commits.
pub(crate) fn commit(git: &Git, at: &Path, name: &str, text: &str) -> Result<()> {
    let folder = at.join("src");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    let mut content = std::fs::read(&path).unwrap_or_default();
    content.extend_from_slice(text.as_bytes());
    std::fs::write(path, content)?;
    git.run(at, &["add", "-A"])?;
    git.run(at, &["commit", "-q", "-m", text.trim_end()])?;
    Ok(())
}

/// Every ref with its id, but HEAD.
pub(crate) fn refs(git: &Git, at: &Path) -> Result<String> {
    git.run(at, &["for-each-ref", "--format=%(objectname) %(refname)"])
}

/// Every object reachable from any ref, sorted.
pub(crate) fn objects(git: &Git, at: &Path) -> Result<Vec<String>> {
    let listed = git.run(at, &["rev-list", "--objects", "--all", "--no-object-names"])?;
    let mut ids: Vec<String> = listed.lines().map(str::to_owned).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// A mirror clone of `url` that passes fsck and equals `source`.
pub(crate) fn mirror_equals(git: &Git, source: &Path, url: &str, to: &Path) -> Result<()> {
    let name = to.to_str().expect("because test paths are text");
    git.run(source, &["clone", "-q", "--mirror", url, name])?;
    let fsck = git.try_run(to, &["fsck", "--full"])?;
    let said = git.try_run(source, &["fsck", "--full"])?;
    ensure!(fsck.code == 0, "fsck of the clone gave {}: {}", fsck.code, fsck.err);
    ensure!(sorted(&fsck.err) == sorted(&said.err), "fsck differs: {} / {}", fsck.err, said.err);
    ensure!(refs(git, source)? == refs(git, to)?, "refs differ");
    ensure!(objects(git, source)? == objects(git, to)?, "objects differ");
    Ok(())
}

/// Lines that tell of faults, without those about dangling objects, which are local.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("dangling") && !line.starts_with("notice"))
        .collect();
    lines.sort_unstable();
    lines
}

/// A new repository on the server.
pub(crate) fn create(stratum: &Stratum, path: &str, format: &str) -> Result<()> {
    stratum.cli(&["repo", "create", path, "--object-format", format])?;
    Ok(())
}

/// A folder for a test's own files.
pub(crate) fn folder(stratum: &Stratum, name: &str) -> PathBuf {
    stratum.scratch().join(name)
}
