use clap::Args;
use gitstratum_proto::control::v1 as wire;

use super::{Console, Failure};

/// Where to look when a grant, a user or what is granted is not there.
const LOOK: &str = "see `gitstratum grants`, `gitstratum user list` and `gitstratum repo list`";

/// Who, what, where: for `grant` and `revoke`.
#[derive(Args, Debug)]
#[command(after_help = "\
Roles, each with all before it:
  read      fetch
  write     push; on the default branch neither forced nor deleting
  maintain  that too, and ref rules
  admin     settings and grants

Examples:
  gitstratum grant ada write team/engine
  gitstratum grant ada admin team
  gitstratum revoke ada write team/engine")]
pub(crate) struct GrantArgs {
    /// The user's name
    user: String,
    /// The role
    #[arg(value_parser = ["read", "write", "maintain", "admin"])]
    role: String,
    /// A repository, or all of an owner's
    #[arg(value_name = "OWNER[/NAME]")]
    subject: String,
}

/// Show who may do what
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum grants
  gitstratum grants team/engine")]
pub(crate) struct GrantsArgs {
    /// Only on this repository, or owner
    #[arg(value_name = "OWNER[/NAME]", default_value = "", hide_default_value = true)]
    subject: String,
}

impl GrantArgs {
    pub(super) async fn grant(self, console: &Console) -> Result<(), Failure> {
        let done = format!("{} has role {} on {}", self.user, self.role, self.subject);
        let granted = console.connect().await?.grant(self.request()).await;
        granted.map_err(look)?;
        console.done(&done)
    }

    pub(super) async fn revoke(self, console: &Console) -> Result<(), Failure> {
        let done = format!("{} has not role {} on {} any more", self.user, self.role, self.subject);
        let revoked = console.connect().await?.revoke(self.request()).await;
        revoked.map_err(look)?;
        console.done(&done)
    }

    fn request(self) -> wire::GrantRequest {
        wire::GrantRequest { user: self.user, role: self.role, subject: self.subject }
    }
}

impl GrantsArgs {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let found = console.connect().await?.grants(&self.subject).await.map_err(look)?;
        console.list(&found)
    }
}

fn look(error: gitstratum_ctl::Error) -> Failure {
    Failure::from(error).or_look(LOOK)
}
