use bytes::Bytes;
use gitstratum_store::KeyRange;

use crate::error::MachineError;
use crate::id::LogIndex;
use crate::machine::{State, StateMachine, StateWriter};

/// A machine that keeps every command as a row under its text, counts them in memory,
/// and answers with the count. A command seen before is answered `again`.
#[derive(Debug, Default)]
pub struct Register {
    count: u64,
}

impl Register {
    /// An empty register.
    pub fn new() -> Self {
        Self::default()
    }

    /// Commands kept.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The commands kept, in order of their text.
    ///
    /// # Errors
    /// As the state.
    pub fn commands(state: &State<'_>) -> Result<Vec<Bytes>, gitstratum_store::engine::Error> {
        let rows = state.scan(&KeyRange::all(), usize::MAX)?;
        Ok(rows.into_iter().map(|(key, _)| key).collect())
    }
}

impl StateMachine for Register {
    fn load(&mut self, state: &State<'_>) -> Result<(), MachineError> {
        self.count = Self::commands(state)?.len() as u64;
        Ok(())
    }

    fn apply(
        &mut self,
        index: LogIndex,
        command: &Bytes,
        state: &mut StateWriter<'_>,
    ) -> Result<Bytes, MachineError> {
        if command.is_empty() {
            return Err(MachineError::damaged("command", "it is empty"));
        }
        if state.get(command)?.is_some() {
            return Ok(Bytes::from_static(b"again"));
        }
        state.put(command.clone(), index.0.to_be_bytes().to_vec());
        self.count += 1;
        Ok(self.count.to_string().into())
    }
}
