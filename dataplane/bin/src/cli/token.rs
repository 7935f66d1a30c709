use std::time::Duration;

use clap::{Args, Subcommand};
use gitstratum_core::RepoPath;
use gitstratum_ctl::moment::parse_lifetime;
use gitstratum_ctl::output;
use gitstratum_ctl::token::Scope;
use gitstratum_proto::control::v1 as wire;

use super::{Console, Failure};

/// Where to look when a token is not there.
const LOOK: &str = "`gitstratum token list USER` shows a user's tokens";

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    Create(CreateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Make an access token, and print it
///
/// It is printed once and kept nowhere: what is stored is its hash. The token allows what the scope
/// says and the user may do, whichever is less.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum token create ada --scope write --repo team/engine --expires 30d
  gitstratum token create ci -q > token.txt")]
pub(crate) struct CreateArgs {
    /// Whose token it is
    user: String,
    /// What it allows: fetch; fetch and push; these and administration
    #[arg(long, value_parser = ["read", "write", "admin"], default_value = "read")]
    scope: String,
    /// Limit it to this repository; can be given several times
    #[arg(long = "repo", value_name = "OWNER/NAME", value_parser = RepoPath::parse)]
    repositories: Vec<RepoPath>,
    /// When it ends, from now: 30d, 12h [default: never]
    #[arg(long, value_name = "SPAN", value_parser = parse_lifetime)]
    expires: Option<Duration>,
}

/// List the tokens of a user, without their secrets
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum token list ada")]
pub(crate) struct ListArgs {
    /// Whose tokens [default: your own]
    user: Option<String>,
}

/// End a token
///
/// Who is connected with it is cut off within seconds.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum token revoke 5f1d9a0c44e2b710")]
pub(crate) struct RevokeArgs {
    /// Its id, as `token list` shows it
    id: String,
}

impl TokenVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let done = match self {
            Self::Create(args) => args.run(console).await,
            Self::List(args) => args.run(console).await,
            Self::Revoke(args) => args.run(console).await,
        };
        done.map_err(|failure| failure.or_look(LOOK))
    }
}

impl CreateArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let request = wire::CreateTokenRequest {
            user: self.user,
            scope: scope(&self.scope).to_wire(),
            repositories: self.repositories.iter().map(ToString::to_string).collect(),
            lifetime_seconds: self.expires.map_or(0, |span| span.as_secs()),
        };
        let made = console.connect().await?.create_token(request).await?;
        if console.is_for_people() || console.is_quiet() {
            console.write(&format!("{}\n", made.token))?;
            console.remark(&format!("token {} is not shown again", made.record.id));
            return Ok(());
        }
        console.write(&output::document(&made, console.format)?)
    }
}

fn scope(word: &str) -> Scope {
    match word {
        "admin" => Scope::Admin,
        "write" => Scope::Write,
        _ => Scope::Read,
    }
}

impl ListArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = console.connect().await?;
        let user = match self.user {
            Some(user) => user,
            None => connection.who_am_i().await?.name,
        };
        console.list(&connection.tokens(&user).await?)
    }
}

impl RevokeArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        console.connect().await?.revoke_token(&self.id).await?;
        console.done(&format!("token {} is revoked", self.id))
    }
}
