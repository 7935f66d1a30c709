use clap::Args;
use gitstratum_core::Token;
use gitstratum_ctl::Connection;
use gitstratum_ctl::access::{Access, Secret};
use gitstratum_ctl::endpoint::Endpoint;

use super::credential::{ANY_USER, Entry, Origin, Store};
use super::{Console, Failure, terminal};

/// Store a token for a Git server
///
/// Asks for the token on the terminal, without showing it, or reads it from standard input. It is
/// tried where that is possible: at the control plane that --server names, or at the `gitstratum up`
/// on this machine. `gitstratum credential` then gives it to Git.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum login https://git.example.org
  gitstratum login http://ada@127.0.0.1:8080/team/engine.git < token.txt")]
pub(crate) struct LoginArgs {
    /// Address of the server or of a repository on it, over HTTP(S)
    #[arg(value_name = "GIT-URL")]
    url: String,
}

impl LoginArgs {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        let (origin, user) = Origin::parse(&self.url).ok_or_else(|| self.no_http())?;
        let store = Store::open(&console.environment)?.ok_or_else(|| {
            Failure::failed("neither HOME nor XDG_CONFIG_HOME says where to store it")
        })?;
        let token = ask_token(&origin)?;
        let known = who(console, &origin, &token).await?;
        let username = known.as_deref().or(user).unwrap_or(ANY_USER).to_owned();
        store.put(&origin, Entry { username, token: token.expose().to_owned() })?;
        console.done(&match known {
            Some(name) => format!("{origin}: signed in as {name}"),
            None => {
                format!("{origin}: stored, but not tried: no control plane of it is known here")
            }
        })?;
        console.remark(&format!("in {}", store.path().display()));
        console.remark(&format!(
            "for Git: git config --global credential.{origin}.helper '!gitstratum credential'"
        ));
        Ok(())
    }

    fn no_http(&self) -> Failure {
        Failure::usage(
            format!("`{}` is no HTTP or HTTPS address", self.url),
            "for SSH, `gitstratum user key add` gives a user a key",
        )
    }
}

fn ask_token(origin: &Origin) -> Result<Secret, Failure> {
    let prompt = format!("Token for {origin}: ");
    let typed = terminal::ask_secret(&prompt)
        .map_err(|error| Failure::failed(format!("read the token: {error}")))?;
    let typed = typed.ok_or_else(|| Failure::failed("no token was given"))?;
    // The text carries a checksum: what was mistyped is noticed before it is sent anywhere.
    Token::parse(&typed).map_err(|_| {
        Failure::from(gitstratum_ctl::Error::TokenShape("what was given".to_owned()))
    })?;
    Ok(Secret::parse("what was given", &typed)?)
}

/// Whose token it is, asked at the control plane of `origin`; none when that is not known.
async fn who(
    console: &Console,
    origin: &Origin,
    token: &Secret,
) -> Result<Option<String>, Failure> {
    let mut options = console.options.clone();
    options.token_file = None;
    options.token = Some(token.clone());
    let is_named = options.server.as_ref().is_some_and(|server| !server.is_empty());
    let serves = |endpoint: Endpoint| endpoint.serves(origin.protocol(), origin.host());
    if !is_named && !Endpoint::read(&options.data)?.is_some_and(serves) {
        return Ok(None);
    }
    let connection = Connection::open(&Access::find(&options)?).await?;
    Ok(Some(connection.who_am_i().await?.name))
}
