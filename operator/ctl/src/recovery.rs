//! Brings back a control plane that has lost its state: from what the agents of the nodes were
//! told of it last, and from the partitions' own records of their repositories (S45).

mod merge;

use std::collections::BTreeMap;

use gitstratum_core::NodeId;
use gitstratum_proto::control::v1::{ClusterState, SnapshotUpdate};
use gitstratum_proto::metadata::v1::RepositoryRecord;
use serde::Serialize;

use crate::Error;
use crate::output::{Column, View};
use crate::rpc::Connection;

pub use merge::complete;

/// What was found to bring a control plane back from.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What is brought back.
    pub snapshot: SnapshotUpdate,
    /// Of what, in words.
    pub report: Report,
}

/// What is brought back, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The node that was told the most.
    pub node: String,
    /// Version of the lost state that it was told.
    pub version: u64,
    /// How many there are.
    pub repositories: usize,
    /// How many there are.
    pub users: usize,
    /// How many there are.
    pub tokens: usize,
    /// How many there are.
    pub grants: usize,
    /// The generation that it was brought back under; 0 before.
    pub generation: u32,
    /// What is not, or may not be, as it was.
    pub notes: Vec<String>,
}

/// What is never brought back: nodes are not told of it.
const NEVER: &str = "audit lines of administration from before are gone";

impl View for Report {
    const COLUMNS: &'static [Column] = &[
        Column::always("FROM NODE"),
        Column::always("VERSION"),
        Column::always("REPOSITORIES"),
        Column::always("USERS"),
        Column::always("TOKENS"),
        Column::always("GRANTS"),
    ];

    fn cells(&self) -> Vec<String> {
        let counts = [self.repositories, self.users, self.tokens, self.grants];
        let mut cells = vec![self.node.clone(), self.version.to_string()];
        cells.extend(counts.iter().map(ToString::to_string));
        cells
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

/// Asks every node of this machine what it was told, and every partition what it has.
///
/// # Errors
/// When no node was told anything, or they are of several clusters.
pub async fn find(connection: &Connection) -> Result<Found, Error> {
    let (told, mut notes) = tellings(connection).await;
    let (node, snapshot) = newest(connection.place(), told)?;
    let mut records = Vec::new();
    for placement in snapshot.layout.iter().flat_map(|layout| &layout.partitions) {
        match partition(connection, placement.partition).await {
            Ok(found) => records.extend(found),
            Err(error) => notes.push(format!(
                "partition {} could not be asked for its repositories: {error}",
                placement.partition
            )),
        }
    }
    let (snapshot, changes) = complete(snapshot, &records);
    notes.extend(changes);
    notes.push(NEVER.to_owned());
    let report = Report {
        node: node.to_string(),
        version: snapshot.version,
        repositories: snapshot.repositories.len(),
        users: snapshot.users.len(),
        tokens: snapshot.tokens.len(),
        grants: snapshot.grants.len(),
        generation: 0,
        notes,
    };
    Ok(Found { snapshot, report })
}

/// Brings `found` back; returns what was done.
///
/// # Errors
/// When the control plane has its state, or not every voter says that it has none.
pub async fn recover(connection: &Connection, found: Found) -> Result<Report, Error> {
    let Found { snapshot, report } = found;
    let answer = connection.recover(snapshot).await?;
    Ok(Report { generation: answer.generation, ..report })
}

/// The cluster as a node was told of it last, where the control plane cannot say.
pub(crate) async fn as_told(connection: &Connection) -> Option<ClusterState> {
    let (told, _) = tellings(connection).await;
    let (_, snapshot) = newest(connection.place(), told).ok()?;
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    Some(ClusterState {
        cluster_id: snapshot.cluster_id,
        generation: u32::try_from(snapshot.version >> 48).unwrap_or_default(),
        version: snapshot.version,
        nodes: snapshot.layout.clone().unwrap_or_default().nodes,
        layout: snapshot.layout,
        repositories: count(snapshot.repositories.len()),
        users: count(snapshot.users.len()),
        ..ClusterState::default()
    })
}

/// What each node was told, and who could not say.
async fn tellings(connection: &Connection) -> (BTreeMap<NodeId, SnapshotUpdate>, Vec<String>) {
    let silent = connection.silent().iter();
    let mut notes: Vec<String> =
        silent.map(|node| format!("node {node} does not answer: it may know more")).collect();
    let mut told = BTreeMap::new();
    for (node, answer) in connection.told().await {
        match answer {
            Ok(snapshot) => drop(told.insert(node, snapshot)),
            Err(error) => notes.push(format!("what node {node} was told: {error}")),
        }
    }
    (told, notes)
}

/// The newest, and who was told it.
fn newest(
    place: &str,
    told: BTreeMap<NodeId, SnapshotUpdate>,
) -> Result<(NodeId, SnapshotUpdate), Error> {
    let wrong = |problem: &str| Error::Answer { place: place.to_owned(), problem: problem.into() };
    let mut clusters = told.values().map(|snapshot| &snapshot.cluster_id);
    let first = clusters.next();
    if clusters.any(|cluster| Some(cluster) != first) {
        return Err(wrong("its nodes are of several clusters"));
    }
    let newest = told.into_iter().max_by_key(|(_, snapshot)| snapshot.version);
    let newest = newest.filter(|(_, snapshot)| snapshot.version > 0);
    newest.ok_or_else(|| wrong("no node was told anything"))
}

async fn partition(connection: &Connection, number: u32) -> Result<Vec<RepositoryRecord>, Error> {
    let mut answers = connection.records(number).await?;
    let mut records = Vec::new();
    while let Some(record) = answers.next().await? {
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: u64, cluster: u8) -> SnapshotUpdate {
        let cluster_id = vec![cluster; 16].into();
        SnapshotUpdate { version, cluster_id, reset: true, ..SnapshotUpdate::default() }
    }

    #[test]
    fn s45_the_newest_of_what_nodes_were_told_is_taken() {
        let all = BTreeMap::from([
            (NodeId(1), told(4, 7)),
            (NodeId(2), told(9, 7)),
            (NodeId(3), told(8, 7)),
        ]);
        assert_eq!(newest("it", all).unwrap(), (NodeId(2), told(9, 7)));
        let mixed = BTreeMap::from([(NodeId(1), told(4, 7)), (NodeId(2), told(9, 8))]);
        assert!(newest("it", mixed).unwrap_err().to_string().contains("several clusters"));
        for none in [BTreeMap::new(), BTreeMap::from([(NodeId(1), told(0, 7))])] {
            assert!(newest("it", none).unwrap_err().to_string().contains("no node was told"));
        }
    }
}
