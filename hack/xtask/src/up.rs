//! `cargo xtask up`: the whole system, built and started.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Error, Result};

use crate::prepare::{self, Purpose};
use crate::stage::Verdict;
use crate::workspace::Workspace;

/// Builds `gitstratum` and becomes `gitstratum up ARGS`, so that signals reach it directly.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<Verdict> {
    let cargo = prepare::cargo_for(workspace, Purpose::Build)?;
    let built = cargo.run(&["build", "--workspace", "--bin", "gitstratum", "--locked"])?;
    if built == Verdict::Failed {
        return Ok(Verdict::Failed);
    }
    let program = cargo.program("gitstratum");
    let error = Command::new(&program).arg("up").args(args).exec();
    Err(Error::new(error).context(format!("start {}", program.display())))
}
