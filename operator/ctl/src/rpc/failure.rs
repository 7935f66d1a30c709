//! A status of the other side as an error of ours.

use std::error::Error as StdError;

use gitstratum_client::grpc;
use tonic::{Code, Status};

use crate::Error;
use crate::text::printable;

/// What `status`, of a call to `place`, says. A status with a source was made on this side:
/// the connection failed, and the other side said nothing.
pub(super) fn of(place: &str, status: &Status) -> Error {
    if let Some(source) = status.source() {
        return Error::Unreachable { place: place.to_owned(), reason: chain(source) };
    }
    let message = message(status);
    let condition = status.metadata().get(grpc::CONDITION);
    if condition.is_some_and(|condition| condition == grpc::CONTROL_PLANE_LOST) {
        return Error::ControlPlaneLost(message);
    }
    match status.code() {
        Code::Unauthenticated => Error::NotSignedIn(message),
        Code::Unimplemented => Error::NotOffered(place.to_owned()),
        _ => Error::Refused { kind: grpc::kind(status), message },
    }
}

fn message(status: &Status) -> String {
    match status.message().trim() {
        "" => status.code().description().to_owned(),
        text => printable(text),
    }
}

/// Most causes that are told of one failure.
const CAUSES_MAX: usize = 8;

/// An error with its causes, on one line, each said once.
pub(super) fn chain(error: &dyn StdError) -> String {
    let (mut told, mut next): (Vec<String>, _) = (Vec::new(), Some(error));
    for _ in 0..CAUSES_MAX {
        let Some(cause) = next else { break };
        let words = printable(&cause.to_string());
        if !told.iter().any(|before| before.contains(&words)) {
            told.push(words);
        }
        next = cause.source();
    }
    told.join(": ")
}

#[cfg(test)]
mod tests {
    use gitstratum_core::ErrorKind;

    use super::*;

    #[test]
    fn what_the_other_side_says_is_told_from_what_the_connection_does() {
        let said = of("it", &Status::unavailable("no leader"));
        assert!(matches!(said, Error::Refused { kind: ErrorKind::Unavailable, .. }), "{said}");
        let broken = std::io::Error::new(std::io::ErrorKind::BrokenPipe, "broken");
        let failed = of("it", &Status::from_error(Box::new(broken)));
        assert_eq!(failed.to_string(), "it cannot be reached: broken");
        assert!(matches!(of("it", &Status::unauthenticated("x")), Error::NotSignedIn(_)));
        assert!(matches!(of("it", &Status::unimplemented("x")), Error::NotOffered(_)));
    }

    #[test]
    fn messages_are_one_harmless_line() {
        let error = of("it", &Status::not_found("a\n\u{1b}[2Jb"));
        assert_eq!(error.to_string(), "a\\u{a}\\u{1b}[2Jb");
        let silent = of("it", &Status::not_found(""));
        assert_eq!(silent.to_string(), Code::NotFound.description());
    }
}
