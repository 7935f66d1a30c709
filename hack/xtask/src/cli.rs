//! The command line of `cargo xtask`.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

use crate::skips::OnSkip;
use crate::workspace::RocksDb;

/// Development commands of GitStratum.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Let cargo build RocksDB itself: needs no cache, takes several times longer.
    /// Stands before the command.
    #[arg(long)]
    plain_rocksdb: bool,
}

impl Cli {
    /// How RocksDB is to be built.
    pub(crate) fn rocksdb(&self) -> RocksDb {
        if self.plain_rocksdb { RocksDb::Plain } else { RocksDb::Prebuilt }
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Build `gitstratum` and run the whole system here: `gitstratum up ARGS`
    Up {
        /// Passed on to `gitstratum up`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the tests
    Test(TestOptions),
    /// Run the whole cluster in one process under seeds; `--help` behind it tells how
    Sim {
        /// Passed on: `--seeds N`, `--from S`, `--story`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Measure small pushes beside stock git, and print the figures
    Bench(BenchOptions),
    /// Check format, lints, house rules and docs; writes nothing, runs no tests
    Verify,
    /// Mend what can be mended by machine: format, lints, recorded sizes
    Fix,
    /// Check the house rules alone
    Tidy,
    /// Install what is missing on this machine and build RocksDB once
    Prepare,
}

#[derive(Args)]
pub(crate) struct TestOptions {
    /// Run only tests whose name contains this
    pub(crate) filter: Option<String>,

    /// Fail when a test is skipped for any reason but a missing `../shared/repos`
    #[arg(long)]
    no_skip: bool,

    /// Run the full figures instead of the short ones
    #[arg(long)]
    pub(crate) long: bool,
}

#[derive(Args)]
pub(crate) struct BenchOptions {
    /// Build with optimisation, as for users: takes half an hour the first time
    #[arg(long)]
    pub(crate) release: bool,
}

impl TestOptions {
    /// What skipped tests mean for the run.
    pub(crate) fn on_skip(&self) -> OnSkip {
        if self.no_skip { OnSkip::Fail } else { OnSkip::Tell }
    }
}
