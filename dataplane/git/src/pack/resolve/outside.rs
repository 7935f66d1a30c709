use bytes::Bytes;
use gitstratum_core::{ObjectId, ObjectKind};

use crate::pack::ByteSource;

/// A delta base from outside the pack.
#[derive(Clone, Debug)]
pub struct ExternalBase {
    /// Its id.
    pub id: ObjectId,
    /// Its kind.
    pub kind: ObjectKind,
    /// Its content. Checked against the id.
    pub content: Bytes,
}

/// What the resolver reads besides its own state.
#[derive(Clone, Copy)]
pub(super) struct Outside<'a> {
    pub(super) source: &'a dyn ByteSource,
    pub(super) base: Option<&'a ExternalBase>,
}

impl<'a> Outside<'a> {
    pub(super) fn base_content(self) -> &'a [u8] {
        self.base.map_or(&[], |base| &base.content)
    }
}
