//! Runs that make one pack of many, or drop what no ref reaches (S35–S38).

use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::{ErrorKind, NodeId, RepoId, RepoPath};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::metadata::v1::RepositoryRecord;
use gitstratum_proto::object::v1::{RunKind, RunProgress, RunReport, RunRequest, RunStage};
use serde::Serialize;

use crate::Error;
use crate::output::{Format, document};
use crate::repository::Repository;
use crate::rpc::{Connection, Listed};
use crate::text::{counted, printable, size};

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Packs become one.
    Compaction,
    /// Objects that no ref reaches go.
    Drop,
}

/// Whether something is done, or only told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It is done.
    Now,
    /// It is told what would become of it.
    DryRun,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it does now.
    pub stage: &'static str,
    /// How much of that is done, and how much there is; 0 when that is not known.
    pub done: u64,
    /// See `done`.
    pub total: u64,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The repository's path.
    pub path: String,
    /// The node that did it; empty when there was nothing to look at.
    pub node: String,
    /// Whether anything was done, or would be.
    pub changed: bool,
    /// Whether it was only told.
    pub dry_run: bool,
    /// Live packs before.
    pub packs_before: u64,
    /// Live packs afterwards.
    pub packs_after: u64,
    /// Bytes of the live packs before.
    pub bytes_before: u64,
    /// Bytes of the live packs afterwards; not known before it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_after: Option<u64>,
    /// Objects that stay.
    pub objects_kept: u64,
    /// Objects that go.
    pub objects_dropped: u64,
    /// Bytes of their entries.
    pub bytes_dropped: u64,
}

/// The live repositories that the asker may see, by path.
///
/// # Errors
/// When the directory cannot be read.
pub async fn all(connection: &Connection) -> Result<Vec<RepoPath>, Error> {
    let listed = Listed { owner: None, deleted: false };
    let found = connection.repositories(&listed).await?;
    let mut paths: Vec<RepoPath> =
        found.iter().filter_map(|each| RepoPath::parse(&each.path).ok()).collect();
    paths.sort_by_key(ToString::to_string);
    Ok(paths)
}

/// Does a run on the repository at `path`, on a node that has its packs; `seen` is told how far it
/// is. Dropped, the run ends, and nothing has changed.
///
/// # Errors
/// When the repository is not there, another run on it is under way, or the run fails: nothing has
/// changed then.
pub async fn run(
    connection: &Connection,
    path: &RepoPath,
    (run, doing): (Run, Doing),
    seen: &mut (dyn FnMut(Progress) + Send),
) -> Result<Outcome, Error> {
    let repository = connection.repository(path).await?;
    let key = key(connection, &repository)?;
    let record = connection.record(key).await?;
    let record = record.filter(|record| !record.packs.is_empty());
    let Some(record) = record else {
        return Ok(Outcome::of(&repository, doing, &RunReport::default()));
    };
    let mut node = best_node(connection, &record)?;
    let mut asked = BTreeSet::new();
    while asked.insert(node) {
        let request =
            RunRequest { repo: Some(key), kind: kind(run).into(), dry_run: doing == Doing::DryRun };
        match watch(connection, node, request, seen).await? {
            Ended::Done(report) => return Ok(Outcome::of(&repository, doing, &report)),
            // Who holds the claim may have no run any more: it goes on with it then.
            Ended::Held(holder) if connection.has_store(holder) => node = holder,
            Ended::Held(holder) => node = refuse(holder)?,
        }
    }
    refuse(node).and(Err(Error::NotOffered(connection.place().to_owned())))
}

fn refuse(holder: NodeId) -> Result<NodeId, Error> {
    let message = format!("another run on the repository is under way on node {holder}");
    Err(Error::Refused { kind: ErrorKind::Conflict, message })
}

enum Ended {
    Done(RunReport),
    Held(NodeId),
}

async fn watch(
    connection: &Connection,
    node: NodeId,
    request: RunRequest,
    seen: &mut (dyn FnMut(Progress) + Send),
) -> Result<Ended, Error> {
    let mut told = connection.run(node, request).await?;
    while let Some(message) = told.next().await? {
        if message.held_by != 0 {
            return Ok(Ended::Held(NodeId(message.held_by)));
        }
        if let Some(report) = message.report {
            return Ok(Ended::Done(report));
        }
        if let Some(progress) = progress(&message) {
            seen(progress);
        }
    }
    let problem = "a run ended without a word".to_owned();
    Err(Error::Answer { place: connection.place().to_owned(), problem })
}

/// `None` for a sign of life.
fn progress(message: &RunProgress) -> Option<Progress> {
    let stage = match message.stage() {
        RunStage::Unspecified | RunStage::Done => return None,
        RunStage::Reading => "reading",
        RunStage::Copying => "copying",
        RunStage::Indexing => "indexing",
        RunStage::Storing => "storing",
        RunStage::Verifying => "verifying",
    };
    Some(Progress { stage, done: message.done, total: message.total })
}

const fn kind(run: Run) -> RunKind {
    match run {
        Run::Compaction => RunKind::Compaction,
        Run::Drop => RunKind::Drop,
    }
}

/// The node that holds most of the packs' bytes, of those that can be asked (S35).
fn best_node(connection: &Connection, record: &RepositoryRecord) -> Result<NodeId, Error> {
    let mut held: BTreeMap<u64, u64> = BTreeMap::new();
    for segment in record.packs.iter().flat_map(|pack| &pack.segments) {
        for owner in &segment.owners {
            *held.entry(*owner).or_default() += segment.total_length;
        }
    }
    let mut nodes: Vec<(u64, u64)> = held.into_iter().map(|(node, bytes)| (bytes, node)).collect();
    nodes.sort_unstable();
    let mut nodes = nodes.into_iter().rev().map(|(_, node)| NodeId(node));
    let found = nodes.find(|node| connection.has_store(*node));
    found.ok_or_else(|| Error::NotOffered(connection.place().to_owned()))
}

fn key(connection: &Connection, repository: &Repository) -> Result<RepoKey, Error> {
    let RepoId(repo_id) = RepoId::parse(&repository.id).ok_or_else(|| Error::Answer {
        place: connection.place().to_owned(),
        problem: format!("repository id {}", repository.id),
    })?;
    let (partition, name_version) = (repository.partition, repository.name_version);
    Ok(RepoKey { repo_id, partition, name_version })
}

impl Outcome {
    fn of(repository: &Repository, doing: Doing, report: &RunReport) -> Self {
        let is_known = doing == Doing::Now || !report.changed;
        Self {
            path: repository.path.clone(),
            node: if report.node == 0 { String::new() } else { NodeId(report.node).to_string() },
            changed: report.changed,
            dry_run: doing == Doing::DryRun,
            packs_before: report.packs_before,
            packs_after: report.packs_after,
            bytes_before: report.bytes_before,
            bytes_after: is_known.then_some(report.bytes_after),
            objects_kept: report.objects_kept,
            objects_dropped: report.objects_dropped,
            bytes_dropped: report.bytes_dropped,
        }
    }

    /// Its line for people.
    pub fn text(&self) -> String {
        let path = printable(&self.path);
        let packs =
            |count: u64| counted(usize::try_from(count).unwrap_or(usize::MAX), "pack", "packs");
        if !self.changed {
            return format!("{path}: nothing to do, {}\n", packs(self.packs_before));
        }
        let would = if self.dry_run { "would be " } else { "" };
        let mut line = format!(
            "{path}: {would}{} instead of {}",
            packs(self.packs_after),
            packs(self.packs_before)
        );
        if let Some(after) = self.bytes_after {
            line.push_str(&format!(", {} instead of {}", size(after), size(self.bytes_before)));
        }
        if self.objects_dropped > 0 {
            let bytes = size(self.bytes_dropped);
            line.push_str(&format!(
                "; {would}dropped: {} objects of {}, {bytes}",
                self.objects_dropped,
                self.objects_dropped + self.objects_kept
            ));
        }
        line.push('\n');
        line
    }
}

/// All that were looked at, as a document.
///
/// # Errors
/// When it does not serialise.
pub fn report(outcomes: &[Outcome], format: Format) -> Result<String, Error> {
    document(&outcomes, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(report: &RunReport, doing: Doing) -> Outcome {
        let wire = gitstratum_proto::control::v1::Repository {
            path: "ann/x".to_owned(),
            ..Default::default()
        };
        Outcome::of(&wire.into(), doing, report)
    }

    #[test]
    fn gs_ob_10_a_dry_run_does_not_tell_what_it_cannot_know() {
        let report = RunReport {
            changed: true,
            packs_before: 5,
            packs_after: 1,
            bytes_before: 2_048,
            bytes_after: 2_048,
            objects_kept: 7,
            objects_dropped: 3,
            bytes_dropped: 1_024,
            ..RunReport::default()
        };
        let told = outcome(&report, Doing::DryRun);
        assert_eq!(told.bytes_after, None);
        assert_eq!(
            told.text(),
            "ann/x: would be 1 pack instead of 5 packs; would be dropped: 3 objects of 10, 1.0 KiB\n"
        );
        let done = outcome(&RunReport { bytes_after: 1_024, ..report }, Doing::Now);
        assert!(done.text().contains("1.0 KiB instead of 2.0 KiB"), "{}", done.text());
        let nothing = outcome(&RunReport { packs_before: 1, ..RunReport::default() }, Doing::Now);
        assert_eq!(nothing.text(), "ann/x: nothing to do, 1 pack\n");
    }
}
