use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::time::Instant;

use super::Driver;
use super::progress::{Progress, View};
use crate::id::GroupId;
use crate::machine::StateMachine;

/// Sends a leader's heartbeats. openraft would use one interval for how often it sends them and for
/// how long it waits for an answer.
pub(crate) struct Heartbeat {
    pub(crate) group: GroupId,
    pub(crate) every: Duration,
}

impl Heartbeat {
    /// Goes on for as long as the group.
    pub(crate) fn begin<M: StateMachine>(self, driver: &Driver<M>) {
        driver.run_beside("heartbeat", self.run(driver.clone()));
    }

    async fn run<M: StateMachine>(self, driver: Driver<M>) {
        let (metrics, voice) = (driver.metrics(), driver.voice());
        let mut progress = Progress::new(Instant::now());
        loop {
            tokio::time::sleep(self.every).await;
            if !progress.is_stuck(Instant::now(), &View::of(&metrics.borrow_watched())) {
                voice.note_moving();
            } else if voice.note_stuck() {
                tracing::warn!(group = %self.group, "no majority takes entries: another is to lead");
            }
            if voice.speaks() {
                driver.send_heartbeat().await;
            }
        }
    }
}
