use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_core::NodeId;
use gitstratum_process::failpoint;
use openraft::async_runtime::watch::WatchReceiver as _;

use super::showing::{Begun, show_all};
use super::{Electorate, Host};
use crate::admission::{
    Own, Place, Start, Verdict, Word, answers_needed, is_doubtful, judge_placed,
};
use crate::error::Error;
use crate::group::{Driver, has_vote};
use crate::id::GroupId;
use crate::machine::StateMachine;
use crate::peer::Peers;
use crate::wire;
use wire::{Answer, Ask};

/// Longest wait for what a peer knows, and until it has noted a start.
pub(super) const ASK_WITHIN: Duration = Duration::from_secs(1);
/// Longest wait of an empty disk for all to say that it never had anything.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// Pause before peers are asked again, and a leader to take a new replica in.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A replica that may take part.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// Its id in the group.
    pub(crate) replica: u64,
    /// Whether nobody who answered has anything of the group: it may be begun.
    pub(crate) is_new: bool,
    /// Whether it took the place of one that was destroyed, and has to be taken in.
    pub(crate) joins: bool,
    /// This start, and who has noted it.
    pub(crate) begun: Begun,
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
        electorate: &Electorate,
        place: Place,
    ) -> Result<Admitted, Error> {
        let disk = self.starts.disk(group).await?;
        let own = disk.own;
        let others = electorate.beside(self.node);
        if others.is_empty() {
            let joins = own.start.life > 0;
            let is_new = !own.holds && !joins;
            let begun = Begun { start: own.start, noted: BTreeSet::new() };
            return Ok(Admitted { replica: disk.replica, is_new, joins, begun });
        }
        let peers = self.peers(group, disk.replica);
        let voters = match place {
            // No membership that can be in force has more (S39).
            Place::Later => electorate.voters.len(),
            // This node counts too, whether it is named among them or not.
            Place::Founding => others.len() + 1,
        };
        let words = match place {
            Place::Later => ask_all(&peers, &others, wire::KnownAsk { is_later: true }).await,
            Place::Founding => ask_until_clear(&peers, &others, own).await,
        };
        let (start, replica) = match judge_placed(own, &words, voters, place) {
            Verdict::Wait => return Err(not_admitted(group, words.len(), voters)),
            Verdict::Admit(start) => (start, disk.replica),
            Verdict::Destroy { life } => {
                let replica = self.starts.destroy(group, life).await?;
                tracing::error!(%group, life, "a peer knows a later start: replica destroyed");
                (Start { life, number: 1 }, replica)
            }
            Verdict::Renew { life } => {
                let replica = self.starts.renew(group, life).await?;
                tracing::info!(%group, "this replica is taken for a later one: it joins");
                (Start { life, number: 1 }, replica)
            }
        };
        failpoint!("consensus.start.before_raise");
        self.starts.raise(group, replica, start).await?;
        failpoint!("consensus.start.after_raise");
        let shown = show_all(&peers, &others, start).await;
        if let Some(later) = shown.later {
            // Nothing was promised yet: the next try goes on as a new replica.
            self.starts.destroy(group, later.life + 1).await?;
            tracing::error!(%group, ?later, "a peer has seen a later start: replica destroyed");
            return Err(not_admitted(group, 0, voters));
        }
        let noted = shown.noted;
        self.starts.note_all(group, &noted).await?;
        if noted.len() < answers_needed(voters) {
            if place == Place::Later {
                // The next try may be one of a later life.
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            return Err(not_admitted(group, noted.len(), voters));
        }
        let joins = start.life > 0;
        let is_new = !joins && !own.holds && !words.iter().any(|word| word.holds);
        let noted = noted.into_iter().map(|(node, _)| node).collect();
        Ok(Admitted { replica, is_new, joins, begun: Begun { start, noted } })
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
                let ask = Ask::Known(wire::KnownAsk { is_later: false });
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

/// What `others` say to a replica. One that may be at its first start waits a little longer
/// for all of them: they may be at theirs.
async fn ask_until_clear(peers: &Peers, others: &[NodeId], own: Own) -> Vec<Word> {
    let until = tokio::time::Instant::now() + FIRST_WITHIN;
    loop {
        let words = ask_all(peers, others, wire::KnownAsk { is_later: false }).await;
        if !is_doubtful(own, &words, others.len() + 1) || tokio::time::Instant::now() >= until {
            return words;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// What those of `others` say that answer in time.
async fn ask_all(peers: &Peers, others: &[NodeId], ask: wire::KnownAsk) -> Vec<Word> {
    let ask = |node: &NodeId| peers.ask(*node, Ask::Known(ask), ASK_WITHIN);
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

/// Asks the others to take this new replica in, until it has a vote by a membership that is
/// committed: one that is not may be taken back.
pub(super) async fn join<M: StateMachine>(
    driver: Driver<M>,
    peers: Peers,
    (life, others): (u64, Vec<NodeId>),
) {
    let mut has_asked = false;
    loop {
        if has_vote(&driver.metrics().borrow_watched()) {
            if has_asked {
                tracing::info!(group = %peers.group, "the new replica has a vote");
            }
            return;
        }
        has_asked = true;
        for node in &others {
            let ask = Ask::Join(wire::JoinAsk { replica: peers.replica, life });
            if let Err(error) = peers.ask(*node, ask, ASK_WITHIN).await {
                tracing::debug!(%error, group = %peers.group, %node, "not taken in there");
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
