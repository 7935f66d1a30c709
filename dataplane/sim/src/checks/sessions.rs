//! S10, S11, P-C3: a push is decided once, while its session is open and its number not below
//! the floor; a floor never falls, a closed session stays closed.

use gitstratum_core::{PushNumber, SessionId};
use gitstratum_metadata::partition::query;

use super::Broken;
use super::rows::{Change, number};

const SESSIONS: &str = "sessions";
const ONCE: &str = "pushes-are-decided-once";

/// The outcome of a push is recorded.
pub(super) fn outcome(change: &Change<'_>, key: &[u8]) -> Result<(), Broken> {
    let (session, push) = (SessionId(number(key, 1)), PushNumber(number(key, 9)));
    let what = |words: &str| format!("push {} of session {}: {words}", push.0, session.0);
    let before = query::outcome(change.before, session, push).ok().flatten();
    let after = query::outcome(&change.after, session, push).ok().flatten();
    if let (Some(before), Some(after)) = (before, after)
        && (before.closed || after.attempt <= before.attempt)
    {
        return Err(Broken::new(ONCE, what("was decided, and is decided again")));
    }
    let row = query::session(change.before, session).ok().flatten();
    let Some(row) = row else {
        let is_opened = query::session(&change.after, session).ok().flatten().is_some();
        let words = "is decided, and the session is not known";
        return if is_opened { Ok(()) } else { Err(Broken::new(SESSIONS, what(words))) };
    };
    if row.closed {
        return Err(Broken::new(SESSIONS, what("is decided, and the session is closed")));
    }
    if push.0 < row.floor {
        let words = format!("is decided, and is below the floor {}", row.floor);
        return Err(Broken::new(SESSIONS, what(&words)));
    }
    Ok(())
}

/// The row of a session changes.
pub(super) fn session(change: &Change<'_>, key: &[u8]) -> Result<(), Broken> {
    let id = SessionId(number(key, 1));
    let before = query::session(change.before, id).ok().flatten();
    let after = query::session(&change.after, id).ok().flatten();
    let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
    if after.floor < before.floor {
        let what = format!("session {}: its floor falls to {}", id.0, after.floor);
        return Err(Broken::new(SESSIONS, what));
    }
    if before.closed && !after.closed {
        return Err(Broken::new(SESSIONS, format!("session {} was closed and is open", id.0)));
    }
    Ok(())
}
