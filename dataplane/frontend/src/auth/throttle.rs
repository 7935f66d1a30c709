use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::Clock;
use parking_lot::Mutex;

/// Failures of one source that are answered as usual before it is throttled.
const BURST: u32 = 20;
/// One failure is forgotten each so often.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// Most sources remembered; beyond, those remembered longest ago share a fresh start.
const SOURCES_MAX: usize = 10_000;
/// Bits of an IPv6 address that name a source; the rest it chooses at will.
const IPV6_SOURCE_BITS: u32 = 64;

/// Counts failed logins by source address, so that guessing costs a client more than it
/// costs us (bad input 129). Only failures are slowed: a good credential is never asked
/// to wait, whoever else is behind the same address.
pub(crate) struct Throttle {
    clock: Arc<dyn Clock>,
    sources: Mutex<BTreeMap<IpAddr, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    counted_at: Duration,
}

/// How a failure is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As usual.
    Tell,
    /// With "try later", after so long.
    Slow {
        /// When the next failure would be answered as usual.
        retry_after: Duration,
    },
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

impl Throttle {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sources: Mutex::default() }
    }

    /// A login from `client` has failed.
    pub(crate) fn failed(&self, client: IpAddr) -> Verdict {
        let now = self.clock.monotonic();
        let mut sources = self.sources.lock();
        if sources.len() >= SOURCES_MAX {
            forget(&mut sources, now);
        }
        let fresh = Failures { count: 0, counted_at: now };
        let failures = sources.entry(source_of(client)).or_insert(fresh);
        *failures = failures.at(now);
        failures.count = failures.count.saturating_add(1).min(2 * BURST);
        failures.verdict()
    }

    /// How a failure from `client` would be answered now.
    pub(crate) fn verdict(&self, client: IpAddr) -> Verdict {
        let now = self.clock.monotonic();
        let failures = self.sources.lock().get(&source_of(client)).copied();
        failures.map_or(Verdict::Tell, |failures| failures.at(now).verdict())
    }
}

impl Failures {
    /// What is left of them at `now`.
    fn at(self, now: Duration) -> Self {
        let elapsed = now.saturating_sub(self.counted_at);
        let forgotten = elapsed.as_millis() / FORGET_EVERY.as_millis();
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
        let counted_at = self.counted_at + FORGET_EVERY.saturating_mul(forgotten);
        Self { count: self.count.saturating_sub(forgotten), counted_at }
    }

    fn verdict(self) -> Verdict {
        match self.count.checked_sub(BURST) {
            None | Some(0) => Verdict::Tell,
            Some(over) => Verdict::Slow { retry_after: FORGET_EVERY.saturating_mul(over) },
        }
    }
}

/// Drops the sources whose failures are all forgotten; if none is, everybody's.
fn forget(sources: &mut BTreeMap<IpAddr, Failures>, now: Duration) {
    sources.retain(|_, failures| failures.at(now).count > 0);
    if sources.len() >= SOURCES_MAX {
        sources.clear();
    }
}

/// Whose failures are counted together: an address, or of IPv6 the network that one client
/// has to itself.
pub(crate) fn source_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::MAX << (Ipv6Addr::BITS - IPV6_SOURCE_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & prefix))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::{ManualClock, UnixMillis};

    use super::*;

    fn throttle() -> (Arc<ManualClock>, Throttle) {
        let clock = ManualClock::new(UnixMillis(0));
        (Arc::clone(&clock), Throttle::new(clock))
    }

    fn client(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn bad_input_129_one_source_is_slowed_and_others_are_not() {
        let (clock, throttle) = throttle();
        for _ in 0..BURST {
            assert_eq!(throttle.failed(client("10.0.0.1")), Verdict::Tell);
        }
        let slow = Verdict::Slow { retry_after: FORGET_EVERY };
        assert_eq!(throttle.failed(client("10.0.0.1")), slow);
        assert_eq!(throttle.verdict(client("10.0.0.1")), slow);
        assert_eq!(throttle.failed(client("10.0.0.2")), Verdict::Tell);
        clock.advance(FORGET_EVERY);
        assert_eq!(throttle.verdict(client("10.0.0.1")), Verdict::Tell);
    }

    #[test]
    fn bad_input_129_a_flood_is_over_soon_after_it_ends() {
        let (clock, throttle) = throttle();
        for _ in 0..10_000 {
            throttle.failed(client("2001:db8::1"));
        }
        assert_ne!(throttle.verdict(client("2001:db8::2")), Verdict::Tell, "the same /64");
        clock.advance(FORGET_EVERY * BURST);
        assert_eq!(throttle.verdict(client("2001:db8::1")), Verdict::Tell);
    }

    #[test]
    fn bad_input_129_many_sources_cost_bounded_memory() {
        let (_, throttle) = throttle();
        for number in 0..50_000_u32 {
            throttle.failed(IpAddr::from(number.to_be_bytes()));
        }
        assert!(throttle.sources.lock().len() <= SOURCES_MAX);
    }
}
