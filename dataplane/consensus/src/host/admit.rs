use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_core::NodeId;
use openraft::async_runtime::watch::WatchReceiver as _;

use super::Host;
use super::starts::Starts;
use crate::admission::{Start, Verdict, Word, answers_needed, judge};
use crate::error::Error;
use crate::group::Driver;
use crate::id::GroupId;
use crate::machine::StateMachine;
use crate::peer::Peers;
use crate::wire;
use wire::{Answer, Ask};

/// Longest wait for what a peer knows, and until it has noted a start.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// Pause before peers that have not noted a start are shown it again, and before a leader
/// is asked again to take a new replica in.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A replica that may take part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    /// Its id in the group.
    pub(crate) replica: u64,
    /// Whether nobody who answered has anything of the group: it may be begun.
    pub(crate) is_new: bool,
    /// Whether it took the place of one that was destroyed, and has to be taken in.
    pub(crate) joins: bool,
}

impl Host {
    /// Decides whether this node's replica of `group` may take part, and makes what it
    /// needs durable here and known to a majority (S23).
    ///
    /// # Errors
    /// [`Error::NotAdmitted`] while too few peers answer: to be tried again.
    pub(super) async fn admit(
        &self,
        group: GroupId,
        voters: &BTreeSet<NodeId>,
    ) -> Result<Admitted, Error> {
        let disk = self.starts.disk(group).await?;
        let others: Vec<NodeId> =
            voters.iter().copied().filter(|node| *node != self.node).collect();
        if others.is_empty() {
            let joins = disk.start.life > 0;
            return Ok(Admitted { replica: disk.replica, is_new: !disk.holds && !joins, joins });
        }
        let peers = self.peers(group, disk.replica);
        let words = ask_all(&peers, &others).await;
        let (start, replica) = match judge(disk.start, &words, voters.len()) {
            Verdict::Wait => return Err(not_admitted(group, words.len(), voters.len())),
            Verdict::Admit(start) => (start, disk.replica),
            Verdict::Destroy { life } => {
                let replica = self.starts.destroy(group, life).await?;
                tracing::error!(%group, life, "a peer knows a later start: replica destroyed");
                (Start { life, number: 1 }, replica)
            }
        };
        self.starts.raise(group, replica, start).await?;
        let shown = show_all(&peers, &others, start).await;
        self.starts.note_all(group, &shown).await?;
        if shown.len() < answers_needed(voters.len()) {
            return Err(not_admitted(group, shown.len(), voters.len()));
        }
        let joins = start.life > 0;
        let is_new = !joins && !disk.holds && !words.iter().any(|word| word.holds);
        let is_missed = |node: &NodeId| !shown.iter().any(|(noted, _)| noted == node);
        let missed: Vec<NodeId> = others.into_iter().filter(is_missed).collect();
        if !missed.is_empty() {
            let showing = show_until_noted(self.starts.clone(), peers, missed, start);
            gitstratum_process::spawn("replica start", showing).detach();
        }
        Ok(Admitted { replica, is_new, joins })
    }
}

impl Host {
    /// Those of `voters` beside this one that do not say, from their disks, that they have
    /// nothing of `group`: a group is begun anew only where there is none of these (S45).
    pub async fn not_known_empty(
        &self,
        group: GroupId,
        voters: &BTreeSet<NodeId>,
    ) -> BTreeSet<NodeId> {
        let others = voters.iter().copied().filter(|node| *node != self.node);
        let peers = self.peers(group, self.node.0);
        let ask = |node: NodeId| {
            let peers = peers.clone();
            async move {
                let ask = Ask::Known(wire::KnownAsk {});
                let answer = peers.ask(node, ask, ASK_WITHIN).await;
                let is_empty = matches!(answer, Ok(Answer::Known(known)) if !known.holds);
                (!is_empty).then_some(node)
            }
        };
        join_all(others.map(ask)).await.into_iter().flatten().collect()
    }
}

fn not_admitted(group: GroupId, answers: usize, voters: usize) -> Error {
    Error::NotAdmitted { group, answers, needed: answers_needed(voters) }
}

/// What those of `others` say that answer in time.
async fn ask_all(peers: &Peers, others: &[NodeId]) -> Vec<Word> {
    let ask = |node: &NodeId| peers.ask(*node, Ask::Known(wire::KnownAsk {}), ASK_WITHIN);
    let answers = join_all(others.iter().map(ask)).await;
    let word = |answer| match answer {
        Ok(Answer::Known(known)) => Some(Word {
            seen: Start { life: known.life, number: known.number },
            holds: known.holds,
        }),
        _ => None,
    };
    answers.into_iter().filter_map(word).collect()
}

/// Shows a start; returns who has noted it, with the last start of each of them.
async fn show_all(peers: &Peers, others: &[NodeId], start: Start) -> Vec<(NodeId, Start)> {
    let show = wire::ShowAsk { life: start.life, number: start.number };
    let ask = |node: &NodeId| peers.ask(*node, Ask::Show(show), ASK_WITHIN);
    let answers = join_all(others.iter().map(ask)).await;
    let noted = |(node, answer): (&NodeId, _)| match answer {
        Ok(Answer::Shown(own)) => Some((*node, Start { life: own.life, number: own.number })),
        _ => None,
    };
    others.iter().zip(answers).filter_map(noted).collect()
}

/// A majority is enough to begin; the more know, the sooner a rollback is found out. Ends
/// with the process's runtime, or when all have noted it.
async fn show_until_noted(starts: Starts, peers: Peers, mut missed: Vec<NodeId>, start: Start) {
    /// After so many tries a peer will see the next start.
    const TRIES_MAX: u32 = 7_200;
    for _ in 0..TRIES_MAX {
        tokio::time::sleep(AGAIN_AFTER).await;
        let noted = show_all(&peers, &missed, start).await;
        if let Err(error) = starts.note_all(peers.group, &noted).await {
            tracing::warn!(%error, group = %peers.group, "starts of peers are not noted");
            continue;
        }
        missed.retain(|node| !noted.iter().any(|(noted, _)| noted == node));
        if missed.is_empty() {
            return;
        }
    }
}

/// Asks the others to take this new replica in, until it has a vote.
pub(super) async fn join<M: StateMachine>(driver: Driver<M>, peers: Peers, others: Vec<NodeId>) {
    let mut has_asked = false;
    loop {
        let is_voter = {
            let metrics = driver.metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.voter_ids().any(|id| id == peers.replica)
        };
        if is_voter {
            if has_asked {
                tracing::info!(group = %peers.group, "the new replica has a vote");
            }
            return;
        }
        has_asked = true;
        for node in &others {
            let ask = Ask::Join(wire::JoinAsk { replica: peers.replica });
            if let Err(error) = peers.ask(*node, ask, ASK_WITHIN).await {
                tracing::debug!(%error, group = %peers.group, %node, "not taken in there");
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
