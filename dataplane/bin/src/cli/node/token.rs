use std::path::PathBuf;

use clap::{Args, Subcommand};
use gitstratum_core::Token;
use gitstratum_ctl::output;
use gitstratum_store::SystemFiles;
use serde::Serialize;

use super::super::{Console, Failure};
use crate::up::{join_token_file, replace_join_token};

/// What can be done with the token by which nodes enrol.
#[derive(Debug, Subcommand)]
pub(crate) enum JoinTokenVerb {
    Rotate(RotateArgs),
}

/// Replace the token by which nodes join: the one before lets nobody in any more
///
/// Nodes that have joined are not affected: they go by their certificates. On the machine of `up` the
/// new token is written to `join.token` in its data directory; elsewhere it is printed once, to be put
/// in the first line of the file that `join.tokenFile` names.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gitstratum node token rotate
  gitstratum node token rotate --server cp.example.org -q > token.txt")]
pub(crate) struct RotateArgs {}

/// The new token.
#[derive(Serialize)]
struct Rotated {
    token: String,
    /// What it was written to; absent: to nothing.
    file: Option<PathBuf>,
}

impl JoinTokenVerb {
    pub(super) async fn run(self, console: &Console) -> Result<(), Failure> {
        match self {
            Self::Rotate(args) => args.run(console).await,
        }
    }
}

impl RotateArgs {
    async fn run(self, console: &Console) -> Result<(), Failure> {
        // Before anything changes: what could not be written down afterwards is not begun.
        let file = local_file(console)?;
        let token = console.connect().await?.rotate_join_token().await?;
        let written = file
            .as_ref()
            .map_or(Ok(()), |file| replace_join_token(SystemFiles::new().as_ref(), file, &token));
        match (written, file) {
            (Ok(()), Some(file)) if console.is_for_people() || console.is_quiet() => console
                .done(&format!("the join token is replaced; {} holds the new one", file.display())),
            (Ok(()), file) => show(console, &token, file),
            // Nothing else has it.
            (Err(error), _) => {
                show(console, &token, None)?;
                Err(Failure::failed(format!(
                    "the join token is replaced, but not its file: {error:#}"
                )))
            }
        }
    }
}

/// The file of the `up` that is asked, if it is on this machine.
fn local_file(console: &Console) -> Result<Option<PathBuf>, Failure> {
    if console.options.server.is_some() {
        return Ok(None);
    }
    join_token_file(SystemFiles::new().as_ref(), &console.options.data).map_err(Failure::of_up)
}

fn show(console: &Console, token: &Token, file: Option<PathBuf>) -> Result<(), Failure> {
    let token = token.expose().to_owned();
    if console.is_for_people() || console.is_quiet() {
        console.write(&format!("{token}\n"))?;
        console.remark("the token is not shown again");
        return Ok(());
    }
    console.write(&output::document(&Rotated { token, file }, console.format)?)
}
