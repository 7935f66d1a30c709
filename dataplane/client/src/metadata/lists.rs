use std::future::ready;
use std::pin::pin;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use gitstratum_core::{NodeId, PartitionId, SegmentId};
use gitstratum_proto::metadata::v1::{SegmentQuery, SegmentStatesRequest};

use super::Partitions;

/// Partitions asked at once.
const ASKED_AT_ONCE: usize = 16;

impl Partitions {
    /// Who holds `segment`, by a linearizable read of `partition`, where it is listed if anywhere
    /// (S9); of all of them when that is not known. Nobody when none that answers lists it. Rare: a
    /// reader has found that the owners it knew do not have it (S19).
    pub async fn owners(&self, segment: SegmentId, partition: Option<PartitionId>) -> Vec<NodeId> {
        let partitions = partition.map_or_else(|| self.all(), |known| vec![known]);
        let asked = stream::iter(partitions).map(|partition| self.owners_in(partition, segment));
        let listed = asked.buffer_unordered(ASKED_AT_ONCE).filter_map(ready);
        pin!(listed).next().await.unwrap_or_default()
    }

    async fn owners_in(&self, partition: PartitionId, segment: SegmentId) -> Option<Vec<NodeId>> {
        let segment_id = Bytes::copy_from_slice(&segment.0);
        // Only whether it is listed counts, not what its writer may still do.
        let query = SegmentQuery { segment_id, ..SegmentQuery::default() };
        let request = SegmentStatesRequest { partition: partition.0, segments: vec![query] };
        let answer = self.segment_states(partition, request).await.ok()?;
        let listed = answer.states.into_iter().find(|state| state.listed)?;
        Some(listed.owners.into_iter().map(NodeId).collect())
    }
}
