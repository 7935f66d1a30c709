use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Host;
use crate::error::Error;
use crate::peer::Member;

/// A sync that takes longer than that makes a leader hand over and fall silent (S39).
const HAND_OVER_AFTER: Duration = Duration::from_millis(1_500);
/// One that takes longer than that has stalled the process.
const STALLED_AFTER: Duration = Duration::from_secs(3);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a sync that is under way calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Works,
    Slow,
    Stalled,
}

impl Disk {
    fn of(syncing_for: Option<Duration>) -> Self {
        match syncing_for {
            Some(span) if span >= STALLED_AFTER => Self::Stalled,
            Some(span) if span >= HAND_OVER_AFTER => Self::Slow,
            _ => Self::Works,
        }
    }
}

impl Host {
    /// Watches the syncs of all groups' logs. While one takes too long every leadership is
    /// handed over, no heartbeat leaves and this node stands in no election. Returns, with
    /// how long the sync has taken, once the disk counts as stalled and other nodes have
    /// voters too: the process is to exit then and be started again (S39). Never returns
    /// where every group has its only voter here.
    pub async fn stalled(&self) -> Duration {
        let mut last = Disk::Works;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let syncing_for = self.committer.stats().syncing_for;
            let now = Disk::of(syncing_for);
            let open = self.replicated();
            if now == Disk::Stalled && !open.is_empty() {
                return syncing_for.unwrap_or_default();
            }
            if now == Disk::Works && last != Disk::Works {
                tracing::warn!("the disk works again");
                let is_leaving = self.leaving.load(Ordering::SeqCst);
                open.iter().filter(|_| !is_leaving).for_each(|member| member.speak_up());
            }
            if now == Disk::Slow && last == Disk::Works {
                tracing::warn!(?syncing_for, "a sync takes too long: others are to lead");
                for member in open {
                    gitstratum_process::spawn("stalled disk", silence(member)).detach();
                }
            }
            last = now;
        }
    }

    /// Waits until a group that other nodes have voters of was stopped by what it met on its
    /// disk, and returns that: a sync that failed, or damage. Nothing is acknowledged by this
    /// process any more, so it is to end; a new one asks the other voters whether it is what
    /// it was (S23).
    pub async fn failed(&self) -> Arc<Error> {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let failed = self.replicated().into_iter().find_map(|member| member.failure());
            if let Some(cause) = failed {
                return cause;
            }
        }
    }

    /// Groups that other nodes have voters of.
    fn replicated(&self) -> Vec<Arc<dyn Member>> {
        let open = self.members.open.lock();
        open.values().flatten().filter(|member| member.is_replicated()).map(Arc::clone).collect()
    }
}

async fn silence(member: Arc<dyn Member>) {
    // First: by the time it could not hand over the disk may work again, and nobody else would end it.
    member.fall_silent();
    if !member.hand_over().await {
        tracing::debug!("leadership was not handed over: the others have to elect");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s39_a_sync_calls_for_hand_over_after_1_5_s_and_for_an_exit_after_3_s() {
        let of = |millis| Disk::of(Some(Duration::from_millis(millis)));
        assert_eq!(Disk::of(None), Disk::Works);
        assert_eq!([of(1_499), of(1_500)], [Disk::Works, Disk::Slow]);
        assert_eq!([of(2_999), of(3_000)], [Disk::Slow, Disk::Stalled]);
    }
}
