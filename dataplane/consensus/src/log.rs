//! The log of a group: entries, vote and commit record, in the host's engine.

mod open;
mod storage;
mod tail;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_store::commit::Lane;
use gitstratum_store::{Batch, Committer, Durability, Engine, Reader};
use openraft::entry::RaftEntry as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::Error;
use crate::group::Failure;
use crate::id::{GroupId, LogIndex};
use crate::meta::{self, LOG, META, Record};
use crate::raft::{Entry, LogId, Vote, io_error};
use crate::{seal, wire};
use tail::Tail;

/// A group's log as openraft uses it. Appended entries are readable at once from
/// memory; the commit thread writes and syncs them and then reports to openraft.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
}

/// What a log needs to know of its host.
#[derive(Clone)]
pub(crate) struct Context {
    /// This node's replica.
    pub(crate) replica: u64,
    pub(crate) group: GroupId,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) failure: Failure,
}

struct Shared {
    context: Context,
    /// No entry is written behind one that was not: the log would have a hole.
    lane: Lane,
    state: Mutex<State>,
    /// Told after every append: the log may be due for compaction.
    grown: Arc<Notify>,
}

struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// Set while `committed` is newer than what was handed to the commit thread.
    committed_unsaved: bool,
    purged: Option<LogId>,
    /// The index of the first entry present, or of the next one if there is none.
    first: u64,
    last: Option<LogId>,
    tail: Tail,
    /// Sizes of the entries present, for limits counted in bytes.
    sizes: std::collections::VecDeque<u32>,
    bytes: u64,
}

/// How long a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Length {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl LogStore {
    /// Told after every append.
    pub(crate) fn grown(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.grown)
    }

    pub(crate) fn length(&self) -> Length {
        let state = self.shared.state.lock();
        Length { entries: state.sizes.len() as u64, bytes: state.bytes }
    }

    /// Waits until everything that was handed to the commit thread is written, or has
    /// failed. Written later it would lie between the entries of a log opened anew.
    pub(crate) async fn settle(&self) {
        let Context { group, committer, .. } = &self.shared.context;
        if let Err(error) = committer.commit(Batch::new(), Durability::Buffered).await {
            tracing::debug!(%error, %group, "the commit thread had failed before");
        }
    }

    /// The last index to purge so that at most `kept` remains; `None` if there is none.
    pub(crate) fn purge_point(&self, kept: Length) -> Option<u64> {
        let state = self.shared.state.lock();
        let mut left = Length { entries: state.sizes.len() as u64, bytes: state.bytes };
        let mut dropped = 0;
        for size in &state.sizes {
            if left.entries <= kept.entries && left.bytes <= kept.bytes {
                break;
            }
            left.entries -= 1;
            left.bytes -= u64::from(*size);
            dropped += 1;
        }
        (dropped > 0).then(|| state.first + dropped - 1)
    }
}

impl Shared {
    /// Entries of `first..=last` that the engine holds, at one moment. Blocks.
    fn read(&self, first: u64, last: u64, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        let group = self.context.group;
        let mut entries = Ok(Vec::new());
        let viewed = self.context.engine.view(&mut |view| {
            entries = self.read_view(view, first, last, bytes_max);
            Ok(())
        });
        viewed.map_err(|source| Error::Engine { group, source })?;
        entries
    }

    fn read_view(
        &self,
        view: &dyn Reader,
        first: u64,
        last: u64,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, Error> {
        /// Entries decoded at a time.
        const PAGE: usize = 64;
        let group = self.context.group;
        let (mut entries, mut bytes, mut expected) = (Vec::new(), 0, first);
        for row in gitstratum_store::pages(view, LOG, meta::entries_from(group, first), PAGE) {
            let (key, value) = row.map_err(|source| Error::Engine { group, source })?;
            if entries.is_empty() {
                // Compaction may have removed the first ones since they were asked for.
                expected = expected.max(self.state.lock().first);
            }
            if expected > last || bytes >= bytes_max {
                break;
            }
            bytes += value.len();
            entries.push(decode(group, expected, &key, &value)?);
            expected += 1;
        }
        Ok(entries)
    }

    /// Entries of `first..=last` that the log holds, from memory where they are there.
    async fn entries(
        self: &Arc<Self>,
        first: u64,
        last: u64,
        bytes_max: usize,
    ) -> io::Result<Vec<Entry>> {
        let (first, in_memory) = {
            let state = self.state.lock();
            let first = first.max(state.first);
            (first, state.tail.range(first, last))
        };
        let stored_last = in_memory.first().map_or(last, |entry| entry.index().saturating_sub(1));
        let mut entries = if in_memory.first().is_some_and(|entry| entry.index() == first) {
            Vec::new()
        } else {
            let shared = Arc::clone(self);
            let read = move || shared.read(first, stored_last, bytes_max);
            let read = gitstratum_process::blocking(read).await.map_err(io_error)?;
            read.map_err(|error| io_error(self.context.failure.record(error)))?
        };
        let mut bytes: usize = entries.iter().map(size).sum();
        let complete = entries.last().is_none_or(|entry| entry.index() == stored_last);
        for entry in in_memory.into_iter().take_while(|_| complete) {
            if bytes >= bytes_max {
                break;
            }
            bytes += size(&entry);
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Bytes of an entry, near enough for limits.
fn size(entry: &Entry) -> usize {
    /// What an entry takes beside its command.
    const OVERHEAD: usize = 32;
    match &entry.payload {
        openraft::EntryPayload::Normal(command) => OVERHEAD + command.0.len(),
        openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => OVERHEAD,
    }
}

/// The entry that `value` holds, if it is the one expected at `index`.
fn decode(group: GroupId, index: u64, key: &Bytes, value: &Bytes) -> Result<Entry, Error> {
    let damaged = |what: String| Error::Log { group, index: LogIndex(index), what };
    if meta::entry_index(key) != Some(index) {
        return Err(damaged("it is missing".to_owned()));
    }
    let read: wire::Entry = seal::open(key, value).map_err(|broken| damaged(broken.to_string()))?;
    let entry = read.read().map_err(damaged)?;
    if entry.index() != index {
        return Err(damaged(format!("it says that it is entry {}", entry.index())));
    }
    Ok(entry)
}

impl Shared {
    /// Makes `entries` readable and returns the batch that makes them durable.
    fn remember(&self, entries: impl IntoIterator<Item = Entry>) -> (Batch, u64) {
        let group = self.context.group;
        let mut batch = Batch::new();
        let mut state = self.state.lock();
        let sequence = state.tail.begin();
        for entry in entries {
            let key = meta::entry_key(group, entry.index());
            let value = seal::seal(&key, &wire::Entry::from(entry.clone()));
            state.append(entry, value.len());
            batch.put(LOG, key, value);
        }
        if std::mem::take(&mut state.committed_unsaved)
            && let Some(committed) = state.committed
        {
            let key = Record::Committed.key(group);
            batch.put(META, key.clone(), seal::seal(&key, &wire::LogId::from(committed)));
        }
        (batch, sequence)
    }
}

impl State {
    fn append(&mut self, entry: Entry, bytes: usize) {
        if self.sizes.is_empty() {
            self.first = entry.index();
        }
        self.last = Some(entry.log_id());
        self.sizes.push_back(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.bytes += bytes as u64;
        self.tail.push(entry, bytes);
    }

    fn truncate(&mut self, last: Option<LogId>) {
        if last.is_some_and(|last| self.last.is_none_or(|end| end.index <= last.index)) {
            return;
        }
        let kept = last.map_or(0, |id| (id.index + 1).saturating_sub(self.first));
        while self.sizes.len() as u64 > kept {
            self.bytes -= u64::from(self.sizes.pop_back().unwrap_or_default());
        }
        self.tail.truncate(last.map(|id| id.index));
        self.last = last;
    }

    fn purge(&mut self, upto: LogId) {
        let next = upto.index + 1;
        let kept = (self.first + self.sizes.len() as u64).saturating_sub(next);
        while self.sizes.len() as u64 > kept {
            self.bytes -= u64::from(self.sizes.pop_front().unwrap_or_default());
        }
        self.tail.purge(upto.index);
        self.first = self.first.max(next);
        self.purged = Some(upto);
        if self.last.is_none_or(|last| last.index <= upto.index) {
            self.last = None;
        }
    }
}

#[cfg(test)]
mod tests;
