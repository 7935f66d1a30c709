//! What a client may ask of a repository, whatever carried the request.
//!
//! A command that returns an [`Error`] has not told the client: its caller does, once
//! (an `ERR` packet or an HTTP status). A command that has told the client itself (a
//! report with `ng`, last words on band 3) returns a [`Served`] that holds the failure.

pub(crate) mod fetch;
pub(crate) mod receive_pack;

use crate::Error;
use crate::metric_names::Operation;

/// How much of an exchange one request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// SSH: the advertisement and all that follows.
    Whole,
    /// HTTP, `info/refs`: the advertisement alone.
    Advertise,
    /// HTTP, the POST: what follows the advertisement.
    Serve,
}

/// What a command did, for the request log and the metrics.
#[derive(Debug)]
pub(crate) struct Served {
    /// Which command it was.
    pub operation: Operation,
    /// Why it failed, when the client has been told already.
    pub failure: Option<Error>,
    /// Objects sent or received.
    pub objects: u64,
    /// Refs listed or changed.
    pub refs: u64,
}

impl Served {
    /// A command that did what was asked.
    pub(crate) const fn new(operation: Operation) -> Self {
        Self { operation, failure: None, objects: 0, refs: 0 }
    }

    /// A command that failed and has told the client so.
    pub(crate) const fn failed(operation: Operation, failure: Error) -> Self {
        Self { operation, failure: Some(failure), objects: 0, refs: 0 }
    }
}
