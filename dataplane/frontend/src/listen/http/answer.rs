use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::ErrorKind;
use gitstratum_process::RequestId;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPIRES, HeaderMap, HeaderName, HeaderValue,
    PRAGMA, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde_json::json;

use super::body::{Body, Streamed};
use super::route::Refusal;
use crate::Error;
use crate::commands::{Phase, Program};

const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"gitstratum\"");
/// When a client that was told "busy" is to come back.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Who reads the words of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Git, which shows plain text to its user.
    Git,
    /// Any other client: JSON.
    Program,
}

impl Reader {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        if agent.starts_with(b"git/") { Self::Git } else { Self::Program }
    }
}

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    words: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// Credentials are missing or not good. Nobody is told which, nor whether there is
    /// such a repository.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "log in with an access token as password")
            .with(WWW_AUTHENTICATE, CHALLENGE)
    }

    /// Too many bad credentials came from the client's address.
    pub(super) fn too_many_failures(retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many failed logins; try again later")
            .retry_after(retry_after)
            .with(CONNECTION, HeaderValue::from_static("close"))
    }

    /// The server's part of a request went wrong without words.
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// The request is none of ours.
    pub(super) fn refusal(refusal: Refusal) -> Self {
        let (status, words) = match refusal {
            Refusal::BadPath => (StatusCode::BAD_REQUEST, "bad path"),
            Refusal::NoRoute => (StatusCode::NOT_FOUND, "there is nothing here"),
            Refusal::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            Refusal::Dumb => {
                (StatusCode::FORBIDDEN, "the dumb http protocol is not served; use a newer git")
            }
            Refusal::Service => (StatusCode::FORBIDDEN, "no such service"),
            Refusal::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong content type"),
            Refusal::Coding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the only content encoding taken is gzip")
            }
        };
        let failure = Self::new(status, words);
        match refusal {
            Refusal::Method { allow } => failure.with(ALLOW, HeaderValue::from_static(allow)),
            Refusal::BadPath
            | Refusal::NoRoute
            | Refusal::Dumb
            | Refusal::Service
            | Refusal::MediaType
            | Refusal::Coding => failure,
        }
    }

    /// A command failed before it sent a byte.
    pub(super) fn of(error: &Error) -> Self {
        let failure = Self::new(status(error), error.to_string());
        match error.kind() {
            ErrorKind::Busy | ErrorKind::Unavailable => failure.retry_after(BUSY_RETRY),
            ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Denied
            | ErrorKind::Corrupt
            | ErrorKind::Invalid
            | ErrorKind::Bug => failure,
        }
    }

    /// The response, in words for `reader`.
    pub(super) fn response(self, reader: Reader, request: RequestId) -> Response<Body> {
        let (media_type, body) = match reader {
            Reader::Git => ("text/plain; charset=utf-8", format!("{}\n", self.words)),
            Reader::Program => {
                let body = json!({ "error": self.words, "request_id": request.to_string() });
                ("application/json", body.to_string())
            }
        };
        let mut response = Response::new(Body::Whole(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.extend(self.headers);
        uncached(headers);
        response
    }
}

/// The one place where a failure becomes an HTTP status.
fn status(error: &Error) -> StatusCode {
    if error.is_too_large() {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    if error.is_idle() {
        return StatusCode::REQUEST_TIMEOUT;
    }
    match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Busy | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt | ErrorKind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer of git's own kind, with what the command sends.
pub(super) fn success(program: Program, phase: Phase, body: Option<Streamed>) -> Response<Body> {
    let ending = match phase {
        Phase::Advertise => "advertisement",
        Phase::Whole | Phase::Serve => "result",
    };
    let media_type = format!("application/x-{}-{ending}", program.as_str());
    let body = body.map_or(Body::Whole(Bytes::new()), Body::Streamed);
    let mut response = Response::new(body);
    let value = HeaderValue::try_from(media_type);
    let value = value.expect("because the names of programs are plain ascii");
    response.headers_mut().insert(CONTENT_TYPE, value);
    uncached(response.headers_mut());
    response
}

/// Nothing here may be kept by caches on the way; the words are those of stock git.
fn uncached(headers: &mut HeaderMap) {
    headers.insert(EXPIRES, HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    let control = HeaderValue::from_static("no-cache, max-age=0, must-revalidate");
    headers.insert(CACHE_CONTROL, control);
}
