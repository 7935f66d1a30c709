//! Compares what is held here with what every partition lists, both ways, by summaries
//! (S21). What differs is only a hint: before anything is told or removed the partition is
//! asked again, by a linearizable read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use gitstratum_client::inventory::{below, branches, summary};
use gitstratum_client::metadata::{Error, Partitions};
use gitstratum_core::{PartitionId, SegmentId};
use gitstratum_process::Drain;
use gitstratum_proto::metadata::v1::{
    CompareInventoryRequest, CompareInventoryResponse, SegmentStatesRequest,
};

use crate::admission::Admissions;
use crate::segments::{Segments, blocking};

/// How often it is looked whether a comparison is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pause after a comparison that failed, doubled by each that follows, up to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// Partitions compared at once.
const COMPARED_AT_ONCE: usize = 4;

/// What compares.
pub(crate) struct Inventory {
    pub(crate) segments: Arc<Segments>,
    pub(crate) partitions: Partitions,
    pub(crate) admissions: Arc<Admissions>,
    /// Time between two comparisons with a partition.
    pub(crate) every: Duration,
}

/// When a partition is compared next.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Duration,
    /// The pause after the next failure.
    retry: Duration,
}

/// What one side has and the other has not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differences {
    /// Listed, not held.
    missing: Vec<SegmentId>,
    /// Held, not listed.
    extra: Vec<SegmentId>,
}

impl Inventory {
    /// Compares at the start, then every so often, until the drain starts.
    pub(crate) async fn run(self, drain: Drain) {
        let mut due = BTreeMap::new();
        loop {
            tokio::select! {
                biased;
                () = drain.started() => return,
                () = self.round(&mut due) => {}
            }
            tokio::select! {
                biased;
                () = drain.started() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn round(&self, due: &mut BTreeMap<PartitionId, Due>) {
        let now = self.segments.clock().monotonic();
        let is_due = |id: &PartitionId| {
            self.admissions.is_admitted(*id) && due.get(id).is_none_or(|due| due.at <= now)
        };
        let partitions = self.partitions.all().into_iter().filter(is_due);
        let answering = self.answering(partitions.collect()).await;
        let (fit, mut compared): (Vec<_>, Vec<_>) =
            answering.into_iter().partition(|(_, answers)| *answers);
        if !fit.is_empty() {
            let fit = fit.into_iter().map(|(id, _)| id).collect();
            compared.extend(self.settle_all(fit).await);
        }
        let now = self.segments.clock().monotonic();
        for (partition, settled) in compared {
            let next = match settled {
                true => Due::next((now, self.every)),
                false => Due::again(due.get(&partition), (now, self.every)),
            };
            due.insert(partition, next);
        }
    }

    /// Which of `partitions` answer at all: to walk everything held is not for nothing.
    async fn answering(&self, partitions: Vec<PartitionId>) -> Vec<(PartitionId, bool)> {
        let asked = futures::stream::iter(partitions).map(async |id| {
            let nothing = SegmentStatesRequest { partition: id.0, segments: Vec::new() };
            let answer = self.partitions.segment_states(id, nothing).await;
            if let Err(error) = &answer {
                tracing::debug!(partition = %id, %error, "comparing what is held waits");
            }
            (id, answer.is_ok())
        });
        asked.buffer_unordered(COMPARED_AT_ONCE).collect().await
    }

    /// Compares with each of `partitions`.
    async fn settle_all(&self, partitions: Vec<PartitionId>) -> Vec<(PartitionId, bool)> {
        let store = Arc::clone(&self.segments);
        let recalled = blocking(move || {
            store.recall_lost()?;
            store.recall_bare()?;
            store.held()
        });
        let held = match recalled.await {
            Ok(held) => held,
            Err(error) => {
                tracing::error!(%error, "what is held here could not be listed");
                self.segments.note_rows(&error);
                return partitions.into_iter().map(|id| (id, false)).collect();
            }
        };
        let settled = futures::stream::iter(partitions).map(async |id| {
            let held = held.get(&id).map(Vec::as_slice).unwrap_or_default();
            (id, self.settle(id, held).await)
        });
        settled.buffer_unordered(COMPARED_AT_ONCE).collect().await
    }

    async fn settle(&self, partition: PartitionId, held: &[SegmentId]) -> bool {
        let differences = match self.compare(partition, held).await {
            Ok(differences) => differences,
            Err(error) => {
                tracing::debug!(%partition, %error, "comparing what is held waits");
                return false;
            }
        };
        let Differences { missing, extra } = differences;
        tracing::info!(
            %partition, held = held.len(), missing = missing.len(), extra = extra.len(),
            "compared with what the partition lists"
        );
        missing.into_iter().for_each(|segment| self.segments.note_lost(segment, partition));
        let segments = Arc::clone(&self.segments);
        let asked = blocking(move || {
            extra.into_iter().for_each(|segment| segments.ask_about(segment));
            Ok(())
        });
        asked.await.is_ok()
    }

    async fn compare(
        &self,
        partition: PartitionId,
        held: &[SegmentId],
    ) -> Result<Differences, Error> {
        let mut found = Differences::default();
        let mut prefixes = vec![Bytes::new()];
        let incarnation = self.admissions.admitted(partition).unwrap_or_default().0;
        while let Some(prefix) = prefixes.pop() {
            let mine = below(held, &prefix);
            let request = CompareInventoryRequest {
                partition: partition.0,
                prefix: prefix.clone(),
                held: Some(summary(mine, prefix.len())),
                incarnation,
            };
            let answer = self.partitions.compare_inventory(partition, request).await?;
            prefixes.extend(found.take(&prefix, mine, &answer));
        }
        Ok(found)
    }
}

impl Due {
    /// What follows a comparison at `now` that went well; `every` lies between two that do.
    fn next((now, every): (Duration, Duration)) -> Self {
        Self { at: now + every, retry: RETRY_FIRST }
    }

    /// What follows one that did not.
    fn again(last: Option<&Self>, (now, every): (Duration, Duration)) -> Self {
        let pause = last.map_or(RETRY_FIRST, |last| last.retry).min(every);
        Self { at: now + pause, retry: (pause * 2).min(RETRY_LONGEST) }
    }
}

impl Differences {
    /// Takes what an answer shows of the ids below `prefix`, of which `mine` are held; returns
    /// the prefixes to go on with.
    fn take(
        &mut self,
        prefix: &Bytes,
        mine: &[SegmentId],
        answer: &CompareInventoryResponse,
    ) -> Vec<Bytes> {
        if answer.equal {
            return Vec::new();
        }
        if answer.branches.is_empty() {
            let listed = answer.segment_ids.iter().filter_map(|id| SegmentId::from_slice(id));
            let listed: BTreeSet<_> = listed.collect();
            let held: BTreeSet<_> = mine.iter().copied().collect();
            self.missing.extend(listed.difference(&held));
            self.extra.extend(held.difference(&listed));
            return Vec::new();
        }
        let depth = prefix.len();
        let runs: BTreeMap<u8, &[SegmentId]> = branches(mine, depth).into_iter().collect();
        let (mut deeper, mut listed) = (Vec::new(), BTreeSet::new());
        for branch in &answer.branches {
            let Ok(byte) = u8::try_from(branch.byte) else { continue };
            listed.insert(byte);
            let run = runs.get(&byte).copied().unwrap_or_default();
            if branch.listed.as_ref() != Some(&summary(run, depth + 1)) {
                deeper.push([&prefix[..], &[byte]].concat().into());
            }
        }
        let alone = runs.into_iter().filter(|(byte, _)| !listed.contains(byte));
        alone.for_each(|(_, run)| self.extra.extend(run));
        deeper
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_proto::metadata::v1::InventoryBranch;

    use super::*;

    fn id(first: u8, last: u8) -> SegmentId {
        let mut id = [0; 16];
        (id[0], id[15]) = (first, last);
        SegmentId(id)
    }

    #[test]
    fn a_partition_that_does_not_answer_is_asked_ever_more_rarely() {
        let (hour, now) = (Duration::from_secs(3_600), Duration::from_secs(100));
        let (mut due, mut pauses) = (None, Vec::new());
        for _ in 0..6 {
            let next = Due::again(due.as_ref(), (now, hour));
            pauses.push((next.at - now).as_secs());
            due = Some(next);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        let well = Due::next((now, hour));
        assert_eq!(well.at, now + hour);
        assert_eq!(Due::again(Some(&well), (now, hour)).at, now + RETRY_FIRST);
    }

    #[test]
    fn s21_a_leaf_shows_both_ways() {
        let mut found = Differences::default();
        let listed = [id(1, 1), id(2, 1)].map(|id| Bytes::copy_from_slice(&id.0)).to_vec();
        let answer = CompareInventoryResponse { segment_ids: listed, ..Default::default() };
        let deeper = found.take(&Bytes::new(), &[id(2, 1), id(3, 1)], &answer);
        assert!(deeper.is_empty());
        assert_eq!(found, Differences { missing: vec![id(1, 1)], extra: vec![id(3, 1)] });
    }

    #[test]
    fn s21_only_branches_that_differ_are_asked_about() {
        let mut found = Differences::default();
        let held = [id(1, 1), id(2, 1), id(3, 1)];
        let branch = |byte: u8, ids: &[SegmentId]| InventoryBranch {
            byte: byte.into(),
            listed: Some(summary(ids, 1)),
        };
        let branches = vec![branch(1, &[id(1, 1)]), branch(2, &[id(2, 7)]), branch(9, &[id(9, 1)])];
        let answer = CompareInventoryResponse { branches, ..Default::default() };
        let deeper = found.take(&Bytes::new(), &held, &answer);
        assert_eq!(deeper, [Bytes::from_static(&[2]), Bytes::from_static(&[9])]);
        assert_eq!(found, Differences { missing: Vec::new(), extra: vec![id(3, 1)] });
    }
}
