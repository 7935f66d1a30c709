use gitstratum_core::ObjectKind;

use super::LinkError;
use super::table::IdTable;
use crate::pack::{Limits, Visited};

/// How deep trees lie in trees, and tags on tags, counted inside the pack.
///
/// A tree's depth is known at once if those of its subtrees are; else its
/// references to the others are held until all objects were visited.
pub(super) struct Depths {
    tree_max: u16,
    tag_max: u16,
    links_max: usize,
    /// By number of the id; 0 while it is not known. What is not in the pack
    /// stays 0 and counts as one level.
    known: Vec<u16>,
    waiting: Vec<Waiting>,
    /// References of waiting objects, one run for each.
    links: Vec<u32>,
    deepest_tree: u16,
}

struct Waiting {
    index: u32,
    kind: ObjectKind,
    /// The greatest depth among those it refers to, as far as known.
    inner: u16,
    /// Where its run in `links` starts; it ends where the next one starts.
    start: usize,
}

impl Depths {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            tree_max: limits.tree_depth_max,
            tag_max: limits.tag_depth_max,
            links_max: limits.tree_links_max,
            known: Vec::new(),
            waiting: Vec::new(),
            links: Vec::new(),
            deepest_tree: 0,
        }
    }

    /// One more id is numbered.
    pub(super) fn grow(&mut self) {
        self.known.push(0);
    }

    /// Takes what a tree or a tag holds of its own kind.
    pub(super) fn add(
        &mut self,
        index: u32,
        object: &Visited<'_>,
        inner: impl IntoIterator<Item = u32>,
    ) -> Result<(), LinkError> {
        if self.known[index as usize] != 0 {
            return Ok(());
        }
        let start = self.links.len();
        let mut deepest = 0;
        for link in inner {
            match self.known[link as usize] {
                0 => self.links.push(link),
                depth => deepest = deepest.max(depth),
            }
        }
        if self.links.len() > self.links_max {
            return Err(LinkError::TooMany { limit: self.links_max });
        }
        if self.links.len() > start {
            self.waiting.push(Waiting { index, kind: object.kind, inner: deepest, start });
            return Ok(());
        }
        let (kind, limit) = (object.kind, self.limit(object.kind));
        if deepest >= limit {
            return Err(LinkError::TooDeep { kind, id: *object.id, limit });
        }
        self.set(index, kind, deepest + 1);
        Ok(())
    }

    fn set(&mut self, index: u32, kind: ObjectKind, depth: u16) {
        self.known[index as usize] = depth;
        if kind == ObjectKind::Tree {
            self.deepest_tree = self.deepest_tree.max(depth);
        }
    }

    /// Finds the depths that are still open; the deepest tree's.
    pub(super) fn settle(&mut self, ids: &IdTable) -> Result<u16, LinkError> {
        self.waiting.sort_by_key(|waiting| waiting.start);
        let mut of_index: Vec<(u32, usize)> = self
            .waiting
            .iter()
            .enumerate()
            .map(|(position, waiting)| (waiting.index, position))
            .collect();
        of_index.sort_unstable();
        let mut walk = Walk { depths: self, of_index: &of_index, ids, stack: Vec::new() };
        for (_, position) in &of_index {
            walk.settle_from(*position)?;
        }
        Ok(self.deepest_tree)
    }

    fn limit(&self, kind: ObjectKind) -> u16 {
        if kind == ObjectKind::Tag { self.tag_max } else { self.tree_max }
    }

    fn run(&self, position: usize) -> std::ops::Range<usize> {
        let end = self.waiting.get(position + 1).map_or(self.links.len(), |next| next.start);
        self.waiting[position].start..end
    }
}

/// A walk down the open references, without recursion.
struct Walk<'a> {
    depths: &'a mut Depths,
    of_index: &'a [(u32, usize)],
    ids: &'a IdTable,
    stack: Vec<Step>,
}

struct Step {
    position: usize,
    next: usize,
    deepest: u16,
}

impl Walk<'_> {
    fn settle_from(&mut self, position: usize) -> Result<(), LinkError> {
        self.enter(position)?;
        while let Some(step) = self.stack.last_mut() {
            let run = self.depths.run(step.position);
            if run.start + step.next == run.end {
                self.leave()?;
                continue;
            }
            let link = self.depths.links[run.start + step.next];
            match (self.depths.known[link as usize], self.waiting_at(link)) {
                (0, Some(inner)) => self.enter(inner)?,
                (depth, _) => self.take(depth.max(1)),
            }
        }
        Ok(())
    }

    fn take(&mut self, depth: u16) {
        if let Some(step) = self.stack.last_mut() {
            step.deepest = step.deepest.max(depth);
            step.next += 1;
        }
    }

    fn waiting_at(&self, index: u32) -> Option<usize> {
        let found = self.of_index.partition_point(|(waiting, _)| *waiting < index);
        self.of_index.get(found).filter(|(waiting, _)| *waiting == index).map(|(_, at)| *at)
    }

    fn enter(&mut self, position: usize) -> Result<(), LinkError> {
        let waiting = &self.depths.waiting[position];
        if self.depths.known[waiting.index as usize] != 0 {
            return Ok(());
        }
        self.stack.push(Step { position, next: 0, deepest: waiting.inner });
        // Deeper than the limit is refused before it is followed further; a
        // cycle, which takes a broken hash, ends here too.
        if self.stack.len() > usize::from(self.depths.limit(waiting.kind)) {
            return Err(self.too_deep(position));
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), LinkError> {
        let Some(Step { position, deepest, .. }) = self.stack.pop() else {
            return Ok(());
        };
        let Waiting { index, kind, .. } = self.depths.waiting[position];
        if deepest >= self.depths.limit(kind) {
            return Err(self.too_deep(position));
        }
        self.depths.set(index, kind, deepest + 1);
        Ok(())
    }

    fn too_deep(&self, position: usize) -> LinkError {
        let Waiting { index, kind, .. } = self.depths.waiting[position];
        LinkError::TooDeep { kind, id: self.ids.id(index as usize), limit: self.depths.limit(kind) }
    }
}
