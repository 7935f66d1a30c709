use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use gitstratum_process::{failpoint, sabotage};
use gitstratum_store::{Batch, Durability, KeyRange};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use super::{Context, LogStore};
use crate::error::Error;
use crate::meta::{self, LOG, META, Record};
use crate::raft::{Entry, LogId, Types, Vote, io_error};
use crate::{seal, wire};

/// Bytes of entries that one read for a peer returns; a larger entry goes alone.
pub(super) const READ_BYTES_MAX: usize = 1 << 20;

/// First and last index of `range`, if it is not empty.
fn bounds(range: &impl RangeBounds<u64>) -> Option<(u64, u64)> {
    let first = match range.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let last = match range.end_bound() {
        Bound::Included(last) => *last,
        Bound::Excluded(end) => end.checked_sub(1)?,
        Bound::Unbounded => u64::MAX,
    };
    (first <= last).then_some((first, last))
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        match bounds(&range) {
            Some((first, last)) => self.shared.entries(first, last, usize::MAX).await,
            None => Ok(Vec::new()),
        }
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let Some((first, last)) = bounds(&(start..end)) else { return Ok(Vec::new()) };
        let entries = self.shared.entries(first, last, READ_BYTES_MAX).await?;
        // Only replication asks here. Once another leads, the log may have been cut and
        // filled with its entries: they must not go out under our old vote.
        let vote = self.shared.state.lock().vote;
        let is_ours =
            vote.is_none_or(|vote| vote.leader_id.voted_for == self.shared.context.replica);
        Ok(if is_ours { entries } else { Vec::new() })
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.state.lock().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.shared.state.lock();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last.or(state.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let key = Record::Vote.key(self.shared.context.group);
        let mut batch = Batch::new();
        batch.put(META, key.clone(), seal::seal(&key, &wire::Vote::from(*vote)));
        failpoint!("consensus.vote.before_save");
        self.commit(batch, Durability::Synced).await?;
        failpoint!("consensus.vote.after_save");
        self.shared.state.lock().vote = Some(*vote);
        Ok(())
    }

    /// The record rides on the next batch: recovery needs it only as a hint, for applied
    /// state is itself in the engine, in order behind the entries it came from (S40).
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.committed = committed;
        state.committed_unsaved = true;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.state.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        failpoint!("consensus.log.before_append");
        let (batch, sequence) = self.shared.remember(entries);
        let shared = Arc::clone(&self.shared);
        let done = Box::new(move |result: Result<(), _>| {
            let group = shared.context.group;
            match result {
                Ok(()) => {
                    shared.state.lock().tail.written(sequence);
                    callback.io_completed(Ok(()));
                }
                Err(source) => {
                    let error = shared.context.failure.record(Error::Commit { group, source });
                    callback.io_completed(Err(io_error(error)));
                }
            }
        });
        let Context { group, committer, failure, .. } = &self.shared.context;
        let durability = match sabotage!("ack-before-log-fsync") {
            true => Durability::Buffered,
            false => Durability::Synced,
        };
        let submitted = committer.submit(&self.shared.lane, batch, durability, done).await;
        self.shared.grown.notify_one();
        submitted
            .map_err(|source| io_error(failure.record(Error::Commit { group: *group, source })))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let first_gone = last.map_or(0, |id| id.index + 1);
        let mut batch = Batch::new();
        batch.delete_range(LOG, meta::entries_from(self.shared.context.group, first_gone));
        self.shared.state.lock().truncate(last);
        self.commit(batch, Durability::Synced).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let group = self.shared.context.group;
        let (first, last) = (meta::entry_key(group, 0), meta::entry_key(group, upto.index + 1));
        let key = Record::Purged.key(group);
        let mut batch = Batch::new();
        batch.delete_range(LOG, KeyRange::between(first, last));
        batch.put(META, key.clone(), seal::seal(&key, &wire::LogId::from(upto)));
        self.shared.state.lock().purge(upto);
        self.commit(batch, Durability::Synced).await
    }
}

impl LogStore {
    async fn commit(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        let Context { group, committer, failure, .. } = &self.shared.context;
        let result = committer.commit_in(&self.shared.lane, batch, durability).await;
        result.map_err(|source| io_error(failure.record(Error::Commit { group: *group, source })))
    }
}
