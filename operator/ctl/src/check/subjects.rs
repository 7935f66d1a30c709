use std::collections::BTreeMap;

use gitstratum_core::{ErrorKind, RepoId, RepoPath, SegmentId};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::metadata::v1::RepositoryRecord;

use crate::Error;
use crate::repository::Repository;
use crate::rpc::{Connection, Listed};

/// States of a record, as messages number them.
const LIVE: u32 = 1;
const DELETED: u32 = 2;

/// A repository to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub(super) id: RepoId,
    pub(super) path: String,
    pub(super) partition: u32,
    pub(super) name_version: u64,
    pub(super) state: u32,
    pub(super) segments: Vec<Expected>,
    /// What is known to be wrong before anything is read.
    pub(super) problem: Option<String>,
}

/// A segment as the manifest has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) id: SegmentId,
    /// Bytes of the whole segment.
    pub(super) length: u64,
}

impl Subject {
    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Every repository that the directory or a partition knows, deleted ones too, by path. The
/// directory is read first: what it had then, a partition must have later.
///
/// # Errors
/// When the directory or a partition cannot be read, or the asker may not see all of it.
pub async fn all(connection: &Connection) -> Result<Vec<Subject>, Error> {
    if !connection.who_am_i().await?.cluster_admin {
        let message = "checking every repository is for cluster admins".to_owned();
        return Err(Error::Refused { kind: ErrorKind::Denied, message });
    }
    let directory = directory(connection).await?;
    let mut found = BTreeMap::new();
    let layout = connection.cluster_state().await?.layout.unwrap_or_default();
    for placement in &layout.partitions {
        let mut records = connection.records(placement.partition).await?;
        while let Some(record) = records.next().await? {
            if is_kept(record.state) {
                let id = RepoId(record.repo_id);
                found.insert(id, of_record(&record, directory.get(&id)));
            }
        }
    }
    blame_strangers(connection, &directory, &mut found).await?;
    let mut subjects: Vec<Subject> = Vec::with_capacity(found.len());
    for (id, repository) in directory.iter().filter(|(id, _)| !found.contains_key(id)) {
        subjects.extend(without_record(connection, *id, repository).await?);
    }
    subjects.extend(found.into_values());
    subjects.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(subjects)
}

/// The live repository at `path`.
///
/// # Errors
/// When there is none, or its partition cannot be read.
pub async fn one(connection: &Connection, path: &RepoPath) -> Result<Subject, Error> {
    let repository = connection.repository(path).await?;
    let id = id_of(connection, &repository)?;
    match connection.record(key(id, &repository)).await? {
        Some(record) => Ok(of_record(&record, Some(&repository))),
        None => Ok(blamed(id, &repository)),
    }
}

/// Whether a repository in this state still has its data: it is live, or can be brought back.
pub(super) const fn is_kept(state: u32) -> bool {
    matches!(state, LIVE | DELETED)
}

/// What the manifest of `record` lists.
pub(super) fn segments(record: &RepositoryRecord) -> Vec<Expected> {
    let listed = record.packs.iter().flat_map(|pack| &pack.segments);
    let expected = listed.filter_map(|segment| {
        let id = SegmentId::from_slice(&segment.segment_id)?;
        Some(Expected { id, length: segment.total_length })
    });
    expected.collect()
}

async fn directory(connection: &Connection) -> Result<BTreeMap<RepoId, Repository>, Error> {
    let mut found = BTreeMap::new();
    for deleted in [false, true] {
        let listed = Listed { owner: None, deleted };
        for repository in connection.repositories(&listed).await? {
            found.insert(id_of(connection, &repository)?, repository);
        }
    }
    Ok(found)
}

/// Live records of repositories that the directory does not have, also now that it is read
/// again: one might have been made a moment ago.
async fn blame_strangers(
    connection: &Connection,
    known: &BTreeMap<RepoId, Repository>,
    found: &mut BTreeMap<RepoId, Subject>,
) -> Result<(), Error> {
    if found.keys().all(|id| known.contains_key(id)) {
        return Ok(());
    }
    let now = directory(connection).await?;
    let strangers = found.iter_mut().filter(|(id, _)| !known.contains_key(id));
    for (id, subject) in strangers {
        if !now.contains_key(id) && subject.state == LIVE {
            subject.problem = Some("the directory does not know this repository".to_owned());
        }
    }
    Ok(())
}

/// A repository of which its partition listed no record. It is damage only if it is still so.
async fn without_record(
    connection: &Connection,
    id: RepoId,
    repository: &Repository,
) -> Result<Option<Subject>, Error> {
    let Ok(path) = RepoPath::parse(&repository.path) else { return Ok(None) };
    if let Some(record) = connection.record(key(id, repository)).await? {
        return Ok(is_kept(record.state).then(|| of_record(&record, Some(repository))));
    }
    match connection.repository(&path).await {
        Ok(now) if now.id == repository.id => Ok(Some(blamed(id, repository))),
        Ok(_) | Err(Error::Refused { kind: ErrorKind::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn of_record(record: &RepositoryRecord, repository: Option<&Repository>) -> Subject {
    Subject {
        id: RepoId(record.repo_id),
        path: repository.map_or(&record.path, |repository| &repository.path).clone(),
        partition: record.partition,
        name_version: repository.map_or(0, |repository| repository.name_version),
        state: record.state,
        segments: segments(record),
        problem: None,
    }
}

fn blamed(id: RepoId, repository: &Repository) -> Subject {
    let partition = repository.partition;
    Subject {
        id,
        path: repository.path.clone(),
        partition,
        name_version: repository.name_version,
        state: LIVE,
        segments: Vec::new(),
        problem: Some(format!("partition {partition} has no record of this repository")),
    }
}

fn key(id: RepoId, repository: &Repository) -> RepoKey {
    let (partition, name_version) = (repository.partition, repository.name_version);
    RepoKey { repo_id: id.0, partition, name_version }
}

fn id_of(connection: &Connection, repository: &Repository) -> Result<RepoId, Error> {
    RepoId::parse(&repository.id).ok_or_else(|| Error::Answer {
        place: connection.place().to_owned(),
        problem: format!("repository id {}", repository.id),
    })
}
