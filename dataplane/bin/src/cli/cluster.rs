use clap::{Args, Subcommand};
use gitstratum_ctl::recovery::{self, Report};

use super::{Console, Failure};

/// What can be done with the cluster as a whole.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    Recover(RecoverArgs),
}

/// Bring back a control plane that has lost its state on all its nodes
///
/// Directory, users, keys, tokens, grants, settings and layout come back as the nodes were told of
/// them last, and as the partitions know their repositories. It is refused while any node of the
/// control plane may have the state still. Git is served meanwhile, and afterwards as before.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum cluster recover --dry-run
  gitstratum cluster recover")]
pub(crate) struct RecoverArgs {
    /// Only show what would be brought back
    #[arg(long)]
    dry_run: bool,
}

impl ClusterVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        match self {
            Self::Recover(args) => args.run(console).await,
        }
    }
}

impl RecoverArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = console.connect().await?;
        let found = recovery::find(&connection).await?;
        if self.dry_run {
            return show(console, &found.report);
        }
        let report = recovery::recover(&connection, found).await?;
        show(console, &report)?;
        console.remark(&format!("the control plane is back, generation {}", report.generation));
        Ok(())
    }
}

fn show(console: &Console, report: &Report) -> Result<(), Failure> {
    console.one(report)?;
    report.notes.iter().for_each(|note| console.remark(note));
    Ok(())
}
