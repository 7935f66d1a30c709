use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_core::NodeId;
use tokio::sync::watch;

use super::Electorate;
use super::admit::ASK_WITHIN;
use super::starts::Starts;
use crate::admission::Start;
use crate::error::Error;
use crate::group::{Driver, Failure};
use crate::machine::StateMachine;
use crate::peer::Peers;
use crate::wire;
use wire::{Answer, Ask};

/// Pause before peers that have not noted a start are shown it again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// After so many tries a peer will see the next start.
const TRIES_MAX: u32 = 7_200;

/// A start, and the nodes that have noted it.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(super) start: Start,
    pub(super) noted: BTreeSet<NodeId>,
}

/// What peers said to a start that they were shown.
pub(super) struct Shown {
    /// Who has noted it, with the last start of each of them.
    pub(super) noted: Vec<(NodeId, Start)>,
    /// The last start of this node that anybody has seen, if it is a later one: this replica
    /// has lost what it did since.
    pub(super) later: Option<Start>,
}

/// Shows a start to `others`, and waits for those that answer in time.
pub(super) async fn show_all(peers: &Peers, others: &[NodeId], start: Start) -> Shown {
    let show = wire::ShowAsk { life: start.life, number: start.number };
    let ask = |node: &NodeId| peers.ask(*node, Ask::Show(show), ASK_WITHIN);
    let answers = join_all(others.iter().map(ask)).await;
    let mut shown = Shown { noted: Vec::new(), later: None };
    for (node, answer) in others.iter().zip(answers) {
        match answer {
            Ok(Answer::Shown(own)) => {
                shown.noted.push((*node, Start { life: own.life, number: own.number }));
            }
            Ok(Answer::Later(later)) => {
                let later = Start { life: later.life, number: later.number };
                shown.later = shown.later.max(Some(later));
            }
            _ => {}
        }
    }
    shown
}

/// Goes on to show a start to those that were away, or are named since: a majority is enough to
/// begin; the more know, the sooner a rollback is found out.
pub(super) struct Showing<M: StateMachine> {
    pub(super) starts: Starts,
    pub(super) peers: Peers,
    pub(super) driver: Driver<M>,
    pub(super) failure: Failure,
    /// Who may vote in the group, as far as this node is told.
    pub(super) electorate: watch::Receiver<Electorate>,
}

impl<M: StateMachine> Showing<M> {
    /// Ends with the group.
    pub(super) async fn run(mut self, begun: Begun) {
        let Begun { start, mut noted } = begun;
        let mut tries = 0;
        loop {
            let mut missed = self.electorate.borrow_and_update().beside(self.starts.node);
            missed.retain(|node| !noted.contains(node));
            if missed.is_empty() || tries == TRIES_MAX {
                if self.electorate.changed().await.is_err() {
                    return;
                }
                tries = 0;
                continue;
            }
            tries += 1;
            tokio::time::sleep(AGAIN_AFTER).await;
            if self.driver.has_ended() {
                return;
            }
            let shown = show_all(&self.peers, &missed, start).await;
            if self.driver.has_ended() {
                // What is open by now, if anything, is judged by its own start.
                return;
            }
            if let Some(later) = shown.later {
                return self.end(later).await;
            }
            if let Err(error) = self.starts.note_all(self.peers.group, &shown.noted).await {
                tracing::warn!(%error, group = %self.peers.group, "starts of peers are not noted");
                continue;
            }
            noted.extend(shown.noted.iter().map(|(node, _)| *node));
        }
    }

    /// The replica votes and acknowledges no more, and is destroyed before anybody is told: the
    /// next start is that of a new one, whoever answers it.
    async fn end(self, later: Start) {
        let group = self.peers.group;
        self.driver.stop().await;
        let destroyed = self.starts.destroy(group, later.life + 1).await;
        self.failure.record(destroyed.err().unwrap_or(Error::RolledBack { group }));
    }
}
