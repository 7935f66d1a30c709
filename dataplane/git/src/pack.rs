//! Packs: checked while they arrive, resolved, linked, marked, and written.
//!
//! The way of an incoming pack: [`Scanner`] takes the stream as it comes and
//! finds every entry's border (S1); [`Resolver`] reads the spooled bytes again,
//! resolves the deltas and shows each object to a [`Visitor`] (S17);
//! [`Links`] gathers what the objects refer to (S16); [`mark_strays`] finds what
//! the tips do not reach (S8). [`Writer`] makes outgoing packs of copied entries.
//!
//! Everything here is synchronous and does no input or output of its own: the
//! spool is a [`ByteSource`], and all memory is bounded by [`Limits`].

mod bases;
mod entries;
pub mod entry;
mod error;
mod inflate;
mod limits;
mod links;
mod mark;
mod reader;
mod resolve;
mod resolved;
mod scan;
mod source;
mod visit;
mod writer;

pub use entries::{EntryList, ScannedEntry, ScannedKind};
pub use entry::{EntryKind, Header};
pub use error::Error;
pub use limits::Limits;
pub use links::{LinkError, Linked, Links, Reference};
pub use mark::{MarkError, mark_strays};
pub use reader::{ReadFrom, Reader};
pub use resolve::{ExternalBase, Resolver, Step};
pub use resolved::{BaseRef, Resolved, ResolvedObject};
pub use scan::{Scanned, Scanner};
pub use source::{BaseSource, ByteSource, NoBases};
pub use visit::{Content, Visited, Visitor};
pub use writer::{Deflate, WriteError, Writer};

/// Bytes of a pack's header: magic, version, count.
pub const PACK_HEADER_LEN: usize = 12;

#[cfg(test)]
mod tests;
