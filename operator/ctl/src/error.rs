use std::io;
use std::path::PathBuf;
use std::time::Duration;

use gitstratum_core::ErrorKind;

/// How the program ends: what scripts look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Refused or failed.
    Failed,
    /// Wrong usage.
    Usage,
    /// What was to be asked could not be reached.
    Unreachable,
    /// Stored data is damaged.
    Damage,
}

impl Exit {
    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Damage => 4,
        }
    }
}

/// Why a verb did not do what was asked. Its text is the one line that people see.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `up` left its traces in the data directory.
    #[error("no `gitstratum up` runs on {}", .0.display())]
    NotRunning(PathBuf),
    /// Nothing there watches over several nodes.
    #[error("no `gitstratum up` with several nodes runs on {}", .0.display())]
    NoSupervisor(PathBuf),
    /// No connection, or it broke.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// What was to be reached.
        place: String,
        /// Why it was not.
        reason: String,
    },
    /// No answer in time; what was asked may have been done.
    #[error("{place} gave no answer within {}", humantime::format_duration(*.within))]
    Silent {
        /// What was asked.
        place: String,
        /// How long was waited.
        within: Duration,
    },
    /// Nobody to be: neither file nor environment holds a token.
    #[error("no token was given for {0}")]
    NoToken(String),
    /// What stands there is no token.
    #[error("{0} does not hold an access token")]
    TokenShape(String),
    /// A file that is needed does not read.
    #[error("read {what} {}: {source}", .path.display())]
    Read {
        /// What the file is.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is needed does not make sense.
    #[error("{what} {} {problem}", .path.display())]
    Malformed {
        /// What the file is.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An argument that cannot be.
    #[error("{what} `{value}` {problem}")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// As it was given.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The credential is not accepted.
    #[error("{0}")]
    NotSignedIn(String),
    /// The other side said no.
    #[error("{message}")]
    Refused {
        /// What kind of no.
        kind: ErrorKind,
        /// In its words.
        message: String,
    },
    /// The control plane has lost its state on all its voters (S45).
    #[error("{0}")]
    ControlPlaneLost(String),
    /// The other side does not offer the service.
    #[error("{0} does not offer this")]
    NotOffered(String),
    /// The other side's answer breaks the protocol.
    #[error("answer of {place} is wrong: {problem}")]
    Answer {
        /// Who answered.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// An answer could not be written down in the asked format.
    #[error("shape the answer: {0}")]
    Shape(String),
}

impl Error {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRunning(_)
            | Self::NoSupervisor(_)
            | Self::Unreachable { .. }
            | Self::Silent { .. } => ErrorKind::Unavailable,
            Self::NoToken(_)
            | Self::TokenShape(_)
            | Self::Read { .. }
            | Self::Malformed { .. }
            | Self::Argument { .. }
            | Self::NotOffered(_) => ErrorKind::Invalid,
            Self::NotSignedIn(_) => ErrorKind::Denied,
            Self::Refused { kind, .. } => *kind,
            Self::ControlPlaneLost(_) => ErrorKind::Conflict,
            Self::Answer { .. } | Self::Shape(_) => ErrorKind::Bug,
        }
    }

    /// How the program ends because of it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NotRunning(_)
            | Self::NoSupervisor(_)
            | Self::Unreachable { .. }
            | Self::Silent { .. } => Exit::Unreachable,
            Self::NoToken(_) | Self::Argument { .. } => Exit::Usage,
            Self::TokenShape(_)
            | Self::Read { .. }
            | Self::Malformed { .. }
            | Self::NotSignedIn(_)
            | Self::Refused { .. }
            | Self::ControlPlaneLost(_)
            | Self::NotOffered(_)
            | Self::Answer { .. }
            | Self::Shape(_) => Exit::Failed,
        }
    }

    /// What to do about it, if there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotRunning(data) => format!(
                "start it with `gitstratum up --data {}`, or name another with --data or --server",
                data.display()
            ),
            Self::NoSupervisor(_) => {
                "single nodes are stopped where `gitstratum up --nodes 3` runs; see --data"
                    .to_owned()
            }
            Self::Unreachable { .. } => "is it running? see --server and --data".to_owned(),
            Self::Silent { .. } => {
                "it may have been done all the same: look before asking again".to_owned()
            }
            Self::NoToken(_) => {
                "give --token-file FILE, or the token in GITSTRATUM_TOKEN".to_owned()
            }
            Self::TokenShape(_) => {
                "a token begins with gst_; `gitstratum token create` makes one".to_owned()
            }
            Self::NotSignedIn(_) => {
                "the token is unknown, revoked or expired; give another with --token-file"
                    .to_owned()
            }
            Self::NotOffered(_) => {
                "run this on the machine of the node, with --data instead of --server".to_owned()
            }
            Self::ControlPlaneLost(_) => {
                "`gitstratum cluster recover --dry-run` shows what can be brought back".to_owned()
            }
            Self::Refused { kind, .. } => return refusal_hint(*kind).map(str::to_owned),
            Self::Answer { .. } | Self::Shape(_) => BUG_HINT.to_owned(),
            Self::Read { .. } | Self::Malformed { .. } | Self::Argument { .. } => return None,
        })
    }
}

const BUG_HINT: &str = "this is a fault in the program: please report it";

const fn refusal_hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Denied => Some("`gitstratum grants` shows who may do what"),
        ErrorKind::Busy | ErrorKind::Unavailable => Some("try again in a moment"),
        ErrorKind::Corrupt => Some("stored data is damaged: run `gitstratum check`"),
        ErrorKind::Bug => Some(BUG_HINT),
        ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Invalid => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_that_scripts_rely_on() {
        let place = || "control plane".to_owned();
        let refused = |kind| Error::Refused { kind, message: "no".to_owned() };
        for (error, code) in [
            (refused(ErrorKind::NotFound), 1),
            (refused(ErrorKind::Unavailable), 1),
            (Error::NotSignedIn("token is not known".to_owned()), 1),
            (Error::NoToken(place()), 2),
            (Error::NotRunning("x".into()), 3),
            (Error::Unreachable { place: place(), reason: "refused".to_owned() }, 3),
            (Error::Silent { place: place(), within: Duration::from_secs(1) }, 3),
        ] {
            assert_eq!(error.exit().code(), code, "{error}");
        }
        assert_eq!((Exit::Done.code(), Exit::Damage.code()), (0, 4));
    }

    #[test]
    fn a_silent_place_is_not_said_to_have_done_nothing() {
        let error = Error::Silent { place: "it".to_owned(), within: Duration::from_secs(30) };
        assert_eq!(error.to_string(), "it gave no answer within 30s");
        assert!(error.hint().is_some_and(|hint| hint.contains("may have been done")));
    }
}
