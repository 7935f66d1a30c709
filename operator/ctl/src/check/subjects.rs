use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::{ErrorKind, NodeId, RepoId, RepoPath, SegmentId};
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
    /// Copies that every segment is to have.
    pub(super) copies: usize,
    /// What is known to be wrong before anything is read.
    pub(super) problem: Option<String>,
    /// What keeps from knowing.
    pub(super) unread: Option<String>,
}

/// A segment as the manifest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) id: SegmentId,
    /// Bytes of the whole segment.
    pub(super) length: u64,
    /// Nodes that hold it, by the manifest.
    pub(super) owners: Vec<NodeId>,
}

impl Subject {
    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same failure, told of one repository of the partition.
    fn of(&self, id: RepoId, repository: &Repository) -> Self {
        let (path, name_version) = (repository.path.clone(), repository.name_version);
        Self { id, path, name_version, ..self.clone() }
    }

    /// Copies that nobody holds yet.
    pub(super) fn missing_copies(&self) -> usize {
        let held = self.segments.iter().map(|segment| segment.owners.len());
        held.map(|held| self.copies.saturating_sub(held)).sum()
    }
}

/// Every repository that the directory or a partition knows, deleted ones too, by path. The
/// directory is read first: what it had then, a partition must have later.
///
/// A partition that cannot be read is told by each of its repositories, or for itself when
/// it has none.
///
/// # Errors
/// When the directory cannot be read, or the asker may not see all of it.
pub async fn all(connection: &Connection) -> Result<Vec<Subject>, Error> {
    if !connection.who_am_i().await?.cluster_admin {
        let message = "checking every repository is for cluster admins".to_owned();
        return Err(Error::Refused { kind: ErrorKind::Denied, message });
    }
    let directory = directory(connection).await?;
    let (mut found, mut unread) = (BTreeMap::new(), BTreeMap::new());
    let layout = connection.cluster_state().await?.layout.unwrap_or_default();
    for partition in layout.partitions.iter().map(|placement| placement.partition) {
        if let Err(error) = list(connection, partition, &directory, &mut found).await {
            unread.insert(partition, of_failure(partition, error)?);
        }
    }
    blame_strangers(connection, &directory, &mut found).await?;
    let mut subjects: Vec<Subject> = Vec::with_capacity(found.len());
    for (id, repository) in directory.iter().filter(|(id, _)| !found.contains_key(id)) {
        match unread.get(&repository.partition) {
            Some(failure) => subjects.push(failure.of(*id, repository)),
            None => subjects.extend(without_record(connection, *id, repository).await?),
        }
    }
    let used: BTreeSet<u32> = directory.values().map(|repository| repository.partition).collect();
    unread.retain(|partition, _| !used.contains(partition));
    subjects.extend(unread.into_values());
    subjects.extend(found.into_values());
    subjects.sort_by(|a, b| a.path.cmp(&b.path));
    let copies = layout.replication_factor as usize;
    subjects.iter_mut().for_each(|subject| subject.copies = copies);
    Ok(subjects)
}

/// Adds what the partition has to `found`.
async fn list(
    connection: &Connection,
    partition: u32,
    directory: &BTreeMap<RepoId, Repository>,
    found: &mut BTreeMap<RepoId, Subject>,
) -> Result<(), Error> {
    let mut records = connection.records(partition).await?;
    while let Some(record) = records.next().await? {
        if is_kept(record.state) {
            let id = RepoId(record.repo_id);
            found.insert(id, of_record(&record, directory.get(&id)));
        }
    }
    Ok(())
}

/// What a partition that answered with `error` can tell of itself; an error that is not of
/// the partition alone ends everything.
fn of_failure(partition: u32, error: Error) -> Result<Subject, Error> {
    let Error::Refused { kind, message } = error else { return Err(error) };
    let (problem, unread) = match kind {
        ErrorKind::Corrupt => (Some(message), None),
        ErrorKind::Denied => return Err(Error::Refused { kind, message }),
        _ => (None, Some(message)),
    };
    Ok(Subject {
        id: RepoId(0),
        path: format!("partition {partition}"),
        partition,
        name_version: 0,
        state: LIVE,
        segments: Vec::new(),
        copies: 0,
        problem,
        unread,
    })
}

/// The live repository at `path`.
///
/// # Errors
/// When there is none, or its partition cannot be read.
pub async fn one(connection: &Connection, path: &RepoPath) -> Result<Subject, Error> {
    let repository = connection.repository(path).await?;
    let id = id_of(connection, &repository)?;
    let layout = connection.cluster_state().await?.layout.unwrap_or_default();
    let copies = layout.replication_factor as usize;
    match connection.record(key(id, &repository)).await {
        Ok(Some(record)) => Ok(Subject { copies, ..of_record(&record, Some(&repository)) }),
        Ok(None) => Ok(blamed(id, &repository)),
        Err(error) => Ok(of_failure(repository.partition, error)?.of(id, &repository)),
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
        let owners = segment.owners.iter().copied().map(NodeId).collect();
        Some(Expected { id, length: segment.total_length, owners })
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
        copies: 0,
        problem: None,
        unread: None,
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
        copies: 0,
        problem: Some(format!("partition {partition} has no record of this repository")),
        unread: None,
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
