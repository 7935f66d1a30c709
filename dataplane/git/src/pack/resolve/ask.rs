use gitstratum_core::ObjectId;

use crate::pack::bases::DeltaChildren;
use crate::pack::{EntryList, Error};

/// Base ids asked for at once.
const PAGE_LEN: usize = 1024;

/// Asks, page by page, for the bases of deltas that nothing in the pack resolves.
///
/// Which of them lie outside the pack and which rest, in the end, on one that
/// does, or on themselves (bad input 49), cannot be told: so all are asked for,
/// and a whole round without any use means that the first is missing.
#[derive(Default)]
pub(super) struct Questions {
    cursor: usize,
    /// Whether a base of this round resolved something.
    pub(super) progressed: bool,
}

impl Questions {
    /// The next page. There must be an unresolved entry.
    pub(super) fn next(
        &mut self,
        children: &DeltaChildren,
        entries: &EntryList,
    ) -> Result<Vec<ObjectId>, Error> {
        let page = self.page(children, entries);
        if !page.is_empty() {
            return Ok(page);
        }
        let progressed = std::mem::take(&mut self.progressed);
        self.cursor = 0;
        let page = self.page(children, entries);
        match page.first() {
            Some(_) if progressed => Ok(page),
            Some(id) => Err(Error::MissingBase { id: *id }),
            // Each unresolved delta rests, by distances, on one that names its base by id.
            None => Err(Error::Unfinished { left: children.ids_len() }),
        }
    }

    fn page(&mut self, children: &DeltaChildren, entries: &EntryList) -> Vec<ObjectId> {
        let mut page: Vec<ObjectId> = Vec::new();
        while self.cursor < children.ids_len() && page.len() < PAGE_LEN {
            let (base, delta) = children.nth_by_id(self.cursor);
            self.cursor += 1;
            let is_new = page.last().is_none_or(|last| last.as_bytes() != base);
            if entries.kind(delta).is_none() && is_new {
                page.extend(ObjectId::from_slice(base));
            }
        }
        page
    }
}
