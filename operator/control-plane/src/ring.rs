//! The ring as people see it, and what a change of it would move.

use gitstratum_hashring::{POINTS_PER_WEIGHT, Ring, WHOLE, moved};
use gitstratum_proto::control::v1 as wire;
use gitstratum_state::{Refusal, RingChange, State};

use crate::fleet::Fleet;

/// The ring as it is.
pub(crate) fn show(state: &State) -> Result<wire::HashRing, Refusal> {
    state.ring(&RingChange::default()).map(|ring| shown(state, &ring))
}

/// What `change` would do.
pub(crate) fn plan(
    state: &State,
    change: &RingChange,
    fleet: &Fleet,
) -> Result<wire::RingPlan, Refusal> {
    let (before, after) = (state.ring(&RingChange::default())?, state.ring(change)?);
    let moved = moved(&before, &after);
    Ok(wire::RingPlan {
        before: Some(shown(state, &before)),
        after: Some(shown(state, &after)),
        moved,
        moved_bytes: unique_bytes(state, fleet).map(|bytes| part(bytes, moved)),
    })
}

/// Bytes that `change` would move; `None` while not every node has said what it holds.
pub(crate) fn moved_bytes(
    state: &State,
    change: &RingChange,
    fleet: &Fleet,
) -> Result<Option<u64>, Refusal> {
    let Some(bytes) = unique_bytes(state, fleet) else { return Ok(None) };
    let (before, after) = (state.ring(&RingChange::default())?, state.ring(change)?);
    Ok(Some(part(bytes, moved(&before, &after))))
}

/// Bytes of one copy of everything, by what the nodes say that they hold.
fn unique_bytes(state: &State, fleet: &Fleet) -> Option<u64> {
    let mut stored: u64 = 0;
    for node in state.nodes().filter(|node| node.in_ring || node.is_draining) {
        stored = stored.saturating_add(fleet.last_seen(node.id)?.store?.stored_bytes);
    }
    Some(stored / u64::from(state.layout().replication_factor.max(1)))
}

fn part(bytes: u64, millionths: u32) -> u64 {
    let part = u128::from(bytes) * u128::from(millionths) / u128::from(WHOLE);
    u64::try_from(part).unwrap_or(u64::MAX)
}

fn shown(state: &State, ring: &Ring) -> wire::HashRing {
    let share = |share: gitstratum_hashring::Share| {
        let node = state.node(share.node);
        wire::RingShare {
            node: share.node.0,
            zone: node.map(|node| node.zone.clone()).unwrap_or_default(),
            weight: node.map_or(0, |node| u32::from(node.weight)),
            points: share.points,
            share: share.owned,
        }
    };
    wire::HashRing {
        epoch: ring.epoch().0,
        replication_factor: u32::from(ring.replication_factor()),
        points_per_weight: POINTS_PER_WEIGHT,
        shares: ring.shares().into_iter().map(share).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_bytes_is_counted_without_overflow() {
        assert_eq!(part(1_000, 250_000), 250);
        assert_eq!(part(u64::MAX, WHOLE), u64::MAX);
    }
}
