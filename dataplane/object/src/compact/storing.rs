//! A pack goes to the owners of freshly drawn segments, under a claim (S2, S35).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, FuturesUnordered};
use gitstratum_client::bulk::{self, Written};
use gitstratum_client::cluster::{Draw, Placement};
use gitstratum_client::manifest::{Part, Segment};
use gitstratum_core::{ClusterId, Entropy, ObjectFormat, PackId, PartitionId, RepoId, SegmentId};
use gitstratum_git::segment::{
    Cipher, ClaimNumber, Cut, Header, KeyId, Kind, Origin, Placed, Sealed, Writer,
};

use super::Error;
use super::spool::{Spool, blocking};
use crate::rate::Bucket;

/// Bytes of a segment read from the spool at once.
const PIECE_BYTES: u64 = 1024 * 1024;
/// Longest wait for an owner's answer. A run has time; an owner that hangs is left out.
const OWNER_WITHIN: Duration = Duration::from_secs(120);
/// Times that a segment is written, each under another id, until W owners have it.
const TRIES: usize = 3;

/// As whose the segments are written.
#[derive(Clone, Copy)]
pub(super) struct Origins {
    pub(super) cluster: ClusterId,
    pub(super) repo: RepoId,
    pub(super) partition: PartitionId,
    pub(super) claim: ClaimNumber,
    pub(super) format: ObjectFormat,
    pub(super) pack: PackId,
}

/// Where they go.
pub(super) struct Storing<'a> {
    pub(super) peers: &'a bulk::Client,
    pub(super) placement: &'a Placement,
    pub(super) entropy: &'a dyn Entropy,
    pub(super) bucket: &'a Bucket,
    pub(super) per_second: u64,
    pub(super) origins: Origins,
}

impl Storing<'_> {
    /// Writes all of `cuts`, one after the other; they are told as `stored` says.
    pub(super) async fn run(
        &self,
        spool: &Arc<Spool>,
        cuts: Vec<Cut>,
        stored: impl Fn(usize),
    ) -> Result<(Vec<Segment>, Vec<Part>), Error> {
        let (mut segments, mut placed) = (Vec::with_capacity(cuts.len()), Vec::new());
        for (number, cut) in (1..).zip(cuts) {
            let (segment, pieces) = self.store(spool, cut).await?;
            segments.push(segment);
            placed.extend(pieces);
            stored(number);
        }
        Ok((segments, Part::gather(placed.into_iter())))
    }

    async fn store(&self, spool: &Arc<Spool>, cut: Cut) -> Result<(Segment, Vec<Placed>), Error> {
        let mut failed = None;
        for _ in 0..TRIES {
            let Draw { segment, owners, .. } = self.placement.draw(self.entropy)?;
            let header = self.header(segment, cut.entries.start);
            let (spool, cut) = (Arc::clone(spool), cut.clone());
            let (bytes, sealed) = blocking(move || compose(&spool, header, cut)).await?;
            let cost = sealed.total_len.saturating_mul(owners.len() as u64);
            self.bucket.take(cost, self.per_second).await;
            let mut durable = Vec::new();
            let mut source = None;
            let mut writes: FuturesUnordered<_> = owners
                .into_iter()
                .map(|node| {
                    let body = stream::iter(bytes.clone()).boxed();
                    tokio::time::timeout(OWNER_WITHIN, self.peers.write(node, segment, body))
                })
                .collect();
            while let Some(written) = writes.next().await {
                match written {
                    Ok(Ok(written)) if written.length == sealed.total_len => durable.push(written),
                    Ok(Err(error)) => source = Some(error),
                    Ok(Ok(_)) | Err(_) => {}
                }
            }
            if durable.len() >= self.placement.quorum {
                return Ok((row(&header, &sealed, durable), sealed.pieces));
            }
            let (durable, quorum) = (durable.len(), self.placement.quorum);
            failed = Some(Error::UnderQuorum { segment, durable, quorum, source });
        }
        Err(failed.unwrap_or(Error::Bug("a segment was not tried")))
    }

    fn header(&self, segment: SegmentId, pack_offset: u64) -> Header {
        let Origins { cluster, repo, partition, claim, format, pack } = self.origins;
        Header {
            cluster,
            repo,
            network: repo,
            pack,
            segment,
            partition,
            origin: Origin::Claim(claim),
            cipher: Cipher::None,
            key: KeyId::default(),
            object_format: format,
            kind: Kind::Pack,
            pack_offset,
        }
    }
}

/// The bytes of a segment, as they are sent. Blocking.
fn compose(spool: &Spool, header: Header, cut: Cut) -> Result<(Vec<Bytes>, Sealed), Error> {
    let (mut writer, first) = Writer::new(header);
    let mut bytes = vec![first];
    let mut offset = cut.entries.start;
    while offset < cut.entries.end {
        let len = (cut.entries.end - offset).min(PIECE_BYTES);
        let len = usize::try_from(len).expect("because a piece fits in memory");
        let piece = Bytes::from(spool.read(offset, len)?);
        offset += piece.len() as u64;
        bytes.push(writer.write(piece).map_err(Error::Segment)?);
    }
    let sealed = writer.finish(cut.parts).map_err(Error::Segment)?;
    bytes.extend(sealed.tail.iter().cloned());
    Ok((bytes, sealed))
}

/// What the manifest is to remember of a segment (S19).
fn row(header: &Header, sealed: &Sealed, mut durable: Vec<Written>) -> Segment {
    durable.sort_by_key(|written| written.node);
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
