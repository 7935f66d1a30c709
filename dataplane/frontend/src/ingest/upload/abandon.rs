use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{NodeId, SegmentId};
use gitstratum_process::spawn;
use gitstratum_proto::object::v1::GiveUpRequest;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::Storage;

/// Longest wait for one owner to take note. One that does not sweeps by itself (S12).
const GIVE_UP_DEADLINE: Duration = Duration::from_secs(5);

/// The segments that a push has begun to write. Dropped before the push was sent, their
/// owners are told that it is given up, as a whole (S12).
pub(crate) struct Begun {
    storage: Arc<dyn Storage>,
    /// Whose they are; without segment ids.
    push: GiveUpRequest,
    /// `None` once the push was sent.
    at: Mutex<Option<BTreeMap<NodeId, Vec<SegmentId>>>>,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Begun {
    pub(super) fn new(storage: Arc<dyn Storage>, push: GiveUpRequest) -> Self {
        Self { storage, push, at: Mutex::new(Some(BTreeMap::new())) }
    }

    /// A segment is about to be written at `node`.
    pub(super) fn note(&self, node: NodeId, segment: SegmentId) {
        if let Some(at) = self.at.lock().as_mut() {
            at.entry(node).or_default().push(segment);
        }
    }

    /// The push is about to be sent: from now on only the partition says what becomes of its
    /// segments, those written later among them.
    pub(crate) fn sent(&self) {
        *self.at.lock() = None;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        for (node, segments) in self.at.lock().take().unwrap_or_default() {
            let segment_ids = segments.iter().map(|segment| segment.0.to_vec().into()).collect();
            let request = GiveUpRequest { segment_ids, ..self.push.clone() };
            let calling = timeout(GIVE_UP_DEADLINE, self.storage.give_up(node, request));
            spawn("push given up", async move {
                match calling.await {
                    Ok(Ok(())) => {}
                    Ok(Err(kind)) => tracing::info!(%node, %kind, "a given-up push stays"),
                    Err(_) => tracing::info!(%node, "a given-up push stays: no answer"),
                }
            })
            .detach();
        }
    }
}
