//! What a role may push.

use anyhow::{Context, Result, ensure};
use gitstratum_e2e::Stratum;

use crate::work::{commit, create, folder, history};

#[test]
fn gs_fe_04_a_writer_pushes_many_commits_to_the_default_branch_and_forces_none() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 3, "sha1")?;
    create(&stratum, "demo/roles", "sha1")?;
    git.run(&source, &["push", "-q", &stratum.http("demo/roles"), "main"])?;
    stratum.cli(&["user", "create", "writer"])?;
    stratum.cli(&["grant", "writer", "write", "demo/roles"])?;
    let token = stratum.cli(&["token", "create", "writer", "--scope", "write"])?;
    let token = token.split_whitespace().find(|word| word.starts_with("gst_"));
    let login = format!("://writer:{}@", token.context("no token was printed")?);
    let url = stratum.http("demo/roles").replacen("://", &login, 1);
    for name in ["one", "two", "three"] {
        commit(&git, &source, name, "more\n")?;
    }
    git.run(&source, &["push", "-q", &url, "main"])?;
    git.run(&source, &["reset", "-q", "--hard", "HEAD~2"])?;
    commit(&git, &source, "four", "other\n")?;
    let forced = git.try_run(&source, &["push", "-q", "--force", &url, "main"])?;
    ensure!(forced.code != 0 && forced.err.contains("maintain"), "{}", forced.err);
    Ok(())
}
