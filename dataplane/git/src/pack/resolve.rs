//! The second look at a pack: deltas resolved, every object shown to a visitor.

mod apply;
mod ask;
mod outside;
mod stack;

use std::ops::ControlFlow;

use gitstratum_core::{ObjectId, ObjectKind};

use self::apply::{Applied, Applier, Base, Hold};
use self::ask::Questions;
pub use self::outside::ExternalBase;
use self::outside::Outside;
use self::stack::{Frame, Node, Path, Stack, Start};
use super::bases::DeltaChildren;
use super::entries::{NO_BASE, NewObject};
use super::inflate::Place;
use super::resolved::{EXTERNAL_BASE, Resolved, ResolvedParts};
use super::{ByteSource, Content, EntryList, Error, Limits, Scanned, Visited, Visitor};
use crate::hash;

/// What the resolver needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Some of these may be objects outside the pack that deltas rest on. Give
    /// those that the pusher may use with [`Resolver::provide`], then step
    /// again; the others are found to be missing when none can be provided.
    NeedBases(Vec<ObjectId>),
    /// Every entry is resolved.
    Done,
}

/// Resolves a scanned pack's deltas from the spool and shows every object once.
///
/// Delta trees are walked from their whole object down, deepest first, without
/// recursion: each entry is inflated once, and a content is dropped when its
/// last delta was applied. Contents held for siblings stay within
/// `base_cache_bytes` (S17); beyond it the outermost is dropped and made again.
/// All bytes made count against `resolved_bytes_max`.
pub struct Resolver {
    entries: EntryList,
    trailer: Vec<u8>,
    pack_len: u64,
    version: u32,
    limits: Limits,
    children: DeltaChildren,
    depths: Vec<u16>,
    applier: Applier,
    questions: Questions,
    /// Deltas that rest on a base outside the pack.
    external: Vec<(u32, ObjectId)>,
    /// The first entry that is yet to be taken.
    next: u32,
    /// Entries that are yet to be resolved.
    left: usize,
}

impl Resolver {
    /// A resolver of a scanned pack.
    pub fn new(scanned: Scanned, limits: Limits) -> Self {
        let Scanned { entries, version, trailer, pack_len } = scanned;
        let left = entries.ordinals().filter(|ordinal| entries.kind(*ordinal).is_none()).count();
        Self {
            trailer,
            pack_len,
            version,
            children: DeltaChildren::of(&entries),
            depths: vec![0; entries.len()],
            applier: Applier::new(entries.format, &limits),
            questions: Questions::default(),
            external: Vec::new(),
            next: 0,
            left,
            entries,
            limits,
        }
    }

    /// Works until done or in need of bases. Blocking: reads the spool and
    /// hashes. To give up early, break in the visitor.
    ///
    /// # Errors
    /// Whatever makes the pack unacceptable, first of all
    /// [`Error::MissingBase`]; the resolver is of no use afterwards.
    pub fn step(
        &mut self,
        source: &dyn ByteSource,
        visitor: &mut dyn Visitor,
    ) -> Result<Step, Error> {
        while self.next < self.entries.ordinals().end {
            let ordinal = self.next;
            self.next += 1;
            if let Some(kind) = self.entries.kind(ordinal)
                && self.entries.base(ordinal) == NO_BASE
            {
                self.resolve_whole(ordinal, kind, source, visitor)?;
            }
        }
        if self.left == 0 {
            return Ok(Step::Done);
        }
        self.questions.next(&self.children, &self.entries).map(Step::NeedBases)
    }

    /// Resolves all that rests on a base from outside the pack.
    ///
    /// # Errors
    /// As [`step`](Self::step); [`Error::BaseDiffers`] for another object's
    /// content.
    pub fn provide(
        &mut self,
        base: &ExternalBase,
        source: &dyn ByteSource,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Error> {
        let found = hash::object_id(self.entries.format, base.kind, &base.content)
            .map_err(|source| Error::Collision { offset: 0, source })?;
        if found != base.id {
            return Err(Error::BaseDiffers { stated: base.id, found });
        }
        let left = self.left;
        let root = Frame {
            node: Node::External,
            kind: base.kind,
            depth: 0,
            content: None,
            children: self.children.on_id(&base.id),
        };
        self.walk(root, Outside { source, base: Some(base) }, visitor)?;
        self.questions.progressed |= self.left < left;
        Ok(())
    }

    /// What was found out, once [`step`](Self::step) said so.
    ///
    /// # Errors
    /// [`Error::Unfinished`] before; [`Error::DuplicateDiffers`] if two entries
    /// have one id and not one content.
    pub fn finish(self) -> Result<Resolved, Error> {
        if self.left > 0 || self.next < self.entries.ordinals().end {
            return Err(Error::Unfinished { left: self.left });
        }
        Resolved::new(ResolvedParts {
            entries: self.entries,
            depths: self.depths,
            external: self.external,
            trailer: self.trailer,
            pack_len: self.pack_len,
            version: self.version,
        })
    }

    fn resolve_whole(
        &mut self,
        ordinal: u32,
        kind: ObjectKind,
        source: &dyn ByteSource,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Error> {
        let id = self.entries.id(ordinal);
        let children = self.children.on(&self.entries, ordinal, &id);
        if kind == ObjectKind::Blob && children.is_empty() {
            return self.show(ordinal, Content::Streamed, visitor);
        }
        let content = self.applier.whole(source, Place::of(&self.entries, ordinal))?;
        self.show(ordinal, Content::Whole(&content), visitor)?;
        if children.is_empty() {
            return Ok(());
        }
        let node = Node::Entry(ordinal);
        let root = Frame { node, kind, depth: 0, content: Some(content), children };
        self.walk(root, Outside { source, base: None }, visitor)
    }

    /// Resolves everything that rests on `root`.
    fn walk(
        &mut self,
        root: Frame,
        outside: Outside<'_>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Error> {
        let mut stack = Stack::new(self.limits.base_cache_bytes);
        stack.push(root);
        while let Some(top) = stack.top_mut() {
            let Some(child) = self.children.take(&mut top.children) else {
                stack.pop();
                continue;
            };
            if self.entries.kind(child).is_some() {
                continue;
            }
            self.restore_top(&mut stack, outside)?;
            let frame = self.resolve_delta(child, &stack, outside, visitor)?;
            stack.pop_exhausted();
            if let Some(frame) = frame {
                stack.push(frame);
            }
        }
        Ok(())
    }

    /// Resolves one delta on the top of the stack; its frame if others rest on it.
    fn resolve_delta(
        &mut self,
        ordinal: u32,
        stack: &Stack,
        outside: Outside<'_>,
        visitor: &mut dyn Visitor,
    ) -> Result<Option<Frame>, Error> {
        let (base, content) = stack.top_content(outside);
        let place = Place::of(&self.entries, ordinal);
        let (kind, limit) = (base.kind, self.limits.chain_max);
        if base.depth >= limit {
            return Err(Error::ChainTooLong { offset: place.offset, limit });
        }
        let depth = base.depth + 1;
        let hold =
            if self.children.has_on(&self.entries, ordinal) { Hold::All } else { Hold::Small };
        let applied = self.applier.delta(outside.source, place, Base { kind, content }, hold)?;
        self.record(ordinal, base.node, outside, &applied);
        self.depths[ordinal as usize] = depth;
        let children = self.children.on(&self.entries, ordinal, &applied.digest.id);
        let shown = applied.content.as_deref().map_or(Content::Streamed, Content::Whole);
        self.show(ordinal, shown, visitor)?;
        if children.is_empty() {
            return Ok(None);
        }
        let node = Node::Entry(ordinal);
        Ok(Some(Frame { node, kind, depth, content: applied.content, children }))
    }

    /// Makes the content of the stack's top again if it was dropped.
    fn restore_top(&mut self, stack: &mut Stack, outside: Outside<'_>) -> Result<(), Error> {
        let Some(Path { start, deltas }) = stack.path_to_top(&self.entries) else {
            return Ok(());
        };
        let mut made = match start {
            Start::Whole(root) => {
                Some(self.applier.whole(outside.source, Place::of(&self.entries, root))?)
            }
            Start::Frame(_) | Start::External => None,
        };
        for ordinal in deltas.into_iter().rev() {
            let base = match (&made, start) {
                (Some(content), _) => content.as_slice(),
                (None, Start::Frame(index)) => stack.content(index),
                (None, Start::Whole(_) | Start::External) => outside.base_content(),
            };
            let place = Place::of(&self.entries, ordinal);
            made = Some(self.applier.again(outside.source, place, base)?);
        }
        if let Some(content) = made {
            stack.refill_top(content);
        }
        Ok(())
    }

    fn record(&mut self, ordinal: u32, base: Node, outside: Outside<'_>, applied: &Applied) {
        let base = match (base, outside.base) {
            (Node::Entry(base), _) => base,
            (Node::External, Some(base)) => {
                self.external.push((ordinal, base.id));
                EXTERNAL_BASE
            }
            (Node::External, None) => NO_BASE,
        };
        let object = NewObject {
            kind: applied.kind,
            size: applied.size,
            id: applied.digest.id,
            blake3: applied.digest.blake3,
            base,
        };
        self.entries.resolve(ordinal, &object);
        self.left -= 1;
    }

    fn show(
        &self,
        ordinal: u32,
        content: Content<'_>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Error> {
        let kind = self.entries.kind(ordinal).expect("because only resolved entries are shown");
        let id = self.entries.id(ordinal);
        let size = self.entries.size(ordinal);
        match visitor.visit(&Visited { ordinal, id: &id, kind, size, content }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    }
}
