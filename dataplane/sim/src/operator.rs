//! Who runs the cluster: makes the repositories, lets nodes join and leave while all goes on.

mod rpc;

use std::time::Duration;

use gitstratum_core::NodeId;
use gitstratum_proto::common::v1::RepoKey;

use crate::world::Draw;
pub(crate) use rpc::Operator;

/// A change of who belongs to the cluster. Nodes that joined are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A node joins.
    Join,
    /// A founder is emptied, and taken back some time later.
    Drain(usize),
    Undrain(usize),
    /// One that joined is emptied, and removed once it is empty.
    DrainJoined(usize),
    RemoveJoined(usize),
}

/// What has come of it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The repository that nobody else may see, once it is there.
    pub(crate) private: Option<String>,
    /// The repository that everybody works on.
    pub(crate) repo: Option<RepoKey>,
    /// Nodes that were let in and have yet to start.
    pub(crate) admitted: Vec<NodeId>,
    /// Nodes that were removed and have yet to stop.
    pub(crate) removed: Vec<NodeId>,
    /// Changes that were made.
    pub(crate) changes: usize,
}

/// The changes of a run, with their times.
pub(crate) fn plan(draw: &Draw, founders: usize) -> Vec<(Duration, Change)> {
    let at = |from: u64, span: u64| Duration::from_secs(from + draw.below(span));
    let mut plan = vec![(at(0, 3), Change::Join)];
    match draw.below(4) {
        0 => {
            let founder = draw.index(founders);
            plan.push((at(10, 8), Change::Drain(founder)));
            plan.push((at(24, 8), Change::Undrain(founder)));
        }
        1 => {
            plan.push((at(10, 8), Change::DrainJoined(0)));
            plan.push((at(20, 4), Change::RemoveJoined(0)));
        }
        2 => {
            plan.push((at(6, 4), Change::Join));
            plan.push((at(12, 6), Change::DrainJoined(0)));
            plan.push((at(20, 4), Change::RemoveJoined(0)));
        }
        _ => {}
    }
    plan
}
