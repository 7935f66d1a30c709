use std::fs;
use std::io::{self, Read as _};

use clap::{Args, Subcommand};
use gitstratum_ctl::Connection;
use gitstratum_ctl::user::{is_fingerprint, parse_key_file};
use gitstratum_proto::control::v1 as wire;

use super::{Console, Failure};

/// Where to look when a user is not there.
const LOOK: &str = "`gitstratum user list` shows those that you may see";
/// Most bytes of a key file that are read.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// The name of standard input.
const STDIN: &str = "-";

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserVerb {
    Create(CreateArgs),
    List(ListArgs),
    Show(NameArgs),
    Delete(DeleteArgs),
    /// Add, list and remove SSH keys of a user
    #[command(subcommand)]
    Key(KeyVerb),
}

/// Make a user
///
/// The user is admin of the owner with the same name, and may do nothing else until granted.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum user create ada --email ada@example.org")]
pub(crate) struct CreateArgs {
    /// What the user is called
    name: String,
    /// Address for people to write to
    #[arg(long, default_value = "", hide_default_value = true)]
    email: String,
}

/// List the users that you may see
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum user list -o json")]
pub(crate) struct ListArgs {}

/// Show one user
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum user show ada -o yaml")]
pub(crate) struct NameArgs {
    /// The user's name
    name: String,
}

/// Delete a user, with keys, tokens and grants
///
/// Repositories under the user's name stay. There is no way back.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum user delete ada")]
pub(crate) struct DeleteArgs {
    /// The user's name
    name: String,
}

/// What can be done with SSH keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    Add(AddArgs),
    List(KeysArgs),
    Remove(RemoveArgs),
}

/// Give a user an SSH key
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum user key add ada ~/.ssh/id_ed25519.pub
  ssh-add -L | head -1 | gitstratum user key add ada -")]
pub(crate) struct AddArgs {
    /// The user's name
    name: String,
    /// File with the public key; - is standard input
    #[arg(default_value = STDIN)]
    file: String,
}

/// List the SSH keys of a user
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gitstratum user key list ada")]
pub(crate) struct KeysArgs {
    /// The user's name
    name: String,
}

/// Take an SSH key from a user
///
/// Who is connected with it is cut off within seconds.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum user key remove ada SHA256:wNS3…
  gitstratum user key remove ada ~/.ssh/id_ed25519.pub")]
pub(crate) struct RemoveArgs {
    /// The user's name
    name: String,
    /// Fingerprint, or file with the public key; - is standard input
    #[arg(value_name = "FINGERPRINT|FILE", default_value = STDIN)]
    key: String,
}

impl UserVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let done = match self {
            Self::Create(args) => args.run(console).await,
            Self::List(ListArgs {}) => list(console).await,
            Self::Show(args) => args.run(console).await,
            Self::Delete(args) => args.run(console).await,
            Self::Key(KeyVerb::Add(args)) => args.run(console).await,
            Self::Key(KeyVerb::List(args)) => args.run(console).await,
            Self::Key(KeyVerb::Remove(args)) => args.run(console).await,
        };
        done.map_err(|failure| failure.or_look(LOOK))
    }
}

impl CreateArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let request = wire::CreateUserRequest { name: self.name, email: self.email };
        let made = console.connect().await?.create_user(request).await?;
        console.changed(&made, &format!("user {} is ready", made.name))
    }
}

async fn list(console: &Console) -> Result<(), Failure> {
    let found = console.connect().await?.users().await?;
    console.list(&found)
}

impl NameArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let found = console.connect().await?.user(&self.name).await?;
        console.one(&found)
    }
}

impl DeleteArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        console.connect().await?.delete_user(&self.name).await?;
        console.done(&format!("user {} is deleted", self.name))
    }
}

impl AddArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let public_key = read_key(&self.file)?;
        let request = wire::AddKeyRequest { user: self.name.clone(), public_key };
        let key = console.connect().await?.add_key(request).await?;
        console.changed(&key, &format!("key {} signs in as {}", key.fingerprint, self.name))
    }
}

impl KeysArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let user = console.connect().await?.user(&self.name).await?;
        console.list(&user.keys)
    }
}

impl RemoveArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        let wanted = if is_fingerprint(&self.key) { self.key } else { read_key(&self.key)? };
        let connection = console.connect().await?;
        let fingerprint = find_key(&connection, &self.name, &wanted).await?;
        let done = format!("key {fingerprint} does not sign in any more");
        let request = wire::RemoveKeyRequest { user: self.name, fingerprint };
        connection.remove_key(request).await?;
        console.done(&done)
    }
}

async fn find_key(connection: &Connection, name: &str, wanted: &str) -> Result<String, Failure> {
    let user = connection.user(name).await?;
    let found = user.fingerprint_of(wanted).map(str::to_owned);
    found.ok_or_else(|| Failure::failed(format!("user `{name}` has no such key")))
}

fn read_key(file: &str) -> Result<String, Failure> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        match file {
            STDIN => io::stdin().lock().take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?,
            path => fs::File::open(path)?.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?,
        };
        Ok(text)
    };
    let text = read().map_err(|error| Failure::failed(format!("read key file {file}: {error}")))?;
    Ok(parse_key_file(file, &text)?)
}
