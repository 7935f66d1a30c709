//! Runs seeds: `cargo xtask sim`.

mod children;

use std::process::ExitCode;

use clap::Parser;

/// The whole cluster in one process, under a seed
#[derive(Debug, Parser)]
struct Cli {
    /// How many seeds
    #[arg(long, default_value_t = 30)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Do a thing wrong on purpose, or one after the other; each has to be noticed
    #[arg(long, value_name = "NAME|all")]
    sabotage: Option<String>,
    /// List what can be done wrong
    #[arg(long)]
    list: bool,
    /// Seeds that run at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Tell what happens
    #[arg(long)]
    story: bool,
    /// Tell every message too
    #[arg(long)]
    details: bool,
    /// Run the one seed here
    #[arg(long, hide = true)]
    here: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let is_green = match () {
        () if cli.list => children::list(),
        () if cli.here => children::here(&cli)?,
        () => children::run_all(&cli)?,
    };
    Ok(if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
