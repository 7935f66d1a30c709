use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::NodeId;

use super::Nodes;
use super::job::Job;
use crate::partition::{self, Rows, query};

/// Packs read at once.
const PACKS: usize = 32;
/// When to walk again after a walk that left something out of place.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Where a walk over all segments of the partition is, and what the last one found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// What the walk goes by: the leader's term, the layout's epoch, fenced and down nodes.
    seen: Option<Seen>,
    /// Whether a walk is under way.
    under_way: bool,
    next: Option<Bytes>,
    /// Segments out of place that this walk could not move.
    misplaced: usize,
    /// When the last one ended.
    ended: Duration,
}

type Seen = ((u64, u64), BTreeSet<NodeId>, BTreeSet<NodeId>);

/// Segments of a few packs.
pub(super) struct Page {
    pub(super) jobs: Vec<Job>,
    pub(super) next: Option<Bytes>,
}

/// The segments of the packs from `after` on.
pub(super) fn read_page(rows: &dyn Rows, after: Option<&Bytes>) -> Result<Page, partition::Error> {
    let page = query::packs_page(rows, after, PACKS)?;
    let mut jobs = Vec::new();
    for job in page.packs.iter().flat_map(|(_, pack)| Job::all(pack)) {
        // What lacks copies is worked off by the repair list.
        if !query::is_under_repair(rows, job.segment)? {
            jobs.push(job);
        }
    }
    Ok(Page { jobs, next: page.next })
}

impl Walk {
    /// Whether to walk now: one is under way, the last left something, what it went by has
    /// changed, or it was long ago. What it goes by from now on is `nodes`.
    pub(super) fn is_due(
        &mut self,
        version: (u64, u64),
        nodes: &Nodes,
        (now, interval): (Duration, Duration),
    ) -> bool {
        let seen = (version, nodes.fenced.clone(), nodes.down.clone());
        if self.seen.as_ref() != Some(&seen) {
            *self = Self { seen: Some(seen), under_way: true, ..Self::default() };
        }
        let pause = if self.misplaced > 0 { interval.min(AGAIN_AFTER) } else { interval };
        if !self.under_way && now.saturating_sub(self.ended) >= pause {
            self.misplaced = 0;
            self.under_way = true;
        }
        self.under_way
    }

    /// Whether the walk that is due is at its beginning.
    pub(super) const fn is_at_start(&self) -> bool {
        self.under_way && self.next.is_none()
    }

    pub(super) fn next(&self) -> Option<Bytes> {
        self.next.clone()
    }

    /// A page is done, of which `left` segments could not be moved. Whether it was the last.
    pub(super) fn step(&mut self, next: Option<Bytes>, left: usize, now: Duration) -> bool {
        self.misplaced += left;
        self.next = next;
        self.under_way = self.next.is_some();
        if !self.under_way {
            self.ended = now;
        }
        !self.under_way
    }

    /// Segments that the walk found out of place and could not move.
    pub(super) const fn misplaced(&self) -> usize {
        self.misplaced
    }
}
