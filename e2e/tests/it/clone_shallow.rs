//! Parts of a history: what a client ends with is what stock git would give it (GS-FE-10).

use std::path::Path;

use anyhow::{Result, ensure};
use gitstratum_e2e::{Git, Stratum};

use crate::work::{create, folder};

/// Commits on main, the first half long ago.
const COMMITS: usize = 8;

/// One commit that changes one file, dated.
fn commit(git: &Git, source: &Path, number: usize) -> Result<()> {
    let year = if number < COMMITS / 2 { 2001 } else { 2021 };
    let date = format!("{year}-01-{:02}T00:00:00+00:00", number + 1);
    let git = git.clone().with("GIT_COMMITTER_DATE", &date).with("GIT_AUTHOR_DATE", &date);
    std::fs::write(source.join("file"), format!("version {number}\n"))?;
    git.run(source, &["add", "file"])?;
    git.run(source, &["commit", "-q", "-m", &format!("commit {number}")])?;
    Ok(())
}

/// Main, a branch of its older half, and one beside it with a merge.
fn history(git: &Git, source: &Path) -> Result<()> {
    git.run(source.parent().unwrap_or(source), &["init", "-q", "-b", "main", "source"])?;
    for number in 0..COMMITS {
        commit(git, source, number)?;
    }
    git.run(source, &["branch", "old", "main~5"])?;
    git.run(source, &["checkout", "-q", "-b", "side", "main~2"])?;
    std::fs::write(source.join("other"), "beside\n")?;
    git.run(source, &["add", "other"])?;
    git.run(source, &["commit", "-q", "-m", "beside"])?;
    git.run(source, &["merge", "-q", "-m", "merge", "main"])?;
    git.run(source, &["tag", "-a", "-m", "tag", "v1", "main~3"])?;
    git.run(source, &["checkout", "-q", "main"])?;
    Ok(())
}

/// Everything of a clone that a fetch decides.
fn state(git: &Git, clone: &Path) -> Result<String> {
    git.run(clone, &["fsck", "--full"])?;
    let refs = git.run(clone, &["for-each-ref", "--format=%(refname) %(objectname)"])?;
    let objects = git.run(clone, &["rev-list", "--objects", "--all", "--no-object-names"])?;
    let mut objects: Vec<_> = objects.lines().collect();
    objects.sort_unstable();
    let mut border = match git.run(clone, &["rev-parse", "--is-shallow-repository"])?.trim() {
        "true" => std::fs::read_to_string(clone.join(".git/shallow"))?,
        _ => String::new(),
    };
    border = {
        let mut lines: Vec<_> = border.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    Ok(format!("{refs}\n{}\nborder:\n{border}", objects.join("\n")))
}

#[test]
fn gs_fe_10_shallow_clients_end_with_what_stock_git_gives() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source)?;
    create(&stratum, "demo/shallow", "sha1")?;
    let ours = stratum.http("demo/shallow");
    git.run(&source, &["push", "-q", &ours, "main", "old", "side", "v1"])?;
    let theirs = format!("file://{}", source.display());
    let chains: [&[&[&str]]; 9] = [
        &[&["--depth=1"], &["--deepen=2"], &["--depth=2"], &["--unshallow"]],
        &[&["--depth=8"]],
        &[&["--depth=3", "--no-single-branch"], &["--deepen=1"], &["--unshallow"]],
        &[&["--shallow-since=2010-01-01", "--no-single-branch"], &["--depth=1"]],
        &[&["--shallow-since=2010-01-01"], &["--shallow-since=2001-01-03"]],
        &[&["--shallow-exclude=old", "--no-single-branch"], &["--deepen=1"]],
        &[&["--shallow-exclude=v1"], &["--unshallow"]],
        &[&["--single-branch"], &["--deepen=1"]],
        &[&["--depth=1", "--no-single-branch"], &["--unshallow", "origin", "old"]],
    ];
    for (number, chain) in chains.into_iter().enumerate() {
        let clones = [("ours", &ours), ("theirs", &theirs)].map(|(name, url)| {
            let name = format!("{name}-{number}");
            (folder(&stratum, &name), name, url)
        });
        for (step, flags) in chain.iter().enumerate() {
            let mut states = Vec::new();
            for (to, name, url) in &clones {
                if step == 0 {
                    let args = [&["clone", "-q"], *flags, &[url.as_str(), name.as_str()]].concat();
                    git.run(stratum.scratch(), &args)?;
                } else {
                    git.run(to, &[&["fetch", "-q"], *flags].concat())?;
                }
                states.push(state(&git, to)?);
            }
            let (ours, theirs) = (&states[0], &states[1]);
            ensure!(ours == theirs, "step {step} of {chain:?}:\n{ours}\nnot\n{theirs}");
        }
    }
    Ok(())
}
