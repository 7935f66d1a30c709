//! A pack that is being put together: its entries, its parts, its manifest row.

use bytes::Bytes;
use gitstratum_client::manifest::{Pack, Part, Segment};
use gitstratum_core::{
    Incarnation, NodeId, ObjectId, ObjectKind, PackId, PushNumber, SegmentId, SessionId, Version,
};
use gitstratum_git::graph::{self, CommitDate};
use gitstratum_git::index::{self, Base, ContentHash, Flags, Record};
use gitstratum_git::pack::{EntryKind, Header};
use gitstratum_git::part::{Kind, Ordinal, Piece};
use gitstratum_git::testing::deflate;

use super::model::{Object, SHA1};
use super::shelf::Shelf;

const NODE: NodeId = NodeId(1);
/// Bytes of a pack's header, before its first entry.
const PACK_HEADER_BYTES: u64 = 12;

/// The parts and entries of a pack that is being put together.
pub(super) struct Draft {
    pub(super) id: PackId,
    body: Vec<u8>,
    index: index::Builder,
    graph: graph::Builder,
    /// Commits of its graph, by row.
    pub(super) commits: Vec<ObjectId>,
}

/// An object and its id.
pub(super) type Named<'a> = (ObjectId, &'a Object);

impl Draft {
    pub(super) fn new(id: PackId, entries: usize) -> Self {
        Self {
            id,
            body: Vec::new(),
            index: index::Builder::new(id, SHA1, entries as u32),
            graph: graph::Builder::new(id, SHA1),
            commits: Vec::new(),
        }
    }

    pub(super) fn entry(&mut self, ordinal: Ordinal, (id, object): Named<'_>, flags: Flags) {
        let offset = self.body.len() as u64 + PACK_HEADER_BYTES;
        let size = object.content.len() as u64;
        Header { kind: EntryKind::Base(object.kind), size }.write(&mut self.body);
        self.body.extend(deflate(&object.content));
        let record = Record {
            id,
            ordinal,
            offset,
            packed_len: self.body.len() as u64 + PACK_HEADER_BYTES - offset,
            kind: object.kind,
            flags,
            size,
            base: Base::None,
            content: ContentHash([0; 16]),
        };
        self.index.add(&record).unwrap();
    }

    pub(super) fn link(&mut self, ordinal: Ordinal, (id, object): Named<'_>) {
        let target = object.links.first().copied();
        match (object.kind, target) {
            (ObjectKind::Commit, Some(tree)) => {
                let (parents, date) = (object.parents.clone(), CommitDate(object.date));
                let commit = graph::Commit { id, ordinal, tree, parents, date };
                self.graph.add_commit(commit).unwrap();
                self.commits.push(id);
            }
            (ObjectKind::Tag, Some(target)) => {
                let text = String::from_utf8_lossy(&object.content);
                let kind = text.lines().nth(1).and_then(|line| line.strip_prefix("type "));
                let target_kind = match kind {
                    Some("commit") => ObjectKind::Commit,
                    Some("tree") => ObjectKind::Tree,
                    Some("tag") => ObjectKind::Tag,
                    _ => ObjectKind::Blob,
                };
                self.graph.add_tag(graph::Tag { id, ordinal, target, target_kind }).unwrap();
            }
            _ => {}
        }
    }

    pub(super) fn finish(
        self,
        entries: usize,
        table: Bytes,
        shelf: &Shelf,
    ) -> (Pack, Vec<ObjectId>) {
        let (id, mut body) = (self.id, self.body);
        let entries_length = body.len() as u64;
        let segment = SegmentId(id.0);
        let (index, graph) = (self.index.finish().unwrap(), self.graph.finish().unwrap());
        let parts = [(Kind::Index, index), (Kind::Graph, graph), (Kind::Table, table)];
        let parts = parts.into_iter().map(|(kind, bytes)| {
            let piece = Piece { segment, offset: body.len() as u64, len: bytes.len() as u64 };
            body.extend_from_slice(&bytes);
            Part { kind, pieces: vec![piece] }
        });
        let parts = parts.collect();
        let total_length = body.len() as u64;
        shelf.put(segment, body.into());
        let segment = Segment {
            id: segment,
            pack_offset: PACK_HEADER_BYTES,
            entries_length,
            total_length,
            owners: vec![NODE],
            list_number: 1,
            incarnations: vec![Incarnation(1)],
        };
        (row(id, entries, segment, parts), self.commits)
    }
}

fn row(id: PackId, entries: usize, segment: Segment, parts: Vec<Part>) -> Pack {
    Pack {
        id,
        format: SHA1,
        object_count: entries as u32,
        pack_version: 2,
        trailer: Bytes::new(),
        length: segment.entries_length + PACK_HEADER_BYTES + 20,
        segments: vec![segment],
        parts,
        checked_version: Version(0),
        overlaps: Vec::new(),
        stray_count: 0,
        shadowed_count: 0,
        duplicate_count: 0,
        session: SessionId(1),
        push_number: PushNumber(1),
        inline_graph: Bytes::new(),
        listed_version: Version(1),
        thin: false,
        claim: 0,
        listed_in: None,
    }
}
