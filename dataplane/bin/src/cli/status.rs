use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use gitstratum_ctl::output::Format;
use gitstratum_ctl::status::{self, Status, Whole};

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
  gitstratum status --wait --timeout 300
  gitstratum status -o json")]
pub(crate) struct StatusArgs {
    /// Look again every second, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// Wait until all that was acknowledged by now is with every voter and has all its copies, as the
    /// leaders among the nodes of `up` say
    #[arg(long, conflicts_with = "watch")]
    wait: bool,
    /// Seconds that `--wait` waits at most
    #[arg(long, value_name = "SECONDS", requires = "wait", default_value_t = 60)]
    timeout: u64,
}

impl StatusArgs {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        if self.wait {
            return wait(console, Duration::from_secs(self.timeout)).await;
        }
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

/// Looks until nothing is missing, and shows that; what is missing last when the time is up.
async fn wait(console: &Console, within: Duration) -> Result<(), Failure> {
    let (mut whole, mut last) = (Whole::default(), None);
    let waiting = async {
        // A system that is not there at all is told at once; later it may be away for a while.
        let mut connection = console.connect().await?;
        loop {
            let lacks = match Status::ask(&connection).await {
                Ok(asked) => {
                    let led = connection.confirmed_partitions().await;
                    let lacks = whole.lacks(&asked, &led);
                    if lacks.is_empty() {
                        let text = status::text(&asked, console.format, console.clock.wall())?;
                        return console.write(&text);
                    }
                    lacks
                }
                Err(error) => vec![error.to_string()],
            };
            last = Some(lacks);
            tokio::time::sleep(WATCH_INTERVAL).await;
            if let Ok(again) = console.connect().await {
                connection = again;
            }
        }
    };
    let waited = tokio::time::timeout(within, waiting).await;
    waited.unwrap_or_else(|_| Err(late(within, last.unwrap_or_default())))
}

fn late(within: Duration, lacks: Vec<String>) -> Failure {
    let first = lacks.first().map_or("nothing answered", String::as_str);
    let others = match lacks.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let reason = format!("not all in place within {} s: {first}{others}", within.as_secs());
    Failure::failed(reason)
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
