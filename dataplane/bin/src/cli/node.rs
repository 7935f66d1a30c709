use clap::{Args, Subcommand};
use gitstratum_core::NodeId;
use gitstratum_ctl::rpc::supervisor;

use super::{Console, Failure};

/// Where to look when a node is not there.
const LOOK: &str = "`gitstratum status` shows the nodes";

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    Stop(StopArgs),
    Start(StartArgs),
}

/// Stop a node of the `up` on this machine
///
/// It finishes what is open and hands over what it leads. It stays down, also when it would be
/// started again after a crash, until `node start` or the next `up`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum node stop 0001000000000002")]
pub(crate) struct StopArgs {
    /// Its id, as `status` shows it
    #[arg(value_parser = parse)]
    node: NodeId,
}

/// Start a node that was stopped, and wait until it is ready
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum node start 0001000000000002")]
pub(crate) struct StartArgs {
    /// Its id, as `status` shows it
    #[arg(value_parser = parse)]
    node: NodeId,
}

fn parse(text: &str) -> Result<NodeId, &'static str> {
    NodeId::parse(text).ok_or("a node's id is 16 hexadecimal digits, as `status` shows it")
}

impl NodeVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let done = match self {
            Self::Stop(args) => args.run(console).await,
            Self::Start(args) => args.run(console).await,
        };
        done.map_err(|failure| failure.or_look(LOOK))
    }
}

impl StopArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        supervisor::stop_node(&console.options.data, self.node).await?;
        console.done(&format!("node {} is stopped; `gitstratum node start` starts it", self.node))
    }
}

impl StartArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        supervisor::start_node(&console.options.data, self.node).await?;
        console.done(&format!("node {} is ready", self.node))
    }
}
