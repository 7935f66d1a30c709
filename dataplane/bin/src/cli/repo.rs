use clap::{Args, Subcommand};
use gitstratum_core::{RepoId, RepoPath};
use gitstratum_ctl::rpc::Listed;
use gitstratum_proto::control::v1 as wire;

use super::{Console, Failure};

/// Where to look when a repository is not there.
const LOOK: &str = "`gitstratum repo list` shows those that you may see";

/// What can be done with repositories.
#[derive(Debug, Subcommand)]
pub(crate) enum RepoVerb {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Set(SetArgs),
    Rename(RenameArgs),
    Delete(DeleteArgs),
    Undelete(UndeleteArgs),
}

/// Make a repository
///
/// Returns once pushes to it work. A user may make repositories under the own name, and under
/// every owner whose admin the user is; a cluster admin under any.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum repo create team/engine
  gitstratum repo create team/site --public --default-branch trunk
  gitstratum repo create team/new --object-format sha256 --if-not-exists")]
pub(crate) struct CreateArgs {
    /// OWNER/NAME
    #[arg(value_parser = RepoPath::parse, value_name = "OWNER/NAME")]
    path: RepoPath,
    /// Which hash names objects, for ever
    #[arg(long, value_name = "FORMAT", value_parser = ["sha1", "sha256"], default_value = "sha1")]
    object_format: String,
    /// Branch that HEAD points at
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    default_branch: String,
    /// Everybody may fetch
    #[arg(long)]
    public: bool,
    /// One line for people
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// A repository that is there already is as good as a new one
    #[arg(long)]
    if_not_exists: bool,
}

/// List the repositories that you may see
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum repo list
  gitstratum repo list --owner team -o json
  gitstratum repo list --deleted -o wide")]
pub(crate) struct ListArgs {
    /// Only those of this owner
    #[arg(long)]
    owner: Option<String>,
    /// Those that are deleted and can be brought back
    #[arg(long)]
    deleted: bool,
}

/// Show one repository
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum repo show team/engine -o yaml")]
pub(crate) struct ShowArgs {
    /// OWNER/NAME
    #[arg(value_parser = RepoPath::parse, value_name = "OWNER/NAME")]
    path: RepoPath,
}

/// Change settings of a repository
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum repo set team/engine --default-branch trunk
  gitstratum repo set team/engine --private --description 'turns fuel into motion'")]
pub(crate) struct SetArgs {
    /// OWNER/NAME
    #[arg(value_parser = RepoPath::parse, value_name = "OWNER/NAME")]
    path: RepoPath,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Settings {
    /// Branch that HEAD points at until the first push
    #[arg(long, value_name = "BRANCH")]
    default_branch: Option<String>,
    /// Everybody may fetch
    #[arg(long, conflicts_with = "private")]
    public: bool,
    /// Only who has a role may fetch
    #[arg(long)]
    private: bool,
    /// One line for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Give a repository another path
///
/// The old path is free for others soon after.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum repo rename team/engine team/motor")]
pub(crate) struct RenameArgs {
    /// What it is called now
    #[arg(value_parser = RepoPath::parse, value_name = "OWNER/NAME")]
    path: RepoPath,
    /// What it shall be called
    #[arg(value_parser = RepoPath::parse, value_name = "NEW-OWNER/NEW-NAME")]
    new_path: RepoPath,
}

/// Delete a repository
///
/// It can be brought back with `repo undelete`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum repo delete team/engine")]
pub(crate) struct DeleteArgs {
    /// OWNER/NAME
    #[arg(value_parser = RepoPath::parse, value_name = "OWNER/NAME")]
    path: RepoPath,
}

/// Bring a deleted repository back
///
/// Without --id it is the one that was deleted last at that path.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum repo undelete team/engine
  gitstratum repo undelete team/engine-2 --id 0001000000000007")]
pub(crate) struct UndeleteArgs {
    /// Where it shall be
    #[arg(value_parser = RepoPath::parse, value_name = "OWNER/NAME")]
    path: RepoPath,
    /// Which one, as `repo list --deleted -o wide` shows it
    #[arg(long, value_parser = parse_id)]
    id: Option<RepoId>,
}

fn parse_id(text: &str) -> Result<RepoId, &'static str> {
    RepoId::parse(text).ok_or("a repository id has 16 hex digits")
}

impl RepoVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let done = match self {
            Self::Create(args) => args.run(console).await,
            Self::List(args) => args.run(console).await,
            Self::Show(args) => args.run(console).await,
            Self::Set(args) => args.run(console).await,
            Self::Rename(args) => args.run(console).await,
            Self::Delete(args) => args.run(console).await,
            Self::Undelete(args) => args.run(console).await,
        };
        done.map_err(|failure| failure.or_look(LOOK))
    }
}

impl CreateArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let request = wire::CreateRepositoryRequest {
            path: self.path.to_string(),
            object_format: if self.object_format == "sha256" { 2 } else { 1 },
            default_branch: self.default_branch,
            public: self.public,
            if_not_exists: self.if_not_exists,
            description: self.description,
        };
        let made = console.connect().await?.create_repository(request).await?;
        console.changed(&made, &format!("repository {} is ready", made.path))
    }
}

impl ListArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let listed = Listed { owner: self.owner, deleted: self.deleted };
        let found = console.connect().await?.repositories(&listed).await?;
        console.list(&found)
    }
}

impl ShowArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let found = console.connect().await?.repository(&self.path).await?;
        console.one(&found)
    }
}

impl SetArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let Settings { default_branch, public, private, description } = self.settings;
        let public = (public || private).then_some(public);
        let path = self.path.to_string();
        let request = wire::SetRepositoryRequest { path, default_branch, public, description };
        let set = console.connect().await?.set_repository(request).await?;
        console.changed(&set, &format!("repository {} is changed", set.path))
    }
}

impl RenameArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let (path, new_path) = (self.path.to_string(), self.new_path.to_string());
        let request = wire::RenameRepositoryRequest { path, new_path };
        let renamed = console.connect().await?.rename_repository(request).await?;
        console.changed(&renamed, &format!("repository {} is now {}", self.path, renamed.path))
    }
}

impl DeleteArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let deleted = console.connect().await?.delete_repository(&self.path).await?;
        let done = format!("repository {} is deleted; its id is {}", self.path, deleted.id);
        console.changed(&deleted, &done)
    }
}

impl UndeleteArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let id = self.id.map_or(0, |id| id.0);
        let request = wire::UndeleteRepositoryRequest { id, path: self.path.to_string() };
        let back = console.connect().await?.undelete_repository(request).await?;
        console.changed(&back, &format!("repository {} is back", back.path))
    }
}
