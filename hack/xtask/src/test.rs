//! `cargo xtask test`: the tests, with a full account of what was skipped.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{Cargo, wait};
use crate::cli::TestOptions;
use crate::prepare::{self, Purpose};
use crate::sim;
use crate::skips::{OnSkip, Skips};
use crate::stage::{Stages, Verdict};
use crate::workspace::Workspace;

/// End-to-end tests of what people do, which are run with one node and with three.
const ON_THREE: [&str; 10] = [
    "push_basics::",
    "push_objects::",
    "push_packs::",
    "push_refs::",
    "push_roles::",
    "clone_basics::",
    "clone_shallow::",
    "clone_tls::",
    "admit_packets::",
    "admit_tenants::",
];

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
        if options.filter.is_none() {
            stages.run("tests on three nodes", || tests_on_three(&cargo, options, &skips));
            let seeds = if options.long { "1000" } else { "30" };
            let args = ["--seeds", seeds].map(Into::into);
            stages.run("simulation", || sim::built(&cargo, &args));
        }
        stages.run("skips", || skips.judge(options.on_skip()));
    }
    Ok(stages.finish())
}

fn tests(cargo: &Cargo<'_>, options: &TestOptions, skips: &Skips) -> Result<Verdict> {
    let mut command = cargo.command(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.args(options.filter.as_slice());
    run_with(&mut command, options, skips)
}

/// What one node shows to people who push and clone, once more with three, each call through
/// the next of their frontends.
fn tests_on_three(cargo: &Cargo<'_>, options: &TestOptions, skips: &Skips) -> Result<Verdict> {
    let built = ["test", "--workspace", "--locked", "--no-fail-fast", "--test", "it"];
    let mut command = cargo.command(&built);
    command.arg("--").args(ON_THREE).env("GITSTRATUM_TEST_NODES", "3");
    run_with(&mut command, options, skips)
}

fn run_with(command: &mut Command, options: &TestOptions, skips: &Skips) -> Result<Verdict> {
    command.env("GITSTRATUM_TEST_SKIPS", skips.path());
    if options.on_skip() == OnSkip::Fail {
        command.env("GITSTRATUM_TEST_NO_SKIP", "1");
    }
    if options.long {
        command.env("GITSTRATUM_TEST_LONG", "1");
    }
    wait(command)
}
