use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;

/// Bytes of commands that were proposed to a group here and have no outcome yet: what waits
/// for a slow disk or for peers takes no more memory than that, besides the log's.
const UNDER_WAY_BYTES_MAX: u32 = 48 << 20;
/// Longest wait for others to have their outcome, before a proposal is refused as busy.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// Room for proposals that have no outcome yet.
#[derive(Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(UNDER_WAY_BYTES_MAX as usize)))
    }

    /// Room for `bytes`, held until the permit is dropped; `None` if there is none in time.
    pub(super) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, UNDER_WAY_BYTES_MAX);
        let taken = Arc::clone(&self.0).acquire_many_owned(bytes);
        tokio::time::timeout(ROOM_WITHIN, taken).await.ok()?.ok()
    }
}

/// How much, and for how long, a caller may ask of a group.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one command.
    pub(super) command_bytes: usize,
    /// Longest wait for what became of a proposal.
    pub(super) propose: Duration,
    /// Longest wait for the group's own task.
    pub(super) call: Duration,
    /// Longest wait for a change of the membership: a new member may need a snapshot.
    pub(super) membership: Duration,
}

impl Limits {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            command_bytes: config.command_bytes_max,
            propose: config.propose_timeout,
            call: config.call_timeout,
            membership: config.snapshot_timeout,
        }
    }
}
