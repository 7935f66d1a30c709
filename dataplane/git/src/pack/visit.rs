use std::ops::ControlFlow;

use gitstratum_core::{ObjectId, ObjectKind};

/// One object of a pack, as the resolver shows it.
#[derive(Clone, Copy, Debug)]
pub struct Visited<'a> {
    /// Position of its entry.
    pub ordinal: u32,
    /// Its id.
    pub id: &'a ObjectId,
    /// Its kind.
    pub kind: ObjectKind,
    /// Bytes of its content.
    pub size: u64,
    /// Its content, when it is at hand.
    pub content: Content<'a>,
}

/// The content of a visited object.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// All of it: always so for commits, trees and tags.
    Whole(&'a [u8]),
    /// A blob that was hashed without being held; a [`Reader`](super::Reader)
    /// gets it.
    Streamed,
}

impl<'a> Content<'a> {
    /// The content, if it is at hand.
    pub const fn whole(self) -> Option<&'a [u8]> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Streamed => None,
        }
    }
}

/// Sees every object of a pack once, a later copy of an object too (under its
/// own ordinal), in an order that is the resolver's own.
pub trait Visitor {
    /// Takes one object. `Break` ends the resolving with
    /// [`Error::Stopped`](super::Error::Stopped): a refusal, or a push given up.
    fn visit(&mut self, object: &Visited<'_>) -> ControlFlow<()>;
}

impl<F: FnMut(&Visited<'_>) -> ControlFlow<()>> Visitor for F {
    fn visit(&mut self, object: &Visited<'_>) -> ControlFlow<()> {
        self(object)
    }
}
