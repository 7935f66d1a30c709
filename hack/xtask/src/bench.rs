//! `cargo xtask bench`: figures beside stock git, in one run on this machine.

use anyhow::Result;

use crate::cargo::wait;
use crate::cli::BenchOptions;
use crate::prepare::{self, Purpose};
use crate::stage::Verdict;
use crate::workspace::Workspace;

/// Builds the program and the bench with one profile, and runs the bench.
pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<Verdict> {
    let cargo = prepare::cargo_for(workspace, Purpose::Test)?;
    let profile = if options.release { "release" } else { "dev" };
    let of_e2e = ["--package", "gitstratum", "--package", "gitstratum-e2e", "--locked"];
    let build = [&["build", "--profile", profile, "--bins", "--benches"], &of_e2e[..]].concat();
    if cargo.run(&build)? == Verdict::Failed {
        return Ok(Verdict::Failed);
    }
    let bench = ["bench", "--profile", profile, "--package", "gitstratum-e2e", "--locked"];
    wait(&mut cargo.command(&[&bench[..], &["--bench", "figures"]].concat()))
}
