//! `cargo xtask verify`: everything that can be judged without running a test.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::cargo::{Cargo, wait};
use crate::prepare::{self, Purpose};
use crate::stage::{Stages, Verdict};
use crate::tidy;
use crate::workspace::Workspace;

/// Checks format, lints, house rules, docs and dependency bans; writes nothing to the tree.
pub(crate) fn run(workspace: &Workspace) -> Result<Verdict> {
    let cargo = prepare::cargo_for(workspace, Purpose::Check)?;
    let mut stages = Stages::new("verify");
    stages.run("format", || cargo.run(&["fmt", "--all", "--check"]));
    stages.run("tidy", || tidy::run(workspace));
    stages.run("clippy", || clippy(&cargo));
    // As users build it: without the features that tests ask for.
    stages.run("programs", || cargo.run(&["check", "--workspace", "--bins", "--locked"]));
    stages.run("docs", || docs(&cargo));
    if has_cargo_deny(&cargo) {
        stages.run("deny", || deny(&cargo));
    } else {
        stages.skip("deny", "cargo-deny is not installed; tidy checks the same bans");
    }
    Ok(stages.finish())
}

fn clippy(cargo: &Cargo<'_>) -> Result<Verdict> {
    cargo.run(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"])
}

fn docs(cargo: &Cargo<'_>) -> Result<Verdict> {
    let mut command = cargo.command(&["doc", "--workspace", "--no-deps", "--locked"]);
    wait(command.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Advisories need a data base from the network: public CI asks for them, we do not.
fn deny(cargo: &Cargo<'_>) -> Result<Verdict> {
    cargo.run(&["deny", "--offline", "check", "bans", "licenses", "sources"])
}

fn has_cargo_deny(cargo: &Cargo<'_>) -> bool {
    let mut probe: Command = cargo.command(&["deny", "--version"]);
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
