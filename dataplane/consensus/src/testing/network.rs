use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::NodeId;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

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
    /// Ways on which everything is lost, and nobody is told.
    silent: BTreeSet<(NodeId, NodeId)>,
    /// Nodes from and to which messages of more bytes are lost.
    narrow: BTreeMap<NodeId, usize>,
    /// How long a message is on its way.
    delay: Duration,
    /// So many of a hundred messages are lost, drawn from this.
    losses: Option<(u32, SmallRng)>,
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

    /// From now on what `from` sends to `to` is lost, and neither is told.
    pub fn silence(&self, from: NodeId, to: NodeId) {
        self.state.lock().silent.insert((from, to));
    }

    /// Ends that.
    pub fn unsilence(&self, from: NodeId, to: NodeId) {
        self.state.lock().silent.remove(&(from, to));
    }

    /// From now on messages of more than `bytes` from and to `node` are lost, and nobody is told.
    pub fn narrow(&self, node: NodeId, bytes: usize) {
        self.state.lock().narrow.insert(node, bytes);
    }

    /// Ends that.
    pub fn widen(&self, node: NodeId) {
        self.state.lock().narrow.remove(&node);
    }

    /// From now on a message is on its way for so long.
    pub fn slow(&self, delay: Duration) {
        self.state.lock().delay = delay;
    }

    /// From now on so many of a hundred messages are lost; which ones follows from `seed`.
    pub fn lose(&self, percent: u32, seed: u64) {
        self.state.lock().losses = Some((percent, SmallRng::seed_from_u64(seed)));
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

    /// The way of one message: it takes its time, or never ends.
    async fn travel(&self, from: NodeId, to: NodeId, bytes: usize) {
        let (delay, is_lost) = {
            let mut state = self.state.lock();
            let draw =
                state.losses.as_mut().map(|(percent, rng)| rng.random_range(0..100) < *percent);
            let is_narrow = |node| state.narrow.get(&node).is_some_and(|limit| bytes > *limit);
            let is_cut = state.silent.contains(&(from, to)) || is_narrow(from) || is_narrow(to);
            (state.delay, draw.unwrap_or(false) || is_cut)
        };
        if is_lost {
            return std::future::pending().await;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
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
            network.travel(from, target, message.len()).await;
            let answer = host.receive(from, message).await;
            let bytes = answer.as_ref().map_or(0, Bytes::len);
            network.travel(target, from, bytes).await;
            // The way back may be cut meanwhile.
            drop(network.route(target, from)?);
            answer.map_err(|error| NetworkError::Lost(error.to_string()))
        })
    }
}
