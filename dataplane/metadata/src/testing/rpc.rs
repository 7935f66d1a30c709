use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use gitstratum_client::bulk::Written;
use gitstratum_client::copies::{Copies, Error};
use gitstratum_core::{Incarnation, NodeId, SegmentId};
use gitstratum_proto::object::v1::PullRequest;
use parking_lot::Mutex;
use tonic::Status;

/// Object nodes that make every copy at once, under the incarnation they were told, and none
/// while they were told nothing.
#[derive(Debug, Default)]
pub struct ScriptedCopies {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    up: BTreeMap<NodeId, Incarnation>,
    orders: Vec<(NodeId, PullRequest)>,
    /// Segments of which no copy is ever done.
    hanging: BTreeSet<SegmentId>,
    rechecks: Vec<(NodeId, Vec<Bytes>)>,
}

impl ScriptedCopies {
    /// Nodes that do not answer.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// `node` answers from now on.
    pub fn up(&self, node: NodeId, incarnation: Incarnation) {
        self.told.lock().up.insert(node, incarnation);
    }

    /// `node` does not answer any more.
    pub fn down(&self, node: NodeId) {
        self.told.lock().up.remove(&node);
    }

    /// Copies of `segment` are begun and never done.
    pub fn hang(&self, segment: SegmentId) {
        self.told.lock().hanging.insert(segment);
    }

    /// What nodes were told to ask about so far.
    pub fn rechecks(&self) -> Vec<(NodeId, Vec<Bytes>)> {
        self.told.lock().rechecks.clone()
    }

    /// What was ordered so far.
    pub fn orders(&self) -> Vec<(NodeId, PullRequest)> {
        self.told.lock().orders.clone()
    }
}

impl Copies for ScriptedCopies {
    fn pull(&self, node: NodeId, order: PullRequest) -> BoxFuture<'static, Result<Written, Error>> {
        let mut told = self.told.lock();
        let segment = SegmentId::from_slice(&order.segment_id);
        told.orders.push((node, order));
        if segment.is_some_and(|segment| told.hanging.contains(&segment)) {
            return futures::future::pending().boxed();
        }
        let made = match told.up.get(&node) {
            Some(incarnation) => Ok(Written { node, incarnation: *incarnation, length: 1 }),
            None => {
                let status = Box::new(Status::unavailable("the node is down"));
                Err(Error::Refused { node, status })
            }
        };
        futures::future::ready(made).boxed()
    }

    fn recheck(&self, node: NodeId, segments: Vec<Bytes>) -> BoxFuture<'static, ()> {
        self.told.lock().rechecks.push((node, segments));
        futures::future::ready(()).boxed()
    }
}
