//! What clients do in a run, and what they saw.

mod chain;
mod mixed;
mod prober;
mod race;
mod returns;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gitstratum_core::{NodeId, ObjectId};
use parking_lot::Mutex;

use crate::checks::{Broken, Operation};
use crate::clock::elapsed;
use crate::events;
use crate::git::{Client, Fetched, Pushed, Refs};
use crate::world::Draw;

pub(crate) use chain::BRANCH;
pub(crate) use mixed::{ATOMIC, SINGLE};
pub(crate) use race::{HELD, HELD_FOR, Racer};
pub(crate) use returns::BACK;
pub(crate) use runs::{RUN_WITHIN, Runner};

/// Pause of a client between two operations, at most.
const PAUSE_MAX_MILLIS: u64 = 100;
/// Pause after something failed.
const FAILED_PAUSE: Duration = Duration::from_millis(300);

/// One push to the branch: a commit on top of what was read.
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
    /// To the branch that is never forced.
    pub(crate) pushes: BTreeMap<ObjectId, Push>,
    pub(crate) reads: Vec<Read>,
    /// To refs that are forced, deleted and made again; and every listing.
    pub(crate) operations: Vec<Operation>,
    /// Pushes of any kind: all, and those acknowledged.
    pub(crate) begun: u64,
    pub(crate) acked: u64,
    /// Nodes that have lost bits and may not have been asked since.
    pub(crate) suspects: BTreeSet<NodeId>,
    /// Those to the branch by the node that they went through.
    pub(crate) acked_through: BTreeMap<NodeId, u64>,
    /// Whole clones that were looked at, and probes for what must not be given.
    pub(crate) clones: u64,
    pub(crate) probes: u64,
    /// Fetches of refs that came back, runs that changed something, and objects that went.
    pub(crate) returns: u64,
    pub(crate) runs: u64,
    pub(crate) dropped: u64,
    /// Drop runs that ended while a push was held back.
    pub(crate) races: u64,
    /// What a client saw that must not be.
    pub(crate) broken: Option<Broken>,
}

/// What a client is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Appends to one branch.
    Chain,
    /// Forces, deletes and makes single refs.
    Single,
    /// Moves several refs at once.
    Atomic,
    /// Clones what is shown.
    Clone,
    /// Asks for what must not be given.
    Probe,
    /// Pushes what was there before.
    Return,
}

/// One client.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) part: Part,
    pub(crate) client: Client,
    /// The same person's way to a repository that is nobody else's.
    pub(crate) private: Option<Client>,
    pub(crate) nodes: Arc<Mutex<Vec<NodeId>>>,
    pub(crate) draw: Draw,
    pub(crate) history: Arc<Mutex<History>>,
}

impl Worker {
    /// Works until it `is_over`.
    pub(crate) async fn run(self, is_over: Arc<AtomicBool>) -> anyhow::Result<()> {
        let mut number = 0;
        while !is_over.load(Ordering::SeqCst) {
            let pause = match self.part {
                Part::Chain | Part::Single | Part::Atomic => PAUSE_MAX_MILLIS,
                Part::Return => 3 * PAUSE_MAX_MILLIS,
                Part::Clone | Part::Probe => 10 * PAUSE_MAX_MILLIS,
            };
            tokio::time::sleep(Duration::from_millis(self.draw.below(pause))).await;
            number += 1;
            let went_well = match self.part {
                Part::Chain => self.append(number).await,
                Part::Single => self.change(number).await,
                Part::Atomic => self.mark(number).await,
                Part::Clone => self.clone_all().await,
                Part::Probe => self.probe(number).await,
                Part::Return => self.bring_back(number).await,
            };
            if !went_well {
                tokio::time::sleep(FAILED_PAUSE).await;
            }
        }
        Ok(())
    }

    /// All refs through `node`; none when it does not answer.
    pub(crate) async fn read(&self, node: NodeId) -> Option<Refs> {
        let began = elapsed();
        match self.client.refs(node).await {
            Ok(refs) => {
                let (ended, tip, mut history) =
                    (elapsed(), refs.get(BRANCH).copied(), self.history.lock());
                history.reads.push(Read { began, ended, node, tip });
                history.operations.push(Operation::Read { began, ended, shown: refs.clone() });
                Some(refs)
            }
            Err(error) => {
                events::story(|| format!("{} reads through {node}: {error:#}", self.name));
                None
            }
        }
    }

    /// All that `tips` reach, through `node`; none when it does not answer.
    pub(crate) async fn fetch(&self, node: NodeId, tips: &[ObjectId]) -> Option<Fetched> {
        match self.client.fetch(node, tips).await {
            Ok(fetched) => Some(fetched),
            Err(error) => {
                events::story(|| format!("{} fetches through {node}: {error:#}", self.name));
                None
            }
        }
    }

    pub(crate) fn note(&self, checked: Result<(), Broken>) {
        if let Err(broken) = checked {
            events::story(|| format!("{}: {broken}", self.name));
            self.history.lock().broken.get_or_insert(broken);
        }
    }

    fn node(&self) -> NodeId {
        let nodes = self.nodes.lock();
        nodes[self.draw.index(nodes.len())]
    }
}
