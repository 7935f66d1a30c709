use std::sync::Arc;

use bytes::Bytes;
use gitstratum_store::{Batch, Durability, Engine, KeyRange};

use super::{Digest, place};
use crate::error::Error;
use crate::id::GroupId;
use crate::meta::{self, STATE};
use crate::{seal, wire};

/// Takes the chunks of one snapshot, in order, and writes their rows under a generation
/// that nothing points to. Every call blocks.
pub(crate) struct Receiver {
    group: GroupId,
    engine: Arc<dyn Engine>,
    generation: u64,
    sequence: u64,
    position: Option<wire::Position>,
    digest: Digest,
}

/// A whole snapshot, checked, waiting to become the state.
#[derive(Clone)]
pub(crate) struct Received {
    /// Where its rows are.
    pub(crate) generation: u64,
    /// What was applied to it.
    pub(crate) position: wire::Position,
}

impl Receiver {
    /// Takes a snapshot into `generation`, which must be given to nobody else.
    pub(crate) fn new(group: GroupId, engine: Arc<dyn Engine>, generation: u64) -> Self {
        Self { group, engine, generation, sequence: 0, position: None, digest: Digest::default() }
    }

    /// Removes what was taken so far.
    ///
    /// # Errors
    /// [`Error::Engine`]; then the rows go at the next start.
    pub(crate) fn discard(&self) -> Result<(), Error> {
        let mut batch = Batch::new();
        let own = meta::state_prefix(self.group, self.generation);
        batch.delete_range(STATE, KeyRange::prefix(own));
        self.write(batch)
    }

    /// The generation that it writes.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes the next chunk; the last one gives the snapshot.
    ///
    /// # Errors
    /// [`Error::Snapshot`] if it is damaged, out of order, of a newer version, or if the
    /// whole is not what the sender had. The transfer is over then (bad input 158).
    pub(crate) fn take(&mut self, sealed: &Bytes) -> Result<Option<Received>, Error> {
        let chunk: wire::Chunk = seal::open(&place(self.group, self.sequence), sealed)
            .map_err(|broken| self.refuse(broken.to_string()))?;
        if chunk.sequence != self.sequence {
            return Err(self.refuse(format!("chunk {} is out of order", chunk.sequence)));
        }
        let is_first = self.sequence == 0;
        self.sequence += 1;
        if is_first != chunk.position.is_some() {
            return Err(self.refuse("its position is not where it belongs".to_owned()));
        }
        self.position = self.position.take().or(chunk.position);
        self.keep(chunk.rows)?;
        chunk.end.map(|end| self.finish(&end)).transpose()
    }

    fn keep(&mut self, rows: Vec<wire::Row>) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let prefix = meta::state_prefix(self.group, self.generation);
        let mut batch = Batch::new();
        for wire::Row { key, value } in rows {
            self.digest.add(&key, &value);
            batch.put(STATE, [&prefix[..], &key[..]].concat(), value);
        }
        self.write(batch)
    }

    fn finish(&mut self, end: &wire::SnapshotEnd) -> Result<Received, Error> {
        if std::mem::take(&mut self.digest).finish() != *end {
            return Err(self.refuse("its rows are not those that were sent".to_owned()));
        }
        let position =
            self.position.take().ok_or_else(|| self.refuse("it has no position".to_owned()))?;
        Ok(Received { generation: self.generation, position })
    }

    fn write(&self, batch: Batch) -> Result<(), Error> {
        let group = self.group;
        let written = self.engine.write(batch, Durability::Buffered);
        written.map_err(|source| Error::Engine { group, source })
    }

    fn refuse(&self, what: String) -> Error {
        Error::Snapshot { group: self.group, what }
    }
}
