use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{Clock, ErrorKind, PushNumber, SessionId, Version};
use gitstratum_proto::metadata::v1::SessionRenewal;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::UNRENEWED_MAX;
use crate::Error;

/// One open session.
pub(super) struct Standing {
    session: SessionId,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    /// When the last renewal that succeeded was sent.
    renewed_at: Duration,
    /// The group's newest version that we were told of.
    known: Version,
    next: PushNumber,
    /// Pushes under way.
    pushes: BTreeMap<PushNumber, ()>,
    /// Versions known when the open fetches began, each with how many there are.
    fetches: BTreeMap<Version, usize>,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Standing {
    pub(super) fn new(
        session: SessionId,
        known: Version,
        asked_at: Duration,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let state = State {
            renewed_at: asked_at,
            known,
            next: PushNumber(1),
            pushes: BTreeMap::new(),
            fetches: BTreeMap::new(),
        };
        Arc::new(Self {
            session,
            clock,
            state: Mutex::new(state),
            ended: watch::Sender::new(false),
        })
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Open, and renewed lately.
    pub(super) fn is_good(&self) -> bool {
        let renewed_at = self.state.lock().renewed_at;
        !*self.ended.borrow() && self.clock.monotonic().saturating_sub(renewed_at) < UNRENEWED_MAX
    }

    /// It is over, for everything that still runs under it too.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// A renewal sent at `sent_at` was answered with the group's `version`.
    pub(super) fn renewed(&self, sent_at: Duration, version: Version) {
        let mut state = self.state.lock();
        state.renewed_at = state.renewed_at.max(sent_at);
        state.known = state.known.max(version);
    }

    /// What a renewal says of this session.
    pub(super) fn renewal(&self, partition: u32) -> SessionRenewal {
        let state = self.state.lock();
        let oldest = state.fetches.keys().next().copied().unwrap_or(state.known);
        SessionRenewal {
            partition,
            session: self.session.0,
            least_version: oldest.min(state.known).0,
            floor: state.floor().0,
        }
    }

    pub(super) fn begin_push(self: &Arc<Self>) -> PushTicket {
        let mut state = self.state.lock();
        let number = state.next;
        state.next = number.next();
        state.pushes.insert(number, ());
        PushTicket { standing: Arc::clone(self), number }
    }

    pub(super) fn begin_fetch(self: &Arc<Self>) -> FetchTicket {
        let mut state = self.state.lock();
        let version = state.known;
        *state.fetches.entry(version).or_insert(0) += 1;
        FetchTicket { standing: Arc::clone(self), version }
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_good() {
            return Ok(());
        }
        Err(lost())
    }

    /// Pends until the session is over or has not been renewed for too long.
    async fn lost(&self) {
        let mut ended = self.ended.subscribe();
        while self.is_good() {
            let rest = {
                let age = self.clock.monotonic().saturating_sub(self.state.lock().renewed_at);
                UNRENEWED_MAX.saturating_sub(age).max(LOST_CHECK_MIN)
            };
            tokio::select! {
                biased;
                _ = ended.changed() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
}

fn lost() -> Error {
    let words = "the connection to the metadata service was lost; try again";
    Error::new(ErrorKind::Unavailable, words)
}

/// Shortest pause between two looks at whether a session is lost.
const LOST_CHECK_MIN: Duration = Duration::from_millis(50);

impl State {
    /// All numbers below are done.
    fn floor(&self) -> PushNumber {
        self.pushes.keys().next().copied().unwrap_or(self.next)
    }
}

/// The standing of one push: its session and number. Dropped, the number is done: an
/// `UpdateRefs` of it that is still under way is then either applied before the floor
/// passes it or refused by it (S11, S12).
#[must_use = "the number is done when this is dropped"]
#[derive(Debug)]
pub(crate) struct PushTicket {
    standing: Arc<Standing>,
    number: PushNumber,
}

impl PushTicket {
    /// The session, as headers and entries carry it.
    pub(crate) fn session(&self) -> SessionId {
        self.standing.session
    }

    /// The push's number in it.
    pub(crate) fn number(&self) -> PushNumber {
        self.number
    }

    /// All numbers of the session below this one are done.
    pub(crate) fn floor(&self) -> PushNumber {
        self.standing.state.lock().floor()
    }

    /// To be asked right before the push is sent.
    ///
    /// # Errors
    /// `Unavailable` when the session is over.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.standing.check()
    }

    /// Pends until the session is over: the push must stop then.
    pub(crate) async fn lost(&self) {
        self.standing.lost().await;
    }
}

impl Drop for PushTicket {
    fn drop(&mut self) {
        self.standing.state.lock().pushes.remove(&self.number);
    }
}

/// The standing of one fetch: while it lives, nothing is purged that the partition
/// listed when the fetch began or later (S30).
#[must_use = "what the fetch reads may be purged when this is dropped"]
#[derive(Debug)]
pub(crate) struct FetchTicket {
    standing: Arc<Standing>,
    version: Version,
}

impl FetchTicket {
    /// Does `work` for as long as the session lasts.
    ///
    /// # Errors
    /// Those of `work`; `Unavailable` when the session ends first: what is being read may
    /// be purged then, and the fetch must be planned anew.
    pub(crate) async fn keep<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.standing.lost() => Err(lost()),
        }
    }
}

impl Drop for FetchTicket {
    fn drop(&mut self) {
        let mut state = self.standing.state.lock();
        if let Some(count) = state.fetches.get_mut(&self.version) {
            *count -= 1;
            if *count == 0 {
                state.fetches.remove(&self.version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::{ManualClock, UnixMillis};

    use super::*;

    fn standing() -> (Arc<ManualClock>, Arc<Standing>) {
        let clock = ManualClock::new(UnixMillis(0));
        let standing = Standing::new(SessionId(9), Version(9), Duration::ZERO, clock.clone());
        (clock, standing)
    }

    #[test]
    fn s10_the_floor_is_the_lowest_number_under_way() {
        let (_, standing) = standing();
        let (first, second) = (standing.begin_push(), standing.begin_push());
        assert_eq!((first.number(), second.number()), (PushNumber(1), PushNumber(2)));
        assert_eq!(second.floor(), PushNumber(1));
        drop(first);
        assert_eq!(second.floor(), PushNumber(2));
        drop(second);
        assert_eq!(standing.renewal(3).floor, 3);
    }

    #[test]
    fn s30_a_renewal_carries_the_version_known_when_the_oldest_fetch_began() {
        let (_, standing) = standing();
        assert_eq!(standing.renewal(0).least_version, 9);
        let old = standing.begin_fetch();
        let twin = standing.begin_fetch();
        standing.renewed(Duration::ZERO, Version(20));
        let young = standing.begin_fetch();
        standing.renewed(Duration::ZERO, Version(30));
        assert_eq!(standing.renewal(0).least_version, 9);
        drop(old);
        assert_eq!(standing.renewal(0).least_version, 9, "its twin still runs");
        drop(twin);
        assert_eq!(standing.renewal(0).least_version, 20);
        drop(young);
        assert_eq!(standing.renewal(0).least_version, 30);
    }

    #[test]
    fn s10_ten_seconds_without_renewal_stop_pushes_and_plans() {
        let (clock, standing) = standing();
        let push = standing.begin_push();
        clock.advance(UNRENEWED_MAX - Duration::from_millis(1));
        assert!(push.check().is_ok());
        clock.advance(Duration::from_millis(1));
        assert_eq!(push.check().unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn s10_time_counts_from_when_a_renewal_was_sent() {
        let (clock, standing) = standing();
        clock.advance(Duration::from_secs(9));
        standing.renewed(Duration::from_secs(5), Version(9));
        clock.advance(Duration::from_secs(5));
        assert!(standing.is_good());
        clock.advance(Duration::from_secs(1));
        assert!(!standing.is_good());
    }

    #[tokio::test(start_paused = true)]
    async fn s30_a_fetch_ends_with_its_session() {
        let (clock, standing) = standing();
        let fetch = standing.begin_fetch();
        assert_eq!(fetch.keep(async { Ok(7) }).await.unwrap(), 7);
        clock.advance(UNRENEWED_MAX);
        let endless = fetch.keep(std::future::pending::<Result<(), Error>>()).await;
        assert_eq!(endless.unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn who_runs_under_a_session_learns_of_its_end() {
        let (_, standing) = standing();
        let push = standing.begin_push();
        let ending = async { standing.end() };
        let ((), ()) = tokio::join!(push.lost(), ending);
        assert!(push.check().is_err());
    }
}
