use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_consensus::{Group, GroupId, LogIndex, ReadError};
use gitstratum_core::{Clock, GrantsVersion, LogTime, PartitionId, Version};
use gitstratum_process::sabotage;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::barrier::SharedBarrier;
use super::renewals::Renewals;
use crate::error::{Error, chain};
use crate::machine::{Machine, StateRows};
use crate::partition::{self, Change, Entry, FEATURE_LEVEL, Rows, query};

/// One partition on this node: its group, and what its leader keeps in memory.
pub(super) struct Hosted {
    /// Which.
    pub(super) partition: PartitionId,
    group: Group<Machine>,
    barrier: Arc<SharedBarrier<Result<LogIndex, ReadError>>>,
    clock: Arc<dyn Clock>,
    log_clock: Mutex<Option<Anchor>>,
    /// Session timers of this node as leader.
    pub(super) renewals: Mutex<Renewals>,
    damage: Option<Damage>,
    /// Segments that the last walk of this node as leader left where the ring does not want them.
    misplaced: AtomicUsize,
    /// Monotonic time at which this node last handed leadership over for newer grants.
    handed_over: Mutex<Option<Duration>>,
    /// How often its voters were held against the layout, for tests of what does not happen.
    #[cfg(test)]
    pub(super) rounds: AtomicUsize,
}

/// Where damage of the store is told, if other nodes can make it good.
pub(super) type Damage = watch::Sender<Option<String>>;

/// Where the leader's monotonic clock meets the log's time (S14).
#[derive(Clone, Copy)]
struct Anchor {
    term: u64,
    log_time: LogTime,
    at: Duration,
}

impl Hosted {
    pub(super) fn new(
        group: Group<Machine>,
        clock: Arc<dyn Clock>,
        (id, damage): (PartitionId, Option<Damage>),
    ) -> Arc<Self> {
        let confirming = group.clone();
        let barrier = SharedBarrier::new(move || {
            let group = confirming.clone();
            async move { group.read_barrier().await }
        });
        Arc::new(Self {
            partition: id,
            group,
            barrier,
            clock,
            log_clock: Mutex::new(None),
            renewals: Mutex::default(),
            damage,
            misplaced: AtomicUsize::new(0),
            handed_over: Mutex::new(None),
            #[cfg(test)]
            rounds: AtomicUsize::new(0),
        })
    }

    /// The consensus group of a partition.
    pub(super) const fn group_id(partition: PartitionId) -> GroupId {
        GroupId(partition.0 as u64)
    }

    pub(super) const fn group(&self) -> &Group<Machine> {
        &self.group
    }

    /// The newest version applied here.
    pub(super) fn applied(&self) -> Version {
        Version(self.group.last_applied().0)
    }

    /// Notes how many segments a walk has left out of place.
    pub(super) fn note_misplaced(&self, count: usize) {
        self.misplaced.store(count, Ordering::Relaxed);
    }

    /// So many of them are where they should be now.
    pub(super) fn note_moved(&self, count: usize) {
        let left = self.misplaced.load(Ordering::Relaxed).saturating_sub(count);
        // One walk at a time counts.
        self.misplaced.store(left, Ordering::Relaxed);
    }

    /// Segments out of place, when this node leads; a count of the last walk.
    pub(super) fn misplaced(&self) -> usize {
        self.leading_term().map_or(0, |_| self.misplaced.load(Ordering::Relaxed))
    }

    /// Whether leadership may be handed over for newer grants at `now`, `between` after the last
    /// time. If so that counts as one.
    pub(super) fn take_turn_to_hand_over(&self, now: Duration, between: Duration) -> bool {
        let mut last = self.handed_over.lock();
        let is_due = last.is_none_or(|last| now.saturating_sub(last) >= between);
        if is_due {
            *last = Some(now);
        }
        is_due
    }

    /// The term in which this node leads.
    ///
    /// # Errors
    /// [`Error::NotLeader`] when it does not.
    pub(super) fn leading_term(&self) -> Result<u64, Error> {
        let leader = self.group.status().leader;
        let term = leader.as_ref().filter(|_| self.group.is_leader()).map(|leader| leader.term);
        term.ok_or(Error::NotLeader {
            partition: self.partition,
            leader: leader.map(|leader| leader.node),
        })
    }

    /// Waits until what is read next includes every entry acknowledged before this call.
    pub(super) async fn barrier(&self) -> Result<Version, Error> {
        if sabotage!("serve-local-read") {
            return Ok(self.applied());
        }
        let confirmed = self.barrier.pass().await;
        let index = confirmed
            .map_err(|source| self.told(Error::Barrier { partition: self.partition, source }))?;
        Ok(Version(index.0))
    }

    /// Waits, at most `wait`, until `version` is applied here.
    pub(super) async fn catch_up(&self, version: Version, wait: Duration) -> Result<(), Error> {
        let mut applied = self.group.watch_applied();
        let reached = applied.wait_for(|index| index.unwrap_or_default().0 >= version.0);
        match tokio::time::timeout(wait, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Behind { partition: self.partition }),
        }
    }

    /// Runs `read` on the rows as they are at one moment, on a thread that may block. No entry is
    /// applied meanwhile: what reads much reads in pages.
    pub(super) async fn read<R, F>(&self, read: F) -> Result<R, Error>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Rows) -> Result<R, partition::Error> + Send + 'static,
    {
        let group = self.group.clone();
        let partition = self.partition;
        let reading =
            gitstratum_process::blocking(move || group.read(|_, state| read(&StateRows(state))));
        let read = reading.await.map_err(|_| Error::CutOff { partition })?;
        read.map_err(|source| self.told(Error::Rows { partition, source }))
    }

    /// What a caller is told of `error`: damage of what this node has stored is noted, and sends
    /// them to the other voters, if there are any (S23).
    fn told(&self, error: Error) -> Error {
        match &self.damage {
            Some(damage) if error.is_of_the_store() => {
                let what = chain(&error);
                damage.send_replace(Some(what.clone()));
                Error::DamagedHere { partition: self.partition, what }
            }
            _ => error,
        }
    }

    /// Notes that damage has stopped the group, if so.
    pub(super) fn look_for_damage(&self) {
        if let Some(cause) = self.group.failure() {
            let source = (*cause).clone();
            self.told(Error::Group { partition: self.partition, source });
        }
    }

    /// Appends an entry with `change`, decided by the grants of `grants`; returns its answer once
    /// it is durable on a majority and applied here (S13).
    pub(super) async fn propose(
        &self,
        change: Change,
        grants: GrantsVersion,
    ) -> Result<Bytes, Error> {
        let entry = Entry {
            log_time: self.log_time().await?.0,
            wall_millis: self.clock.wall().0,
            grants_version: grants.0,
            feature_level: FEATURE_LEVEL,
            change: Some(change),
        };
        let command = entry.to_bytes();
        drop(entry);
        let proposed = self.group.propose(command).await;
        let reply =
            proposed.map_err(|source| Error::Propose { partition: self.partition, source })?;
        Ok(reply.bytes)
    }

    /// The log's time now, by this leader's clock. A new leader goes on from what is applied here;
    /// `apply` keeps it from falling.
    pub(super) async fn log_time(&self) -> Result<LogTime, Error> {
        let term = self.leading_term()?;
        let held = *self.log_clock.lock();
        let anchor = match held.filter(|anchor| anchor.term == term) {
            Some(anchor) => anchor,
            None => self.anchor(term).await?,
        };
        Ok(anchor.log_time.after(self.clock.monotonic().saturating_sub(anchor.at)))
    }

    async fn anchor(&self, term: u64) -> Result<Anchor, Error> {
        let group = self.read(query::group).await?;
        let anchor = Anchor { term, log_time: LogTime(group.log_time), at: self.clock.monotonic() };
        *self.log_clock.lock() = Some(anchor);
        Ok(anchor)
    }
}
