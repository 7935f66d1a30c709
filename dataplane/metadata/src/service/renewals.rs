use std::collections::BTreeMap;
use std::time::Duration;

use gitstratum_core::{PushNumber, SessionId, Version};

use crate::partition::entry::Floor;
use crate::partition::record::SessionRow;

/// When the sessions of a partition were last renewed, in its leader's memory (S10). A
/// new leader starts every timer again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Renewals {
    term: u64,
    /// Version of the state in which `sessions` were the open ones.
    looked_at: Version,
    sessions: BTreeMap<SessionId, Renewal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Renewal {
    /// Monotonic time.
    at: Duration,
    /// Least version that the session still uses; `None` until it has told this leader (S30).
    least_version: Option<Version>,
    floor: PushNumber,
}

/// What a frontend tells with a renewal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewed {
    pub(crate) session: SessionId,
    pub(crate) least_version: Version,
    pub(crate) floor: PushNumber,
}

impl Renewals {
    /// Takes over the sessions of `rows`, which are open in a state of `version` or later: those
    /// not known yet, or all of them when the term is new, count as renewed at `now`.
    pub(crate) fn follow(
        &mut self,
        term: u64,
        (version, rows): (Version, &[(SessionId, SessionRow)]),
        now: Duration,
    ) {
        self.looked_at = version;
        if term != self.term {
            self.term = term;
            self.sessions.clear();
        }
        self.sessions.retain(|session, _| rows.iter().any(|(open, _)| open == session));
        for (session, row) in rows {
            self.sessions.entry(*session).or_insert(Renewal {
                at: now,
                least_version: None,
                floor: PushNumber(row.floor),
            });
        }
    }

    /// Notes a renewal of a session that is open.
    pub(crate) fn renew(&mut self, term: u64, renewed: Renewed, now: Duration) {
        if term != self.term {
            // The keeper has not taken over yet: everything starts at `now` anyway.
            return;
        }
        let held = self.sessions.entry(renewed.session).or_insert(Renewal {
            at: now,
            least_version: None,
            floor: PushNumber(0),
        });
        held.at = now;
        held.least_version = Some(renewed.least_version);
        held.floor = held.floor.max(renewed.floor);
    }

    /// Sessions that were not renewed for `timeout`.
    pub(crate) fn expired(&self, timeout: Duration, now: Duration) -> Vec<SessionId> {
        let over = |renewal: &Renewal| now.saturating_sub(renewal.at) > timeout;
        self.sessions.iter().filter(|(_, held)| over(held)).map(|(session, _)| *session).collect()
    }

    /// Floors that renewals brought and that are above the committed ones of `rows`.
    pub(crate) fn floors_above(&self, rows: &[(SessionId, SessionRow)]) -> Vec<Floor> {
        let above = |(session, row): &(SessionId, SessionRow)| {
            let floor = self.sessions.get(session)?.floor;
            (floor.0 > row.floor).then_some(Floor { session: session.0, floor: floor.0 })
        };
        rows.iter().filter_map(above).collect()
    }

    /// The least version that any session may still use; `None` while one has not told (S30).
    /// Never above the last look at the sessions: of those that were opened since nothing is known
    /// here, but that they use nothing older.
    pub(crate) fn least_version(&self) -> Option<Version> {
        let told: Option<Vec<_>> =
            self.sessions.values().map(|renewal| renewal.least_version).collect();
        told.map(|versions| versions.into_iter().fold(self.looked_at, Version::min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn rows(sessions: &[u64]) -> Vec<(SessionId, SessionRow)> {
        sessions.iter().map(|id| (SessionId(*id), SessionRow::default())).collect()
    }

    fn renewed(session: u64, version: u64, floor: u64) -> Renewed {
        Renewed {
            session: SessionId(session),
            least_version: Version(version),
            floor: PushNumber(floor),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn s10_a_session_ends_ten_seconds_after_its_last_renewal() {
        let mut renewals = Renewals::default();
        renewals.follow(1, (Version(90), &rows(&[1, 2])), at(0));
        renewals.renew(1, renewed(2, 5, 0), at(8));
        assert!(renewals.expired(TIMEOUT, at(10)).is_empty());
        assert_eq!(renewals.expired(TIMEOUT, at(11)), [SessionId(1)]);
        renewals.follow(1, (Version(90), &rows(&[2])), at(11));
        assert!(renewals.expired(TIMEOUT, at(18)).is_empty());
        assert_eq!(renewals.expired(TIMEOUT, at(19)), [SessionId(2)]);
    }

    #[test]
    fn s10_a_new_leader_starts_every_timer_again() {
        let mut renewals = Renewals::default();
        renewals.follow(1, (Version(90), &rows(&[1])), at(0));
        renewals.follow(2, (Version(90), &rows(&[1])), at(100));
        assert!(renewals.expired(TIMEOUT, at(110)).is_empty());
        // A renewal answered under the old term says nothing under the new one.
        renewals.renew(1, renewed(1, 5, 0), at(105));
        assert_eq!(renewals.expired(TIMEOUT, at(111)), [SessionId(1)]);
    }

    #[test]
    fn s30_a_session_that_has_not_told_this_leader_holds_everything() {
        let mut renewals = Renewals::default();
        renewals.follow(1, (Version(20), &[]), at(0));
        assert_eq!(renewals.least_version(), Some(Version(20)));
        renewals.follow(1, (Version(90), &rows(&[1, 2])), at(0));
        renewals.renew(1, renewed(1, 40, 0), at(1));
        assert_eq!(renewals.least_version(), None);
        renewals.renew(1, renewed(2, 30, 0), at(1));
        assert_eq!(renewals.least_version(), Some(Version(30)));
        renewals.follow(2, (Version(90), &rows(&[1, 2])), at(2));
        assert_eq!(renewals.least_version(), None);
    }

    #[test]
    fn s30_what_was_replaced_after_the_look_at_the_sessions_stays() {
        // A session opened since may read what a swap has replaced since.
        let mut renewals = Renewals::default();
        renewals.follow(1, (Version(20), &rows(&[1])), at(0));
        renewals.renew(1, renewed(1, 25, 0), at(1));
        assert_eq!(renewals.least_version(), Some(Version(20)));
        renewals.follow(1, (Version(24), &rows(&[1])), at(2));
        assert_eq!(renewals.least_version(), Some(Version(24)));
    }

    #[test]
    fn s10_a_renewed_floor_waits_to_be_committed() {
        let mut renewals = Renewals::default();
        let mut sessions = rows(&[1]);
        renewals.follow(1, (Version(90), &sessions), at(0));
        assert!(renewals.floors_above(&sessions).is_empty());
        renewals.renew(1, renewed(1, 5, 7), at(1));
        renewals.renew(1, renewed(1, 5, 6), at(2));
        assert_eq!(renewals.floors_above(&sessions), [Floor { session: 1, floor: 7 }]);
        sessions[0].1.floor = 7;
        assert!(renewals.floors_above(&sessions).is_empty());
    }
}
