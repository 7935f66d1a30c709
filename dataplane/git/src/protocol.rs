//! The conversations of Git's wire protocol, as the server sees them: what a client
//! may ask (v0, v1, v2 of `upload-pack`, and `receive-pack`) and the bytes that
//! answer it. Packets go in, requests come out; answers are appended to a buffer.
//!
//! **Invariant**: a request that comes out is complete, within its limits and uses
//! nothing that was not advertised. **Absence**: no refs, no objects and no grants:
//! whether an id exists or may be seen is decided elsewhere.

pub mod capabilities;
mod error;
mod excerpt;
mod fetch;
mod limits;
mod line;
pub mod receive_pack;
pub mod v0;
pub mod v2;
mod version;

pub use error::Error;
pub use excerpt::Excerpt;
pub use fetch::{Deepen, Fetch, Filter, FilterError, Readiness, Shape};
pub use limits::Limits;
pub use version::Version;

use gitstratum_core::{ObjectId, RefName};

/// Whether client and server talk over one connection or each request stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// One connection carries the whole conversation (SSH).
    Stateful,
    /// Every request repeats what came before (HTTP).
    Stateless,
}

/// What follows an answer to haves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// The sections that come with a pack, and the pack.
    Pack,
    /// More packets of the client in the same conversation (v0 and v1, stateful).
    MoreHaves,
    /// Nothing: the response ends here, complete.
    EndOfResponse,
}

/// A ref as it is shown to a client.
#[derive(Clone, Copy, Debug)]
pub struct AdvertisedRef<'a> {
    /// Its name, or `HEAD`.
    pub name: &'a RefName,
    /// What it points at.
    pub id: ObjectId,
    /// What an annotated tag at `id` finally points at.
    pub peeled: Option<ObjectId>,
    /// The ref that it stands for, if it is symbolic.
    pub symref_target: Option<&'a RefName>,
}

#[cfg(test)]
mod tests;
