use gitstratum_process::failpoint;
use openraft::async_runtime::watch::WatchReceiver as _;

use super::Driver;
use crate::config::Config;
use crate::log::Length;
use crate::machine::StateMachine;
use crate::raft::Store;

/// Keeps a group's log short. The length that counts is that of the log as it is on
/// disk, across restarts (GS-CP-25).
pub(crate) struct Compactor<M: StateMachine> {
    pub(crate) driver: Driver<M>,
    pub(crate) log: Store,
    pub(crate) limit: Length,
    pub(crate) kept: Length,
}

/// Entries at which a log is long where a test wants it compacted all the time.
const SHORT: u64 = 16;

impl Length {
    pub(crate) fn limit(config: &Config) -> Self {
        failpoint!(
            "consensus.log.long",
            return Self { entries: SHORT, bytes: config.log_bytes_max }
        );
        Self { entries: config.log_entries_max, bytes: config.log_bytes_max }
    }

    pub(crate) fn kept(config: &Config) -> Self {
        failpoint!("consensus.log.long", return Self { entries: 1, bytes: config.log_bytes_kept });
        Self { entries: config.log_entries_kept, bytes: config.log_bytes_kept }
    }
}

impl<M: StateMachine> Compactor<M> {
    /// Runs until the group stops.
    pub(crate) async fn run(self) {
        let grown = self.log.grown();
        loop {
            let length = self.log.length();
            let is_due = length.entries >= self.limit.entries || length.bytes >= self.limit.bytes;
            if is_due && self.compact().await.is_none() {
                return;
            }
            grown.notified().await;
        }
    }

    /// Declares the applied state a snapshot and purges what it covers; `None` once the
    /// group has stopped.
    async fn compact(&self) -> Option<()> {
        let wanted = self.log.purge_point(self.kept)?;
        self.driver.call(|raft| async move { raft.trigger().snapshot().await }).await?.ok()?;
        let mut metrics = self.driver.metrics();
        let covered = loop {
            let snapshot = metrics.borrow_watched().snapshot.map(|id| id.index);
            let applied = metrics.borrow_watched().last_applied.map(|id| id.index);
            match snapshot {
                Some(index) if index >= wanted || snapshot >= applied => break index,
                _ => metrics.changed().await.ok()?,
            }
        };
        let upto = wanted.min(covered);
        self.driver
            .call(move |raft| async move { raft.trigger().purge_log(upto).await })
            .await?
            .ok()
    }
}
