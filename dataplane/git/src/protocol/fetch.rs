//! What a fetch asks for, whichever protocol version carried it.

mod deepen;
mod draft;
mod filter;

pub use deepen::Deepen;
pub(super) use draft::Draft;
pub use filter::{Filter, FilterError};

use gitstratum_core::ObjectId;

use crate::pktline::SideBand;

/// A client's request for a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// The ids it wants, each once, in the order asked. Nothing says that they exist
    /// or may be seen.
    pub wants: Vec<ObjectId>,
    /// The ids it says it has, in the order told.
    pub haves: Vec<ObjectId>,
    /// `have` lines beyond the limit, which are not in `haves`.
    pub haves_ignored: usize,
    /// It has said all: the pack is to follow whatever is common.
    pub done: bool,
    /// It wants acknowledgments and no pack before it says `done`, even when the
    /// server is ready (`git fetch --negotiate-only`).
    pub wait_for_done: bool,
    /// How the pack is to be made.
    pub shape: Shape,
    /// How the response is multiplexed.
    pub side_band: SideBand,
    /// Whether it wants to read about progress.
    pub progress: bool,
}

/// What decides, besides wants and haves, which objects a pack holds and how they
/// are encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Deltas may rest on objects that the client has.
    pub thin_pack: bool,
    /// Deltas may name their base by offset.
    pub ofs_delta: bool,
    /// Annotated tags of sent objects are to be sent along.
    pub include_tag: bool,
    /// The commits where the client's history is cut.
    pub shallow: Vec<ObjectId>,
    /// Where its history is to be cut from now on.
    pub deepen: Option<Deepen>,
    /// Which objects are left out.
    pub filter: Option<Filter>,
}

/// Whether what is common suffices to make a good pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// The client should go on telling what it has.
    MoreHaves,
    /// Everything wanted reaches something common.
    Ready,
}

impl Fetch {
    /// Whether a v2 response begins with acknowledgments: the client told what it
    /// has and did not say that it was done.
    pub fn negotiates(&self) -> bool {
        !self.done && !self.haves.is_empty()
    }
}

impl Shape {
    /// Whether a v2 response has a `shallow-info` section, possibly an empty one.
    pub fn has_shallow_info(&self) -> bool {
        self.deepen.is_some() || !self.shallow.is_empty()
    }
}
