//! What object nodes show and ask of the copies they hold: incarnations (S23), inventories
//! and losses (S21).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::inventory;
use gitstratum_core::{GrantsVersion, Incarnation, NodeId, PartitionId, SegmentId};
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::{
    CompareInventoryRequest, CompareInventoryResponse, InventoryBranch, LostCopy,
};
use gitstratum_proto::{FieldError, segment_id};
use parking_lot::Mutex;
use prost::Message;

use super::Service;
use super::hosted::Hosted;
use crate::error::Error;
use crate::partition::entry::{CopyLost, LoseCopies, ShowIncarnation};
use crate::partition::{Change, LossAnswer, query};

/// Manifest rows read between two chances for entries to be applied.
const MANIFESTS_PAGE: usize = 256;
/// How long the list of a node's segments answers the steps of one comparison. What a comparison
/// finds is asked about again before anything is done, so that an older list does no harm.
const LIST_KEPT: Duration = Duration::from_secs(10);
/// Lists kept at once, 16 bytes a segment each.
const LISTS_MAX: usize = 16;
/// Copies in one report.
const LOST_MAX: usize = 4_096;

/// Segments that partitions list for nodes, sorted, while they are compared.
#[derive(Default)]
pub(super) struct Lists {
    held: Mutex<BTreeMap<(PartitionId, NodeId), List>>,
}

struct List {
    taken: Duration,
    segments: Arc<Vec<SegmentId>>,
}

impl Service {
    /// The object node `node` shows its incarnation to the partition, and may acknowledge segments
    /// for it under that number afterwards (S23); 0 only asks. Returns the highest shown.
    ///
    /// # Errors
    /// [`Error::NotLeader`] and retryable ones.
    pub async fn show_incarnation(
        &self,
        partition: PartitionId,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<Incarnation, Error> {
        let hosted = self.hosted(partition)?;
        hosted.leading_term()?;
        hosted.barrier().await?;
        let shown = incarnation_of(&hosted, node).await?;
        if shown >= incarnation {
            return Ok(shown);
        }
        let show = ShowIncarnation { node: node.0, incarnation: incarnation.0 };
        hosted.propose(Change::ShowIncarnation(show), GrantsVersion(0)).await?;
        incarnation_of(&hosted, node).await
    }

    /// Compares what the object node `node` holds with what the partition lists for it (S21).
    ///
    /// # Errors
    /// When the request is malformed or the read cannot be confirmed.
    pub async fn compare_inventory(
        &self,
        partition: PartitionId,
        node: NodeId,
        request: CompareInventoryRequest,
    ) -> Result<CompareInventoryResponse, Error> {
        let depth = request.prefix.len();
        if depth > inventory::PREFIX_BYTES_MAX {
            return Err(FieldError { field: "prefix", problem: "is longer than an id" }.into());
        }
        let hosted = self.hosted(partition)?;
        let listed = self.listed_for(&hosted, node).await?;
        let comparing = tokio::task::spawn_blocking(move || compare(&listed, &request));
        comparing.await.map_err(|_| Error::CutOff { partition })
    }

    /// The object node `node` has lost copies: they go on the repair list (S21). Returns how many
    /// were still listed as its own.
    ///
    /// # Errors
    /// As [`Service::show_incarnation`].
    pub async fn report_lost(
        &self,
        partition: PartitionId,
        node: NodeId,
        copies: Vec<LostCopy>,
    ) -> Result<u32, Error> {
        if copies.len() > LOST_MAX {
            return Err(FieldError { field: "copies", problem: "are more than 4,096" }.into());
        }
        for copy in &copies {
            segment_id("segment_id", &copy.segment_id)?;
        }
        let hosted = self.hosted(partition)?;
        let lost = |copy: LostCopy| CopyLost {
            segment_id: copy.segment_id,
            list_number: copy.list_number,
        };
        let change = LoseCopies {
            node: node.0,
            copies: copies.into_iter().map(lost).collect(),
            replication_factor: self.deps.feed.current().layout().replication_factor.max(1),
        };
        let answer = hosted.propose(Change::LoseCopies(change), GrantsVersion(0)).await?;
        self.lists.held.lock().remove(&(partition, node));
        let answer = LossAnswer::decode(answer).map_err(|_| Error::Answer { partition })?;
        if answer.noted > 0 {
            tracing::warn!(
                partition = partition.0,
                %node,
                copies = answer.noted,
                "an owner has lost copies; they are on the repair list"
            );
        }
        Ok(answer.noted)
    }

    async fn listed_for(
        &self,
        hosted: &Hosted,
        node: NodeId,
    ) -> Result<Arc<Vec<SegmentId>>, Error> {
        let (key, now) = ((hosted.partition, node), self.deps.clock.monotonic());
        let fresh = |list: &List| now.saturating_sub(list.taken) < LIST_KEPT;
        {
            let mut held = self.lists.held.lock();
            held.retain(|_, list| fresh(list));
            if let Some(list) = held.get(&key) {
                return Ok(Arc::clone(&list.segments));
            }
        }
        hosted.barrier().await?;
        let segments = Arc::new(read_all(hosted, node).await?);
        let mut held = self.lists.held.lock();
        if held.len() < LISTS_MAX {
            held.insert(key, List { taken: now, segments: Arc::clone(&segments) });
        }
        Ok(segments)
    }
}

async fn incarnation_of(hosted: &Hosted, node: NodeId) -> Result<Incarnation, Error> {
    hosted.read(move |rows| query::incarnation(rows, node)).await.map(Incarnation)
}

async fn read_all(hosted: &Hosted, node: NodeId) -> Result<Vec<SegmentId>, Error> {
    let mut all = Vec::new();
    let mut after: Option<Bytes> = None;
    loop {
        let from = after.take();
        let page = hosted.read(move |rows| query::packs_page(rows, from.as_ref(), MANIFESTS_PAGE));
        let page = page.await?;
        all.extend(page.packs.iter().flat_map(|(_, pack)| segments_of(pack, node)));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    all.sort_unstable();
    Ok(all)
}

fn segments_of(pack: &Pack, node: NodeId) -> impl Iterator<Item = SegmentId> {
    let owned = pack.segments.iter().filter(move |segment| segment.owners.contains(&node.0));
    owned.filter_map(|segment| SegmentId::from_slice(&segment.segment_id))
}

fn compare(listed: &[SegmentId], request: &CompareInventoryRequest) -> CompareInventoryResponse {
    let depth = request.prefix.len();
    let listed = inventory::below(listed, &request.prefix);
    let mut answer = CompareInventoryResponse::default();
    if request.held.as_ref() == Some(&inventory::summary(listed, depth)) {
        answer.equal = true;
    } else if inventory::is_leaf(listed, depth) {
        answer.segment_ids = listed.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
    } else {
        let branch = |(byte, run): (u8, &[SegmentId])| InventoryBranch {
            byte: byte.into(),
            listed: Some(inventory::summary(run, depth + 1)),
        };
        answer.branches = inventory::branches(listed, depth).into_iter().map(branch).collect();
    }
    answer
}
