//! A group's whole state as a stream of checksummed chunks of rows (S40): cut from one
//! view of the engine, installed under a new generation.

mod receive;
mod send;

use std::sync::Arc;

use bytes::Bytes;
use gitstratum_store::{Engine, Reader, engine, pages};

use crate::id::GroupId;
use crate::meta::{self, STATE, STATE_PREFIX_BYTES};
use crate::wire;

pub(crate) use receive::{Received, Receiver};
pub(crate) use send::stream;

/// A snapshot in openraft's hands.
pub(crate) enum Snapshot {
    /// The state as it is whenever it is sent: it lies in the engine, durable in order
    /// behind the log, so nothing needs to be built.
    Live(Source),
    /// One that a peer sent, in the engine under a generation that nothing points to yet.
    Received(Received),
}

/// Where a live snapshot is read.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) group: GroupId,
    pub(crate) engine: Arc<dyn Engine>,
    /// Bytes of rows in a chunk.
    pub(crate) chunk_bytes: usize,
}

/// What the checksums of chunks are bound to: the group and the place in the stream.
pub(crate) fn place(group: GroupId, sequence: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&group.0.to_be_bytes());
    place[8..].copy_from_slice(&sequence.to_be_bytes());
    place
}

/// A hash of rows in their order: equal on every replica at the same log index (S14).
#[derive(Default)]
pub(crate) struct Digest {
    hasher: blake3::Hasher,
    rows: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        for part in [key, value] {
            self.hasher.update(&(part.len() as u64).to_be_bytes());
            self.hasher.update(part);
        }
    }

    pub(crate) fn finish(self) -> wire::SnapshotEnd {
        let digest = Bytes::copy_from_slice(self.hasher.finalize().as_bytes());
        wire::SnapshotEnd { rows: self.rows, digest }
    }
}

/// Calls `each` with every row of one generation of a group's state.
fn walk<E: From<engine::Error>>(
    reader: &dyn Reader,
    group: GroupId,
    generation: u64,
    mut each: impl FnMut(Bytes, Bytes) -> Result<(), E>,
) -> Result<(), E> {
    /// Rows read at a time.
    const PAGE: usize = 256;
    let prefix = meta::state_prefix(group, generation);
    for row in pages(reader, STATE, gitstratum_store::KeyRange::prefix(prefix), PAGE) {
        let (key, value) = row?;
        each(key.slice(STATE_PREFIX_BYTES..), value)?;
    }
    Ok(())
}

/// The digest of one generation of a group's state.
pub(crate) fn digest(
    reader: &dyn Reader,
    group: GroupId,
    generation: u64,
) -> Result<wire::SnapshotEnd, engine::Error> {
    let mut digest = Digest::default();
    walk(reader, group, generation, |key, value| {
        digest.add(&key, &value);
        Ok::<(), engine::Error>(())
    })?;
    Ok(digest.finish())
}

#[cfg(test)]
mod tests;
