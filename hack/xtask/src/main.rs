//! Development commands of this workspace: `cargo xtask --help` lists them.
//!
//! This crate must never depend on another crate of the workspace, so that it
//! builds in seconds. Its one invariant: `verify` and `tidy` write nothing.

mod bench;
mod cargo;
mod cli;
mod environment;
mod fix;
mod metadata;
mod prepare;
mod sim;
mod skips;
mod stage;
mod test;
mod tidy;
mod up;
mod verify;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::environment::Environment;
use crate::stage::Verdict;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Verdict> {
    let workspace = Workspace::new(Environment::read()?, cli.rocksdb());
    match cli.command {
        Command::Up { args } => up::run(&workspace, &args),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Sim { args } => sim::run(&workspace, &args),
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::Verify => verify::run(&workspace),
        Command::Fix => fix::run(&workspace),
        Command::Tidy => tidy::run(&workspace),
        Command::Prepare => prepare::run(&workspace),
    }
}
