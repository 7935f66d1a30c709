use clap::{Args, Subcommand};

use super::{Console, Failure};

/// What can be done about nodes on their way into the ring or out of it.
#[derive(Debug, Subcommand)]
pub(crate) enum RebalanceVerb {
    Status(StatusArgs),
    Start(StartArgs),
    Stop(StopArgs),
}

/// Show which nodes wait to come into the ring, and how far those are that are being emptied
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum rebalance status")]
pub(crate) struct StatusArgs {}

/// Let the nodes that wait come into the ring, and copies move
///
/// Nodes that would move little come in by themselves: see setting `rebalanceApprovalBytes` and
/// flag `autoRebalance`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum rebalance start")]
pub(crate) struct StartArgs {}

/// Hold copies where they are, until `rebalance start`
///
/// Repairs go on, and pushes by the ring as it is. Nodes that are being emptied stay as full as they
/// are.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum rebalance stop")]
pub(crate) struct StopArgs {}

impl RebalanceVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = console.connect().await?;
        let now = console.clock.wall();
        let found = match self {
            Self::Status(StatusArgs {}) => connection.rebalance(now).await?,
            Self::Start(StartArgs {}) => connection.start_rebalance(now).await?,
            Self::Stop(StopArgs {}) => connection.stop_rebalance(now).await?,
        };
        console.write(&found.text(console.format)?)
    }
}
