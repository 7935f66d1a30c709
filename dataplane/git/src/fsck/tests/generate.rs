//! Objects on the border of what is allowed, the same ones in every run.

use std::sync::Arc;

use gitstratum_core::{Entropy as _, ObjectId, ObjectKind, SeededEntropy};

use crate::testing::{commit, tag, tree};

/// Pieces that parsers stumble over.
const PIECES: [&[u8]; 24] = [
    b"\n",
    b"\n\n",
    b" ",
    b"\0",
    b"<",
    b">",
    b"0",
    b"-",
    b"+",
    b"\t",
    b"parent ",
    b"author ",
    b"committer ",
    b"tree ",
    b"tagger ",
    b"object ",
    b"type blob\n",
    b"tag x\n",
    b"encoding x\n",
    b"\xff",
    b"99999999999999999999",
    b" A <a@b> 1 +0000\n",
    b"gpgsig x\n y\n",
    b":",
];

/// Names that mean something, or almost.
const NAMES: [&[u8]; 40] = [
    b"a",
    b"a.b",
    b"a0",
    b"b",
    b".",
    b"..",
    b"...",
    b"a/b",
    b"/",
    b".git",
    b".GIT",
    b".gitx",
    b"git~1",
    b"GIT~1.",
    b"git~2",
    b".git ",
    b".git . ",
    b".git:x",
    b"x\\.git",
    b"x\\git~1",
    b".git\xff",
    b".gi\xe2\x80\x8ct",
    b"\xef\xbb\xbf.git",
    b".gitmodules",
    b".gitmodules.",
    b"gitmod~1",
    b"gi7eba~1",
    b"gi7eba~12",
    b"x\\.gitmodules",
    b".gitattributes",
    b"gi7d29~1",
    b"gitatt~1",
    b".gitignore",
    b"gi250a~1",
    b".mailmap",
    b"maba30~1",
    b"\xff",
    b"~1234567",
    b"foo",
    b"foo.bar",
];

const MODES: [&str; 14] = [
    "100644", "100644", "100644", "100755", "120000", "40000", "40000", "160000", "100664",
    "100600", "040000", "0100644", "40755", "100640",
];

/// What generated objects refer to.
pub(super) struct Targets {
    pub(super) blob: ObjectId,
    pub(super) tree: ObjectId,
    pub(super) commit: ObjectId,
}

/// A stream of small numbers that depend on the seed alone.
pub(super) struct Dice(Arc<SeededEntropy>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % limit
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A commit with some small changes.
    pub(super) fn commit(&mut self, targets: &Targets) -> Vec<u8> {
        let parents = vec![targets.commit; self.below(3)];
        let whole = commit(&targets.tree, &parents, "m\n");
        self.changed(whole)
    }

    /// A tag with some small changes.
    pub(super) fn tag(&mut self, targets: &Targets) -> Vec<u8> {
        self.changed(tag(&targets.blob, ObjectKind::Blob, "v1"))
    }

    fn changed(&mut self, mut content: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(3) {
            self.change(&mut content);
        }
        content
    }

    fn change(&mut self, content: &mut Vec<u8>) {
        let place = self.below(content.len() + 1);
        let end = content.len().min(place + 1 + self.below(8));
        match self.below(5) {
            0 => drop(content.drain(place..end)),
            1 => content.truncate(place),
            2 => self.drop_or_repeat_line(content),
            _ => {
                let piece = *self.pick(&PIECES);
                content.splice(place..place, piece.iter().copied());
            }
        }
    }

    fn drop_or_repeat_line(&mut self, content: &mut Vec<u8>) {
        let mut lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
        if lines.is_empty() {
            return;
        }
        let line = self.below(lines.len());
        match self.below(2) {
            0 => drop(lines.remove(line)),
            _ => lines.insert(line, lines[line]),
        }
        *content = lines.concat();
    }

    /// A tree of up to six entries, sorted most of the time.
    pub(super) fn tree(&mut self, targets: &Targets) -> Vec<u8> {
        let mut entries: Vec<(&str, &[u8], ObjectId)> = (0..=self.below(6))
            .map(|_| {
                let mode = *self.pick(&MODES);
                let id = match mode.trim_start_matches('0') {
                    _ if self.below(40) == 0 => ObjectId::null(targets.blob.format()),
                    tree if tree.starts_with('4') => targets.tree,
                    _ => targets.blob,
                };
                (mode, *self.pick(&NAMES), id)
            })
            .collect();
        if self.below(5) > 0 {
            entries.sort_by_key(|(mode, name, _)| {
                let is_tree = mode.trim_start_matches('0').starts_with("40");
                [*name, if is_tree { b"/" } else { b"" }].concat()
            });
            entries.dedup_by(|one, other| one.0 == other.0 && one.1 == other.1);
        }
        let mut content = tree(&entries);
        if self.below(10) == 0 {
            // Never to nothing: the empty tree is what other trees name.
            content.truncate(1 + self.below(content.len()));
        }
        content
    }
}
