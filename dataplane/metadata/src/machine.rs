//! The partition's state machine in the form that consensus drives.

use bytes::Bytes;
use gitstratum_consensus::{LogIndex, MachineError, State, StateMachine, StateWriter};
use gitstratum_core::Version;
use gitstratum_process::metrics::Gauge;
use gitstratum_store::{KeyRange, engine};

use crate::partition::{self, Rows, RowsMut, query};

/// One partition's state machine. It holds nothing in memory but its share of a
/// metric: all state is rows.
#[derive(Debug)]
pub(crate) struct Machine {
    refs_total: Gauge,
    refs_counted: u64,
}

impl Machine {
    /// A machine that adds its refs to `refs_total` (GS-MX-08).
    pub(crate) const fn new(refs_total: Gauge) -> Self {
        Self { refs_total, refs_counted: 0 }
    }

    fn count_refs(&mut self, rows: &dyn Rows) -> Result<(), partition::Error> {
        let refs = query::group(rows)?.refs_count;
        let difference = i128::from(refs) - i128::from(self.refs_counted);
        self.refs_total.add(i64::try_from(difference).unwrap_or_default());
        self.refs_counted = refs;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.refs_total.add(-i64::try_from(self.refs_counted).unwrap_or_default());
    }
}

impl StateMachine for Machine {
    fn load(&mut self, state: &State<'_>) -> Result<(), MachineError> {
        self.count_refs(&StateRows(state)).map_err(stop)
    }

    fn apply(
        &mut self,
        index: LogIndex,
        command: &Bytes,
        state: &mut StateWriter<'_>,
    ) -> Result<Bytes, MachineError> {
        let mut rows = WriterRows(state);
        let answer = partition::apply(Version(index.0), command, &mut rows).map_err(stop)?;
        self.count_refs(&rows).map_err(stop)?;
        Ok(answer)
    }
}

/// Rows of a group as readers see them.
pub(crate) struct StateRows<'a, 'b>(pub(crate) &'a State<'b>);

struct WriterRows<'a, 'b>(&'a mut StateWriter<'b>);

impl Rows for StateRows<'_, '_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, partition::Error> {
        self.0.get(key).map_err(unreadable)
    }

    fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, partition::Error> {
        self.0.scan(range, limit).map_err(unreadable)
    }
}

impl Rows for WriterRows<'_, '_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, partition::Error> {
        self.0.get(key).map_err(unreadable)
    }

    fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, partition::Error> {
        self.0.scan(range, limit).map_err(unreadable)
    }
}

impl RowsMut for WriterRows<'_, '_> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.put(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.0.delete(key);
    }
}

fn unreadable(error: engine::Error) -> partition::Error {
    partition::Error::Rows { kind: error.kind(), source: Box::new(error) }
}

/// The group stops: going on would part this replica from the others (S14).
fn stop(error: partition::Error) -> MachineError {
    match error {
        partition::Error::Rows { source, .. } => match source.downcast::<engine::Error>() {
            Ok(error) => MachineError::Engine(*error),
            Err(other) => MachineError::damaged("state", other),
        },
        other => MachineError::damaged("partition", other),
    }
}
