use std::fmt::Display;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gitstratum_core::{PackId, SegmentId};
use gitstratum_git::part::{Kind, Piece};
use gitstratum_git::{graph, index, table};
use moka::future::Cache;

use super::{Error, Reader};
use crate::bulk::Span;
use crate::manifest::Pack;

/// A part that has been read and checked.
#[derive(Clone)]
enum Loaded {
    Index(Arc<index::Reader>),
    Graph(Arc<graph::Reader>),
    Table(Arc<table::Reader>),
}

/// Parts by pack and kind. Concurrent askers of one part share its read.
pub(super) struct PartCache(Cache<(PackId, Kind), (Loaded, u32)>);

impl PartCache {
    pub(super) fn new(capacity: u64) -> Self {
        let weigh = |_: &(PackId, Kind), held: &(Loaded, u32)| held.1;
        Self(Cache::builder().max_capacity(capacity).weigher(weigh).build())
    }
}

impl Reader {
    /// The index of `pack`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn index(&self, pack: &Arc<Pack>) -> Result<Arc<index::Reader>, Error> {
        let loaded = self.part(pack, Kind::Index, |bytes| {
            let reader =
                index::Reader::open(pack.id, bytes).map_err(|e| broken(pack, Kind::Index, e))?;
            Ok(Loaded::Index(Arc::new(reader)))
        });
        match loaded.await? {
            Loaded::Index(reader) => Ok(reader),
            Loaded::Graph(_) | Loaded::Table(_) => Err(mixed_up(pack)),
        }
    }

    /// The commit graph part of `pack`, from its manifest row when it rides there (S6).
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn graph(&self, pack: &Arc<Pack>) -> Result<Arc<graph::Reader>, Error> {
        let loaded = self.part(pack, Kind::Graph, |bytes| {
            let reader =
                graph::Reader::open(pack.id, bytes).map_err(|e| broken(pack, Kind::Graph, e))?;
            Ok(Loaded::Graph(Arc::new(reader)))
        });
        match loaded.await? {
            Loaded::Graph(reader) => Ok(reader),
            Loaded::Index(_) | Loaded::Table(_) => Err(mixed_up(pack)),
        }
    }

    /// The commit table of `pack`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn table(&self, pack: &Arc<Pack>) -> Result<Arc<table::Reader>, Error> {
        let loaded = self.part(pack, Kind::Table, |bytes| {
            let reader =
                table::Reader::open(pack.id, bytes).map_err(|e| broken(pack, Kind::Table, e))?;
            Ok(Loaded::Table(Arc::new(reader)))
        });
        match loaded.await? {
            Loaded::Table(reader) => Ok(reader),
            Loaded::Index(_) | Loaded::Graph(_) => Err(mixed_up(pack)),
        }
    }

    async fn part(
        &self,
        pack: &Arc<Pack>,
        kind: Kind,
        open: impl FnOnce(Bytes) -> Result<Loaded, Error>,
    ) -> Result<Loaded, Error> {
        let load = async {
            let bytes = self.part_bytes(pack, kind).await?;
            let weight = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            Ok::<_, Error>((open(bytes)?, weight))
        };
        let held = self.parts.0.try_get_with((pack.id, kind), load).await;
        held.map(|(loaded, _)| loaded).map_err(|error| error.as_ref().clone())
    }

    async fn part_bytes(&self, pack: &Arc<Pack>, kind: Kind) -> Result<Bytes, Error> {
        if kind == Kind::Graph && !pack.inline_graph.is_empty() {
            return Ok(pack.inline_graph.clone());
        }
        let part = pack
            .part(kind)
            .ok_or(Error::Manifest { pack: pack.id, problem: "has no such part" })?;
        let length: u64 = part.pieces.iter().map(|piece| piece.len).sum();
        // An index is as large as all else that a request holds: it is held once.
        let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        for (segment, spans) in runs(&part.pieces) {
            self.gather(pack, (segment, spans), &mut whole).await?;
        }
        Ok(whole.freeze())
    }
}

/// Consecutive pieces of one segment, read in one call.
fn runs(pieces: &[Piece]) -> Vec<(SegmentId, Vec<Span>)> {
    let mut runs: Vec<(SegmentId, Vec<Span>)> = Vec::new();
    for piece in pieces {
        let span = Span { offset: piece.offset, length: piece.len };
        match runs.last_mut() {
            Some((segment, spans)) if *segment == piece.segment => spans.push(span),
            _ => runs.push((piece.segment, vec![span])),
        }
    }
    runs
}

fn broken(pack: &Pack, kind: Kind, error: impl Display) -> Error {
    Error::Part { pack: pack.id, kind, message: error.to_string() }
}

fn mixed_up(pack: &Pack) -> Error {
    Error::Manifest { pack: pack.id, problem: "holds one part under another's kind" }
}
