use clap::{Args, Subcommand};
use gitstratum_core::NodeId;
use gitstratum_ctl::Connection;

use super::node::named;
use super::{Console, Failure};

/// What can be seen of the ring.
#[derive(Debug, Subcommand)]
pub(crate) enum RingVerb {
    Show(ShowArgs),
    Plan(PlanArgs),
}

/// Show who owns how much of everything
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum ring show")]
pub(crate) struct ShowArgs {
    /// As any node of the control plane knows it, even if none leads: its epoch says how old it is
    #[arg(long)]
    stale: bool,
}

/// Show what a change of the ring would move, without making it
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum ring plan --add 0001000000000004
  gitstratum ring plan --remove 0001000000000002")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    change: Change,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Change {
    /// A node that would come in; can be given several times
    #[arg(long, value_name = "NODE")]
    add: Vec<String>,
    /// A node that would leave; can be given several times
    #[arg(long, value_name = "NODE")]
    remove: Vec<String>,
}

impl RingVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        match self {
            Self::Show(args) => args.run(console).await,
            Self::Plan(args) => args.run(console).await,
        }
    }
}

impl ShowArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = match self.stale {
            true => console.connect_stale().await?,
            false => console.connect().await?,
        };
        console.write(&connection.ring().await?.text(console.format)?)
    }
}

impl PlanArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = console.connect().await?;
        let add = ids(&connection, &self.change.add).await?;
        let remove = ids(&connection, &self.change.remove).await?;
        let plan = connection.plan_ring(&add, &remove).await?;
        console.write(&plan.text(console.format)?)
    }
}

async fn ids(connection: &Connection, names: &[String]) -> Result<Vec<NodeId>, Failure> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        ids.push(named(connection, name).await?.id());
    }
    Ok(ids)
}
