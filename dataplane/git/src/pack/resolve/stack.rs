use gitstratum_core::ObjectKind;

use crate::pack::bases::Children;
use crate::pack::resolve::Outside;
use crate::pack::resolved::EXTERNAL_BASE;
use crate::pack::{EntryList, entries::NO_BASE};

/// What a frame's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// The object of an entry.
    Entry(u32),
    /// The base from outside the pack that is being provided.
    External,
}

/// An object whose deltas are being resolved.
pub(super) struct Frame {
    pub(super) node: Node,
    pub(super) kind: ObjectKind,
    /// Deltas between it and the whole object below.
    pub(super) depth: u16,
    /// `None` once dropped, and always for a base from outside.
    pub(super) content: Option<Vec<u8>>,
    pub(super) children: Children,
}

/// The objects between a whole one and the one being resolved that still have
/// deltas to come: each frame is an ancestor of the next.
pub(super) struct Stack {
    frames: Vec<Frame>,
    held: u64,
    budget: u64,
    /// Frames below this one hold no content.
    dropped: usize,
}

/// How to make a dropped content again.
pub(super) struct Path {
    pub(super) start: Start,
    /// Deltas to apply, the last one first.
    pub(super) deltas: Vec<u32>,
}

#[derive(Clone, Copy)]
pub(super) enum Start {
    /// From the content of this frame.
    Frame(usize),
    /// From this whole entry.
    Whole(u32),
    /// From the base that is being provided.
    External,
}

impl Stack {
    pub(super) fn new(budget: u64) -> Self {
        Self { frames: Vec::new(), held: 0, budget, dropped: 0 }
    }

    pub(super) fn top_mut(&mut self) -> Option<&mut Frame> {
        self.frames.last_mut()
    }

    /// The top and its content, which must be there.
    pub(super) fn top_content<'a>(&'a self, outside: Outside<'a>) -> (&'a Frame, &'a [u8]) {
        let top = self.frames.last().expect("because deltas are resolved on a frame");
        let content = match top.node {
            Node::Entry(_) => self.content(self.frames.len() - 1),
            Node::External => outside.base_content(),
        };
        (top, content)
    }

    pub(super) fn content(&self, index: usize) -> &[u8] {
        self.frames[index].content.as_deref().expect("because only held contents are used")
    }

    /// Adds a frame, and drops the outermost contents beyond the budget: they
    /// are needed last.
    pub(super) fn push(&mut self, frame: Frame) {
        self.held += len(&frame);
        self.frames.push(frame);
        self.drop_beyond_budget();
    }

    pub(super) fn pop(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.held -= len(&frame);
        }
        self.dropped = self.dropped.min(self.frames.len());
    }

    /// Drops the top if its last delta was taken.
    pub(super) fn pop_exhausted(&mut self) {
        if self.frames.last().is_some_and(|top| top.children.is_empty()) {
            self.pop();
        }
    }

    /// How to make the top's content again; `None` if it is there.
    pub(super) fn path_to_top(&self, entries: &EntryList) -> Option<Path> {
        let top = self.frames.last()?;
        let Node::Entry(mut node) = top.node else {
            return None;
        };
        if top.content.is_some() {
            return None;
        }
        let mut below = &self.frames[..self.frames.len() - 1];
        let mut deltas = Vec::new();
        loop {
            let base = entries.base(node);
            match base {
                NO_BASE => return Some(Path { start: Start::Whole(node), deltas }),
                EXTERNAL_BASE => {
                    deltas.push(node);
                    return Some(Path { start: Start::External, deltas });
                }
                _ => deltas.push(node),
            }
            if let Some((last, rest)) = below.split_last()
                && last.node == Node::Entry(base)
            {
                if last.content.is_some() {
                    return Some(Path { start: Start::Frame(rest.len()), deltas });
                }
                below = rest;
            }
            node = base;
        }
    }

    pub(super) fn refill_top(&mut self, content: Vec<u8>) {
        let index = self.frames.len() - 1;
        self.dropped = self.dropped.min(index);
        self.held += content.len() as u64;
        self.frames[index].content = Some(content);
        self.drop_beyond_budget();
    }

    fn drop_beyond_budget(&mut self) {
        while self.held > self.budget && self.dropped + 1 < self.frames.len() {
            let frame = &mut self.frames[self.dropped];
            self.held -= len(frame);
            frame.content = None;
            self.dropped += 1;
        }
    }
}

fn len(frame: &Frame) -> u64 {
    frame.content.as_ref().map_or(0, |content| content.len() as u64)
}
