//! Parts of a pack: its index, commit graph and commit table (S3, S5–S7).
//!
//! A part is one run of bytes that says of itself what it is, whose and of which
//! version. It is kept as pieces: up to 8 MiB of parts ride behind the entries of
//! the pack's last segment, more lies in segments of its own. The manifest lists
//! the pieces; [`place`] cuts them and [`join`] puts them together again.
//!
//! This module also has what the three formats share: the prefix, the checks and
//! the arrays of big-endian words and ids that readers look into without copying.

mod array;
mod error;
mod prefix;

use bytes::{Bytes, BytesMut};
use gitstratum_core::SegmentId;

pub use error::Error;

pub(crate) use array::{Ids, Words, search};
pub(crate) use prefix::{PREFIX_BYTES, Prefix, format_number, format_of};

/// Most bytes of parts that ride behind the entries of a pack's last segment (S3).
pub const RIDE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most bytes of parts in a segment of their own.
pub const PIECE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Which part of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Where every object lies ([`crate::index`]).
    Index = 1,
    /// Commits, their parents and trees ([`crate::graph`]).
    Graph = 2,
    /// What each commit brings with it ([`crate::table`]).
    Table = 3,
}

impl Kind {
    /// The kind of a number in stored bytes.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Index),
            2 => Some(Self::Graph),
            3 => Some(Self::Table),
            _ => None,
        }
    }

    /// The word used in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Graph => "graph",
            Self::Table => "table",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Place of an entry in its pack, in offset order, from 0. Every entry counts,
/// later copies of an object inside the pack too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(pub u32);

/// Row of a commit in the graph part of its pack, from 0: commits by ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitRow(pub u32);

/// A run of bytes in a segment's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The segment.
    pub segment: SegmentId,
    /// Where it starts in the body.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
}

/// A piece of a part that has not got its place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Which part it is a piece of.
    pub kind: Kind,
    /// Its number among the part's pieces, from 0.
    pub number: u16,
    /// How many pieces the part has.
    pub of: u16,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Where the parts of a pack go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All of them behind the entries of the pack's last segment.
    Ride(Vec<Portion>),
    /// Into segments of their own, one list for each.
    Apart(Vec<Vec<Portion>>),
}

/// Decides where `parts` go: together behind entries if they are small enough.
/// Parts without entries to ride behind (a later commit table) use [`place_apart`].
pub fn place(parts: Vec<(Kind, Bytes)>) -> Placement {
    let total: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
    if total > RIDE_BYTES_MAX {
        return Placement::Apart(place_apart(parts));
    }
    let whole = |(kind, bytes)| Portion { kind, number: 0, of: 1, bytes };
    Placement::Ride(parts.into_iter().map(whole).collect())
}

/// Cuts `parts` into segments of their own, each filled before the next.
pub fn place_apart(parts: Vec<(Kind, Bytes)>) -> Vec<Vec<Portion>> {
    let mut segments = vec![Vec::new()];
    let mut room = PIECE_BYTES_MAX;
    for (kind, bytes) in parts {
        let later = bytes.len().saturating_sub(room).div_ceil(PIECE_BYTES_MAX);
        let of = u16::try_from(later + usize::from(room > 0))
            .expect("because 65,535 pieces are 2 TiB, more than memory holds");
        let mut rest = bytes;
        for number in 0..of {
            if room == 0 {
                segments.push(Vec::new());
                room = PIECE_BYTES_MAX;
            }
            let bytes = rest.split_to(rest.len().min(room));
            room -= bytes.len();
            let segment = segments.last_mut().expect("because there is always an open segment");
            segment.push(Portion { kind, number, of, bytes });
        }
    }
    segments
}

/// A part's bytes, from its pieces in order; no copy when there is one.
pub fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.swap_remove(0);
    }
    let mut all = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| all.extend_from_slice(piece));
    all.freeze()
}

#[cfg(test)]
pub(crate) mod example;

#[cfg(test)]
mod tests;
