use clap::{Args, Subcommand};

use super::{Console, Failure};

/// Where to look when a setting is not there.
const LOOK: &str = "`gitstratum config get` and `gitstratum flag list` show all";

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    Get(GetArgs),
    Set(SetArgs),
}

/// Show the settings of the cluster, or one of them
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum config get
  gitstratum config get nodeDownAfter -o json")]
pub(crate) struct GetArgs {
    /// Only this one
    key: Option<String>,
}

/// Change a setting of the cluster, everywhere
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum config set nodeDownAfter 30s")]
pub(crate) struct SetArgs {
    /// Its name
    key: String,
    /// Its value
    value: String,
}

/// What can be done with flags.
#[derive(Debug, Subcommand)]
pub(crate) enum FlagVerb {
    List(ListArgs),
    Set(SetFlagArgs),
}

/// List the flags of the cluster
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum flag list")]
pub(crate) struct ListArgs {}

/// Turn a flag on or off, everywhere
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum flag set autoRebalance off")]
pub(crate) struct SetFlagArgs {
    /// Its name
    name: String,
    /// on or off
    #[arg(value_parser = ["on", "off"])]
    value: String,
}

impl ConfigVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let done = match self {
            Self::Get(args) => args.run(console).await,
            Self::Set(args) => args.run(console).await,
        };
        done.map_err(|failure| failure.or_look(LOOK))
    }
}

impl FlagVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let connection = console.connect().await?;
        let done = match self {
            Self::List(ListArgs {}) => console.list(&connection.flags().await?),
            Self::Set(SetFlagArgs { name, value }) => {
                match connection.set_flag(&name, &value).await {
                    Ok(set) => console.changed(&set, &format!("flag {name} is {value}")),
                    Err(error) => Err(error.into()),
                }
            }
        };
        done.map_err(|failure| failure.or_look(LOOK))
    }
}

impl GetArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let settings = console.connect().await?.settings().await?;
        let Some(key) = self.key else { return console.list(&settings) };
        match settings.iter().find(|setting| setting.key == key) {
            Some(setting) => console.one(setting),
            None => Err(Failure::missing(format!("setting `{key}` does not exist"))),
        }
    }
}

impl SetArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let set = console.connect().await?.set_setting(&self.key, &self.value).await?;
        console.changed(&set, &format!("{} is {}", set.key, set.value))
    }
}
