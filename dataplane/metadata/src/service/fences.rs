//! Nodes that leave: their fences, what still names them, and what is lost with them (S20).

use bytes::Bytes;
use gitstratum_core::{GrantsVersion, NodeId, PartitionId, RepoId};
use gitstratum_proto::common::v1::Segment;
use gitstratum_proto::metadata::v1::{AcceptLossRequest, LostSegment, ShowNodeUseResponse};
use gitstratum_proto::segment_id;
use prost::Message;

use super::Service;
use super::hosted::Hosted;
use super::upkeep::{Lost, Nodes};
use crate::error::Error;
use crate::partition::entry::{AcceptLoss, Fence};
use crate::partition::record::Who;
use crate::partition::{Change, FenceAnswer, OwnersAnswer, query};

/// Packs looked at between two chances for entries to be applied.
const PACKS: usize = 64;
/// Lost segments that an answer names.
const LOST_MAX: usize = 1_000;

impl Service {
    /// Fences `node` by the command with `number`; the number of its fence as it then is.
    ///
    /// # Errors
    /// [`Error::Fence`] when too few nodes would be left, or a later command has come before.
    pub async fn fence_node(
        &self,
        partition: PartitionId,
        node: NodeId,
        number: u64,
    ) -> Result<u64, Error> {
        let snapshot = self.deps.feed.current();
        let layout = snapshot.layout();
        let fence = Fence {
            node: node.0,
            number,
            lifted: false,
            ring: Nodes::in_ring(layout),
            replication_factor: layout.replication_factor.max(1),
        };
        self.command_fence(partition, fence).await
    }

    /// Lifts the fence of `node` by the command with `number`.
    ///
    /// # Errors
    /// [`Error::Fence`] when a later command has come before.
    pub async fn unfence_node(
        &self,
        partition: PartitionId,
        node: NodeId,
        number: u64,
    ) -> Result<u64, Error> {
        let fence = Fence { node: node.0, number, lifted: true, ..Fence::default() };
        self.command_fence(partition, fence).await
    }

    async fn command_fence(&self, partition: PartitionId, fence: Fence) -> Result<u64, Error> {
        let node = NodeId(fence.node);
        if fence.number == 0 {
            return Err(Error::Fence { node, why: "numbers begin with 1".to_owned() });
        }
        let hosted = self.hosted(partition)?;
        let answer = hosted.propose(Change::Fence(fence), GrantsVersion(0)).await?;
        let answer = FenceAnswer::decode(answer).map_err(|_| Error::Answer { partition })?;
        match answer.refused.is_empty() {
            true => Ok(answer.number),
            false => Err(Error::Fence { node, why: answer.refused }),
        }
    }

    /// What names `node` as an owner. While the fence that the answer names stands nothing is
    /// added, so that pages read one after the other count no less than there is.
    ///
    /// # Errors
    /// When the read cannot be confirmed.
    pub async fn node_use(
        &self,
        partition: PartitionId,
        node: NodeId,
    ) -> Result<ShowNodeUseResponse, Error> {
        let hosted = self.hosted(partition)?;
        hosted.barrier().await?;
        let fences = hosted.read(query::fences).await?;
        let fence_number = fences.get(&node).copied().unwrap_or(0);
        let lost = Lost::new(self.deps.feed.current().layout(), fences.into_keys().collect());
        let mut used = ShowNodeUseResponse { fence_number, ..ShowNodeUseResponse::default() };
        let mut after: Option<Bytes> = None;
        loop {
            let page = hosted.read(move |rows| query::packs_page(rows, after.as_ref(), PACKS));
            let page = page.await?;
            for (repo, pack) in &page.packs {
                let named = pack.segments.iter().filter(|s| s.owners.contains(&node.0));
                named.for_each(|segment| count(&mut used, lost.as_ref(), (*repo, segment)));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        used.fence_number = self.standing_fence(&hosted, node, fence_number).await?;
        Ok(used)
    }

    /// `number`, if that fence stood all the time; else 0.
    async fn standing_fence(
        &self,
        hosted: &Hosted,
        node: NodeId,
        number: u64,
    ) -> Result<u64, Error> {
        let now = hosted.read(move |rows| query::fence(rows, node)).await?;
        Ok(if now == number { number } else { 0 })
    }

    /// Gives up a segment whose owners are all lost.
    ///
    /// # Errors
    /// When the request is malformed or the entry is not acknowledged.
    pub async fn accept_loss(&self, request: AcceptLossRequest) -> Result<bool, Error> {
        let id = segment_id("segment_id", &request.segment_id)?;
        let partition = PartitionId(request.partition);
        let hosted = self.hosted(partition)?;
        hosted.leading_term()?;
        let (found, fences) = hosted
            .read(move |rows| Ok((query::listed_segment(rows, id)?, query::fences(rows)?)))
            .await?;
        let lost = Lost::new(self.deps.feed.current().layout(), fences.into_keys().collect());
        let (Some((_, pack)), Some(lost)) = (found, lost) else { return Ok(false) };
        let listed = pack.segments.iter().find(|segment| segment.segment_id[..] == id.0);
        if !listed.is_some_and(|segment| is_lost(&lost, segment)) {
            return Ok(false);
        }
        let actor = request.actor.unwrap_or_default();
        let who = Who {
            user_id: actor.user_id,
            user_name: actor.user_name,
            request_id: actor.request_id,
            client_addr: actor.client_addr,
        };
        let accept =
            AcceptLoss { segment_id: request.segment_id, list_number: request.list_number, who };
        let answer = hosted.propose(Change::AcceptLoss(accept), GrantsVersion(0)).await?;
        let answer = OwnersAnswer::decode(answer).map_err(|_| Error::Answer { partition })?;
        Ok(answer.changed)
    }
}

fn is_lost(lost: &Lost, segment: &Segment) -> bool {
    let mut owners = segment.owners.iter().map(|node| NodeId(*node));
    !segment.owners.is_empty() && owners.all(|node| lost.contains(node))
}

fn count(used: &mut ShowNodeUseResponse, lost: Option<&Lost>, (repo, segment): (RepoId, &Segment)) {
    used.segments += 1;
    used.bytes += segment.total_length;
    if !lost.is_some_and(|lost| is_lost(lost, segment)) {
        return;
    }
    used.lost_count += 1;
    if used.lost.len() < LOST_MAX {
        used.lost.push(LostSegment {
            segment_id: segment.segment_id.clone(),
            repo_id: repo.0,
            list_number: segment.list_number,
            bytes: segment.total_length,
        });
    }
}
