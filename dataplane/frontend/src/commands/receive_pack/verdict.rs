//! What the partition's answer means, and in which words a client reads it. Pure.

use gitstratum_core::{ErrorKind, RefName};
use gitstratum_proto::metadata::v1::{CommandResult, Refusal, UpdateRefsResponse};

use super::policy::ATOMIC;
use crate::ingest::MISSING;

/// Git's word for a ref that is not where its pusher thinks; where it is, the pusher learns
/// by fetching (bad input 88).
const STALE: &str = "fetch first";

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) words: String,
    pub(super) kind: ErrorKind,
}

/// What the partition made of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Each command, in the order sent, was carried out or refused.
    Judged(Vec<Judged>),
    /// The attempt is closed: what the push was checked against has moved (S15).
    GroundMoved,
    /// The attempt is closed: some segment has too few owners by now (S20, S23).
    CopiesLost,
    /// Nobody can say whether the push was applied (S11).
    Unknown,
}

/// What became of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Carried out, with a word for the client perhaps.
    Done(Option<String>),
    Refused(Reason),
}

impl Outcome {
    /// Reads the answer to a push of the commands named `names`.
    pub(super) fn read(response: &UpdateRefsResponse, names: &[RefName]) -> Self {
        match response.refusal() {
            Refusal::None => judge_each(&response.results, names),
            Refusal::DropCounter => Self::GroundMoved,
            Refusal::UnderQuorum => Self::CopiesLost,
            Refusal::Unknown => Self::Unknown,
            refusal => {
                let refused = Judged::Refused(reason(refusal, &response.message));
                Self::Judged(vec![refused; names.len()])
            }
        }
    }

    /// Whether every command was refused for an object that is missing.
    pub(super) fn is_all_missing(&self) -> bool {
        matches!(self, Self::Judged(all) if !all.is_empty() && all.iter().all(Judged::is_missing))
    }
}

impl Judged {
    /// Whether it was refused for an object that is missing, or may as well be.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(reason) if reason.words == MISSING)
    }
}

/// An answer that does not fit the question leaves the outcome open.
fn judge_each(results: &[CommandResult], names: &[RefName]) -> Outcome {
    let fits = results.len() == names.len()
        && results.iter().zip(names).all(|(result, name)| result.name == name.as_bytes());
    if !fits {
        return Outcome::Unknown;
    }
    Outcome::Judged(results.iter().map(judge).collect())
}

fn judge(result: &CommandResult) -> Judged {
    match result.refusal() {
        Refusal::None => {
            Judged::Done(Some(result.message.clone()).filter(|message| !message.is_empty()))
        }
        refusal => Judged::Refused(reason(refusal, &result.message)),
    }
}

/// The partition's own words where they say more than git has a word for.
fn reason(refusal: Refusal, message: &str) -> Reason {
    let (words, kind, is_fixed) = match refusal {
        Refusal::Stale => (STALE, ErrorKind::Conflict, true),
        Refusal::Atomic => (ATOMIC, ErrorKind::Conflict, true),
        Refusal::MissingObject => (MISSING, ErrorKind::Invalid, true),
        Refusal::NameConflict => {
            ("a ref with a name above or below it exists", ErrorKind::Conflict, false)
        }
        Refusal::Denied => ("you may not do this", ErrorKind::Denied, false),
        Refusal::Policy => ("refused by the server's rules", ErrorKind::Denied, false),
        Refusal::Kind => ("not an object for such a ref", ErrorKind::Invalid, false),
        Refusal::Busy => ("the server is busy; try again later", ErrorKind::Busy, false),
        Refusal::Gone => ("repository not found", ErrorKind::NotFound, false),
        Refusal::None | Refusal::UnderQuorum | Refusal::Unknown | Refusal::DropCounter => {
            ("the server could not take the push; try again", ErrorKind::Unavailable, true)
        }
    };
    let words = if is_fixed || message.is_empty() { words } else { message };
    Reason { words: words.to_owned(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<RefName> {
        (0..count).map(|number| RefName::branch(&format!("b{number}")).unwrap()).collect()
    }

    fn result(number: usize, refusal: Refusal, message: &str) -> CommandResult {
        CommandResult {
            name: names(number + 1)[number].to_bytes(),
            refusal: refusal.into(),
            message: message.to_owned(),
        }
    }

    fn words(outcome: &Outcome) -> Vec<String> {
        let Outcome::Judged(all) = outcome else { panic!("not judged: {outcome:?}") };
        all.iter()
            .map(|judged| match judged {
                Judged::Done(word) => format!("ok {}", word.as_deref().unwrap_or("-")),
                Judged::Refused(reason) => reason.words.clone(),
            })
            .collect()
    }

    #[test]
    fn each_command_has_its_own_verdict() {
        let response = UpdateRefsResponse {
            results: vec![
                result(0, Refusal::None, ""),
                result(1, Refusal::Stale, "the ref is at 1234"),
                result(2, Refusal::NameConflict, "refs/heads/a is in the way"),
                result(3, Refusal::None, "warning: deleting a non-existent ref"),
            ],
            ..UpdateRefsResponse::default()
        };
        let outcome = Outcome::read(&response, &names(4));
        let expected = [
            "ok -",
            STALE,
            "refs/heads/a is in the way",
            "ok warning: deleting a non-existent ref",
        ];
        assert_eq!(words(&outcome), expected);
    }

    #[test]
    fn bad_input_088_a_stale_ref_is_told_without_where_it_is() {
        let response = UpdateRefsResponse {
            results: vec![result(0, Refusal::Stale, "at 1111111111111111111111111111111111111111")],
            ..UpdateRefsResponse::default()
        };
        assert_eq!(words(&Outcome::read(&response, &names(1))), [STALE]);
    }

    #[test]
    fn bad_input_053_and_054_a_missing_object_has_one_text_wherever_it_is_found() {
        let response = UpdateRefsResponse {
            refusal: Refusal::MissingObject.into(),
            message: "object 1234 is not reachable".to_owned(),
            ..UpdateRefsResponse::default()
        };
        let outcome = Outcome::read(&response, &names(2));
        assert_eq!(words(&outcome), [MISSING; 2]);
        assert!(outcome.is_all_missing());
    }

    #[test]
    fn s11_what_is_unknown_or_does_not_fit_is_no_refusal() {
        let unknown = UpdateRefsResponse { refusal: Refusal::Unknown.into(), ..Default::default() };
        assert_eq!(Outcome::read(&unknown, &names(1)), Outcome::Unknown);
        let short = UpdateRefsResponse::default();
        assert_eq!(Outcome::read(&short, &names(1)), Outcome::Unknown);
        let swapped = UpdateRefsResponse { results: vec![result(1, Refusal::None, "")], ..short };
        assert_eq!(Outcome::read(&swapped, &names(1)), Outcome::Unknown);
    }

    #[test]
    fn s15_a_closed_attempt_is_no_verdict() {
        for (refusal, expected) in [
            (Refusal::DropCounter, Outcome::GroundMoved),
            (Refusal::UnderQuorum, Outcome::CopiesLost),
        ] {
            let response = UpdateRefsResponse { refusal: refusal.into(), ..Default::default() };
            assert_eq!(Outcome::read(&response, &names(3)), expected);
        }
    }
}
