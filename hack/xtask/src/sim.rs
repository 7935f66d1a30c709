//! `cargo xtask sim`: the whole cluster in one process, under seeds.

use std::ffi::OsString;

use anyhow::Result;

use crate::cargo::{Cargo, wait};
use crate::prepare::{self, Purpose};
use crate::stage::Verdict;
use crate::workspace::Workspace;

/// Builds the simulation as the tests do, and passes `args` on to it.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<Verdict> {
    seeds(&prepare::cargo_for(workspace, Purpose::Test)?, args)
}

/// The same with a cargo that is at hand.
pub(crate) fn seeds(cargo: &Cargo<'_>, args: &[OsString]) -> Result<Verdict> {
    let run = ["run", "--quiet", "--package", "gitstratum-sim", "--locked", "--"];
    wait(cargo.command(&run).args(args))
}
