use gitstratum_store::Batch;

use crate::error::Error;
use crate::id::GroupId;
use crate::meta::{META, Record};
use crate::raft::{LogId, StoredMembership};
use crate::{seal, wire};

/// Which rows are the state, and what was applied to them.
#[derive(Clone, Default)]
pub(super) struct Position {
    pub(super) generation: u64,
    pub(super) applied: Option<LogId>,
    pub(super) membership: StoredMembership,
}

/// A stored position, unless it contradicts itself.
pub(super) fn read_position(group: GroupId, stored: wire::Position) -> Result<Position, Error> {
    let damaged = |what| Error::Record { group, record: Record::Position.name(), what };
    let membership = stored.membership.read().map_err(damaged)?;
    Ok(Position {
        generation: stored.generation,
        applied: stored.applied.map(Into::into),
        membership: StoredMembership::new(stored.membership_id.map(Into::into), membership),
    })
}

/// Adds the record of `position` to `batch`.
pub(super) fn put_position(group: GroupId, position: &Position, batch: &mut Batch) {
    let stored = wire::Position {
        generation: position.generation,
        applied: position.applied.map(Into::into),
        membership_id: position.membership.log_id().map(Into::into),
        membership: position.membership.membership().into(),
    };
    let key = Record::Position.key(group);
    batch.put(META, key.clone(), seal::seal(&key, &stored));
}
