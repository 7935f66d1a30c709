//! Removes segments that nobody lists and nobody will, and copies that are not wanted here
//! any more: only when one linearizable read of the partition says so (S12, S21).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::garbage::{Verdict, judge};
use gitstratum_client::metadata::{self, Partitions};
use gitstratum_core::{NodeId, PartitionId, SegmentId};
use gitstratum_git::segment::{Header, Origin};
use gitstratum_process::Drain;
use gitstratum_proto::metadata::v1::{SegmentQuery, SegmentState, SegmentStatesRequest};

use crate::error::Error;
use crate::segments::{Hold, Segments};

/// Most segments asked about in one call.
const ASKED_MAX: usize = 4_096;

/// What sweeps.
pub(crate) struct Sweep {
    pub(crate) node: NodeId,
    pub(crate) segments: Arc<Segments>,
    pub(crate) partitions: Partitions,
}

/// Why sweeping waits.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Partition(#[from] metadata::Error),
    #[error(transparent)]
    Disk(#[from] Error),
}

impl Sweep {
    /// Sweeps every `every` what is older than `age`, until the drain starts.
    pub(crate) async fn run(self, (every, age): (Duration, Duration), drain: Drain) {
        loop {
            tokio::select! {
                biased;
                () = drain.started() => return,
                () = tokio::time::sleep(every) => {}
            }
            let before = self.segments.clock().monotonic().saturating_sub(age);
            for (partition, headers) in by_partition(&self.segments, before) {
                if let Err(error) = self.sweep(partition, &headers).await {
                    tracing::debug!(%partition, %error, "sweeping waits");
                }
            }
        }
    }

    async fn sweep(&self, partition: PartitionId, headers: &[Header]) -> Result<(), SweepError> {
        for asked in headers.chunks(ASKED_MAX) {
            let request = SegmentStatesRequest {
                partition: partition.0,
                segments: asked.iter().map(query).collect(),
            };
            let answer = self.partitions.segment_states(partition, request).await?;
            for state in &answer.states {
                self.act(state).await?;
            }
        }
        Ok(())
    }

    async fn act(&self, state: &SegmentState) -> Result<(), Error> {
        let Some(segment) = SegmentId::from_slice(&state.segment_id) else {
            return Err(Error::Bug("a partition answered with no segment id"));
        };
        // A pull that is under way, or was since the reading, voids what it says.
        let Ok(hold) = self.segments.hold(segment) else { return Ok(()) };
        let pulled = self.segments.record(segment)?.map_or(0, |record| record.pulled);
        match judge(self.node, pulled, state) {
            Verdict::Listed => self.segments.mark_listed(segment).await,
            Verdict::Stays => Ok(()),
            Verdict::Garbage => self.remove(&hold, segment, "nobody lists it").await,
            Verdict::Unwanted => self.remove(&hold, segment, "its owners are others").await,
        }
    }

    async fn remove(
        &self,
        hold: &Hold,
        segment: SegmentId,
        why: &'static str,
    ) -> Result<(), Error> {
        let store = Arc::clone(&self.segments);
        hold.blocking(move || {
            store.remove(segment)?;
            store.drop_aside(segment)
        })
        .await?;
        self.segments.metrics().swept.inc();
        tracing::info!(%segment, why, "a segment was swept");
        Ok(())
    }
}

fn by_partition(segments: &Segments, before: Duration) -> BTreeMap<PartitionId, Vec<Header>> {
    let mut groups: BTreeMap<_, Vec<Header>> = BTreeMap::new();
    for header in segments.unlisted_before(before) {
        groups.entry(header.partition).or_default().push(header);
    }
    groups
}

/// Who wrote it, for the partition to say whether that is over (S12).
fn query(header: &Header) -> SegmentQuery {
    let query = SegmentQuery {
        segment_id: header.segment.0.to_vec().into(),
        repo_id: header.repo.0,
        ..SegmentQuery::default()
    };
    match header.origin {
        Origin::Push { session, number } => {
            SegmentQuery { session: session.0, push_number: number.0, ..query }
        }
        Origin::Claim(claim) => SegmentQuery { claim: claim.0, ..query },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s12_a_run_s_segment_is_asked_about_by_its_claim() {
        let header = Header {
            cluster: gitstratum_core::ClusterId([1; 16]),
            repo: gitstratum_core::RepoId(9),
            network: gitstratum_core::RepoId(9),
            pack: gitstratum_core::PackId([2; 16]),
            segment: SegmentId([3; 16]),
            partition: PartitionId(4),
            origin: Origin::Claim(gitstratum_git::segment::ClaimNumber(7)),
            cipher: gitstratum_git::segment::Cipher::None,
            key: gitstratum_git::segment::KeyId::default(),
            object_format: gitstratum_core::ObjectFormat::Sha1,
            kind: gitstratum_git::segment::Kind::Pack,
            pack_offset: 0,
        };
        let asked = query(&header);
        assert_eq!((asked.claim, asked.repo_id), (7, 9));
        assert_eq!((asked.session, asked.push_number), (0, 0));
    }
}
