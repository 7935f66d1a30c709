//! A checked pack goes to the owners of freshly drawn segments, verbatim (S1–S4).

mod abandon;
mod lanes;
mod storage;

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use gitstratum_client::bulk::Written;
use gitstratum_client::cluster::Placement;
use gitstratum_client::manifest::{Part, Segment};
use gitstratum_core::{Incarnation, NodeId, PackId, PartitionId, PushNumber, RepoId, SessionId};
use gitstratum_git::pack::ByteSource as _;
use gitstratum_git::segment::{Cipher, Cut, Header, KeyId, Kind, Origin, Placed, Sealed, Writer};
use gitstratum_process::{failpoint, sabotage};
use gitstratum_proto::object::v1::GiveUpRequest;

use super::cancel::blocking;
use super::{Against, Error, Spool};
use lanes::{Lanes, PIECE_BYTES};

pub(crate) use abandon::Begun;
pub(crate) use storage::{Nodes, Storage};

/// Segments of one push that are written at once.
const SEGMENTS_AT_ONCE: usize = 3;

/// Whose segments they are: every segment of an entry bears its session and number (S11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origins {
    pub(crate) repo: RepoId,
    pub(crate) partition: PartitionId,
    pub(crate) session: SessionId,
    pub(crate) number: PushNumber,
}

impl Origins {
    /// The segments that this push will have begun to write.
    pub(crate) fn begin(self, storage: &Arc<dyn Storage>) -> Begun {
        let push = GiveUpRequest {
            partition: self.partition.0,
            session: self.session.0,
            push_number: self.number.0,
            segment_ids: Vec::new(),
        };
        Begun::new(Arc::clone(storage), push)
    }
}

/// Where the bytes of a pack go.
pub(super) struct Upload<'a> {
    pub(super) against: &'a Against<'a>,
    pub(super) placement: &'a Placement,
    pub(super) origins: Origins,
    pub(super) begun: &'a Begun,
    pub(super) pack: PackId,
    pub(super) spool: &'a Arc<Spool>,
}

/// Segments that are durable on W owners, and the parts in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// In the order of the cuts.
    pub(super) segments: Vec<Segment>,
    pub(super) parts: Vec<Part>,
}

impl Upload<'_> {
    /// Writes all of `cuts`, some at once.
    ///
    /// # Errors
    /// [`Error::UnderQuorum`] when one of them gets too few copies; the others are stopped.
    pub(super) async fn run(&self, cuts: Vec<Cut>) -> Result<Stored, Error> {
        failpoint!("frontend.ingest.before_upload");
        let written: Vec<(Segment, Vec<Placed>)> = futures::stream::iter(cuts)
            .map(|cut| self.write(cut))
            .buffered(SEGMENTS_AT_ONCE)
            .try_collect()
            .await?;
        let placed = written.iter().flat_map(|(_, placed)| placed.iter().copied());
        let parts = Part::gather(placed);
        Ok(Stored { segments: written.into_iter().map(|(segment, _)| segment).collect(), parts })
    }

    async fn write(&self, cut: Cut) -> Result<(Segment, Vec<Placed>), Error> {
        let context = self.against.context;
        let draw = self.placement.draw(context.entropy.as_ref())?;
        let quorum = self.placement.quorum;
        let mut lanes = Lanes::begin(&context.storage, self.begun, &draw, quorum);
        let header = self.header(draw.segment, cut.entries.start);
        let (mut writer, first) = Writer::new(header);
        lanes.send(first).await?;
        let mut offset = cut.entries.start;
        while offset < cut.entries.end {
            let piece = self.read(offset, cut.entries.end).await?;
            offset += piece.len() as u64;
            let piece = writer.write(piece).map_err(|source| Error::Segment { source })?;
            lanes.send(piece).await?;
        }
        let sealed = writer.finish(cut.parts).map_err(|source| Error::Segment { source })?;
        for mut bytes in sealed.tail.iter().cloned() {
            while !bytes.is_empty() {
                lanes.send(bytes.split_to(bytes.len().min(PIECE_BYTES))).await?;
            }
        }
        let mut durable = lanes.finish(sealed.total_len).await?;
        if sabotage!("owners-from-ring") {
            let (incarnation, length) = (Incarnation(u64::MAX), sealed.total_len);
            let stored: Vec<NodeId> = durable.iter().map(|written| written.node).collect();
            let absent = draw.owners.into_iter().filter(|owner| !stored.contains(owner));
            durable.extend(absent.map(|node| Written { node, incarnation, length }));
        }
        Ok((row(&header, &sealed, &durable), sealed.pieces))
    }

    async fn read(&self, offset: u64, end: u64) -> Result<Bytes, Error> {
        let spool = Arc::clone(self.spool);
        let len = usize::try_from(end - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let read = blocking(move || {
            let mut piece = vec![0; len];
            spool.read_at(offset, &mut piece).map(|()| Bytes::from(piece))
        });
        read.await?.map_err(|source| Error::Spool { action: "reading", source })
    }

    fn header(&self, segment: gitstratum_core::SegmentId, pack_offset: u64) -> Header {
        let Origins { repo, partition, session, number } = self.origins;
        Header {
            cluster: self.against.context.cluster,
            repo,
            network: repo,
            pack: self.pack,
            segment,
            partition,
            origin: Origin::Push { session, number },
            cipher: Cipher::None,
            key: KeyId::default(),
            object_format: self.against.format,
            kind: Kind::Pack,
            pack_offset,
        }
    }
}

/// What the manifest remembers of a segment (S19).
fn row(header: &Header, sealed: &Sealed, durable: &[Written]) -> Segment {
    Segment {
        id: header.segment,
        pack_offset: header.pack_offset,
        entries_length: sealed.entries_len,
        total_length: sealed.total_len,
        owners: durable.iter().map(|written| written.node).collect(),
        list_number: 0,
        incarnations: durable.iter().map(|written| written.incarnation).collect(),
    }
}

#[cfg(test)]
mod tests;
