//! Manifest rows with checked types: the live packs of a repository and where their
//! segments are.

use std::collections::BTreeMap;

use bytes::Bytes;
use gitstratum_core::{
    Incarnation, NodeId, ObjectFormat, PackId, PartitionId, PushNumber, SegmentId, SessionId,
    Version,
};
use gitstratum_git::part::{Kind as PartKind, Piece};
use gitstratum_git::segment::Placed;
use gitstratum_proto::common::v1 as wire;
use gitstratum_proto::{FieldError, format_from_wire, format_to_wire, pack_id, segment_id};

/// One live pack (S1, S8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Its id.
    pub id: PackId,
    /// Hash that its objects are named by.
    pub format: ObjectFormat,
    /// Entries, duplicates included: the count in its header.
    pub object_count: u32,
    /// Version in its header, 2 or 3.
    pub pack_version: u32,
    /// Checksum after the last entry.
    pub trailer: Bytes,
    /// Bytes as it arrived, header and trailer included.
    pub length: u64,
    /// Its segments; those with entries come first, in pack order.
    pub segments: Vec<Segment>,
    /// Index, graph and table.
    pub parts: Vec<Part>,
    /// Manifest version it was checked against.
    pub checked_version: Version,
    /// Packs that hold answering copies of its answering objects.
    pub overlaps: Vec<PackId>,
    /// Entries that no tip of its push reached.
    pub stray_count: u32,
    /// Entries that another pack answers for.
    pub shadowed_count: u32,
    /// Later copies inside the pack.
    pub duplicate_count: u32,
    /// Session of the push that brought it.
    pub session: SessionId,
    /// Number of that push.
    pub push_number: PushNumber,
    /// Its GRAPH part, when small enough to ride in the row (S6); else empty.
    pub inline_graph: Bytes,
    /// Log index of the entry that listed it.
    pub listed_version: Version,
    /// Whether a delta base lies outside it.
    pub thin: bool,
    /// Number of the claim that wrote it (S35); 0 for a push's.
    pub claim: u64,
    /// The partition that lists it, and it alone (S9); none before it is listed, and on the wire,
    /// where it follows from who sends it.
    pub listed_in: Option<PartitionId>,
}

/// A segment as the manifest remembers it (S19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its id.
    pub id: SegmentId,
    /// Where its entry bytes begin in the pack.
    pub pack_offset: u64,
    /// Bytes of entries at the start of its body; 0 when it holds parts only.
    pub entries_length: u64,
    /// Bytes of the whole segment.
    pub total_length: u64,
    /// Nodes that hold it.
    pub owners: Vec<NodeId>,
    /// Number of this owner list.
    pub list_number: u64,
    /// The incarnation each owner acknowledged under.
    pub incarnations: Vec<Incarnation>,
}

/// An index, graph or commit table of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub kind: PartKind,
    /// Where its bytes are, in order.
    pub pieces: Vec<Piece>,
}

impl Pack {
    /// The pack of a row that `partition` lists.
    ///
    /// # Errors
    /// When the row is malformed.
    pub fn listed(row: &wire::Pack, partition: PartitionId) -> Result<Self, FieldError> {
        Ok(Self { listed_in: Some(partition), ..Self::try_from(row)? })
    }

    /// The part of `kind`, if the pack has one.
    pub fn part(&self, kind: PartKind) -> Option<&Part> {
        self.parts.iter().find(|part| part.kind == kind)
    }

    /// The segment called `id`.
    pub fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.id == id)
    }

    /// Segments that hold entries, in pack order.
    pub fn entry_segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.entries_length > 0)
    }

    /// Whether every entry answers, so that the pack may go out as it is (S25).
    pub fn is_whole(&self) -> bool {
        self.stray_count == 0 && self.shadowed_count == 0 && self.duplicate_count == 0 && !self.thin
    }
}

impl Part {
    /// The parts that these pieces make up, the pieces of each in their order.
    pub fn gather(placed: impl Iterator<Item = Placed>) -> Vec<Self> {
        let mut pieces: BTreeMap<PartKind, BTreeMap<u16, Piece>> = BTreeMap::new();
        for Placed { kind, number, piece } in placed {
            pieces.entry(kind).or_default().insert(number, piece);
        }
        let part = |(kind, pieces): (PartKind, BTreeMap<u16, Piece>)| Self {
            kind,
            pieces: pieces.into_values().collect(),
        };
        pieces.into_iter().map(part).collect()
    }
}

impl TryFrom<&wire::Pack> for Pack {
    type Error = FieldError;

    fn try_from(row: &wire::Pack) -> Result<Self, FieldError> {
        Ok(Self {
            id: pack_id("pack_id", &row.pack_id)?,
            format: format_from_wire("object_format", row.object_format)?,
            object_count: row.object_count,
            pack_version: row.pack_version,
            trailer: row.trailer.clone(),
            length: row.length,
            segments: row.segments.iter().map(Segment::try_from).collect::<Result<_, _>>()?,
            parts: row.parts.iter().map(Part::try_from).collect::<Result<_, _>>()?,
            checked_version: Version(row.checked_version),
            overlaps: row
                .overlaps
                .iter()
                .map(|id| pack_id("overlaps", id))
                .collect::<Result<_, _>>()?,
            stray_count: row.stray_count,
            shadowed_count: row.shadowed_count,
            duplicate_count: row.duplicate_count,
            session: SessionId(row.session),
            push_number: PushNumber(row.push_number),
            inline_graph: row.inline_graph.clone(),
            listed_version: Version(row.listed_version),
            thin: row.thin,
            claim: row.claim,
            listed_in: None,
        })
    }
}

impl From<&Pack> for wire::Pack {
    fn from(pack: &Pack) -> Self {
        Self {
            pack_id: pack.id.0.to_vec().into(),
            object_format: format_to_wire(pack.format),
            object_count: pack.object_count,
            pack_version: pack.pack_version,
            trailer: pack.trailer.clone(),
            length: pack.length,
            segments: pack.segments.iter().map(Into::into).collect(),
            parts: pack.parts.iter().map(Into::into).collect(),
            checked_version: pack.checked_version.0,
            overlaps: pack.overlaps.iter().map(|id| id.0.to_vec().into()).collect(),
            stray_count: pack.stray_count,
            shadowed_count: pack.shadowed_count,
            duplicate_count: pack.duplicate_count,
            session: pack.session.0,
            push_number: pack.push_number.0,
            inline_graph: pack.inline_graph.clone(),
            listed_version: pack.listed_version.0,
            thin: pack.thin,
            claim: pack.claim,
        }
    }
}

impl TryFrom<&wire::Segment> for Segment {
    type Error = FieldError;

    fn try_from(row: &wire::Segment) -> Result<Self, FieldError> {
        Ok(Self {
            id: segment_id("segment_id", &row.segment_id)?,
            pack_offset: row.pack_offset,
            entries_length: row.entries_length,
            total_length: row.total_length,
            owners: row.owners.iter().copied().map(NodeId).collect(),
            list_number: row.list_number,
            incarnations: row.incarnations.iter().copied().map(Incarnation).collect(),
        })
    }
}

impl From<&Segment> for wire::Segment {
    fn from(segment: &Segment) -> Self {
        Self {
            segment_id: segment.id.0.to_vec().into(),
            pack_offset: segment.pack_offset,
            entries_length: segment.entries_length,
            total_length: segment.total_length,
            owners: segment.owners.iter().map(|node| node.0).collect(),
            list_number: segment.list_number,
            incarnations: segment.incarnations.iter().map(|number| number.0).collect(),
        }
    }
}

impl TryFrom<&wire::Part> for Part {
    type Error = FieldError;

    fn try_from(row: &wire::Part) -> Result<Self, FieldError> {
        let kind = match row.kind() {
            wire::PartKind::Index => PartKind::Index,
            wire::PartKind::Graph => PartKind::Graph,
            wire::PartKind::Table => PartKind::Table,
            wire::PartKind::Unspecified => {
                return Err(FieldError { field: "kind", problem: "a part has a kind" });
            }
        };
        let piece = |piece: &wire::Piece| {
            Ok(Piece {
                segment: segment_id("piece.segment_id", &piece.segment_id)?,
                offset: piece.offset,
                len: piece.length,
            })
        };
        Ok(Self { kind, pieces: row.pieces.iter().map(piece).collect::<Result<_, _>>()? })
    }
}

impl From<&Part> for wire::Part {
    fn from(part: &Part) -> Self {
        let kind = match part.kind {
            PartKind::Index => wire::PartKind::Index,
            PartKind::Graph => wire::PartKind::Graph,
            PartKind::Table => wire::PartKind::Table,
        };
        let piece = |piece: &Piece| wire::Piece {
            segment_id: piece.segment.0.to_vec().into(),
            offset: piece.offset,
            length: piece.len,
        };
        Self { kind: kind.into(), pieces: part.pieces.iter().map(piece).collect() }
    }
}
