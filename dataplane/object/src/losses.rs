//! Tells partitions which of the copies that they list are not here, or only damaged (S21).
//! A partition calls a segment missing, nobody else: what it does not list here is no loss.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::metadata::{self, Partitions};
use gitstratum_core::{NodeId, PartitionId, SegmentId};
use gitstratum_process::{Drain, failpoint};
use gitstratum_proto::metadata::v1::{
    LostCopy, ReportLostRequest, SegmentQuery, SegmentState, SegmentStatesRequest,
};

use crate::error::Error;
use crate::segments::{Segments, blocking};

/// How often losses are told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Most copies told in one call.
const TOLD_MAX: usize = 4_096;

/// What tells them.
pub(crate) struct Losses {
    pub(crate) node: NodeId,
    pub(crate) segments: Arc<Segments>,
    pub(crate) partitions: Partitions,
}

/// Why a loss is not told yet.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Partition(#[from] metadata::Error),
    #[error(transparent)]
    Disk(#[from] Error),
}

impl Losses {
    /// Tells them until the drain starts.
    pub(crate) async fn run(self, drain: Drain) {
        loop {
            tokio::select! {
                biased;
                () = drain.started() => return,
                () = tokio::time::sleep(TELL_EVERY) => {}
            }
            self.round().await;
        }
    }

    async fn round(&self) {
        let mut groups: BTreeMap<PartitionId, Vec<SegmentId>> = BTreeMap::new();
        let mut homeless = BTreeSet::new();
        for (segment, partition) in self.segments.lost() {
            match partition {
                Some(partition) => groups.entry(partition).or_default().push(segment),
                None => {
                    homeless.insert(segment);
                }
            }
        }
        // A header that cannot be read names no partition: whoever lists the segment is it.
        for partition in self.partitions.all() {
            groups.entry(partition).or_default().extend(&homeless);
        }
        let mut unheard = BTreeSet::new();
        for (partition, segments) in groups {
            for asked in segments.chunks(TOLD_MAX) {
                match self.tell(partition, asked).await {
                    Ok(listed) => homeless.retain(|segment| !listed.contains(segment)),
                    Err(error) => {
                        tracing::debug!(%partition, %error, "telling of lost copies waits");
                        unheard.extend(asked.iter().copied());
                    }
                }
            }
        }
        for segment in homeless.difference(&unheard) {
            self.drop_unwanted(*segment).await;
        }
    }

    /// Tells one partition; returns what it lists, here or elsewhere.
    async fn tell(
        &self,
        partition: PartitionId,
        asked: &[SegmentId],
    ) -> Result<Vec<SegmentId>, TellError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let request = SegmentStatesRequest {
            partition: partition.0,
            segments: asked.iter().map(|segment| query(*segment)).collect(),
        };
        let answer = self.partitions.segment_states(partition, request).await?;
        let (mut listed, mut copies) = (Vec::new(), Vec::new());
        for state in &answer.states {
            let Some(segment) = SegmentId::from_slice(&state.segment_id) else { continue };
            if state.listed {
                listed.push(segment);
            }
            match self.is_missing(segment, state).await? {
                true => copies.push((segment, state.list_number)),
                false if is_owner(self.node, state) => self.segments.forget_lost(segment),
                false if state.listed || self.segments.is_lost_of(segment, partition) => {
                    self.drop_unwanted(segment).await;
                }
                false => {}
            }
        }
        self.report(partition, &copies).await?;
        Ok(listed)
    }

    /// Whether the partition lists a copy here that is not here.
    async fn is_missing(&self, segment: SegmentId, state: &SegmentState) -> Result<bool, Error> {
        if !is_owner(self.node, state) {
            return Ok(false);
        }
        let segments = Arc::clone(&self.segments);
        blocking(move || Ok(!segments.has(segment))).await
    }

    async fn report(
        &self,
        partition: PartitionId,
        lost: &[(SegmentId, u64)],
    ) -> Result<(), TellError> {
        if lost.is_empty() {
            return Ok(());
        }
        let copy = |(segment, list_number): &(SegmentId, u64)| LostCopy {
            segment_id: Bytes::copy_from_slice(&segment.0),
            list_number: *list_number,
        };
        let copies = lost.iter().map(copy).collect();
        let request = ReportLostRequest { partition: partition.0, copies };
        failpoint!("object.loss.before_report");
        let answer = self.partitions.report_lost(partition, request).await?;
        self.segments.metrics().reported.add(u64::from(answer.noted));
        tracing::warn!(%partition, copies = lost.len(), "lost copies were told");
        lost.iter().for_each(|(segment, _)| self.segments.forget_lost(*segment));
        Ok(())
    }

    /// Nobody wants a copy of it here: what was put aside goes. Who copies it meanwhile was told
    /// so by a list, and drops that himself.
    async fn drop_unwanted(&self, segment: SegmentId) {
        let Ok(hold) = self.segments.hold(segment) else { return };
        let segments = Arc::clone(&self.segments);
        let dropped = hold.blocking(move || segments.forget_aside(segment));
        if let Err(error) = dropped.await {
            tracing::warn!(%segment, %error, "a damaged copy that nobody wants stays");
        }
        self.segments.forget_lost(segment);
    }
}

fn is_owner(node: NodeId, state: &SegmentState) -> bool {
    state.listed && state.owners.contains(&node.0)
}

/// Asks about a segment whose writer is not known: only whether it is listed counts.
fn query(segment: SegmentId) -> SegmentQuery {
    SegmentQuery { segment_id: Bytes::copy_from_slice(&segment.0), ..SegmentQuery::default() }
}
