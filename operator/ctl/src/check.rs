//! Verifies stored data: every segment that a manifest lists, and everything that the refs
//! reach. What is told is there: a problem is looked at again before it is told, because
//! pushes and clean-ups go on meanwhile.

mod judge;
mod subjects;

use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::{ErrorKind, NodeId, RepoId, SegmentId};
use gitstratum_proto::common::v1::RepoKey;
use serde::Serialize;

use crate::Error;
use crate::output::{Format, document};
use crate::rpc::Connection;
use crate::text::{counted, printable, size};
use judge::{Finding, Found, judge};
use subjects::Expected;

pub use subjects::{Subject, all, one};

/// Segments that are verified in one call (as many as an object node takes).
const SEGMENTS_MAX: usize = 65_536;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Sound.
    Ok,
    /// Damaged.
    Damaged,
    /// No damage was found, but not everything could be looked at.
    Unchecked,
}

/// A repository that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Its id.
    pub id: String,
    /// Its path.
    pub path: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What is damaged.
    pub problems: Vec<String>,
    /// What could not be looked at.
    pub unchecked: Vec<String>,
    /// Segments that are sound on every node that is to hold them.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Copies that are still to be made, for segments that too few nodes hold.
    pub missing_copies: usize,
    /// Objects that the refs reach: each was inflated and hashed, but the next.
    pub objects: u64,
    /// Of them those that are too large for that: only their blocks were verified.
    pub objects_too_large: u64,
}

/// All that were checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many were.
    pub checked: usize,
    /// How many are damaged.
    pub damaged: usize,
    /// How many could not be looked at whole.
    pub unchecked: usize,
    /// Each of them.
    pub repositories: Vec<Checked>,
}

/// Checks one repository.
///
/// # Errors
/// When nothing can be asked any more; what fails for this repository alone is in the answer.
pub async fn check(connection: &Connection, subject: &Subject) -> Result<Checked, Error> {
    let mut outcome = Outcome::default();
    outcome.problems.extend(subject.problem.clone());
    outcome.unchecked.extend(subject.unread.clone());
    if outcome.problems.is_empty() && outcome.unchecked.is_empty() {
        outcome.verify(connection, subject).await?;
        outcome.walk(connection, subject).await?;
    }
    Ok(outcome.finish(subject))
}

#[derive(Default)]
struct Outcome {
    problems: Vec<String>,
    unchecked: Vec<String>,
    segments: usize,
    bytes: u64,
    missing_copies: usize,
    objects: u64,
    objects_too_large: u64,
}

impl Outcome {
    /// Reads every copy of every segment of the manifest, on each of its owners.
    async fn verify(&mut self, connection: &Connection, subject: &Subject) -> Result<(), Error> {
        let owners: BTreeSet<NodeId> =
            subject.segments.iter().flat_map(|segment| segment.owners.iter().copied()).collect();
        let mut findings = Vec::new();
        let lost = subject.segments.iter().filter(|segment| segment.owners.is_empty());
        let mut lost: BTreeSet<SegmentId> = lost.map(|segment| segment.id).collect();
        for node in owners {
            let of_node = subject.segments.iter().filter(|segment| segment.owners.contains(&node));
            let of_node: Vec<&Expected> = of_node.collect();
            if !connection.has_store(node) {
                let copies = counted(of_node.len(), "copy", "copies");
                self.unchecked.push(format!("node {node} does not answer: {copies} not read"));
                continue;
            }
            for segments in of_node.chunks(SEGMENTS_MAX) {
                match verify(connection, node, segments).await {
                    Ok(found) => findings.extend(judge(node, segments, &found)),
                    // One node that goes away is no reason to leave the others unread.
                    Err(error @ Error::Unreachable { .. }) => {
                        self.unchecked.push(format!("node {node}: {error}"));
                    }
                    Err(error) => self.blame(&error)?,
                }
            }
        }
        if !findings.is_empty() || !lost.is_empty() {
            let listed = listed_now(connection, subject).await?;
            lost.retain(|segment| listed.get(segment).is_some_and(|owners| owners.is_empty()));
            let is_listed = |finding: &Finding| {
                listed.get(&finding.segment).is_some_and(|owners| owners.contains(&finding.node))
            };
            findings.retain(is_listed);
        }
        self.count(&subject.segments, &findings);
        self.missing_copies = subject.missing_copies();
        let lost = lost.iter().map(|segment| format!("segment {segment}: no node holds it"));
        self.problems.extend(lost);
        self.problems.extend(findings.into_iter().map(|finding| finding.problem));
        Ok(())
    }

    /// Counts the segments that are sound on all their owners.
    fn count(&mut self, segments: &[Expected], findings: &[Finding]) {
        if !self.unchecked.is_empty() {
            return;
        }
        let damaged: BTreeSet<SegmentId> = findings.iter().map(|found| found.segment).collect();
        let is_sound =
            |segment: &&Expected| !segment.owners.is_empty() && !damaged.contains(&segment.id);
        let sound = segments.iter().filter(is_sound);
        (self.segments, self.bytes) =
            sound.fold((0, 0), |(count, bytes), sound| (count + 1, bytes + sound.length));
    }

    /// Walks from the refs.
    async fn walk(&mut self, connection: &Connection, subject: &Subject) -> Result<(), Error> {
        match connection.check_repository(subject.key()).await {
            Ok(answer) => {
                self.objects = answer.objects_checked;
                self.objects_too_large = answer.objects_too_large;
                self.problems.extend(answer.problems.iter().map(|problem| printable(problem)));
            }
            Err(error) if is_gone(&error) && listed_now(connection, subject).await?.is_empty() => {}
            Err(error) => self.blame(&error)?,
        }
        Ok(())
    }

    /// Says of a failed call whether it is damage, or keeps from knowing; a lost connection
    /// ends everything.
    fn blame(&mut self, error: &Error) -> Result<(), Error> {
        match error {
            Error::Refused { kind: ErrorKind::Corrupt, message } => {
                self.problems.push(message.clone());
            }
            Error::Refused { message, .. } => self.unchecked.push(message.clone()),
            Error::Unreachable { place, reason } => {
                let (place, reason) = (place.clone(), reason.clone());
                return Err(Error::Unreachable { place, reason });
            }
            Error::NotOffered(place) => return Err(Error::NotOffered(place.clone())),
            Error::NotSignedIn(message) => return Err(Error::NotSignedIn(message.clone())),
            other => self.unchecked.push(other.to_string()),
        }
        Ok(())
    }

    fn finish(self, subject: &Subject) -> Checked {
        let Self { mut problems, unchecked, segments, bytes, missing_copies, .. } = self;
        let (objects, objects_too_large) = (self.objects, self.objects_too_large);
        let mut told = BTreeSet::new();
        problems.retain(|problem| told.insert(problem.clone()));
        let verdict = match (problems.is_empty(), unchecked.is_empty()) {
            (false, _) => Verdict::Damaged,
            (true, false) => Verdict::Unchecked,
            (true, true) => Verdict::Ok,
        };
        Checked {
            id: subject.id.to_string(),
            path: subject.path.clone(),
            verdict,
            problems,
            unchecked,
            segments,
            bytes,
            missing_copies,
            objects,
            objects_too_large,
        }
    }
}

async fn verify(
    connection: &Connection,
    node: NodeId,
    segments: &[&Expected],
) -> Result<Vec<Found>, Error> {
    let ids: Vec<SegmentId> = segments.iter().map(|segment| segment.id).collect();
    let mut answers = connection.verify(node, &ids).await?;
    let mut found = Vec::with_capacity(ids.len());
    while let Some(result) = answers.next().await? {
        found.extend(Found::of(&result));
    }
    Ok(found)
}

/// The segments that the manifest lists by now, with their owners; none when the repository is
/// gone.
async fn listed_now(
    connection: &Connection,
    subject: &Subject,
) -> Result<BTreeMap<SegmentId, Vec<NodeId>>, Error> {
    let record = connection.record(subject.key()).await?;
    let record = record.filter(|record| subjects::is_kept(record.state));
    let segments = record.map(|record| subjects::segments(&record)).unwrap_or_default();
    Ok(segments.into_iter().map(|segment| (segment.id, segment.owners)).collect())
}

const fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Refused { kind: ErrorKind::NotFound | ErrorKind::Conflict, .. })
}

impl Subject {
    fn key(&self) -> RepoKey {
        let RepoId(repo_id) = self.id;
        RepoKey { repo_id, partition: self.partition, name_version: self.name_version }
    }
}

impl Report {
    /// Counts one more.
    pub fn add(&mut self, checked: Checked) {
        self.checked += 1;
        match checked.verdict {
            Verdict::Ok => {}
            Verdict::Damaged => self.damaged += 1,
            Verdict::Unchecked => self.unchecked += 1,
        }
        self.repositories.push(checked);
    }

    /// The last line for people.
    pub fn summary(&self) -> String {
        let checked = counted(self.checked, "repository", "repositories");
        match (self.damaged, self.unchecked) {
            (0, 0) => format!("{checked} checked, no damage"),
            (damaged, 0) => format!("{checked} checked, {damaged} damaged"),
            (damaged, unchecked) => {
                format!("{checked} checked, {damaged} damaged, {unchecked} not checked whole")
            }
        }
    }

    /// The report as a document.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn document(&self, format: Format) -> Result<String, Error> {
        document(self, format)
    }
}

impl Checked {
    /// The repository's line for people; what is wrong with it stands below, indented.
    pub fn text(&self) -> String {
        let segments = counted(self.segments, "segment", "segments");
        let (word, rest) = match self.verdict {
            Verdict::Ok => {
                let missing = match self.missing_copies {
                    0 => String::new(),
                    some => format!(", {} still to be made", counted(some, "copy", "copies")),
                };
                let unhashed = match self.objects_too_large {
                    0 => String::new(),
                    some => format!(" ({some} too large to hash)"),
                };
                let sound = size(self.bytes);
                ("ok", format!("{segments}, {sound}, {} objects{unhashed}{missing}", self.objects))
            }
            Verdict::Damaged => ("DAMAGED", counted(self.problems.len(), "problem", "problems")),
            Verdict::Unchecked => ("UNCHECKED", "not everything could be looked at".to_owned()),
        };
        let mut text = format!("{word:9}  {}  {rest}\n", printable(&self.path));
        for line in self.problems.iter().chain(&self.unchecked) {
            text.push_str("           ");
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests;
