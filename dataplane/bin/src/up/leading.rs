//! The leaderships of a node.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_consensus::Host;
use gitstratum_control_plane::Handle;

/// Longest wait for other nodes to take this one's leaderships.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(3);

/// Where this node may lead.
pub(super) struct Leading {
    pub(super) partitions: Arc<Host>,
    pub(super) control: Option<Handle>,
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
            if let Some(control) = &self.control {
                control.leave(HAND_OVER_WITHIN).await;
            }
        };
        tokio::join!(partitions, control);
    }
}
