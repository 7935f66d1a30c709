use std::collections::BTreeMap;

use gitstratum_core::RepoId;
use gitstratum_proto::control::v1::{Repository, SnapshotUpdate};
use gitstratum_proto::metadata::v1::RepositoryRecord;

/// Wire number of a live repository.
const LIVE: u32 = 1;
/// What a HEAD that names a branch begins with.
const BRANCHES: &[u8] = b"refs/heads/";
const DEFAULT_BRANCH: &str = "main";

/// `snapshot` with what partitions know better, and what was done in words. A partition has
/// followed a newer name or state only because some node was told of it: it wins. A
/// repository that the snapshot does not know is one that was made after it.
pub fn complete(
    snapshot: SnapshotUpdate,
    records: &[RepositoryRecord],
) -> (SnapshotUpdate, Vec<String>) {
    let mut notes = Vec::new();
    let held = snapshot.repositories.iter().cloned();
    let mut found: BTreeMap<u64, Repository> = held.map(|known| (known.id, known)).collect();
    for record in records {
        let name = RepoId(record.repo_id);
        match found.get_mut(&record.repo_id) {
            Some(known) if known.name_version < record.name_version => {
                notes.push(format!("repository {name} was `{}`, is `{}`", known.path, record.path));
                known.path.clone_from(&record.path);
                (known.state, known.name_version) = (record.state, record.name_version);
            }
            Some(_) => {}
            None => {
                notes.push(format!("repository {name} `{}` has no description", record.path));
                found.insert(record.repo_id, made(record, snapshot.version));
            }
        }
    }
    notes.extend(part_twins(&mut found));
    let version = found.values().map(|known| known.name_version).max().unwrap_or_default();
    let version = version.max(snapshot.version);
    let repositories = found.into_values().collect();
    (SnapshotUpdate { repositories, version, ..snapshot }, notes)
}

/// A repository that only its partition knows.
fn made(record: &RepositoryRecord, version: u64) -> Repository {
    let branch = record.head.strip_prefix(BRANCHES).and_then(|name| std::str::from_utf8(name).ok());
    Repository {
        id: record.repo_id,
        path: record.path.clone(),
        partition: record.partition,
        object_format: record.object_format,
        default_branch: branch.unwrap_or(DEFAULT_BRANCH).to_owned(),
        public: record.public,
        state: record.state,
        name_version: record.name_version,
        version: version.max(record.name_version),
        ..Repository::default()
    }
}

/// Of two live ones at one path the one that took it last has it; the other can be undeleted.
fn part_twins(found: &mut BTreeMap<u64, Repository>) -> Vec<String> {
    let mut holders: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for known in found.values().filter(|known| known.state == LIVE) {
        let holder = holders.entry(known.path.clone()).or_default();
        *holder = (*holder).max((known.name_version, known.id));
    }
    let mut notes = Vec::new();
    for known in found.values_mut().filter(|known| known.state == LIVE) {
        if holders.get(&known.path).is_some_and(|(_, holder)| *holder != known.id) {
            const DELETED: u32 = 2;
            known.state = DELETED;
            let (id, path) = (RepoId(known.id), &known.path);
            notes.push(format!("repository {id} is deleted: another one has `{path}` now"));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: u64, path: &str, name_version: u64) -> Repository {
        let (path, description) = (path.to_owned(), "text".to_owned());
        Repository { id, path, name_version, description, state: LIVE, ..Repository::default() }
    }

    fn record(repo_id: u64, path: &str, name_version: u64) -> RepositoryRecord {
        let path = path.to_owned();
        let head = b"refs/heads/trunk".to_vec().into();
        RepositoryRecord { repo_id, path, name_version, head, state: LIVE, ..Default::default() }
    }

    fn snapshot(repositories: Vec<Repository>) -> SnapshotUpdate {
        SnapshotUpdate { version: 5, repositories, ..SnapshotUpdate::default() }
    }

    #[test]
    fn s45_what_a_partition_does_not_know_better_stays() {
        let told = snapshot(vec![known(1, "a/x", 3), known(2, "a/y", 4)]);
        let (merged, notes) = complete(told.clone(), &[record(1, "a/old", 2), record(2, "a/y", 4)]);
        assert_eq!((merged, notes), (told, Vec::new()));
    }

    #[test]
    fn s45_a_newer_name_and_a_repository_made_since_come_from_the_partition() {
        let told = snapshot(vec![known(1, "a/x", 3)]);
        let (merged, notes) = complete(told, &[record(1, "a/new", 8), record(9, "a/x", 9)]);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert_eq!(merged.version, 9, "what is given out next is above all of it");
        let [renamed, made] = &merged.repositories[..] else { panic!("{merged:?}") };
        assert_eq!((renamed.path.as_str(), renamed.name_version), ("a/new", 8));
        assert_eq!(renamed.description, "text");
        assert_eq!((made.path.as_str(), made.default_branch.as_str()), ("a/x", "trunk"));
    }

    #[test]
    fn s42_s45_of_two_at_one_path_the_later_one_has_it() {
        let told = snapshot(vec![known(1, "a/x", 3), known(2, "a/y", 4)]);
        let (merged, notes) = complete(told, &[record(9, "a/x", 9)]);
        assert_eq!(notes.len(), 2, "{notes:?}");
        let states: Vec<u32> = merged.repositories.iter().map(|known| known.state).collect();
        assert_eq!(states, [2, LIVE, LIVE]);
    }
}
