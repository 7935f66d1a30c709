use std::convert::Infallible;

use bytes::Bytes;
use gitstratum_core::ErrorKind;
use gitstratum_proto::bulk::KIND_HEADER;
use http::StatusCode;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::Response;

use crate::error::Error;

pub(super) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// A good answer of one piece.
pub(super) fn whole(bytes: Vec<u8>) -> Response<AnswerBody> {
    Response::new(Full::new(Bytes::from(bytes)).boxed_unsync())
}

/// The one translation of an error into a status (house §7).
pub(super) fn refusal(error: &Error) -> Response<AnswerBody> {
    let kind = error.kind();
    let mut response = whole(error.to_string().into_bytes());
    *response.status_mut() = match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Corrupt => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let word = http::HeaderValue::from_static(kind.as_str());
    response.headers_mut().insert(KIND_HEADER, word);
    response
}
