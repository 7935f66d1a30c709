use std::sync::Arc;
use std::time::Duration;

use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, ServerState};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::raft::{Metrics, Types};

/// How often a replica that is alone looks whether it still is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When this replica last had a sign of a majority: as leader from the answers of a
/// quorum, else from its leader. Without one for too long it is in a minority, as far as
/// it can tell, and says so at once instead of letting callers wait (P-A8).
#[derive(Clone)]
pub(crate) struct Contact {
    heard: Arc<Mutex<Heard>>,
    silence_max: Duration,
}

/// The last sign.
#[derive(Clone, Copy)]
struct Heard {
    at: Instant,
    /// What this replica was when it was last looked at.
    state: ServerState,
}

impl Contact {
    pub(crate) fn new(silence_max: Duration) -> Self {
        let heard = Heard { at: Instant::now(), state: ServerState::Learner };
        Self { heard: Arc::new(Mutex::new(heard)), silence_max }
    }

    /// A leader of this term has spoken to this replica.
    pub(crate) fn hear(&self) {
        self.heard.lock().at = Instant::now();
    }

    /// Notes what `metrics` say of the answers of a quorum, for as long as there are any.
    pub(crate) async fn follow(self, mut metrics: WatchReceiverOf<Types, Metrics>) {
        loop {
            self.observe(&metrics.borrow_watched());
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// A leader that is new has all its time to be answered, and one that was deposed was
    /// answered until then.
    fn observe(&self, metrics: &Metrics) {
        let mut heard = self.heard.lock();
        if metrics.state == ServerState::Leader {
            let led = heard.state == ServerState::Leader;
            let acked = metrics.last_quorum_acked.filter(|_| led);
            let ago = acked.map_or(Duration::ZERO, |acked| acked.elapsed());
            if acked.is_some() || !led {
                let at = Instant::now().checked_sub(ago).unwrap_or_else(Instant::now);
                heard.at = heard.at.max(at);
            }
        }
        heard.state = metrics.state;
    }

    /// For how long there was no sign, if that is too long.
    pub(crate) fn lost(&self, metrics: &Metrics) -> Option<Duration> {
        self.silence(metrics).filter(|silence| *silence >= self.silence_max)
    }

    /// Waits until there was no sign for too long; returns for how long.
    pub(crate) async fn wait_lost(&self, metrics: WatchReceiverOf<Types, Metrics>) -> Duration {
        loop {
            let silence = self.silence(&metrics.borrow_watched());
            let pause = match silence {
                Some(silence) if silence >= self.silence_max => return silence,
                Some(silence) => self.silence_max - silence,
                None => LOOK_EVERY,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The same on a leader; elsewhere, and while this node does not lead, never.
    pub(crate) async fn wait_lost_leading(
        &self,
        metrics: WatchReceiverOf<Types, Metrics>,
    ) -> Duration {
        loop {
            let silence = self.wait_lost(metrics.clone()).await;
            if metrics.borrow_watched().state == ServerState::Leader {
                return silence;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How long ago the last sign was; `None` where none is needed.
    fn silence(&self, metrics: &Metrics) -> Option<Duration> {
        let leads = metrics.state == ServerState::Leader;
        let is_alone = leads && metrics.membership_config.voter_ids().nth(1).is_none();
        let heard = *self.heard.lock();
        let is_new = leads && heard.state != ServerState::Leader;
        (!is_alone).then(|| if is_new { Duration::ZERO } else { heard.at.elapsed() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openraft::{Membership, StoredMembership};

    use super::*;

    const SILENCE_MAX: Duration = Duration::from_secs(1);

    fn metrics(state: ServerState) -> Metrics {
        let voters: BTreeSet<u64> = [1, 2, 3].into();
        let membership = Membership::new_with_defaults(vec![voters], []);
        let mut metrics = Metrics::new_initial(1);
        metrics.state = state;
        metrics.membership_config = Arc::new(StoredMembership::new(None, membership));
        metrics
    }

    #[tokio::test(start_paused = true)]
    async fn p_a8_a_new_leader_that_nobody_ever_answered_has_lost_its_quorum_in_time() {
        let (contact, leading) = (Contact::new(SILENCE_MAX), metrics(ServerState::Leader));
        tokio::time::advance(SILENCE_MAX * 60).await;
        contact.observe(&metrics(ServerState::Candidate));
        assert_eq!(contact.lost(&leading), None, "nobody has looked since it leads");
        contact.observe(&leading);
        assert_eq!(contact.lost(&leading), None, "it has all its time");
        tokio::time::advance(SILENCE_MAX).await;
        contact.observe(&leading);
        assert_eq!(contact.lost(&leading), Some(SILENCE_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_steps_down_was_answered_until_then() {
        let contact = Contact::new(SILENCE_MAX);
        let (leading, following) = (metrics(ServerState::Leader), metrics(ServerState::Follower));
        tokio::time::advance(SILENCE_MAX * 60).await;
        contact.observe(&leading);
        tokio::time::advance(SILENCE_MAX / 2).await;
        contact.observe(&following);
        assert_eq!(contact.lost(&following), None);
        tokio::time::advance(SILENCE_MAX / 2).await;
        assert_eq!(contact.lost(&following), Some(SILENCE_MAX), "nobody has spoken since");
    }
}
