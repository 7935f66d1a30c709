//! An engine in memory that can lose exactly what was not synced.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::engine::{
    Batch, Durability, Engine, Error, Family, KeyRange, KeyValue, Operation, Reader, Stats,
};

type Rows = BTreeMap<Bytes, Bytes>;
type Families = BTreeMap<Family, Arc<Rows>>;

/// What error messages call it.
const PLACE: &str = "memory";

/// An [`Engine`] without a disk, for tests and the simulation. A crash keeps what was
/// synced and nothing else.
pub struct MemoryEngine {
    state: RwLock<State>,
}

#[derive(Clone)]
struct State {
    current: Families,
    durable: Families,
    /// Written since the last sync, in order.
    unsynced: Vec<Batch>,
    /// What is durable lacks what a sync that failed should have made so.
    is_behind: bool,
    closed: bool,
}

impl MemoryEngine {
    /// An empty engine with `families`.
    pub fn new(families: &[Family]) -> Arc<Self> {
        let rows: Families = families.iter().map(|family| (*family, Arc::default())).collect();
        Arc::new(Self {
            state: RwLock::new(State {
                current: rows.clone(),
                durable: rows,
                unsynced: Vec::new(),
                is_behind: false,
                closed: false,
            }),
        })
    }

    /// Loses every batch written since the last sync, as a power cut would.
    pub fn forget_unsynced(&self) {
        let mut state = self.state.write();
        state.current = state.durable.clone();
        state.unsynced.clear();
    }

    /// What a power cut now would leave of a row.
    ///
    /// # Errors
    /// For a family that it was not opened with.
    pub fn durable(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Reader::get(&self.state.read().durable, family, key)
    }

    /// A sync has failed: what was not synced is there as long as the power is, and no later
    /// sync of this process makes it durable (P-D5). The next process writes anew what it finds,
    /// as a log that is recovered is.
    pub fn fail_sync(&self) {
        let mut state = self.state.write();
        state.unsynced.clear();
        state.is_behind = true;
    }

    /// Cuts the power: this handle refuses everything from now on, the new one has what
    /// was synced.
    pub fn crash(&self) -> Arc<Self> {
        let mut state = self.state.write();
        state.closed = true;
        let durable = state.durable.clone();
        Arc::new(Self {
            state: RwLock::new(State {
                current: durable.clone(),
                durable,
                unsynced: Vec::new(),
                is_behind: false,
                closed: false,
            }),
        })
    }

    /// Kills the process: this handle refuses everything from now on, the new one has
    /// what was written, synced or not.
    pub fn kill(&self) -> Arc<Self> {
        let mut state = self.state.write();
        let mut next = state.clone();
        if std::mem::take(&mut next.is_behind) {
            next.durable = next.current.clone();
        }
        state.closed = true;
        Arc::new(Self { state: RwLock::new(next) })
    }
}

impl State {
    fn open(&self) -> Result<(), Error> {
        if self.closed { Err(Error::Closed { place: PLACE.to_owned() }) } else { Ok(()) }
    }

    fn sync(&mut self) {
        for batch in self.unsynced.drain(..) {
            apply(&mut self.durable, &batch);
        }
    }
}

fn rows(families: &Families, family: Family) -> Result<&Rows, Error> {
    families
        .get(&family)
        .map(|rows| &**rows)
        .ok_or_else(|| Error::Family { place: PLACE.to_owned(), family: family.0 })
}

fn apply(families: &mut Families, batch: &Batch) {
    for operation in batch.operations() {
        let Some(rows) = families.get_mut(&operation.family()) else { continue };
        let rows = Arc::make_mut(rows);
        match operation {
            Operation::Put { key, value, .. } => drop(rows.insert(key.clone(), value.clone())),
            Operation::Delete { key, .. } => drop(rows.remove(key)),
            Operation::DeleteRange { range, .. } => delete_range(rows, range),
        }
    }
}

fn delete_range(rows: &mut Rows, range: &KeyRange) {
    let keys: Vec<Bytes> = select(rows, range).map(|(key, _)| key.clone()).collect();
    for key in keys {
        rows.remove(&key);
    }
}

fn select<'a>(
    rows: &'a Rows,
    range: &KeyRange,
) -> impl DoubleEndedIterator<Item = (&'a Bytes, &'a Bytes)> + use<'a> {
    let start = Bytes::copy_from_slice(range.start());
    let end = match range.end() {
        _ if range.is_empty() => Bound::Excluded(start.clone()),
        Some(end) => Bound::Excluded(Bytes::copy_from_slice(end)),
        None => Bound::Unbounded,
    };
    rows.range((Bound::Included(start), end))
}

impl Reader for Families {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(rows(self, family)?.get(key).cloned())
    }

    fn scan(&self, family: Family, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, Error> {
        let found = select(rows(self, family)?, range).take(limit);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn last(&self, family: Family, range: &KeyRange) -> Result<Option<KeyValue>, Error> {
        let found = select(rows(self, family)?, range).next_back();
        Ok(found.map(|(key, value)| (key.clone(), value.clone())))
    }
}

impl Reader for MemoryEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let state = self.state.read();
        state.open()?;
        Reader::get(&state.current, family, key)
    }

    fn scan(&self, family: Family, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, Error> {
        let state = self.state.read();
        state.open()?;
        state.current.scan(family, range, limit)
    }

    fn last(&self, family: Family, range: &KeyRange) -> Result<Option<KeyValue>, Error> {
        let state = self.state.read();
        state.open()?;
        state.current.last(family, range)
    }
}

impl Engine for MemoryEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let mut state = self.state.write();
        state.open()?;
        for operation in batch.operations() {
            rows(&state.current, operation.family())?;
        }
        apply(&mut state.current, &batch);
        state.unsynced.push(batch);
        if durability == Durability::Synced {
            state.sync();
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        let mut state = self.state.write();
        state.open()?;
        state.sync();
        Ok(())
    }

    fn view(&self, read: &mut dyn FnMut(&dyn Reader) -> Result<(), Error>) -> Result<(), Error> {
        let families = {
            let state = self.state.read();
            state.open()?;
            state.current.clone()
        };
        read(&families)
    }

    fn flush(&self) -> Result<(), Error> {
        self.sync()
    }

    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64, Error> {
        let state = self.state.read();
        let found = select(rows(&state.current, family)?, range);
        Ok(found.map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }

    fn place(&self) -> &str {
        PLACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Family = Family("rows");

    fn put(key: &'static str) -> Batch {
        let mut batch = Batch::new();
        batch.put(ROWS, key, "value");
        batch
    }

    fn keys(engine: &MemoryEngine) -> Vec<Bytes> {
        let rows = engine.scan(ROWS, &KeyRange::all(), 10).expect("because the engine is open");
        rows.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_crash_loses_exactly_what_was_not_synced() {
        let engine = MemoryEngine::new(&[ROWS]);
        engine.write(put("a"), Durability::Buffered).unwrap();
        engine.write(put("b"), Durability::Synced).unwrap();
        engine.write(put("c"), Durability::Buffered).unwrap();
        let killed = engine.kill();
        assert_eq!(keys(&killed), ["a", "b", "c"]);
        let crashed = killed.crash();
        assert_eq!(keys(&crashed), ["a", "b"]);
        assert!(matches!(killed.write(put("d"), Durability::Synced), Err(Error::Closed { .. })));
        crashed.write(put("e"), Durability::Buffered).unwrap();
        crashed.forget_unsynced();
        assert_eq!(keys(&crashed), ["a", "b"]);
    }
}
