use std::io;
use std::sync::Arc;

use futures::{FutureExt as _, Stream, StreamExt as _};
use openraft::EntryPayload;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};

use super::{Applied, OpenraftSnapshot};
use crate::command::Opaque;
use crate::error::Error;
use crate::machine::StateMachine;
use crate::raft::{Entry, LogId, SnapshotMeta, StoredMembership, Types, io_error};
use crate::snapshot::Snapshot;

/// Entries applied in one batch.
const CHUNK_ENTRIES_MAX: usize = 256;
/// Bytes of commands after which a batch takes no further entry.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// openraft's handle on [`Applied`].
pub(crate) struct Applier<M>(pub(crate) Arc<Applied<M>>);

impl<M: StateMachine> Applier<M> {
    /// Runs `work` on a blocking thread; its failure stops the group and is remembered.
    async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Applied<M>) -> Result<T, Error> + Send + 'static,
    ) -> io::Result<T> {
        let applied = Arc::clone(&self.0);
        let done = gitstratum_process::blocking(move || work(&applied)).await;
        let result = done.unwrap_or_else(|panic| {
            Err(Error::Task { group: self.0.group, what: format!("state machine: {panic}") })
        });
        result.map_err(|error| match error {
            // It was told to stop: that is no failure of its own.
            Error::Stopped { .. } => io_error(error),
            error => io_error(self.0.failure.record(error)),
        })
    }
}

/// The entries that wait in `stream`, as many as go into one batch.
async fn next_chunk<S>(stream: &mut S) -> io::Result<Vec<EntryResponder<Types>>>
where
    S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
{
    let mut chunk = Vec::new();
    let mut bytes = 0;
    let mut next = stream.next().await;
    while let Some(item) = next {
        let (entry, responder) = item?;
        if let EntryPayload::Normal(Opaque(command)) = &entry.payload {
            bytes += command.len();
        }
        chunk.push((entry, responder));
        if chunk.len() >= CHUNK_ENTRIES_MAX || bytes >= CHUNK_BYTES_MAX {
            break;
        }
        next = stream.next().now_or_never().flatten();
    }
    Ok(chunk)
}

impl<M: StateMachine> RaftStateMachine<Types> for Applier<M> {
    type SnapshotData = Snapshot;
    type SnapshotBuilder = Builder<M>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok(self.0.position())
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        loop {
            let chunk = next_chunk(&mut entries).await?;
            if chunk.is_empty() {
                return Ok(());
            }
            let (entries, responders): (Vec<Entry>, Vec<Option<ApplyResponder<Types>>>) =
                chunk.into_iter().unzip();
            let replies = self.block(move |applied| applied.apply(entries)).await?;
            for (responder, reply) in responders.into_iter().zip(replies) {
                if let Some(responder) = responder {
                    responder.send(Opaque(reply));
                }
            }
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder<M> {
        Builder(Arc::clone(&self.0))
    }

    async fn install_snapshot(&mut self, _: &SnapshotMeta, snapshot: Snapshot) -> io::Result<()> {
        self.block(|applied| match snapshot {
            Snapshot::Received(received) => applied.install(received),
            Snapshot::Live(source) => applied.install_from(source),
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<OpenraftSnapshot>> {
        let snapshot = self.0.snapshot();
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

/// "Builds" a snapshot: the state is one already.
pub(crate) struct Builder<M>(Arc<Applied<M>>);

impl<M: StateMachine> RaftSnapshotBuilder<Types> for Builder<M> {
    type SnapshotData = Snapshot;

    async fn build_snapshot(&mut self) -> io::Result<OpenraftSnapshot> {
        Ok(self.0.snapshot())
    }
}
