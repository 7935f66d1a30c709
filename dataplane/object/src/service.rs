use std::sync::Arc;

use gitstratum_client::bulk as bulk_client;
use gitstratum_client::cluster::Feed;
use gitstratum_client::grpc;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{Clock, ClusterId, Incarnation, NodeId, ProcessRole};
use gitstratum_identity::Listener;
use gitstratum_process::{Drain, Metrics, spawn};
use gitstratum_store::{Committer, Engine, Files, SpaceGuard};
use tokio::sync::Semaphore;

use crate::bulk::{self, Bulk};
use crate::config::Config;
use crate::error::Error;
use crate::gauge::Gauge;
use crate::metric_names::ObjectMetrics;
use crate::pull::Puller;
use crate::rate::Share;
use crate::rpc::Rpc;
use crate::segments::{Segments, StoreDeps, blocking};
use crate::sweep;

/// What an object node works with.
pub struct Deps {
    /// The node.
    pub node: NodeId,
    /// Its cluster: segments of another are refused.
    pub cluster: ClusterId,
    /// How often this node has started (S23).
    pub incarnation: Incarnation,
    /// The disk.
    pub files: Arc<dyn Files>,
    /// Rows: families [`crate::FAMILIES`].
    pub engine: Arc<dyn Engine>,
    /// Group commit over `engine`.
    pub committer: Arc<Committer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Refuses writes before the disk is full (P-D6).
    pub space: Arc<SpaceGuard>,
    /// Whom to ask about unlisted segments.
    pub partitions: Partitions,
    /// Reads segments of other nodes.
    pub peers: bulk_client::Client,
    /// The layout and the cluster's settings.
    pub feed: Feed,
    /// Where metrics go.
    pub metrics: Metrics,
}

/// An object node.
pub struct Service {
    config: Config,
    node: NodeId,
    incarnation: Incarnation,
    segments: Arc<Segments>,
    partitions: Partitions,
    puller: Arc<Puller>,
}

impl Service {
    /// Opens the segments and takes stock of them.
    ///
    /// # Errors
    /// When the configuration is wrong or the disk or the engine fails.
    pub async fn open(config: Config, deps: Deps) -> Result<Self, Error> {
        config.validate().map_err(Error::Bug)?;
        let store = StoreDeps {
            files: deps.files,
            engine: deps.engine,
            committer: deps.committer,
            clock: deps.clock,
            space: deps.space,
            metrics: ObjectMetrics::new(&deps.metrics),
        };
        let (cluster, options) = (deps.cluster, config.clone());
        let segments = blocking(move || Segments::open(store, cluster, &options)).await?;
        let segments = Arc::new(segments);
        let share = Share { feed: deps.feed, otherwise: config.copy_bytes_per_second };
        let puller =
            Puller::new((deps.node, Arc::clone(&segments)), deps.peers, share, config.pulls_max);
        Ok(Self {
            config,
            node: deps.node,
            incarnation: deps.incarnation,
            segments,
            partitions: deps.partitions,
            puller: Arc::new(puller),
        })
    }

    /// Looks at what it holds, also while it runs.
    pub fn gauge(&self) -> Gauge {
        Gauge { segments: Arc::clone(&self.segments) }
    }

    /// Serves control calls on `control` and bytes on `bytes` until `drain` starts.
    pub async fn run(self, control: Listener, bytes: Listener, drain: Drain) {
        let calls = Rpc {
            segments: Arc::clone(&self.segments),
            puller: self.puller,
            node: self.node,
            incarnation: self.incarnation,
        };
        let bulk = Bulk {
            segments: Arc::clone(&self.segments),
            writes: Arc::new(Semaphore::new(self.config.writes_max)),
            write_idle: self.config.write_idle,
            transfers: Arc::new(Semaphore::new(self.config.transfers_max)),
            node: self.node,
            incarnation: self.incarnation,
        };
        let times = (self.config.sweep_every, self.config.sweep_age);
        let _sweeping = spawn(
            "segment sweep",
            sweep::run(self.segments, self.partitions, times, drain.clone()),
        );
        let bytes_served = bulk::serve(bulk, bytes, drain.clone());
        let calls_served = grpc::serve(control, ProcessRole::Object, calls.routes(), drain);
        let (calls, ()) = tokio::join!(calls_served, bytes_served);
        if let Err(error) = calls {
            tracing::error!(%error, "the object service's gRPC server failed");
        }
    }
}
