use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch: for people, certificates and token expiry only.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct UnixMillis(pub u64);

/// Time as a partition's log counts it, in milliseconds since the log began. It
/// never falls and advances by the leader's monotonic clock (S14).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct LogTime(pub u64);

impl LogTime {
    /// This time plus `span`, at millisecond precision.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Where time comes from. Logic takes a clock as an argument so that a simulation
/// can own it.
pub trait Clock: Send + Sync {
    /// Time since an arbitrary fixed point; never falls.
    fn monotonic(&self) -> Duration;

    /// The wall clock, which may jump either way.
    fn wall(&self) -> UnixMillis;
}

/// The clock of the machine.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now() })
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that moves only when told, for tests and the simulation.
#[derive(Debug, Default)]
pub struct ManualClock {
    monotonic_millis: AtomicU64,
    wall_millis: AtomicU64,
}

impl ManualClock {
    /// A clock at monotonic zero and wall time `wall`.
    pub fn new(wall: UnixMillis) -> Arc<Self> {
        Arc::new(Self { monotonic_millis: AtomicU64::new(0), wall_millis: AtomicU64::new(wall.0) })
    }

    /// Moves both clocks forward by `span`.
    pub fn advance(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.monotonic_millis.fetch_add(millis, Ordering::SeqCst);
        self.wall_millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the wall clock, back or forth, as an operator would (P-C7).
    pub fn set_wall(&self, wall: UnixMillis) {
        self.wall_millis.store(wall.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_millis.load(Ordering::SeqCst))
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall_millis.load(Ordering::SeqCst))
    }
}
