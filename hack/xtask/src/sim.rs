//! `cargo xtask sim`: the whole cluster in one process, under seeds.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{Cargo, wait};
use crate::prepare::{self, Purpose};
use crate::stage::Verdict;
use crate::workspace::Workspace;

/// Builds the simulation and passes `args` on to it.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<Verdict> {
    let cargo = prepare::cargo_for(workspace, Purpose::Test)?;
    let run = ["run", "--quiet", "--package", "gitstratum-sim", "--locked", "--"];
    wait(cargo.command(&run).args(args))
}

/// Runs the simulation that a build of the whole workspace has left: alone it would be built once
/// more, for fewer features.
pub(crate) fn built(cargo: &Cargo<'_>, args: &[OsString]) -> Result<Verdict> {
    wait(Command::new(cargo.program("gitstratum-sim")).args(args))
}
