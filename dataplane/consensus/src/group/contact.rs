use std::sync::Arc;
use std::time::Duration;

use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, ServerState};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::raft::{Metrics, Types};

/// How often a new leader looks whether a quorum has answered it for the first time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When this replica last had a sign of a majority: as leader from the answers of a
/// quorum, else from its leader. Without one for too long it is in a minority, as far as
/// it can tell, and says so at once instead of letting callers wait (P-A8).
#[derive(Clone)]
pub(crate) struct Contact {
    heard: Arc<Mutex<Instant>>,
    silence_max: Duration,
}

impl Contact {
    pub(crate) fn new(silence_max: Duration) -> Self {
        Self { heard: Arc::new(Mutex::new(Instant::now())), silence_max }
    }

    /// A leader of this term has spoken to this replica.
    pub(crate) fn hear(&self) {
        *self.heard.lock() = Instant::now();
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

    /// How long ago the last sign was; `None` where it cannot be told, or none is needed.
    pub(crate) fn silence(&self, metrics: &Metrics) -> Option<Duration> {
        if metrics.state != ServerState::Leader {
            return Some(self.heard.lock().elapsed());
        }
        let is_alone = metrics.membership_config.voter_ids().nth(1).is_none();
        metrics.last_quorum_acked.filter(|_| !is_alone).map(|acked| acked.elapsed())
    }
}
