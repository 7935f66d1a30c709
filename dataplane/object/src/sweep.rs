//! Removes segments that nobody lists and nobody will: only when one linearizable
//! read of the partition says both (S12).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::metadata::Partitions;
use gitstratum_core::{PartitionId, SegmentId};
use gitstratum_git::segment::{Header, Origin};
use gitstratum_process::Drain;
use gitstratum_proto::metadata::v1::{SegmentQuery, SegmentState, SegmentStatesRequest};

use crate::error::Error;
use crate::segments::{Segments, blocking};

/// Most segments asked about in one call.
const ASKED_MAX: usize = 4_096;

/// Sweeps every `every` what is older than `age`, until the drain starts.
pub(crate) async fn run(
    segments: Arc<Segments>,
    partitions: Partitions,
    (every, age): (Duration, Duration),
    drain: Drain,
) {
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(every) => {}
        }
        let before = segments.clock().monotonic().saturating_sub(age);
        for (partition, headers) in by_partition(&segments, before) {
            if let Err(error) = sweep(&segments, &partitions, partition, &headers).await {
                tracing::debug!(%partition, %error, "sweeping waits");
            }
        }
    }
}

fn by_partition(segments: &Segments, before: Duration) -> BTreeMap<PartitionId, Vec<Header>> {
    let mut groups: BTreeMap<_, Vec<Header>> = BTreeMap::new();
    for header in segments.unlisted_before(before) {
        groups.entry(header.partition).or_default().push(header);
    }
    groups
}

async fn sweep(
    segments: &Arc<Segments>,
    partitions: &Partitions,
    partition: PartitionId,
    headers: &[Header],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for asked in headers.chunks(ASKED_MAX) {
        let request = SegmentStatesRequest {
            partition: partition.0,
            segments: asked.iter().filter_map(query).collect(),
        };
        let answer = partitions.segment_states(partition, request).await?;
        for state in &answer.states {
            act(segments, state).await?;
        }
    }
    Ok(())
}

/// Claims are asked about when compaction exists; until then no segment bears one.
fn query(header: &Header) -> Option<SegmentQuery> {
    let Origin::Push { session, number } = header.origin else { return None };
    Some(SegmentQuery {
        segment_id: header.segment.0.to_vec().into(),
        session: session.0,
        push_number: number.0,
    })
}

async fn act(segments: &Arc<Segments>, state: &SegmentState) -> Result<(), Error> {
    let Some(segment) = SegmentId::from_slice(&state.segment_id) else {
        return Err(Error::Bug("a partition answered with no segment id"));
    };
    if state.listed {
        return segments.mark_listed(segment).await;
    }
    if state.writer_closed {
        let store = Arc::clone(segments);
        blocking(move || store.remove(segment)).await?;
        segments.metrics().swept.inc();
        tracing::info!(%segment, "an unlisted segment of a closed push was swept");
    }
    Ok(())
}
