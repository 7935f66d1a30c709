use std::collections::HashMap;

use bytes::Bytes;
use gitstratum_core::ObjectId;

use super::{Error, HELD_BYTES_MAX};

/// A tree of a commit, to be compared with what parents have at the same path.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Number of the commit.
    pub(super) commit: u32,
    pub(super) tree: ObjectId,
    /// Each once, none of them `tree`.
    pub(super) parents: Vec<ObjectId>,
}

impl Job {
    fn trees(&self) -> impl Iterator<Item = ObjectId> {
        std::iter::once(self.tree).chain(self.parents.iter().copied())
    }
}

/// A job whose trees are all there, or known to be missing.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) commit: u32,
    pub(super) tree_id: ObjectId,
    /// The tree's bytes, then the parents'; `None` if one is missing.
    pub(super) trees: Option<(Bytes, Vec<(ObjectId, Bytes)>)>,
}

#[derive(Debug)]
enum State {
    Wanted,
    Here(Bytes),
    Missing,
}

/// A tree that jobs of the level need.
#[derive(Debug)]
struct Needed {
    state: State,
    /// Jobs that wait for it.
    waiting: Vec<u32>,
    /// Jobs that have yet to look at it.
    users: u32,
}

/// The jobs of one level and the trees they wait for. Each tree is let go when the
/// last job that needs it has run.
#[derive(Debug, Default)]
pub(super) struct Level {
    jobs: Vec<(Job, u32)>,
    trees: HashMap<ObjectId, Needed>,
    /// In the order in which jobs need them.
    order: Vec<ObjectId>,
    wanted: usize,
    held_bytes: usize,
}

impl Level {
    pub(super) fn new(jobs: Vec<Job>) -> Self {
        let mut level = Self::default();
        for job in jobs {
            level.push(job);
        }
        level.wanted = level.order.len();
        level
    }

    fn push(&mut self, job: Job) {
        let number = self.jobs.len() as u32;
        let mut missing = 0;
        for tree in job.trees() {
            let needed = self.trees.entry(tree).or_insert_with(|| {
                self.order.push(tree);
                Needed { state: State::Wanted, waiting: Vec::new(), users: 0 }
            });
            needed.waiting.push(number);
            needed.users += 1;
            missing += 1;
        }
        self.jobs.push((job, missing));
    }

    /// Trees not yet provided nor missing.
    pub(super) const fn wanted_count(&self) -> usize {
        self.wanted
    }

    pub(super) fn wanted(&self) -> Vec<ObjectId> {
        let is_wanted = |tree: &&ObjectId| {
            self.trees.get(*tree).is_some_and(|needed| matches!(needed.state, State::Wanted))
        };
        self.order.iter().filter(is_wanted).copied().collect()
    }

    /// Takes a tree's bytes, or `None` if they cannot be had, and gives the jobs
    /// that can run now.
    pub(super) fn take(
        &mut self,
        tree: ObjectId,
        bytes: Option<Bytes>,
    ) -> Result<Vec<Ready>, Error> {
        let needed = self.trees.get_mut(&tree).ok_or(Error::NotWanted { tree })?;
        if !matches!(needed.state, State::Wanted) {
            return Err(Error::NotWanted { tree });
        }
        self.wanted -= 1;
        self.held_bytes += bytes.as_ref().map_or(0, Bytes::len);
        needed.state = bytes.map_or(State::Missing, State::Here);
        let waiting = std::mem::take(&mut needed.waiting);
        let ready = waiting.into_iter().filter_map(|job| self.count_down(job)).collect();
        if self.held_bytes > HELD_BYTES_MAX {
            return Err(Error::Held { limit: HELD_BYTES_MAX });
        }
        Ok(ready)
    }

    fn count_down(&mut self, number: u32) -> Option<Ready> {
        let (job, missing) = &mut self.jobs[number as usize];
        *missing -= 1;
        if *missing > 0 {
            return None;
        }
        let parents = std::mem::take(&mut job.parents);
        let (commit, tree_id) = (job.commit, job.tree);
        let tree = self.release(tree_id);
        let parents: Vec<_> = parents.into_iter().map(|id| (id, self.release(id))).collect();
        let parents: Option<Vec<_>> =
            parents.into_iter().map(|(id, bytes)| bytes.map(|bytes| (id, bytes))).collect();
        Some(Ready { commit, tree_id, trees: tree.zip(parents) })
    }

    /// A job's own handle of a tree; the level's is dropped with the last job.
    fn release(&mut self, tree: ObjectId) -> Option<Bytes> {
        let needed = self.trees.get_mut(&tree)?;
        needed.users -= 1;
        if needed.users > 0 {
            return match &needed.state {
                State::Here(bytes) => Some(bytes.clone()),
                State::Wanted | State::Missing => None,
            };
        }
        match std::mem::replace(&mut needed.state, State::Missing) {
            State::Here(bytes) => {
                self.held_bytes -= bytes.len();
                Some(bytes)
            }
            State::Wanted | State::Missing => None,
        }
    }
}
