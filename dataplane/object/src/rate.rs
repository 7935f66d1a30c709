//! How many bytes a second are copied between nodes (S38).

use std::time::Duration;

use gitstratum_client::cluster::Feed;
use gitstratum_core::parse_bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The cluster's setting: bytes that all nodes together copy in a second.
const SETTING: &str = "object.copyBytesPerSecond";
/// The role of nodes that share the rate.
const ROLE: &str = "object";
/// Bytes that may pass at once after a rest, as time at the rate.
const BURST: Duration = Duration::from_millis(200);

/// This node's part of what the whole cluster may copy.
pub(crate) struct Share {
    pub(crate) feed: Feed,
    /// The cluster's rate where its settings say nothing, bytes a second.
    pub(crate) otherwise: u64,
}

impl Share {
    /// Bytes a second, at least 1.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        let snapshot = self.feed.current();
        let set = snapshot.setting(SETTING).and_then(parse_bytes);
        let nodes = snapshot.layout().nodes.iter();
        let nodes = nodes.filter(|node| node.in_ring && node.roles.iter().any(|r| r == ROLE));
        (set.unwrap_or(self.otherwise) / (nodes.count().max(1) as u64)).max(1)
    }
}

/// A token bucket: whoever takes bytes waits until they are due.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// When everything that was taken is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Bucket {
    /// Waits until `bytes` may pass at `per_second`. Given up, they still count.
    pub(crate) async fn take(&self, bytes: u64, per_second: u64) {
        let cost = Duration::from_secs_f64(bytes as f64 / per_second.max(1) as f64);
        let now = Instant::now();
        let paid_at = {
            let mut paid_at = self.paid_at.lock();
            let next = paid_at.map_or(now, |at| at.max(now)) + cost;
            *paid_at = Some(next);
            next
        };
        if let Some(due) = paid_at.checked_sub(BURST).filter(|due| *due > now) {
            tokio::time::sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_client::cluster::Snapshot;
    use gitstratum_proto::control::v1::{Layout, Node, Setting, SnapshotUpdate};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn s38_no_more_bytes_pass_than_the_rate_allows() {
        let bucket = Bucket::default();
        let began = Instant::now();
        for _ in 0..40 {
            bucket.take(250, 1_000).await;
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(9_750), "10,000 bytes at 1,000/s took {took:?}");
        assert!(took <= Duration::from_millis(10_100), "10,000 bytes at 1,000/s took {took:?}");
        // A rest does not save up more than the burst.
        tokio::time::advance(Duration::from_secs(60)).await;
        let began = Instant::now();
        bucket.take(1_000, 1_000).await;
        assert!(began.elapsed() >= Duration::from_millis(750));
    }

    #[test]
    fn s38_the_nodes_of_the_ring_share_the_rate_of_the_cluster() {
        let node = |id| Node { id, roles: vec![ROLE.into()], in_ring: true, ..Node::default() };
        let layout = Layout { nodes: vec![node(1), node(2), node(3)], ..Layout::default() };
        let update = SnapshotUpdate { layout: Some(layout), ..SnapshotUpdate::default() };
        let snapshot = Snapshot::empty().apply(&update);
        let share = Share { feed: Feed::fixed(snapshot.clone()), otherwise: 300 };
        assert_eq!(share.bytes_per_second(), 100);
        let set = Setting { key: SETTING.into(), value: "3000".into(), version: 1 };
        let update = SnapshotUpdate { settings: vec![set], ..SnapshotUpdate::default() };
        let share = Share { feed: Feed::fixed(snapshot.apply(&update)), otherwise: 300 };
        assert_eq!(share.bytes_per_second(), 1_000);
    }
}
