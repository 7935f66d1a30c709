//! Who votes in the control plane: the nodes that have one and are to stay (GS-CP-36). The
//! leader takes a new one in as a learner, lets it catch up, and makes it a voter by a joint
//! change; one that leaves is left out by another. A leader that leaves hands over first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_consensus::{Error as LogError, Role};
use gitstratum_core::{NodeId, ProcessRole};
use gitstratum_process::Drain;
use gitstratum_state::State;
use gitstratum_state::record::NodeState;

use crate::error::Error;
use crate::plane::Plane;

/// Most voters: each more makes every entry wait for one more disk.
const VOTERS_MAX: usize = 5;
/// Fewest that a node which leaves may leave behind, where there were as many.
const VOTERS_MIN: usize = 3;
/// Longest wait, at a time, for learners to have the log: those that need longer are looked at
/// again.
const LEARN_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether they are those that they should be.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A node with a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    node: NodeId,
    is_up: bool,
    is_leaving: bool,
}

impl Candidate {
    /// Whether it may get a vote.
    fn is_new(&self, voters: &BTreeSet<NodeId>) -> bool {
        self.is_up && !self.is_leaving && !voters.contains(&self.node)
    }
}

/// Changes the voters where this voter leads, until `drain` starts.
pub(crate) async fn run(plane: Arc<Plane>, drain: Drain) {
    let mut told: Option<String> = None;
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if plane.group.status().role != Role::Leader {
            continue;
        }
        let changed = tokio::select! {
            biased;
            () = drain.started() => return,
            changed = change(&plane) => changed,
        };
        // What keeps failing is told once.
        let failed = changed.err().map(|error| error.to_string());
        if let Some(error) = failed.as_ref().filter(|_| failed != told) {
            tracing::warn!(error, "the control plane's voters were not changed");
        }
        told = failed;
    }
}

/// One step towards the voters that should be. A change that an earlier leader did not finish is
/// finished.
async fn change(plane: &Plane) -> Result<(), Error> {
    let status = plane.group.status();
    let voters = status.voters;
    let mut candidates = plane.read(candidates).await?;
    if !wanted(&candidates, &voters).is_subset(&voters) {
        let new: BTreeSet<NodeId> =
            candidates.iter().filter(|c| c.is_new(&voters)).map(|c| c.node).collect();
        let learned = plane.group.add_learners(&new, LEARN_WITHIN).await.map_err(Error::Log)?;
        tracing::debug!(?new, ready = ?learned, "the control plane takes learners in");
        candidates.retain(|c| !c.is_new(&voters) || learned.contains(&c.node));
    }
    let wanted = wanted(&candidates, &voters);
    if wanted.is_empty() || (wanted == voters && !status.is_joint) {
        return Ok(());
    }
    let own = plane.config.node;
    if !wanted.contains(&own) && hand_over(plane, &wanted, &voters).await {
        // The new leader goes on.
        return Ok(());
    }
    plane.group.change_voters(&wanted).await.map_err(Error::Log)?;
    tracing::info!(voters = ?wanted, "the control plane's voters have changed");
    Ok(())
}

/// Has one that stays lead; whether one does. A change without the leader is sound too, but
/// leaves the others to an election.
async fn hand_over(plane: &Plane, wanted: &BTreeSet<NodeId>, voters: &BTreeSet<NodeId>) -> bool {
    for node in wanted.intersection(voters) {
        match plane.group.transfer_leader(*node).await {
            Ok(()) => return true,
            Err(LogError::NotLeader { .. }) => return true,
            Err(error) => tracing::debug!(%node, %error, "leadership was not handed over"),
        }
    }
    false
}

fn candidates(state: &State) -> Vec<Candidate> {
    let has_control = |node: &&gitstratum_state::record::Node| {
        node.roles.contains(&ProcessRole::Control) && node.state != NodeState::Removed
    };
    let candidate = |node: &gitstratum_state::record::Node| Candidate {
        node: node.id,
        is_up: node.state == NodeState::Up,
        is_leaving: node.is_draining,
    };
    state.nodes().filter(has_control).map(candidate).collect()
}

/// Who should vote, where `voters` do: as many of those that stay as make an odd number, who
/// votes already before who is new. One that is down keeps its vote; one that leaves too,
/// until enough others are there. Two that are left of more stay two: what one of them has
/// must not be all there is.
fn wanted(candidates: &[Candidate], voters: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let votes = |candidate: &Candidate| voters.contains(&candidate.node);
    let stays = |c: &&Candidate| c.is_new(voters) || (votes(c) && !c.is_leaving);
    let mut staying: Vec<&Candidate> = candidates.iter().filter(stays).collect();
    staying.sort_by_key(|candidate| (!votes(candidate), candidate.node));
    let least = VOTERS_MIN.min(voters.len());
    if staying.len() < least {
        staying.extend(candidates.iter().filter(|c| c.is_leaving && votes(c)));
        staying.truncate(least);
    }
    let size = VOTERS_MAX.min(staying.len());
    let is_pair = size == 2 && voters.len() >= 2;
    let is_odd = !size.is_multiple_of(2);
    let size = if is_odd || is_pair { size } else { size.saturating_sub(1) };
    staying.into_iter().take(size).map(|candidate| candidate.node).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn up(node: u64) -> Candidate {
        Candidate { node: NodeId(node), is_up: true, is_leaving: false }
    }

    fn leaving(node: u64) -> Candidate {
        Candidate { is_leaving: true, ..up(node) }
    }

    fn down(node: u64) -> Candidate {
        Candidate { is_up: false, ..up(node) }
    }

    fn next(candidates: &[Candidate], voters: &[u64]) -> Vec<u64> {
        let voters = voters.iter().copied().map(NodeId).collect();
        wanted(candidates, &voters).into_iter().map(|node| node.0).collect()
    }

    #[test]
    fn gs_cp_36_three_become_five_and_three_again() {
        let four = [up(1), up(2), up(3), up(4)];
        assert_eq!(next(&four, &[1, 2, 3]), [1, 2, 3], "a fourth waits for a fifth");
        let five = [up(1), up(2), up(3), up(4), up(5)];
        assert_eq!(next(&five, &[1, 2, 3]), [1, 2, 3, 4, 5]);
        let late = [up(1), up(2), up(3), up(4), down(5)];
        assert_eq!(next(&late, &[1, 2, 3]), [1, 2, 3], "who is not up is not taken in");
        let two_leave = [up(1), up(2), up(3), leaving(4), leaving(5)];
        assert_eq!(next(&two_leave, &[1, 2, 3, 4, 5]), [1, 2, 3]);
        let founder_leaves = [leaving(1), up(2), up(3), up(4), up(5)];
        assert_eq!(next(&founder_leaves, &[1, 2, 3, 4, 5]), [2, 3, 4]);
    }

    #[test]
    fn gs_cp_36_a_voter_that_leaves_or_is_down_keeps_its_vote_while_there_is_no_other() {
        assert_eq!(next(&[leaving(1), up(2), up(3)], &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(next(&[leaving(1), up(2), up(3), up(4)], &[1, 2, 3]), [2, 3, 4]);
        assert_eq!(next(&[down(1), up(2), up(3), up(4)], &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(next(&[leaving(1)], &[1]), [1]);
        assert_eq!(next(&[], &[1, 2, 3]), [] as [u64; 0]);
        assert_eq!(next(&[down(1), up(2), up(3)], &[2, 3]), [2, 3], "the third joins anew");
        assert_eq!(next(&[up(1), up(2), up(3)], &[2, 3]), [1, 2, 3]);
        assert_eq!(next(&[up(1), up(2)], &[1]), [1], "one does not become two");
    }

    fn candidate() -> impl Strategy<Value = (bool, bool, bool)> {
        (any::<bool>(), any::<bool>(), any::<bool>())
    }

    proptest! {
        /// From any voters, also the two sets of a change that was cut short: an odd number or
        /// two, never fewer than there were or three, nobody new that is not up, and once it is
        /// so it stays so.
        #[test]
        fn gs_cp_36_voters_are_odd_and_settle(
            nodes in prop::collection::vec(candidate(), 1..9),
            votes in prop::collection::btree_set(0_usize..9, 1..9),
        ) {
            let candidates: Vec<Candidate> = (1..)
                .zip(&nodes)
                .map(|(node, (is_up, is_leaving, _))| Candidate {
                    node: NodeId(node),
                    is_up: *is_up,
                    is_leaving: *is_leaving,
                })
                .collect();
            let voting = candidates.iter().enumerate().filter(|(at, _)| votes.contains(at));
            let voters: BTreeSet<NodeId> = voting.map(|(_, c)| c.node).collect();
            prop_assume!(!voters.is_empty());
            let next = wanted(&candidates, &voters);
            prop_assert!(next.len() % 2 == 1 || next.len() == 2, "{next:?}");
            prop_assert!((VOTERS_MIN.min(voters.len())..=5).contains(&next.len()), "{next:?}");
            for new in next.difference(&voters) {
                let found = candidates.iter().find(|c| c.node == *new);
                prop_assert!(found.is_some_and(|c| c.is_up && !c.is_leaving));
            }
            prop_assert_eq!(wanted(&candidates, &next), next.clone());
        }
    }
}
