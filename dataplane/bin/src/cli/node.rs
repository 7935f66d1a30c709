mod token;

use clap::{Args, Subcommand};
use gitstratum_core::NodeId;
use gitstratum_ctl::Connection;
use gitstratum_ctl::node::{Node, Row, find};
use gitstratum_ctl::rpc::supervisor;
use gitstratum_proto::control::v1 as wire;

use super::{Console, Failure};
use token::JoinTokenVerb;

/// Where to look when a node is not there.
const LOOK: &str = "`gitstratum node list` shows the nodes; the last digits of an id are enough";

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    List(ListArgs),
    Show(ShowArgs),
    Drain(DrainArgs),
    Undrain(UndrainArgs),
    Remove(RemoveArgs),
    Stop(StopArgs),
    Start(StartArgs),
    /// Replace the token by which nodes join
    #[command(subcommand)]
    Token(JoinTokenVerb),
}

/// List the nodes: how they are, since when, and what they hold
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum node list
  gitstratum node list -o wide")]
pub(crate) struct ListArgs {
    /// Those too that were removed
    #[arg(long)]
    all: bool,
    /// As any node of the control plane knows them, even if none leads: it may be old
    #[arg(long)]
    stale: bool,
}

/// Show one node
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum node show 0001000000000002")]
pub(crate) struct ShowArgs {
    /// Its id, or so many of its last digits that no other node has them
    node: String,
}

/// Empty an object node
///
/// No new segments go there, other voters lead the partitions that it should lead, and what it
/// holds moves to other nodes. It goes on serving until then. `rebalance status` shows how far it
/// is; `node undrain` takes it back.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum node drain 0001000000000004")]
pub(crate) struct DrainArgs {
    /// Its id, or so many of its last digits that no other node has them
    node: String,
}

/// Let a node that was being emptied take segments again
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum node undrain 0001000000000004")]
pub(crate) struct UndrainArgs {
    /// Its id, or so many of its last digits that no other node has them
    node: String,
}

/// Take a node out for good that was emptied
///
/// It is done when every partition says that nothing names the node any more. Its id is never used
/// again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum node remove 0001000000000004
  gitstratum node remove 0001000000000004 --accept-loss")]
pub(crate) struct RemoveArgs {
    /// Its id, or so many of its last digits that no other node has them
    node: String,
    /// Give segments up that are on no other node: what they hold is lost
    #[arg(long)]
    accept_loss: bool,
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
            Self::List(args) => args.run(console).await,
            Self::Show(args) => args.run(console).await,
            Self::Drain(args) => args.run(console).await,
            Self::Undrain(args) => args.run(console).await,
            Self::Remove(args) => args.run(console).await,
            Self::Stop(args) => args.run(console).await,
            Self::Start(args) => args.run(console).await,
            Self::Token(verb) => verb.run(console).await,
        };
        done.map_err(|failure| failure.or_look(LOOK))
    }
}

impl ListArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = match self.stale {
            true => console.connect_stale().await?,
            false => console.connect().await?,
        };
        let nodes = connection.nodes().await?;
        let is_wanted = |node: &Node| self.all || node.state != "removed";
        let rows: Vec<Row> =
            nodes.into_iter().filter(is_wanted).map(|node| row(console, node)).collect();
        console.list(&rows)
    }
}

impl ShowArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let node = named(&console.connect().await?, &self.node).await?;
        console.one(&row(console, node))
    }
}

impl DrainArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = console.connect().await?;
        let node = named(&connection, &self.node).await?;
        let node = connection.drain_node(node.id()).await?;
        let done = format!("node {} is being emptied", node.id);
        console.changed(&row(console, node), &done)
    }
}

impl UndrainArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = console.connect().await?;
        let node = named(&connection, &self.node).await?;
        let node = connection.undrain_node(node.id()).await?;
        let done = format!("node {} takes segments again", node.id);
        console.changed(&row(console, node), &done)
    }
}

impl RemoveArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = console.connect().await?;
        let node = named(&connection, &self.node).await?.id().0;
        let request = wire::RemoveNodeRequest { node, accept_loss: self.accept_loss };
        let node = connection.remove_node(request).await?;
        let done = format!("node {} is gone for good", node.id);
        console.changed(&row(console, node), &done)
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

/// The node that `text` names.
pub(super) async fn named(connection: &Connection, text: &str) -> Result<Node, Failure> {
    Ok(find(&connection.nodes().await?, text)?.clone())
}

fn row(console: &Console, node: Node) -> Row {
    Row { node, now: console.clock.wall() }
}
