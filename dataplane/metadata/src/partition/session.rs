use gitstratum_core::{LogTime, PushNumber, SessionId};
use gitstratum_process::sabotage;
use gitstratum_proto::metadata::v1::OpenSessionResponse;

use super::entry::{CloseSession, Floor, OpenSession, RaiseFloors};
use super::record::SessionRow;
use super::{Error, OUTCOME_KEPT, SWEEP_ROWS_MAX, Scope, keys, query, rows};

/// Opens a session; its id is the entry's index (S10).
pub(super) fn open(
    scope: &mut Scope<'_>,
    open: &OpenSession,
) -> Result<OpenSessionResponse, Error> {
    let session = SessionId(scope.index.0);
    let row =
        SessionRow { node: open.node, incarnation: open.incarnation, ..SessionRow::default() };
    rows::store(scope.rows, keys::session(session), &row);
    scope.group.sessions_open += 1;
    Ok(OpenSessionResponse { session: session.0 })
}

/// Closes a session that is open. Its outcomes stay for [`OUTCOME_KEPT`] (S11).
pub(super) fn close(scope: &mut Scope<'_>, close: &CloseSession) -> Result<(), Error> {
    let session = SessionId(close.session);
    let Some(mut row) = query::session(scope.rows, session)?.filter(|row| !row.closed) else {
        return Ok(());
    };
    row.closed = true;
    row.closed_at = scope.group.log_time;
    rows::store(scope.rows, keys::session(session), &row);
    scope.group.sessions_open = scope.group.sessions_open.saturating_sub(1);
    scope.group.sessions_closed += 1;
    Ok(())
}

/// Raises the floors of open sessions.
pub(super) fn raise_floors(scope: &mut Scope<'_>, raise: &RaiseFloors) -> Result<(), Error> {
    raise.floors.iter().try_for_each(|floor| raise_floor(scope, floor))
}

fn raise_floor(scope: &mut Scope<'_>, floor: &Floor) -> Result<(), Error> {
    let session = SessionId(floor.session);
    match open_session(scope, session)? {
        Some(row) => lift(scope, session, row, PushNumber(floor.floor)),
        None => Ok(()),
    }
}

/// The row of a session that is open.
pub(super) fn open_session(
    scope: &Scope<'_>,
    session: SessionId,
) -> Result<Option<SessionRow>, Error> {
    let row = query::session(scope.rows, session)?;
    Ok(row.filter(|row| !row.closed || sabotage!("accept-closed-session")))
}

/// Raises the floor of `session` to `floor`, if that is higher, and forgets the outcomes
/// below: the frontend has seen them (S11).
pub(super) fn lift(
    scope: &mut Scope<'_>,
    session: SessionId,
    mut row: SessionRow,
    floor: PushNumber,
) -> Result<(), Error> {
    if floor.0 <= row.floor {
        return Ok(());
    }
    let passed = keys::outcomes_between(session, PushNumber(row.floor)..floor);
    while rows::remove_range(scope.rows, &passed, SWEEP_ROWS_MAX)? == SWEEP_ROWS_MAX {}
    row.floor = floor.0;
    rows::store(scope.rows, keys::session(session), &row);
    Ok(())
}

/// Forgets sessions that were closed more than [`OUTCOME_KEPT`] ago, with their outcomes.
pub(super) fn expire(scope: &mut Scope<'_>) -> Result<(), Error> {
    if scope.group.sessions_closed == 0 {
        return Ok(());
    }
    let now = scope.log_time();
    let over = |row: &SessionRow| row.closed && LogTime(row.closed_at).after(OUTCOME_KEPT) < now;
    let expired: Vec<_> =
        query::sessions(scope.rows)?.into_iter().filter(|(_, row)| over(row)).collect();
    let mut budget = SWEEP_ROWS_MAX;
    for (session, _) in expired {
        budget -= rows::remove_range(scope.rows, &keys::outcomes(session), budget)?;
        if budget == 0 {
            return Ok(());
        }
        scope.rows.delete(keys::session(session));
        scope.group.sessions_closed = scope.group.sessions_closed.saturating_sub(1);
    }
    Ok(())
}
