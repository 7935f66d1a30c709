use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use gitstratum_core::NodeId;
use parking_lot::Mutex;

use crate::host::Host;
use crate::id::GroupId;
use crate::network::{BoxFuture, Network, NetworkError};

/// Hosts of one process that reach each other directly, until told otherwise.
#[derive(Default)]
pub struct LocalNetwork {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hosts: BTreeMap<NodeId, Weak<Host>>,
    cut: BTreeSet<NodeId>,
    messages: u64,
}

impl LocalNetwork {
    /// A network of nobody.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Connects `host` as `node`, in the place of any earlier one.
    pub fn join(&self, node: NodeId, host: &Arc<Host>) {
        self.state.lock().hosts.insert(node, Arc::downgrade(host));
    }

    /// Cuts `node` off from everyone, both ways.
    pub fn cut(&self, node: NodeId) {
        self.state.lock().cut.insert(node);
    }

    /// Ends the cut.
    pub fn heal(&self, node: NodeId) {
        self.state.lock().cut.remove(&node);
    }

    /// Messages sent so far, lost ones too.
    pub fn messages(&self) -> u64 {
        self.state.lock().messages
    }

    /// The network as `node` sees it.
    pub fn from(self: &Arc<Self>, node: NodeId) -> Arc<dyn Network> {
        Arc::new(Place { node, network: Arc::clone(self) })
    }

    fn route(&self, from: NodeId, to: NodeId) -> Result<Arc<Host>, NetworkError> {
        let mut state = self.state.lock();
        state.messages += 1;
        let unreachable = || NetworkError::Unreachable(format!("node {to} is cut off or down"));
        if state.cut.contains(&from) || state.cut.contains(&to) {
            return Err(unreachable());
        }
        state.hosts.get(&to).and_then(Weak::upgrade).ok_or_else(unreachable)
    }
}

struct Place {
    node: NodeId,
    network: Arc<LocalNetwork>,
}

impl Network for Place {
    fn send(
        &self,
        _: GroupId,
        target: NodeId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
        let (network, from) = (Arc::clone(&self.network), self.node);
        Box::pin(async move {
            let host = network.route(from, target)?;
            let answer = host.receive(from, message).await;
            // The way back may be cut meanwhile.
            drop(network.route(target, from)?);
            answer.map_err(|error| NetworkError::Lost(error.to_string()))
        })
    }
}
