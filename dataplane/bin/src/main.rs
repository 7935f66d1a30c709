//! The `gitstratum` command: starts the system with `up`, and asks a running one with every
//! other verb.
//!
//! What a verb does stands in `gitstratum-ctl` and in the rooms; here words become calls and
//! answers become text. Its one invariant: a secret is written where it was asked for and
//! nowhere else.

mod cli;
mod up;

use std::io;
use std::process::ExitCode;

use gitstratum_process::failpoint;
use tokio::runtime::{Builder, Runtime};

use cli::{Command, Console, Environment, Failure, Verb};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(end) => return end,
    };
    let done = run(command, Environment::read());
    done.unwrap_or_else(|failure| failure.report(&mut io::stderr()))
}

fn run(command: Command, environment: Environment) -> Result<ExitCode, Failure> {
    let Command { global, verb } = command;
    if let Some(plans) = &environment.failpoints {
        failpoint::arrange(plans).map_err(Failure::of_failpoints)?;
    }
    match verb {
        Verb::Up(options) => serve(up::run(options.settle(global.data)?)),
        Verb::Control(args) => serve(up::single::run(args.settle()?)),
        Verb::Frontend(args) => serve(up::single::run(args.settle()?)),
        Verb::Metadata(args) => serve(up::single::run(args.settle()?)),
        Verb::Object(args) => serve(up::single::run(args.settle()?)),
        verb => {
            let console = Console::new(global, environment)?;
            runtime(&mut Builder::new_current_thread())?.block_on(Box::pin(verb.run(console)))
        }
    }
}

fn serve(served: impl Future<Output = anyhow::Result<ExitCode>>) -> Result<ExitCode, Failure> {
    let runtime = runtime(&mut Builder::new_multi_thread())?;
    runtime.block_on(Box::pin(served)).map_err(Failure::of_up)
}

fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(Failure::of_system)
}
