//! What clients do in a run, and what they saw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{NodeId, ObjectId};
use parking_lot::Mutex;

use crate::clock::elapsed;
use crate::events;
use crate::git::{Client, Pushed, commit};
use crate::world::Draw;

/// The branch that all push to.
pub(crate) const BRANCH: &str = "refs/heads/main";
/// Pause of a client between two operations, at most.
const PAUSE_MAX_MILLIS: u64 = 100;
/// Pause after something failed.
const FAILED_PAUSE: Duration = Duration::from_millis(300);

/// One push: a commit on top of what was read.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) parent: Option<ObjectId>,
    pub(crate) outcome: Option<Pushed>,
    pub(crate) ended: Duration,
}

/// The tip as somebody was shown it.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) node: NodeId,
    pub(crate) tip: Option<ObjectId>,
}

/// All that clients did and saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) pushes: BTreeMap<ObjectId, Push>,
    pub(crate) reads: Vec<Read>,
    pub(crate) failed_reads: u64,
}

impl History {
    pub(crate) fn count(&self, is: impl Fn(&Option<Pushed>) -> bool) -> u64 {
        self.pushes.values().filter(|push| is(&push.outcome)).count() as u64
    }

    pub(crate) fn acked(&self) -> u64 {
        self.count(|outcome| *outcome == Some(Pushed::Acked))
    }
}

/// One client.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) draw: Draw,
    pub(crate) history: Arc<Mutex<History>>,
}

impl Worker {
    /// Reads and pushes until `ends`.
    pub(crate) async fn run(self, ends: Duration) -> anyhow::Result<()> {
        let mut number = 0;
        while elapsed() < ends {
            tokio::time::sleep(Duration::from_millis(self.draw.below(PAUSE_MAX_MILLIS))).await;
            number += 1;
            if !self.once(number).await {
                tokio::time::sleep(FAILED_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Whether it went well.
    async fn once(&self, number: u64) -> bool {
        let name = &self.name;
        let Some(tip) = self.read(self.node()).await else { return false };
        let (to, made) = (self.node(), commit(tip, &format!("{name} {number}")));
        let begun = Push { parent: tip, outcome: None, ended: Duration::MAX };
        self.history.lock().pushes.insert(made.id, begun);
        let outcome = self.client.push(to, (BRANCH, tip), &made).await;
        events::story(|| format!("{name} pushes {} through {to}: {outcome:?}", made.id));
        let is_acked = outcome == Pushed::Acked;
        if let Some(push) = self.history.lock().pushes.get_mut(&made.id) {
            (push.outcome, push.ended) = (Some(outcome), elapsed());
        }
        is_acked
    }

    /// The tip through `node`; none when it does not answer.
    pub(crate) async fn read(&self, node: NodeId) -> Option<Option<ObjectId>> {
        let began = elapsed();
        match self.client.refs(node).await {
            Ok(refs) => {
                let tip = refs.get(BRANCH).copied();
                self.history.lock().reads.push(Read { began, ended: elapsed(), node, tip });
                Some(tip)
            }
            Err(error) => {
                events::story(|| format!("{} reads through {node}: {error:#}", self.name));
                self.history.lock().failed_reads += 1;
                None
            }
        }
    }

    fn node(&self) -> NodeId {
        self.nodes[self.draw.index(self.nodes.len())]
    }
}
