//! The nodes: heard of, judged, shown.

use std::time::Duration;

use gitstratum_core::{Incarnation, NodeId, ProcessRole};
use gitstratum_proto::control::v1 as wire;
use gitstratum_state::State;
use gitstratum_state::command::{Change, Origin, SetNodeState};
use gitstratum_state::record::NodeState;

use crate::error::Error;
use crate::fleet::{Fleet, Sight, StoreSight};
use crate::plane::Plane;
use crate::pulse::Patience;

/// A node as it is to be judged.
#[derive(Clone, Copy, Debug)]
struct Called {
    id: NodeId,
    incarnation: Incarnation,
    state: NodeState,
}

/// Notes that a report of `node` came.
pub(crate) fn heard(plane: &Plane, node: NodeId, report: &wire::ReportRequest) {
    let is_store = |process: &&wire::ProcessReport| process.role == ProcessRole::Object.as_str();
    let store = report.processes.iter().find(is_store).map(|process| StoreSight {
        segments: process.segments,
        stored_bytes: process.stored_bytes,
        free_bytes: process.free_bytes,
    });
    let sight = Sight {
        at: plane.clock.wall(),
        round_trip: Duration::from_micros(report.round_trip_micros.into()),
        store,
    };
    let patience = patience(plane, None);
    let start = Incarnation(report.incarnation);
    plane.fleet.beat((node, start), sight, &patience, plane.clock.monotonic());
}

/// Judges every node by its heartbeats and commits what has changed (GS-CP-03, GS-CP-04).
///
/// # Errors
/// When the state cannot be read; a change that is not taken is tried again by the next look.
pub(crate) async fn judge(plane: &Plane) -> Result<(), Error> {
    let (called, patience) = plane
        .read(|state| {
            let called = |node: &gitstratum_state::record::Node| Called {
                id: node.id,
                incarnation: node.incarnation,
                state: node.state,
            };
            (state.nodes().map(called).collect::<Vec<_>>(), down_after(state))
        })
        .await
        .map(|(called, down_after)| (called, patience(plane, down_after)))?;
    for Called { id, incarnation, state } in called {
        let now = plane.clock.monotonic();
        let next = plane.fleet.judge(((id, incarnation), state), &patience, now);
        if next == state {
            continue;
        }
        let set = SetNodeState { id: id.0, incarnation: incarnation.0, state: next.to_wire() };
        let outcome = plane.propose(Origin::system(), Change::SetNodeState(set)).await?;
        outcome.result.map_err(Error::Refused)?;
        if state == NodeState::Up {
            plane.fleet.fell((id, incarnation), now);
        }
        tracing::info!(node = %id, from = state.as_str(), to = next.as_str(), "node changed");
    }
    Ok(())
}

fn down_after(state: &State) -> Option<Duration> {
    state.setting_span("nodeDownAfter")
}

fn patience(plane: &Plane, down_after: Option<Duration>) -> Patience {
    let suspect_after = plane.config.node_suspect_after;
    let down_after = down_after.unwrap_or(plane.config.node_down_after).max(suspect_after);
    Patience { suspect_after, down_after }
}

/// Adds to `nodes` what only the leader knows of them.
pub(crate) fn add_sights(fleet: &Fleet, nodes: &mut [wire::Node]) {
    for node in nodes {
        let Some(seen) = fleet.last_seen(NodeId(node.id)) else { continue };
        node.last_seen_millis = seen.at.0;
        node.round_trip_micros = u32::try_from(seen.round_trip.as_micros()).unwrap_or(u32::MAX);
        let store = seen.store.unwrap_or_default();
        node.segments = store.segments;
        node.stored_bytes = store.stored_bytes;
        node.free_bytes = store.free_bytes;
    }
}
