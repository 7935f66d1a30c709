//! The state machine that a group drives, and the rows it keeps its state in.

mod changes;

use bytes::{Bytes, BytesMut};
use gitstratum_store::engine::Error;
use gitstratum_store::{Batch, KeyRange, KeyValue, Reader};

use crate::error::MachineError;
use crate::id::LogIndex;
use crate::meta::{STATE, STATE_PREFIX_BYTES};

pub(crate) use changes::Changes;

/// What a group's log means. State lives in rows ([`State`]); a machine may keep what it
/// wants to find quickly in memory as well, and rebuilds that from the rows.
pub trait StateMachine: Send + Sync + 'static {
    /// Forgets everything held in memory and reads it anew from `state`: called once
    /// before the first entry, and again whenever a snapshot has replaced the rows.
    ///
    /// # Errors
    /// Stops the group.
    fn load(&mut self, state: &State<'_>) -> Result<(), MachineError>;

    /// Applies the committed `command` at `index`; the result goes to whoever proposed it.
    /// Reads only the command and the state: no clock, randomness or anything else that
    /// replicas could see differently (S14). A refusal is a reply.
    ///
    /// # Errors
    /// Stops the group.
    fn apply(
        &mut self,
        index: LogIndex,
        command: &Bytes,
        state: &mut StateWriter<'_>,
    ) -> Result<Bytes, MachineError>;
}

/// Read access to the rows of one group. Keys are the machine's own.
pub struct State<'a> {
    reader: &'a dyn Reader,
    prefix: Bytes,
}

impl<'a> State<'a> {
    pub(crate) fn new(reader: &'a dyn Reader, prefix: Bytes) -> Self {
        debug_assert_eq!(prefix.len(), STATE_PREFIX_BYTES);
        Self { reader, prefix }
    }

    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.reader.get(STATE, &self.place(key))
    }

    /// The first `limit` rows of `range`, in order of keys.
    ///
    /// # Errors
    /// As [`Reader::scan`].
    pub fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, Error> {
        let rows = self.reader.scan(STATE, &self.places(range), limit)?;
        Ok(rows.into_iter().map(strip).collect())
    }

    /// The row of `range` with the greatest key.
    ///
    /// # Errors
    /// As [`Reader::last`].
    pub fn last(&self, range: &KeyRange) -> Result<Option<KeyValue>, Error> {
        Ok(self.reader.last(STATE, &self.places(range))?.map(strip))
    }

    fn place(&self, key: &[u8]) -> Bytes {
        place(&self.prefix, key)
    }

    fn places(&self, range: &KeyRange) -> KeyRange {
        let start = self.place(range.start());
        match range.end() {
            Some(end) => KeyRange::between(start, self.place(end)),
            None => match KeyRange::prefix(self.prefix.clone()).end() {
                Some(end) => KeyRange::between(start, Bytes::copy_from_slice(end)),
                None => KeyRange::from(start),
            },
        }
    }
}

fn place(prefix: &[u8], key: &[u8]) -> Bytes {
    let mut place = BytesMut::with_capacity(prefix.len() + key.len());
    place.extend_from_slice(prefix);
    place.extend_from_slice(key);
    place.freeze()
}

fn strip((key, value): KeyValue) -> KeyValue {
    (key.slice(STATE_PREFIX_BYTES..), value)
}

/// Rows of one group while entries are applied: sees its own writes, which reach the
/// engine together with the log index they belong to, in one batch (S40).
pub struct StateWriter<'a> {
    state: State<'a>,
    changes: &'a mut Changes,
}

impl<'a> StateWriter<'a> {
    pub(crate) fn new(state: State<'a>, changes: &'a mut Changes) -> Self {
        Self { state, changes }
    }

    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed),
            None => self.state.get(key),
        }
    }

    /// The first `limit` rows of `range`, in order of keys.
    ///
    /// # Errors
    /// As [`Reader::scan`].
    pub fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, Error> {
        // At most that many stored rows can be hidden by deletions.
        let wanted = limit.saturating_add(self.changes.deletions(range));
        Ok(self.changes.over(self.state.scan(range, wanted)?, range, limit))
    }

    /// The row of `range` with the greatest key.
    ///
    /// # Errors
    /// As [`Reader::last`].
    pub fn last(&self, range: &KeyRange) -> Result<Option<KeyValue>, Error> {
        let mut below = range.clone();
        let stored = loop {
            match self.state.last(&below)? {
                Some((key, _)) if self.changes.get(&key) == Some(None) => {
                    below = KeyRange::between(Bytes::copy_from_slice(range.start()), key);
                }
                other => break other,
            }
        };
        Ok(match (stored, self.changes.last(range)) {
            (Some(stored), Some(changed)) if changed.0 < stored.0 => Some(stored),
            (stored, changed) => changed.or(stored),
        })
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.changes.set(key.into(), Some(value.into()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.changes.set(key.into(), None);
    }

    /// Removes every row whose key begins with `prefix`, at the cost of reading them: a
    /// machine that drops much at once spreads it over entries.
    ///
    /// # Errors
    /// As [`Reader::scan`].
    pub fn delete_prefix(&mut self, prefix: impl Into<Bytes>) -> Result<(), Error> {
        /// Rows read at a time.
        const PAGE: usize = 1_024;
        let mut range = KeyRange::prefix(prefix);
        loop {
            let rows = self.scan(&range, PAGE)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range = range.after(last);
            for (key, _) in rows {
                self.delete(key);
            }
        }
    }
}

/// Adds `changes` to `batch`, below `prefix`.
pub(crate) fn write_changes(changes: Changes, prefix: &[u8], batch: &mut Batch) {
    for (key, value) in changes.into_rows() {
        let place = place(prefix, &key);
        match value {
            Some(value) => batch.put(STATE, place, value),
            None => batch.delete(STATE, place),
        }
    }
}

#[cfg(test)]
mod tests;
