//! The leaderships of a node.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_consensus::Host;
use gitstratum_core::Clock;
use gitstratum_process::StallWatch;

use super::ending::die;
use super::roles::control::Led;

/// Longest wait for other nodes to take this one's leaderships.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(3);

/// A process that did nothing for so long ends: the others have elected without it, and it
/// must not go on as if nothing had been (S39).
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// Ends the process as soon as it runs again after a stall; whoever watches starts it again.
pub(super) fn watch_stalls(clock: &Arc<dyn Clock>) -> StallWatch {
    StallWatch::start(Arc::clone(clock), STALLED_AFTER, |span| {
        tracing::error!(?span, "this process was stalled, it ends");
        die();
    })
}

/// Where this node may lead.
pub(super) struct Leading {
    pub(super) partitions: Arc<Host>,
    pub(super) control: Led,
}

impl Leading {
    /// Hands every leadership to another node: they lead from now on, while this one
    /// finishes what it has (S39).
    pub(super) async fn hand_over(self) {
        let partitions = async {
            let left = self.partitions.leave(HAND_OVER_WITHIN).await;
            tracing::info!(left, "leaderships of partitions handed over");
        };
        let control = async {
            if let Some(control) = self.control.get() {
                control.leave(HAND_OVER_WITHIN).await;
            }
        };
        tokio::join!(partitions, control);
    }
}
