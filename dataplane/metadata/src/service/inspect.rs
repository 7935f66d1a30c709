//! What object nodes, `check` and `status` ask: segments, repositories, audit lines,
//! figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use gitstratum_consensus::{Role, Status};
use gitstratum_core::{PartitionId, RepoId, Version};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::metadata::v1::{
    AuditLine, PartitionStatus, RepositoryRecord, SegmentQuery, SegmentState,
};
use gitstratum_proto::{FieldError, segment_id};
use parking_lot::Mutex;

use super::Service;
use super::hosted::Hosted;
use crate::error::Error;
use crate::partition::query;
use crate::planner::CheckAnswer;

mod audit_line;

/// Segments in one question.
const SEGMENTS_MAX: usize = 65_536;
/// Segments looked up between two chances for entries to be applied.
const SEGMENTS_PAGE: usize = 1_024;
/// Refs that a repository's record carries at most; more are listed by `GetRefs`.
const RECORD_REFS_MAX: u64 = 100_000;
/// Audit lines read at once.
const AUDIT_PAGE: usize = 512;
/// A state checksum reads the whole state: it is not computed more often than this.
const CHECKSUM_INTERVAL: Duration = Duration::from_secs(10);

/// Records of one partition, and the version they are of.
#[derive(Debug)]
pub struct Inspection<T> {
    /// Version of the partition.
    pub version: Version,
    /// The records.
    pub records: Vec<T>,
}

/// The last checksum of each partition's state.
#[derive(Default)]
pub(super) struct Checksums {
    held: Mutex<BTreeMap<PartitionId, Checksum>>,
}

#[derive(Clone)]
struct Checksum {
    applied: Version,
    at: Duration,
    hash: Bytes,
}

impl Service {
    /// What the partition says of segments: a linearizable read, both facts of a segment from one
    /// state (S12, S21).
    ///
    /// # Errors
    /// When the read cannot be confirmed, or a question is malformed.
    pub async fn segment_states(
        &self,
        partition: PartitionId,
        queries: Vec<SegmentQuery>,
    ) -> Result<Inspection<SegmentState>, Error> {
        if queries.len() > SEGMENTS_MAX {
            return Err(FieldError { field: "segments", problem: "are more than 65,536" }.into());
        }
        for query in &queries {
            segment_id("segment_id", &query.segment_id)?;
        }
        let hosted = self.hosted(partition)?;
        let version = hosted.barrier().await?;
        let mut records = Vec::with_capacity(queries.len());
        for page in queries.chunks(SEGMENTS_PAGE) {
            let page = page.to_vec();
            records.extend(hosted.read(move |rows| query::segment_states(rows, &page)).await?);
        }
        Ok(Inspection { version, records })
    }

    /// The repositories of a partition that have a row, by id.
    ///
    /// # Errors
    /// When the read cannot be confirmed.
    pub async fn list_repositories(
        &self,
        partition: PartitionId,
    ) -> Result<Inspection<RepoId>, Error> {
        let hosted = self.hosted(partition)?;
        let version = hosted.barrier().await?;
        let rows = hosted.read(|rows| {
            let mut found = Vec::new();
            query::repositories(rows, &mut |row| found.push(RepoId(row.repo_id)))?;
            Ok(found)
        });
        Ok(Inspection { version, records: rows.await? })
    }

    /// One repository: its manifest, and its refs if `refs` says so and they fit in an answer. `None`
    /// when it has no row.
    ///
    /// # Errors
    /// When the read cannot be confirmed.
    pub async fn repository(
        &self,
        partition: PartitionId,
        repo: RepoId,
        refs: WithRefs,
    ) -> Result<Option<RepositoryRecord>, Error> {
        let hosted = self.hosted(partition)?;
        hosted.barrier().await?;
        hosted.read(move |rows| read_record(rows, partition, repo, refs)).await
    }

    /// Verifies one repository from its refs.
    ///
    /// # Errors
    /// [`Error::NoRepository`]; those of the planner.
    pub async fn check_repository(&self, key: &RepoKey) -> Result<CheckAnswer, Error> {
        let hosted = self.hosted(PartitionId(key.partition))?;
        hosted.barrier().await?;
        let viewed = self.viewed(&hosted, RepoId(key.repo_id)).await?;
        Ok(self.deps.planner.check(viewed.view).await?)
    }

    /// Audit lines after `index`, a page of them, oldest first, with the index to go on from.
    ///
    /// # Errors
    /// When the partition cannot be read.
    pub async fn audit(
        &self,
        partition: PartitionId,
        index: Version,
    ) -> Result<(Vec<AuditLine>, Option<Version>), Error> {
        let hosted = self.hosted(partition)?;
        let rows = hosted.read(move |rows| query::audit_after(rows, index, AUDIT_PAGE)).await?;
        let next = rows.last().map(|(index, _)| *index).filter(|_| rows.len() == AUDIT_PAGE);
        Ok((rows.iter().flat_map(|(index, row)| audit_line::lines(*index, row)).collect(), next))
    }

    /// Figures of every partition here.
    pub async fn status(&self, checksums: WithChecksums) -> Vec<PartitionStatus> {
        let all: Vec<_> = self.partitions.read().values().map(Arc::clone).collect();
        let mut found = Vec::with_capacity(all.len());
        for hosted in all {
            match self.partition_status(&hosted, checksums).await {
                Ok(status) => found.push(status),
                Err(error) => tracing::warn!(partition = hosted.partition.0, %error, "no status"),
            }
        }
        found
    }

    /// The same without checksums; where this node leads, it confirms that first (S39).
    pub async fn confirmed_status(&self) -> Vec<PartitionStatus> {
        let all: Vec<_> = self.partitions.read().values().map(Arc::clone).collect();
        // Looked at first: what is said of the voters is then by this layout, or a later one.
        let snapshot = self.deps.feed.current();
        let epochs: BTreeMap<u32, u64> =
            snapshot.partitions().map(|place| (place.partition, place.epoch)).collect();
        let confirming = all.iter().map(|hosted| async {
            let known = self.partition_status(hosted, WithChecksums::No).await;
            let confirmed = match hosted.group().is_leader() {
                true => hosted.group().confirmed_status().await.ok(),
                false => None,
            };
            let known = known.inspect_err(|error| {
                tracing::warn!(partition = hosted.partition.0, %error, "no status");
            });
            let known = known.ok()?;
            let placement_epoch = epochs.get(&known.partition).copied().unwrap_or_default();
            let held_by_all = hosted.group().held_by_all().unwrap_or_default().0;
            let known = PartitionStatus { placement_epoch, held_by_all, ..known };
            Some(self.confirmed(known, confirmed))
        });
        join_all(confirming).await.into_iter().flatten().collect()
    }

    /// What is known of a partition, with what has been `confirmed` of who votes in it.
    fn confirmed(&self, known: PartitionStatus, confirmed: Option<Status>) -> PartitionStatus {
        match confirmed.filter(|status| status.role == Role::Leader) {
            Some(status) => PartitionStatus {
                leader: self.deps.node.0,
                term: status.term,
                voters: status.voters.iter().map(|node| node.0).collect(),
                voters_settled: status.is_settled,
                confirmed: true,
                ..known
            },
            None => known,
        }
    }

    async fn partition_status(
        &self,
        hosted: &Hosted,
        checksums: WithChecksums,
    ) -> Result<PartitionStatus, Error> {
        let group = hosted.read(query::group).await?;
        let state = hosted.group().status();
        Ok(PartitionStatus {
            partition: hosted.partition.0,
            leader: state.leader.as_ref().map_or(0, |leader| leader.node.0),
            term: state.term,
            applied: hosted.applied().0,
            log_length: state.last_log.0,
            repositories: group.repositories_count,
            refs: group.refs_count,
            sessions: group.sessions_open,
            voters: state.voters.iter().map(|node| node.0).collect(),
            state_checksum: match checksums {
                WithChecksums::Yes => self.checksum(hosted).await?,
                WithChecksums::No => Bytes::new(),
            },
            under_replicated: group.repairs_count,
            misplaced: hosted.misplaced() as u64,
            voters_settled: state.is_settled,
            ..PartitionStatus::default()
        })
    }

    async fn checksum(&self, hosted: &Hosted) -> Result<Bytes, Error> {
        let now = self.deps.clock.monotonic();
        let held = self.checksums.held.lock().get(&hosted.partition).cloned();
        let fresh = |sum: &Checksum| {
            sum.applied == hosted.applied() || now.saturating_sub(sum.at) < CHECKSUM_INTERVAL
        };
        if let Some(sum) = held.filter(fresh) {
            return Ok(sum.hash);
        }
        let failed = |source| Error::Group { partition: hosted.partition, source };
        let (index, hash) = hosted.group().state_hash().await.map_err(failed)?;
        let sum = Checksum { applied: Version(index.0), at: now, hash: hash.clone() };
        self.checksums.held.lock().insert(hosted.partition, sum);
        Ok(hash)
    }
}

/// Whether figures of a partition come with a checksum of its state, which is read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithChecksums {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// Whether a repository's record comes with its refs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithRefs {
    /// Yes.
    Yes,
    /// No.
    No,
}

fn read_record(
    rows: &dyn crate::partition::Rows,
    partition: PartitionId,
    repo: RepoId,
    refs: WithRefs,
) -> Result<Option<RepositoryRecord>, crate::partition::Error> {
    let Some(row) = query::repository(rows, repo)? else { return Ok(None) };
    let mut record = RepositoryRecord {
        repo_id: row.repo_id,
        partition: partition.0,
        head: row.head(),
        path: row.path,
        object_format: row.object_format,
        refs_count: row.refs_count,
        refs_version: row.refs_version,
        manifest_version: row.manifest_version,
        packs: query::packs_after(rows, repo, Version(0))?,
        state: row.state,
        size_bytes: row.size_bytes,
        push_sequence: row.push_sequence,
        name_version: row.name_version,
        public: row.public,
        ..RepositoryRecord::default()
    };
    for kept in query::unlisted_of(rows, repo)? {
        let (packs, bytes) = match kept.cruft {
            true => (&mut record.cruft_packs, &mut record.cruft_bytes),
            false => (&mut record.replaced_packs, &mut record.replaced_bytes),
        };
        *packs += 1;
        *bytes += kept.pack.length;
    }
    if refs == WithRefs::Yes && row.refs_count <= RECORD_REFS_MAX {
        query::references(rows, repo, b"", &mut |name, value| {
            record.refs.push(gitstratum_proto::common::v1::Ref {
                name,
                target: value.target,
                peeled: value.peeled,
            });
        })?;
        let graced = query::replaced_tips(rows, repo)?;
        record.graced =
            graced.iter().map(|tip| Bytes::copy_from_slice(tip.id.as_bytes())).collect();
    }
    Ok(Some(record))
}
