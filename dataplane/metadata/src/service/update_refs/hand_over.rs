//! A leader whose grants are older than those that a push was decided by hands leadership over:
//! another voter may have heard of them (S44). Where there is no other the push is only refused.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::NodeId;
use gitstratum_process::spawn;

use super::super::Service;
use super::super::hosted::Hosted;

/// Least time between two such moves of a partition by one node: when nobody has heard, leadership
/// is not passed round for every push.
const BETWEEN: Duration = Duration::from_secs(10);

impl Service {
    /// Begins to hand `hosted` over to the voter whose turn it is.
    pub(super) fn hand_over(&self, hosted: &Arc<Hosted>) {
        let partition = hosted.partition;
        let snapshot = self.deps.feed.current();
        let placement = snapshot.partitions().find(|each| each.partition == partition.0);
        let voters = placement.map(|each| each.voters.as_slice()).unwrap_or_default();
        let Some(target) = next_voter(voters, self.deps.node) else { return };
        if !hosted.take_turn_to_hand_over(self.deps.clock.monotonic(), BETWEEN) {
            return;
        }
        let hosted = Arc::clone(hosted);
        spawn("leadership for newer grants", async move {
            let moved = hosted.group().transfer_leader(target).await;
            let error = moved.err().map(|error| error.to_string());
            tracing::info!(
                partition = partition.0, %target, error,
                "leadership offered to another voter: the grants here are old"
            );
        })
        .detach();
    }
}

/// The voter after `here`, so that all have their turn.
fn next_voter(voters: &[u64], here: NodeId) -> Option<NodeId> {
    let mut voters = voters.to_vec();
    voters.sort_unstable();
    let later = voters.iter().find(|voter| **voter > here.0);
    let next = later.or_else(|| voters.first()).copied().map(NodeId);
    next.filter(|voter| *voter != here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s44_all_voters_have_their_turn_and_a_single_one_keeps_the_partition() {
        let after = |here| next_voter(&[7, 2, 5], NodeId(here)).map(|node| node.0);
        assert_eq!([after(2), after(5), after(7)], [Some(5), Some(7), Some(2)]);
        assert_eq!(next_voter(&[2], NodeId(2)), None);
        assert_eq!(next_voter(&[], NodeId(2)), None);
    }
}
