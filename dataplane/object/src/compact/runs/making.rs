//! One new pack: chosen, ordered, copied, judged, stored, proved.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{ObjectId, PackId, PartitionId, PushNumber, SessionId};
use gitstratum_git::pack::{Limits, NoBases, ReadFrom, Resolved};
use gitstratum_git::parts::{self, Parts, Source};
use gitstratum_git::segment::{ClaimNumber, cut};
use gitstratum_proto::object::v1::RunStage;
use roaring::RoaringBitmap;

use super::super::Error;
use super::super::choice::Chosen;
use super::super::copying::{Copied, Copying};
use super::super::order::{Entry, order};
use super::super::proof::prove;
use super::super::spool::{Cancel, Spool, blocking};
use super::super::storing::{Origins, Storing};
use super::super::survey::{Surveyed, survey};
use super::{Found, Input, Runs, Told};

/// A pack that is durable on W owners of its segments, and proved.
pub(super) struct Made {
    pub(super) row: Arc<Pack>,
    /// Objects that its own refer to and that are not in it.
    pub(super) outside: Vec<ObjectId>,
}

/// What is known of a pack before it is stored.
struct Judged {
    resolved: Arc<Resolved>,
    parts: Parts,
    outside: Vec<ObjectId>,
}

impl Runs {
    /// Makes a pack of `wanted`; none when there is nothing.
    pub(super) async fn make(
        &self,
        (input, found): (&Input, &Found),
        wanted: &RoaringBitmap,
        claim: u64,
        told: &Told,
    ) -> Result<Option<Made>, Error> {
        if wanted.is_empty() {
            return Ok(None);
        }
        let (chosen, kept) = (Arc::clone(&found.chosen), wanted.clone());
        let entries = Arc::new(blocking(move || Ok(order(&chosen, &kept))).await?);
        let copied = self.copy((input, found), &entries, told).await?;
        told.stage(RunStage::Indexing);
        let id = PackId::random(self.deps.entropy.as_ref());
        let judged = judge(id, &copied, (input, found), &entries).await?;
        told.stage(RunStage::Storing);
        let row = Arc::new(self.store((id, claim), &copied, input, &judged, told).await?);
        told.stage(RunStage::Verifying);
        let proof = (self.spool().await?, found.limits.clone());
        prove(&found.reader, &row, proof, &judged.resolved).await?;
        Ok(Some(Made { row, outside: judged.outside }))
    }

    async fn spool(&self) -> Result<Spool, Error> {
        let folder = self.deps.spool.clone();
        blocking(move || Spool::create(&folder)).await
    }

    async fn copy(
        &self,
        (input, found): (&Input, &Found),
        entries: &[Entry],
        told: &Told,
    ) -> Result<Copied, Error> {
        let copying = Copying {
            reader: &found.reader,
            packs: &input.packs,
            chosen: &found.chosen,
            format: input.format,
            bucket: &self.bucket,
            per_second: self.share.bytes_per_second(),
        };
        copying.run(self.spool().await?, entries, told).await
    }

    async fn store(
        &self,
        (id, claim): (PackId, u64),
        copied: &Copied,
        input: &Input,
        judged: &Judged,
        told: &Told,
    ) -> Result<Pack, Error> {
        let partition = PartitionId(input.repo.partition);
        let placement = self.placement()?;
        let storing = Storing {
            peers: &self.deps.peers,
            placement: &placement,
            entropy: self.deps.entropy.as_ref(),
            bucket: &self.bucket,
            per_second: self.share.bytes_per_second(),
            origins: Origins {
                cluster: self.deps.cluster,
                repo: input.repo_id(),
                partition,
                claim: ClaimNumber(claim),
                format: input.format,
                pack: id,
            },
        };
        let cuts = cut(&judged.resolved, judged.parts.bytes());
        let total = cuts.len();
        let stored = storing.run(&copied.spool, cuts, |done| told.stored(done, total));
        let (segments, parts) = stored.await?;
        let resolved = &judged.resolved;
        Ok(Pack {
            id,
            format: resolved.format(),
            object_count: u32::try_from(resolved.len()).unwrap_or(u32::MAX),
            pack_version: resolved.version(),
            trailer: Bytes::copy_from_slice(resolved.trailer()),
            length: resolved.pack_len(),
            segments,
            parts,
            checked_version: input.seen,
            overlaps: Vec::new(),
            stray_count: 0,
            shadowed_count: 0,
            duplicate_count: 0,
            session: SessionId(0),
            push_number: PushNumber(0),
            inline_graph: judged.parts.inline_graph(),
            listed_version: gitstratum_core::Version::default(),
            thin: false,
            claim,
            listed_in: None,
        })
    }
}

/// Judges what was copied: it has what was wanted and nothing else, and makes its parts.
async fn judge(
    id: PackId,
    copied: &Copied,
    (input, found): (&Input, &Found),
    entries: &Arc<Vec<Entry>>,
) -> Result<Judged, Error> {
    let cancel = Cancel::default();
    let _ended_if_dropped = cancel.on_drop();
    let (spool, len, format) = (Arc::clone(&copied.spool), copied.len, input.format);
    let (chosen, entries) = (Arc::clone(&found.chosen), Arc::clone(entries));
    let limits = found.limits.clone();
    blocking(move || {
        let surveyed = survey(&spool, len, (format, &limits), &cancel)?;
        check_objects(&surveyed.resolved, &chosen, &entries)?;
        let parts = build(id, &spool, &surveyed, &limits, &cancel)?;
        let outside = surveyed.linked.external.iter().map(|each| each.id).collect();
        Ok(Judged { resolved: Arc::new(surveyed.resolved), parts, outside })
    })
    .await
}

/// Each entry makes the object that was chosen for its place.
fn check_objects(resolved: &Resolved, chosen: &[Chosen], entries: &[Entry]) -> Result<(), Error> {
    let is_same = |(made, entry): (_, &Entry)| {
        let made: gitstratum_git::pack::ResolvedObject = made;
        let record = &chosen[entry.object as usize].record;
        (made.id, made.kind, made.size) == (record.id, record.kind, record.size)
            && made.blake3 == record.content.0
    };
    let fits = resolved.len() == entries.len()
        && resolved.duplicates().is_empty()
        && resolved.external_bases().is_empty()
        && resolved.iter().zip(entries).all(is_same);
    if fits { Ok(()) } else { Err(Error::Differs { what: "the objects of the new pack" }) }
}

fn build(
    id: PackId,
    spool: &Spool,
    surveyed: &Surveyed,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Parts, Error> {
    let source = Source {
        resolved: &surveyed.resolved,
        from: ReadFrom { pack: spool, bases: &NoBases },
        limits,
        strays: &RoaringBitmap::new(),
        commits: &surveyed.notes.commits,
        tags: &surveyed.notes.tags,
        shadowed: &BTreeMap::new(),
        outside: &HashMap::new(),
    };
    parts::build(id, &source, &|| cancel.is_set()).map_err(Error::Parts)
}
