//! The `gitstratum` command.
mod cli;
mod up;

use clap::Parser;

#[derive(Parser)]
enum Command {
    Up(cli::up_args::UpArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    let Command::Up(args) = Command::parse();
    up::run(args).await
}
