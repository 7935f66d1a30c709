//! How the program ends when there is no command to run: help and version were asked for, or
//! the usage is wrong.

use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use gitstratum_ctl::Exit;

use super::Failure;

/// Verbs of later versions: they are not in the help, and who types one is told so.
const LATER: &[&str] = &["limit", "agent"];

/// Prints what `error` has to say and gives the exit code.
pub(super) fn end(error: &clap::Error) -> ExitCode {
    if let Some(verb) = later_verb(error) {
        let failure = Failure::usage(
            format!("`gitstratum {verb}` is not in this version"),
            "`gitstratum --help` shows what is",
        );
        return failure.report(&mut io::stderr());
    }
    // Help into a closed pipe is no failure either.
    drop(error.print());
    if error.use_stderr() { ExitCode::from(Exit::Usage.code()) } else { ExitCode::SUCCESS }
}

fn later_verb(error: &clap::Error) -> Option<&str> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(verb)) if LATER.contains(&verb.as_str()) => Some(verb),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Command;

    #[test]
    fn verbs_of_later_versions_are_told_from_typing_errors() {
        let parse = |verb: &str| Command::try_parse_from(["gitstratum", verb]);
        for verb in LATER {
            let error = parse(verb).err().unwrap();
            assert_eq!(later_verb(&error), Some(*verb));
        }
        assert_eq!(later_verb(&parse("repoo").err().unwrap()), None);
        assert_eq!(later_verb(&parse("--help").err().unwrap()), None);
    }

    #[test]
    fn verbs_of_later_versions_are_not_in_the_help() {
        let command = Command::command();
        let shown: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert!(shown.iter().all(|name| !LATER.contains(name)), "{shown:?}");
    }
}
