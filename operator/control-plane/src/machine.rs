use bytes::Bytes;
use gitstratum_consensus::{LogIndex, MachineError, StateMachine, StateWriter};
use gitstratum_state::State;
use gitstratum_state::command::Command;
use gitstratum_state::row::{Key, LOADED_KINDS};
use gitstratum_store::KeyRange;

/// Rows read at a time.
const PAGE_ROWS: usize = 4_096;

/// The state, driven by the group's log and kept as its rows.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) state: State,
}

impl StateMachine for Machine {
    fn load(&mut self, rows: &gitstratum_consensus::State<'_>) -> Result<(), MachineError> {
        let mut loaded = Vec::new();
        for kind in LOADED_KINDS {
            let mut range = KeyRange::prefix(vec![*kind]);
            loop {
                let page = rows.scan(&range, PAGE_ROWS)?;
                let Some((last, _)) = page.last() else { break };
                range = range.after(last);
                loaded.extend(page);
            }
        }
        let rows = loaded.iter().map(|(key, value)| (key.as_ref(), value.as_ref()));
        self.state = State::load(rows)
            .map_err(|error| MachineError::damaged("control-plane state", error))?;
        Ok(())
    }

    fn apply(
        &mut self,
        index: LogIndex,
        command: &Bytes,
        rows: &mut StateWriter<'_>,
    ) -> Result<Bytes, MachineError> {
        let command = Command::from_bytes(command)
            .map_err(|error| MachineError::damaged(format!("log entry {index}"), error))?;
        let applied = self.state.apply(index.0, &command);
        for (key, value) in applied.rows {
            match value {
                Some(value) => rows.put(key, value),
                None => rows.delete(key),
            }
        }
        if let Some(floor) = applied.audit_floor {
            prune_audit(rows, floor)?;
        }
        Ok(applied.outcome.to_bytes().into())
    }
}

/// Deletes the audit lines before `floor`; whoever proposed it bounds their number.
fn prune_audit(rows: &mut StateWriter<'_>, floor: u64) -> Result<(), MachineError> {
    let (first, end) = (Key::Audit(0).to_bytes(), Key::Audit(floor).to_bytes());
    let mut range = KeyRange::between(first, end);
    loop {
        let page = rows.scan(&range, PAGE_ROWS)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range = range.after(last);
        for (key, _) in page {
            rows.delete(key);
        }
    }
}
