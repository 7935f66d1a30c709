//! Runs seeds: `cargo xtask sim`.

use std::panic;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use gitstratum_sim::{Settings, Verdict, run};

/// The whole cluster in one process, under a seed
#[derive(Debug, Parser)]
struct Cli {
    /// How many seeds
    #[arg(long, default_value_t = 30)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Tell what happens
    #[arg(long)]
    story: bool,
    /// Tell every message too
    #[arg(long)]
    details: bool,
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let panics = count_panics();
    let mut is_red = false;
    for seed in cli.from..cli.from.saturating_add(cli.seeds) {
        let settings = Settings { seed, is_told: cli.story, is_detailed: cli.details };
        let outcome = run(&settings)?;
        is_red |= outcome.verdict != Verdict::Holds;
        println!(
            "seed {seed}: {:?}; {} of {} pushes acknowledged, {} faults; {}",
            outcome.verdict, outcome.acked, outcome.pushes, outcome.faults, outcome.digest
        );
    }
    let panics = panics.load(Ordering::Relaxed);
    if panics > 0 {
        println!("{panics} tasks panicked, see above");
        is_red = true;
    }
    Ok(if is_red { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Tasks that panic are caught and told in the log; here none may.
fn count_panics() -> Arc<AtomicU64> {
    let (count, told) = (Arc::<AtomicU64>::default(), panic::take_hook());
    let counted = Arc::clone(&count);
    panic::set_hook(Box::new(move |panicked| {
        counted.fetch_add(1, Ordering::Relaxed);
        told(panicked);
    }));
    count
}
