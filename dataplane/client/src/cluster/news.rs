use std::time::Duration;

use gitstratum_core::parse_span;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Snapshot;

/// How long credentials are good without news, where nobody has said otherwise (S46).
pub const OFFLINE_GRACE: Duration = Duration::from_secs(60 * 60);
/// The setting that says otherwise: a number and s, m, h or d.
const SETTING: &str = "offlineGrace";

/// What the cluster has set for how long credentials are good without news; `None` when
/// nothing was.
pub fn offline_grace(snapshot: &Snapshot) -> Option<Duration> {
    snapshot.setting(SETTING).and_then(parse_span)
}

/// How long the control plane was not heard, and for how long that does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// Time without a word.
    pub silent: Duration,
    /// How much of it credentials are good for.
    pub grace: Duration,
}

impl News {
    /// Whether credentials cannot be believed any more: one that was revoked since would be
    /// taken.
    pub fn is_stale(&self) -> bool {
        self.silent >= self.grace
    }
}

/// What the agent said last. Time goes on while the agent says nothing.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Option<(News, Instant)>>);

impl Told {
    pub(super) fn set(&self, news: News) {
        *self.0.lock() = Some((news, Instant::now()));
    }

    pub(super) fn get(&self) -> Option<News> {
        let (told, at) = (*self.0.lock())?;
        Some(News { silent: told.silent.saturating_add(at.elapsed()), ..told })
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_proto::control::v1::{Setting, SnapshotUpdate};

    use super::*;

    fn set_to(value: &str) -> Option<Duration> {
        let (key, value) = (SETTING.to_owned(), value.to_owned());
        let settings = vec![Setting { key, value, version: 1 }];
        offline_grace(&Snapshot::empty().apply(&SnapshotUpdate { settings, ..Default::default() }))
    }

    #[test]
    fn the_grace_is_what_the_cluster_has_set() {
        assert_eq!(offline_grace(&Snapshot::empty()), None);
        for (value, seconds) in [("90s", 90), ("5m", 300), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(set_to(value), Some(Duration::from_secs(seconds)), "{value}");
        }
        for value in ["", "90", "s", "5é", "99999999999999999999d"] {
            assert_eq!(set_to(value), None, "{value}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn s46_an_agent_that_says_nothing_more_is_no_news_either() {
        let told = Told::default();
        assert_eq!(told.get(), None);
        let (silent, grace) = (Duration::from_secs(1), Duration::from_secs(60));
        told.set(News { silent, grace });
        assert!(!told.get().unwrap().is_stale());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(told.get().unwrap().is_stale());
    }
}
