//! `cargo xtask test`: the tests, with a full account of what was skipped.

use anyhow::Result;

use crate::cargo::{Cargo, wait};
use crate::cli::TestOptions;
use crate::prepare::{self, Purpose};
use crate::skips::{OnSkip, Skips};
use crate::stage::{Stages, Verdict};
use crate::workspace::Workspace;

/// Builds the programs that tests start, runs the tests, and prints every skip.
pub(crate) fn run(workspace: &Workspace, options: &TestOptions) -> Result<Verdict> {
    let cargo = prepare::cargo_for(workspace, Purpose::Test)?;
    let skips = Skips::create(&workspace.environment.cache)?;
    let mut stages = Stages::new("test");
    // All of it in one go: programs built alone would be built again for the tests, which
    // ask for features that programs for users do not have.
    let built =
        stages.run("build", || cargo.run(&["build", "--workspace", "--all-targets", "--locked"]));
    if built == Verdict::Passed {
        stages.run("tests", || tests(&cargo, options, &skips));
        stages.run("skips", || skips.judge(options.on_skip()));
    }
    Ok(stages.finish())
}

fn tests(cargo: &Cargo<'_>, options: &TestOptions, skips: &Skips) -> Result<Verdict> {
    let mut command = cargo.command(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.args(options.filter.as_slice());
    command.env("GITSTRATUM_TEST_SKIPS", skips.path());
    if options.on_skip() == OnSkip::Fail {
        command.env("GITSTRATUM_TEST_NO_SKIP", "1");
    }
    if options.long {
        command.env("GITSTRATUM_TEST_LONG", "1");
    }
    wait(&mut command)
}
