use std::time::Duration;

use clap::Args;
use gitstratum_core::UnixMillis;
use gitstratum_ctl::Connection;
use gitstratum_ctl::audit::Reader;
use gitstratum_ctl::moment::parse_since;

use super::{Console, Failure};

/// How often `--follow` looks.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Show who did what: administration, pushes, refusals
///
/// Lines of the control plane and of all partitions, oldest first. With -o json every line is a JSON
/// document of its own, with -o yaml a YAML document.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum audit --since 1h
  gitstratum audit --since 2026-01-31 -o json
  gitstratum audit --follow")]
pub(crate) struct AuditArgs {
    /// From when: a span before now (1h, 7d), a day, or an RFC 3339 time [default: all that is kept]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Go on with new lines, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

impl AuditArgs {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let now = console.clock.wall();
        let since = self.since.as_deref().map(|text| parse_since(text, now)).transpose()?;
        let mut reader = Reader::new(since.unwrap_or(UnixMillis(0)));
        let connection = console.connect().await?;
        show(console, &connection, &mut reader).await?;
        if !reader.has_partitions() {
            console.remark("only the control plane's lines: pushes are shown on a node's machine");
        }
        if !self.follow {
            return match reader.lost() {
                [] => Ok(()),
                lost => Err(Failure::failed(lost.join("; "))),
            };
        }
        reader.lost().iter().for_each(|lost| console.remark(lost));
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::of_system),
            ended = follow(console, &connection, &mut reader) => ended,
        }
    }
}

async fn follow(
    console: &Console,
    connection: &Connection,
    reader: &mut Reader,
) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        show(console, connection, reader).await?;
    }
}

async fn show(
    console: &Console,
    connection: &Connection,
    reader: &mut Reader,
) -> Result<(), Failure> {
    let mut merge = reader.open(connection).await?;
    while let Some(line) = merge.next().await? {
        console.write(&line.text(console.format)?)?;
    }
    Ok(())
}
