//! Nodes on their way into the ring.

use gitstratum_core::NodeId;
use gitstratum_proto::control::v1 as wire;
use gitstratum_state::command::{Change, EnterRing, Origin, SetSetting};
use gitstratum_state::{FLAG_PREFIX, Refusal, RingChange, State};

use crate::error::Error;
use crate::fleet::Fleet;
use crate::plane::Plane;
use crate::ring;

/// Setting: plans of more bytes wait for approval.
const APPROVAL_BYTES: &str = "rebalanceApprovalBytes";
/// Flag: smaller ones begin by themselves.
const AUTOMATIC: &str = "autoRebalance";

/// Flag: copies follow the ring.
const MOVES: &str = "moves";

/// The change that lets copies move, or holds them where they are.
pub(crate) fn moves(value: &str) -> Change {
    let (key, value) = (format!("{FLAG_PREFIX}{MOVES}"), value.to_owned());
    Change::SetSetting(SetSetting { key, value })
}

/// What waits and what it would move; what is being emptied is the caller's to add.
pub(crate) fn show(state: &State, fleet: &Fleet) -> Result<wire::Rebalance, Refusal> {
    let waiting: Vec<NodeId> = state.waiting().collect();
    let planned_bytes = match waiting.is_empty() {
        true => Some(0),
        false => {
            let change = RingChange { add: waiting.clone(), remove: Vec::new() };
            ring::moved_bytes(state, &change, fleet)?
        }
    };
    Ok(wire::Rebalance {
        waiting: waiting.iter().map(|node| node.0).collect(),
        planned_bytes,
        approval_bytes: state.setting_bytes(APPROVAL_BYTES),
        automatic: state.flag(AUTOMATIC),
        emptying: Vec::new(),
        epoch: state.layout().epoch.0,
        stopped: !state.flag(MOVES),
    })
}

/// Lets the nodes that wait into the ring, if that is known to move so little that nobody has
/// to say so.
///
/// # Errors
/// When the state cannot be read or a command is not taken; the next look tries again.
pub(crate) async fn begin_small(plane: &Plane) -> Result<(), Error> {
    let is_idle = |state: &State| !state.flag(AUTOMATIC) || state.waiting().next().is_none();
    if plane.read(is_idle).await? {
        return Ok(());
    }
    let fleet = std::sync::Arc::clone(&plane.fleet);
    let plan = plane.read(move |state| show(state, &fleet)).await?;
    let plan = plan.map_err(|refusal| Error::Refused((&refusal).into()))?;
    if plan.planned_bytes.is_none_or(|bytes| bytes > plan.approval_bytes) {
        return Ok(());
    }
    for id in plan.waiting {
        let change = Change::EnterRing(EnterRing { id });
        let outcome = plane.propose(Origin::system(), change).await?;
        outcome.result.map_err(Error::Refused)?;
        tracing::info!(node = %NodeId(id), "node came into the ring");
    }
    Ok(())
}
