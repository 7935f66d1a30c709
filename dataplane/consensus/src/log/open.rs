use std::collections::VecDeque;
use std::sync::Arc;

use gitstratum_store::pages;
use openraft::entry::RaftEntry as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Context, Lane, LogStore, Shared, State, decode};
use crate::error::Error;
use crate::id::LogIndex;
use crate::meta::{self, LOG, META, Record};
use crate::raft::LogId;
use crate::wire;

impl LogStore {
    /// Reads the log of a group from the engine and checks every entry. Blocks.
    ///
    /// # Errors
    /// [`Error::Log`] and [`Error::Record`] name what is damaged.
    pub(crate) fn open(context: Context) -> Result<Self, Error> {
        let vote = record::<wire::Vote>(&context, Record::Vote)?;
        let committed = record::<wire::LogId>(&context, Record::Committed)?;
        let purged = record::<wire::LogId>(&context, Record::Purged)?.map(LogId::from);
        let mut state = State {
            vote: vote.map(Into::into),
            committed: committed.map(Into::into),
            committed_unsaved: false,
            purged,
            first: purged.map_or(0, |id| id.index + 1),
            last: None,
            tail: super::Tail::default(),
            sizes: VecDeque::new(),
            bytes: 0,
        };
        check_entries(&context, &mut state)?;
        let grown = Arc::new(Notify::new());
        Ok(Self {
            shared: Arc::new(Shared {
                context,
                state: Mutex::new(state),
                lane: Lane::default(),
                grown,
            }),
        })
    }
}

fn record<M: prost::Message + Default>(
    context: &Context,
    record: Record,
) -> Result<Option<M>, Error> {
    let group = context.group;
    let sealed = context
        .engine
        .get(META, &record.key(group))
        .map_err(|source| Error::Engine { group, source })?;
    sealed.map(|sealed| record.open(group, &sealed)).transpose()
}

fn check_entries(context: &Context, state: &mut State) -> Result<(), Error> {
    /// Entries read at a time.
    const PAGE: usize = 64;
    let group = context.group;
    let rows = pages(&*context.engine, LOG, meta::entries_from(group, 0), PAGE);
    for (expected, row) in (state.first..).zip(rows) {
        let (key, value) = row.map_err(|source| Error::Engine { group, source })?;
        let entry = decode(group, expected, &key, &value)?;
        if state.last.is_some_and(|last| entry.log_id() < last) {
            let what = "its term is older than that of the entry before".to_owned();
            return Err(Error::Log { group, index: LogIndex(expected), what });
        }
        state.last = Some(entry.log_id());
        state.sizes.push_back(u32::try_from(value.len()).unwrap_or(u32::MAX));
        state.bytes += value.len() as u64;
    }
    Ok(())
}
