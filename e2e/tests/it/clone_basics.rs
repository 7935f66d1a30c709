//! Clones and fetches of every shape, by HTTP and SSH (GS-FE-01..03, 07, 10, 11).

use anyhow::{Result, ensure};
use gitstratum_e2e::{Stratum, bundle};

use crate::work::{commit, create, folder, history, mirror_equals, objects};

#[test]
fn the_printed_clone_line_works_on_a_fresh_data_directory() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let to = folder(&stratum, "hello");
    git.run(stratum.scratch(), &["clone", &stratum.http("demo/hello"), "hello"])?;
    ensure!(to.join(".git").exists());
    commit(&git, &to, "a", "first\n")?;
    git.run(&to, &["push", "origin", "HEAD"])?;
    mirror_equals(&git, &to, &stratum.http("demo/hello"), &folder(&stratum, "again.git")).or_else(
        |_| {
            // A working copy has remote-tracking refs that a mirror has not: objects decide.
            ensure!(objects(&git, &to)? == objects(&git, &folder(&stratum, "again.git"))?);
            Ok(())
        },
    )
}

#[test]
fn gs_fe_09_packs_pass_index_pack_strict() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    create(&stratum, "demo/strict", "sha1")?;
    let url = stratum.http("demo/strict");
    history(&git, &source, 12, "sha1")?;
    git.run(&source, &["push", "-q", &url, "main"])?;
    let strict = ["-c", "fetch.fsckObjects=true"];
    git.run(stratum.scratch(), &[&strict[..], &["clone", "-q", &url, "strict"]].concat())?;
    // Later pushes are thin: what is fetched of them must not be.
    for number in 0..6 {
        commit(&git, &source, &format!("file{number}"), &format!("again {number}\n"))?;
        git.run(&source, &["push", "-q", &url, "main"])?;
    }
    let to = folder(&stratum, "strict");
    git.run(&to, &[&strict[..], &["fetch", "-q"]].concat())?;
    git.run(stratum.scratch(), &[&strict[..], &["clone", "-q", &url, "whole"]].concat())?;
    for clone in [to, folder(&stratum, "whole")] {
        git.run(&clone, &["fsck", "--full", "--strict"])?;
        ensure!(objects(&git, &clone)? == objects(&git, &source)?, "objects differ");
    }
    Ok(())
}

#[test]
fn gs_fe_07_real_histories_survive_push_stop_start_and_clone() -> Result<()> {
    let mut stratum = Stratum::start()?;
    stratum.register_key()?;
    for name in ["ripgrep", "git-early", "jj"] {
        let Some(bundle) = bundle(name) else { return Ok(()) };
        let git = stratum.git();
        let source = folder(&stratum, &format!("{name}.git"));
        let from = bundle.to_str().expect("because test paths are text");
        git.run(stratum.scratch(), &["clone", "-q", "--mirror", from, &format!("{name}.git")])?;
        create(&stratum, &format!("real/{name}"), "sha1")?;
        git.run(&source, &["push", "-q", "--mirror", &stratum.http(&format!("real/{name}"))])?;
        for (number, url) in
            [stratum.http(&format!("real/{name}")), stratum.ssh(&format!("real/{name}"))]
                .iter()
                .enumerate()
        {
            mirror_equals(&git, &source, url, &folder(&stratum, &format!("{name}{number}.git")))?;
        }
    }
    ensure!(stratum.stop()? == 0);
    stratum.launch()?;
    let git = stratum.git();
    let source = folder(&stratum, "ripgrep.git");
    mirror_equals(&git, &source, &stratum.http("real/ripgrep"), &folder(&stratum, "later.git"))?;
    let checked = stratum.try_cli(&["check"])?;
    ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
    Ok(())
}

#[test]
fn gs_fe_10_shallow_clones_deepen_and_unshallow() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 30, "sha1")?;
    create(&stratum, "demo/deep", "sha1")?;
    let url = stratum.http("demo/deep");
    git.run(&source, &["push", "-q", &url, "main"])?;
    let to = folder(&stratum, "shallow");
    git.run(stratum.scratch(), &["clone", "-q", "--depth", "1", &url, "shallow"])?;
    let count = |git: &gitstratum_e2e::Git| git.run(&to, &["rev-list", "--count", "HEAD"]);
    ensure!(count(&git)?.trim() == "1");
    git.run(&to, &["fsck", "--full"])?;
    git.run(&to, &["fetch", "-q", "--depth", "5"])?;
    ensure!(count(&git)?.trim() == "5");
    git.run(&to, &["fetch", "-q", "--deepen", "3"])?;
    ensure!(count(&git)?.trim() == "8");
    git.run(&to, &["fetch", "-q", "--unshallow"])?;
    ensure!(count(&git)?.trim() == "30");
    git.run(&to, &["fsck", "--full"])?;
    Ok(())
}

#[test]
fn gs_fe_11_blobless_clones_fetch_blobs_when_they_need_them() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 20, "sha1")?;
    create(&stratum, "demo/lazy", "sha1")?;
    let url = stratum.http("demo/lazy");
    git.run(&source, &["push", "-q", &url, "main"])?;
    commit(&git, &source, "late", "late\n")?;
    git.run(&source, &["push", "-q", &url, "main"])?;
    let to = folder(&stratum, "lazy");
    let filter = ["clone", "-q", "--no-checkout", "--filter=blob:none", &url, "lazy"];
    git.run(stratum.scratch(), &filter)?;
    let listed =
        git.run(&to, &["rev-list", "--objects", "--all", "--missing=print", "--no-object-names"])?;
    ensure!(listed.lines().any(|line| line.starts_with('?')), "no blob is missing");
    git.run(&to, &["checkout", "-q", "main"])?;
    git.run(&to, &["checkout", "-q", "main~10"])?;
    ensure!(std::fs::read_to_string(to.join("src/file0"))?.starts_with("line 0"));
    git.run(&to, &["fsck", "--full"])?;
    Ok(())
}

#[test]
fn gs_fe_05_gs_ob_01_a_sha256_repository_is_an_equal() -> Result<()> {
    let stratum = Stratum::start()?;
    stratum.register_key()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 12, "sha256")?;
    create(&stratum, "demo/wide", "sha256")?;
    git.run(&source, &["push", "-q", &stratum.ssh("demo/wide"), "main"])?;
    for (number, url) in [stratum.http("demo/wide"), stratum.ssh("demo/wide")].iter().enumerate() {
        mirror_equals(&git, &source, url, &folder(&stratum, &format!("wide{number}.git")))?;
    }
    Ok(())
}

#[test]
fn gs_fe_03_old_protocol_versions_are_served() -> Result<()> {
    let stratum = Stratum::start()?;
    let git = stratum.git();
    let source = folder(&stratum, "source");
    history(&git, &source, 9, "sha1")?;
    create(&stratum, "demo/old", "sha1")?;
    let url = stratum.http("demo/old");
    git.run(&source, &["push", "-q", &url, "main"])?;
    for version in ["0", "1", "2"] {
        let to = folder(&stratum, &format!("v{version}.git"));
        let protocol = format!("protocol.version={version}");
        let name = to.to_str().expect("because test paths are text");
        git.run(&source, &["-c", &protocol, "clone", "-q", "--mirror", &url, name])?;
        ensure!(objects(&git, &to)? == objects(&git, &source)?, "version {version}");
        commit(&git, &source, "more", version)?;
        git.run(&source, &["push", "-q", &url, "main"])?;
        git.run(&to, &["-c", &protocol, "fetch", "-q"])?;
        ensure!(objects(&git, &to)? == objects(&git, &source)?, "fetch of version {version}");
    }
    Ok(())
}
