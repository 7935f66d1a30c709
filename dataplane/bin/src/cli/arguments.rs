use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gitstratum_ctl::output::Format;

use super::audit::AuditArgs;
use super::check::CheckArgs;
use super::cluster::ClusterVerb;
use super::credential::CredentialArgs;
use super::grant::{GrantArgs, GrantsArgs};
use super::login::LoginArgs;
use super::maintenance::{CompactArgs, GcArgs};
use super::node::NodeVerb;
use super::rebalance::RebalanceVerb;
use super::repo::RepoVerb;
use super::ring::RingVerb;
use super::role_args::{ControlArgs, FrontendArgs, MetadataArgs, ObjectArgs};
use super::setting::{ConfigVerb, FlagVerb};
use super::status::StatusArgs;
use super::token::TokenVerb;
use super::up_args::UpOptions;
use super::user::UserVerb;
use super::{Console, Failure};

const EXAMPLES: &str = "\
Examples:
  gitstratum up                          the whole system, here
  gitstratum repo create team/engine     a repository
  gitstratum user create ada             a user
  gitstratum grant ada write team/engine
  gitstratum token create ada --scope write
  gitstratum status                      how everything is
  gitstratum node list                   how the nodes are
  gitstratum check                       whether all stored data is sound

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not reachable, 4 damage found by `check`.
`gitstratum VERB --help` explains a verb.";

/// Git hosting for fleets of build machines
///
/// `up` runs the system; every other verb asks one that runs: the `up` on this machine, found by its
/// data directory, or the control plane that --server names.
#[derive(Debug, Parser)]
#[command(name = "gitstratum", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Command {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Global {
    /// Ask the control plane at this address, over TLS
    #[arg(long, global = true, value_name = "HOST:9090", env = "GITSTRATUM_SERVER")]
    #[arg(hide_env_values = true)]
    pub(crate) server: Option<String>,

    /// Certificates to believe the server by [default: the system's]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// File with the access token [env: GITSTRATUM_TOKEN, the token itself]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Data directory of `gitstratum up` on this machine [default: ./gitstratum-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// How to write the answer
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value = "table")]
    pub(crate) output: OutputFormat,

    /// Write only names in lists, nothing when a change is done
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// What `-o` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    #[default]
    Table,
    Wide,
    Json,
    Yaml,
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Table => Self::Table,
            OutputFormat::Wide => Self::Wide,
            OutputFormat::Json => Self::Json,
            OutputFormat::Yaml => Self::Yaml,
        }
    }
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Up(UpOptions),
    /// Make, show and change repositories
    #[command(subcommand)]
    Repo(RepoVerb),
    /// Make, show and delete users, and their SSH keys
    #[command(subcommand)]
    User(UserVerb),
    /// Make, show and revoke access tokens
    #[command(subcommand)]
    Token(TokenVerb),
    /// Give a user a role in a repository, or in all of an owner's
    Grant(GrantArgs),
    /// Take a role away
    Revoke(GrantArgs),
    Grants(GrantsArgs),
    Status(StatusArgs),
    /// Show, empty, remove, stop and start nodes
    #[command(subcommand)]
    Node(NodeVerb),
    /// Show who owns how much of everything, and what a change would move
    #[command(subcommand)]
    Ring(RingVerb),
    /// Nodes on their way into the ring or out of it
    #[command(subcommand)]
    Rebalance(RebalanceVerb),
    /// Show and change settings of the cluster
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Show and change flags of the cluster
    #[command(subcommand)]
    Flag(FlagVerb),
    Check(CheckArgs),
    Compact(CompactArgs),
    Gc(GcArgs),
    /// Bring a lost control plane back
    #[command(subcommand)]
    Cluster(ClusterVerb),
    Audit(AuditArgs),
    Login(LoginArgs),
    Credential(CredentialArgs),
    Control(ControlArgs),
    Frontend(FrontendArgs),
    Metadata(MetadataArgs),
    Object(ObjectArgs),
}

impl Verb {
    /// Does it; `up` is not done here, it is the system itself.
    pub(crate) async fn run(self, mut console: Console) -> Result<ExitCode, Failure> {
        let console = &mut console;
        match self {
            Self::Up(_)
            | Self::Control(_)
            | Self::Frontend(_)
            | Self::Metadata(_)
            | Self::Object(_) => {
                return Err(Failure::failed("this is no verb that asks a running system"));
            }
            Self::Repo(verb) => verb.run(console).await?,
            Self::User(verb) => verb.run(console).await?,
            Self::Token(verb) => verb.run(console).await?,
            Self::Grant(args) => args.grant(console).await?,
            Self::Revoke(args) => args.revoke(console).await?,
            Self::Grants(args) => args.run(console).await?,
            Self::Status(args) => args.run(console).await?,
            Self::Node(verb) => verb.run(console).await?,
            Self::Ring(verb) => verb.run(console).await?,
            Self::Rebalance(verb) => verb.run(console).await?,
            Self::Config(verb) => verb.run(console).await?,
            Self::Flag(verb) => verb.run(console).await?,
            Self::Check(args) => return args.run(console).await,
            Self::Compact(args) => return args.run(console).await,
            Self::Gc(args) => return args.run(console).await,
            Self::Cluster(verb) => verb.run(console).await?,
            Self::Audit(args) => args.run(console).await?,
            Self::Login(args) => args.run(console).await?,
            Self::Credential(args) => args.run(console)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
