//! The frontend as a whole: what it is given.

use std::fmt;
use std::sync::Arc;

use gitstratum_client::cluster::Feed;
use gitstratum_core::{Clock, ClusterId, Entropy, Incarnation, NodeId};
use gitstratum_identity::{Dialer, PublicTls};
use gitstratum_process::{Health, Metrics};

/// What a frontend is given by the process that runs it.
pub struct Deps {
    /// The cluster it serves.
    pub cluster: ClusterId,
    /// The node it runs on.
    pub node: NodeId,
    /// How often that node has started (S23); sessions carry it.
    pub incarnation: Incarnation,
    /// The way to the other roles.
    pub dialer: Arc<dyn Dialer>,
    /// The control plane's state.
    pub feed: Feed,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// Where readiness is told.
    pub health: Health,
    /// The SSH host key, OpenSSH PEM, as `host_key::generate` made it.
    pub host_key: Vec<u8>,
    /// Certificate and key of HTTPS; needed when `Config::https` is set.
    pub tls: Option<Arc<PublicTls>>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").field("node", &self.node).finish_non_exhaustive()
    }
}
