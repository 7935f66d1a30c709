use std::io;
use std::process::ExitCode;

use gitstratum_core::ErrorKind;
use gitstratum_ctl::text::printable;
use gitstratum_ctl::{Error, Exit};
use gitstratum_process::failpoint::PlanError;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A reason for the user, in one line, perhaps with a hint what to do.
    Told {
        /// How the program ends.
        exit: Exit,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
        /// Whether something that was named is not there.
        is_missing: bool,
    },
    /// Who read our output has gone: nobody is left to be told.
    PipeClosed,
}

impl Failure {
    /// Something wrong with what was typed.
    pub(crate) fn usage(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::told(Exit::Usage, reason.into(), Some(hint.into()))
    }

    /// A failure without a hint.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::told(Exit::Failed, reason.into(), None)
    }

    /// Something that was named is not there.
    pub(crate) fn missing(reason: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Failed, reason: reason.into(), hint: None, is_missing: true }
    }

    /// The whole system could not start, or ended badly.
    pub(crate) fn of_up(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }

    /// The operating system would not give what every program needs.
    pub(crate) fn of_system(error: io::Error) -> Self {
        Self::failed(format!("start: {error}"))
    }

    /// What a crash test plans cannot happen here.
    pub(crate) fn of_failpoints(error: PlanError) -> Self {
        Self::failed(format!("GITSTRATUM_FAILPOINTS: {error}"))
    }

    fn told(exit: Exit, reason: String, hint: Option<String>) -> Self {
        Self::Told { exit, reason, hint, is_missing: false }
    }

    /// Says where to look, when what was named is not there and nothing better is known.
    pub(crate) fn or_look(self, look: &str) -> Self {
        match self {
            Self::Told { exit, reason, hint: None, is_missing: true } => {
                let hint = Some(look.to_owned());
                Self::Told { exit, reason, hint, is_missing: true }
            }
            other => other,
        }
    }

    /// Tells the user, and says how the program ends. Whoever closed the pipe has what they
    /// wanted: that is no failure.
    pub(crate) fn report(&self, errors: &mut dyn io::Write) -> ExitCode {
        let Self::Told { exit, reason, hint, .. } = self else { return ExitCode::SUCCESS };
        let mut text = format!("error: {}\n", printable(reason));
        if let Some(hint) = hint {
            text.push_str(&format!("hint: {}\n", printable(hint)));
        }
        // Where even this cannot be written the exit code still tells.
        drop(errors.write_all(text.as_bytes()));
        ExitCode::from(exit.code())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let is_missing = matches!(error, Error::Refused { kind: ErrorKind::NotFound, .. });
        let (exit, hint) = (error.exit(), error.hint());
        Self::Told { exit, reason: error.to_string(), hint, is_missing }
    }
}

/// Failures of writing the output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::failed(format!("write the answer: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failure: &Failure) -> String {
        let mut errors = Vec::new();
        failure.report(&mut errors);
        String::from_utf8(errors).unwrap()
    }

    #[test]
    fn a_reason_is_one_line_and_then_a_hint() {
        let failure = Failure::usage("two\nlines", "do this");
        assert_eq!(report(&failure), "error: two\\u{a}lines\nhint: do this\n");
        assert_eq!(report(&Failure::failed("why")), "error: why\n");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(report(&failure), "");
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(report(&full).starts_with("error: write the answer"));
    }

    #[test]
    fn only_what_is_missing_is_looked_for() {
        let refused = |kind| {
            let error = Error::Refused { kind, message: "no".to_owned() };
            report(&Failure::from(error).or_look("look here"))
        };
        assert_eq!(refused(ErrorKind::NotFound), "error: no\nhint: look here\n");
        assert_eq!(refused(ErrorKind::Conflict), "error: no\n");
        assert!(refused(ErrorKind::Denied).contains("grants"));
    }
}
