use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use gitstratum_ctl::output::Format;
use gitstratum_ctl::status::{self, Status};

use super::{Console, Failure};

/// How often `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Moves the cursor home and clears what is below.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Show nodes, ring, partitions, leaders, sizes and versions
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum status
  gitstratum status --watch
  gitstratum status -o json")]
pub(crate) struct StatusArgs {
    /// Look again every second, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

impl StatusArgs {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let first = picture(console).await?;
        if !self.watch {
            return console.write(&first);
        }
        show(console, &first)?;
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::of_system),
            ended = watch(console) => ended,
        }
    }
}

/// Looks again and again; a system that is away for a while is waited for.
async fn watch(console: &Console) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        match picture(console).await {
            Ok(text) => show(console, &text)?,
            Err(Failure::PipeClosed) => return Err(Failure::PipeClosed),
            Err(failure) => {
                failure.report(&mut io::stderr());
            }
        }
    }
}

async fn picture(console: &Console) -> Result<String, Failure> {
    let status = Status::ask(&console.connect().await?).await?;
    Ok(status::text(&status, console.format, console.clock.wall())?)
}

/// On a terminal a picture takes the place of the last one; elsewhere it follows it.
fn show(console: &Console, text: &str) -> Result<(), Failure> {
    match console.format {
        Format::Table | Format::Wide if io::stdout().is_terminal() => {
            console.write(&format!("{CLEAR}{text}"))
        }
        Format::Yaml => console.write(&format!("---\n{text}")),
        Format::Table | Format::Wide | Format::Json => console.write(&format!("{text}\n")),
    }
}
