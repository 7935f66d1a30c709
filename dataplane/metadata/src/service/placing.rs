//! The voters of a partition follow the layout (S39). Only the group's leader acts, and only by
//! a layout that is fresh: one that leaves hands over first; a new voter learns first; then one
//! joint change makes all voters. A change that an earlier leader did not finish is finished.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::cluster::News;
use gitstratum_consensus::{Error as GroupError, Role, Status};
use gitstratum_core::NodeId;
use gitstratum_process::Drain;
use gitstratum_proto::control::v1::PartitionPlacement;

use super::Deps;
use super::hosted::Hosted;
use super::hosting::electorate;
use crate::config::Config;

/// Silence of the control plane after which nothing is changed by what it said.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// Longest wait, at a time, for a learner to have the log: one that needs longer is looked at
/// again.
const LEARN_WITHIN: Duration = Duration::from_secs(5);

/// What a leader has to do for the voters to be those of the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// Somebody else is to lead: these, the first of them before the others.
    HandOver(Vec<NodeId>),
    /// These learn, then all of the layout vote.
    Change(BTreeSet<NodeId>),
}

/// Has the voters of `hosted` follow the layout while this node leads it, until `drain` starts.
pub(super) async fn follow(hosted: Arc<Hosted>, (config, deps): (Config, Deps), drain: Drain) {
    let placing = Placing { hosted, deps };
    let mut told: Option<String> = None;
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(config.keep_interval) => {}
        }
        let done = tokio::select! {
            biased;
            () = drain.started() => return,
            done = placing.round() => done,
        };
        // What keeps failing is told once.
        let failed = done.err().map(|error| error.to_string());
        if let Some(error) = failed.as_ref().filter(|_| failed != told) {
            let partition = placing.hosted.partition.0;
            tracing::info!(partition, error, "a partition's voters were not changed yet");
        }
        told = failed;
    }
}

/// What the control plane has said, and when.
struct Told {
    placement: Option<PartitionPlacement>,
    news: Option<News>,
}

struct Placing {
    hosted: Arc<Hosted>,
    deps: Deps,
}

impl Placing {
    async fn round(&self) -> Result<(), GroupError> {
        #[cfg(test)]
        self.hosted.rounds.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let partition = self.hosted.partition.0;
        let told = self.told();
        let Some(placement) = &told.placement else { return Ok(()) };
        let group = self.hosted.group();
        let wanted = voters(placement);
        group.follow_voters(&electorate(placement));
        if !is_fresh(told.news) {
            return Ok(());
        }
        match step(placement, &group.status(), self.deps.node) {
            Step::Nothing => Ok(()),
            Step::HandOver(to) => self.hand_over(to).await,
            Step::Change(new) => {
                let ready = group.add_learners(&new, LEARN_WITHIN).await?;
                if ready != new {
                    tracing::debug!(partition, ?new, ?ready, "a new voter learns");
                    return Ok(());
                }
                if !may_change(placement, &self.told()) {
                    tracing::debug!(partition, "the layout is not what it was, or not fresh");
                    return Ok(());
                }
                group.change_voters(&wanted).await?;
                tracing::info!(partition, voters = ?wanted, "a partition's voters have changed");
                Ok(())
            }
        }
    }

    fn told(&self) -> Told {
        let snapshot = self.deps.feed.current();
        let mut placements = snapshot.partitions();
        let own = placements.find(|each| each.partition == self.hosted.partition.0);
        Told { placement: own.cloned(), news: self.deps.feed.news() }
    }

    async fn hand_over(&self, to: Vec<NodeId>) -> Result<(), GroupError> {
        let mut result = Ok(());
        for node in to {
            match self.hosted.group().transfer_leader(node).await {
                Ok(()) | Err(GroupError::NotLeader { .. }) => return Ok(()),
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

fn voters(placement: &PartitionPlacement) -> BTreeSet<NodeId> {
    placement.voters.iter().copied().map(NodeId).collect()
}

/// Whether the control plane was heard lately: without it nothing moves.
fn is_fresh(news: Option<News>) -> bool {
    news.is_some_and(|news| news.silent < SILENT_MAX)
}

/// Whether what was begun by `placement` may be done by what is told now: to learn takes a while.
fn may_change(placement: &PartitionPlacement, now: &Told) -> bool {
    now.placement.as_ref() == Some(placement) && is_fresh(now.news)
}

fn step(placement: &PartitionPlacement, status: &Status, own: NodeId) -> Step {
    let wanted = voters(placement);
    let is_so = wanted == status.voters && !status.is_joint && status.learners.is_subset(&wanted);
    if status.role != Role::Leader || wanted.is_empty() || is_so {
        return Step::Nothing;
    }
    if wanted.contains(&own) {
        return Step::Change(wanted.difference(&status.voters).copied().collect());
    }
    let mut to: Vec<NodeId> = wanted.intersection(&status.voters).copied().collect();
    to.sort_by_key(|node| node.0 != placement.preferred_leader);
    if to.is_empty() {
        // Nobody stays: whoever comes leads by an election, once all of them have the log.
        return Step::Change(wanted);
    }
    Step::HandOver(to)
}

#[cfg(test)]
mod tests {
    use gitstratum_consensus::LogIndex;

    use super::*;

    fn placed(voters: &[u64], preferred_leader: u64) -> PartitionPlacement {
        let voters = voters.to_vec();
        PartitionPlacement { voters, preferred_leader, epoch: 3, ..Default::default() }
    }

    fn leads(voters: &[u64]) -> Status {
        Status {
            leader: None,
            role: Role::Leader,
            term: 1,
            last_applied: LogIndex(1),
            last_log: LogIndex(1),
            purged: None,
            voters: voters.iter().copied().map(NodeId).collect(),
            learners: BTreeSet::new(),
            is_joint: false,
            is_settled: true,
            failed: None,
        }
    }

    #[test]
    fn s39_a_leader_that_leaves_hands_over_before_voters_change() {
        let one = NodeId(1);
        let placement = placed(&[2, 3, 4], 3);
        let found = step(&placement, &leads(&[1, 2, 3]), one);
        assert_eq!(found, Step::HandOver(vec![NodeId(3), NodeId(2)]));
        let found = step(&placement, &leads(&[1, 2, 3]), NodeId(2));
        assert_eq!(found, Step::Change(BTreeSet::from([NodeId(4)])));
        assert_eq!(step(&placement, &leads(&[2, 3, 4]), NodeId(2)), Step::Nothing);
        let joint = Status { is_joint: true, ..leads(&[2, 3, 4]) };
        assert_eq!(step(&placement, &joint, NodeId(2)), Step::Change(BTreeSet::new()));
        let given_up = Status { learners: BTreeSet::from([NodeId(5)]), ..leads(&[2, 3, 4]) };
        let found = step(&placement, &given_up, NodeId(2));
        assert_eq!(found, Step::Change(BTreeSet::new()), "it is to learn no more");
        let follows = Status { role: Role::Follower, ..leads(&[1, 2, 3]) };
        assert_eq!(step(&placement, &follows, NodeId(2)), Step::Nothing);
        let found = step(&placed(&[5], 5), &leads(&[1]), one);
        assert_eq!(found, Step::Change(BTreeSet::from([NodeId(5)])));
    }

    /// A learner may take 5 s, and the layout may have changed its mind by then.
    #[test]
    fn s39_what_was_learned_is_voted_for_only_by_a_layout_that_still_says_so() {
        let placement = placed(&[2, 3, 4], 3);
        let heard = |placement: Option<PartitionPlacement>, silent: u64| {
            let (silent, grace) = (Duration::from_secs(silent), Duration::from_secs(3_600));
            may_change(
                &placed(&[2, 3, 4], 3),
                &Told { placement, news: Some(News { silent, grace }) },
            )
        };
        assert!(heard(Some(placement.clone()), 1));
        assert!(!heard(Some(placement.clone()), 6), "nobody has been heard since");
        assert!(!heard(Some(PartitionPlacement { epoch: 4, ..placed(&[1, 2, 3], 3) }), 1));
        assert!(!heard(Some(PartitionPlacement { epoch: 4, ..placement }), 1), "placed once more");
        assert!(!heard(None, 1));
    }

    #[test]
    fn s39_nothing_moves_while_the_control_plane_is_silent() {
        let grace = Duration::from_secs(3_600);
        assert!(!is_fresh(None), "nobody has said that it is there");
        assert!(is_fresh(Some(News { silent: Duration::from_secs(1), grace })));
        assert!(!is_fresh(Some(News { silent: SILENT_MAX, grace })));
    }
}
