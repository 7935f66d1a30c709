//! `upload-pack` of protocol v0 and v1 (gitprotocol-pack): the conversation after the
//! advertisement, which both versions share.

mod answer;
mod capabilities;
mod session;

pub use capabilities::AckMode;
pub use session::{Session, Step};

use bytes::BytesMut;
use gitstratum_core::ObjectId;

use super::v2::shallow_lines;
use crate::pktline::flush;

/// Appends the answer to a request that deepens: where the client's history is to end
/// from now on, and where it ends no more.
pub fn shallow_info(out: &mut BytesMut, shallow: &[ObjectId], unshallow: &[ObjectId]) {
    shallow_lines(out, shallow, unshallow);
    flush(out);
}

#[cfg(test)]
mod tests;
