use std::sync::Arc;

use gitstratum_client::bulk as bulk_client;
use gitstratum_client::cluster::Feed;
use gitstratum_client::copies::ObjectNodes;
use gitstratum_client::grpc;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{Clock, ClusterId, Entropy, Incarnation, NodeId, ProcessRole};
use gitstratum_identity::Listener;
use gitstratum_process::{Drain, Metrics, Task, spawn};
use gitstratum_store::{Committer, Engine, Files, SpaceGuard};
use tokio::sync::Semaphore;

use crate::admission::Admissions;
use crate::bulk::{self, Bulk};
use crate::compact::{self, Runs};
use crate::config::Config;
use crate::error::Error;
use crate::gauge::Gauge;
use crate::inventory::Inventory;
use crate::losses::Losses;
use crate::metric_names::ObjectMetrics;
use crate::pull::{Puller, Sources};
use crate::rate::Share;
use crate::rpc::{self, Rpc};
use crate::scrub::{Pace, Scrub};
use crate::segments::{Segments, StoreDeps, Unsound, blocking, settle_doubts};
use crate::sweep::Sweep;

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
    /// Ids of new packs and segments are drawn from it.
    pub entropy: Arc<dyn Entropy>,
    /// Refuses writes before the disk is full (P-D6).
    pub space: Arc<SpaceGuard>,
    /// Whom to ask about unlisted segments.
    pub partitions: Partitions,
    /// Reads segments of other nodes.
    pub peers: bulk_client::Client,
    /// Other nodes, to be told to look at a copy.
    pub others: ObjectNodes,
    /// The layout and the cluster's settings.
    pub feed: Feed,
    /// Where metrics go.
    pub metrics: Metrics,
}

/// An object node.
pub struct Service {
    config: Config,
    node: NodeId,
    admissions: Arc<Admissions>,
    segments: Arc<Segments>,
    partitions: Partitions,
    puller: Arc<Puller>,
    runs: Arc<Runs>,
}

impl Service {
    /// Opens the segments and takes stock of them.
    ///
    /// # Errors
    /// When the configuration is wrong or the disk or the engine fails.
    pub async fn open(config: Config, deps: Deps) -> Result<Self, Error> {
        config.validate().map_err(Error::Bug)?;
        let rows = (Arc::clone(&deps.engine), Arc::clone(&deps.committer));
        let admissions = Admissions::new(rows, deps.partitions.clone(), deps.incarnation);
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
        let runs = Runs::new(compact::Deps {
            node: deps.node,
            cluster,
            segments: Arc::clone(&segments),
            partitions: deps.partitions.clone(),
            peers: deps.peers.clone(),
            feed: deps.feed.clone(),
            entropy: deps.entropy,
            spool: config.spool.clone(),
            copy_bytes_per_second: config.copy_bytes_per_second,
        });
        let sources =
            Sources { peers: deps.peers.on(deps.node, deps.feed.clone()), others: deps.others };
        let share = Share { feed: deps.feed, otherwise: config.copy_bytes_per_second };
        let puller =
            Puller::new((deps.node, Arc::clone(&segments)), sources, share, config.pulls_max);
        Ok(Self {
            config,
            node: deps.node,
            admissions: Arc::new(admissions),
            segments,
            partitions: deps.partitions,
            puller: Arc::new(puller),
            runs: Arc::new(runs),
        })
    }

    /// Looks at what it holds, also while it runs.
    pub fn gauge(&self) -> Gauge {
        Gauge { segments: Arc::clone(&self.segments) }
    }

    /// Serves control calls on `control` and bytes on `bytes` until `drain` starts.
    ///
    /// # Errors
    /// When the node cannot vouch for its disk any more and is to be started anew.
    pub async fn run(self, control: Listener, bytes: Listener, drain: Drain) -> Result<(), Error> {
        let calls = Rpc {
            segments: Arc::clone(&self.segments),
            puller: Arc::clone(&self.puller),
            admissions: Arc::clone(&self.admissions),
            node: self.node,
            runs: Arc::clone(&self.runs),
            drain: drain.clone(),
            streams: Arc::new(Semaphore::new(rpc::STREAMS_MAX)),
        };
        let bulk = Bulk {
            segments: Arc::clone(&self.segments),
            writes: Arc::new(Semaphore::new(self.config.writes_max)),
            write_idle: self.config.write_idle,
            transfers: Arc::new(Semaphore::new(self.config.transfers_max)),
            node: self.node,
            admissions: Arc::clone(&self.admissions),
        };
        let _behind = self.start_behind(&drain).await?;
        let bytes_served = bulk::serve(bulk, bytes, drain.clone());
        let calls_served = grpc::serve(control, ProcessRole::Object, calls.routes(), drain);
        let served = async { tokio::join!(calls_served, bytes_served) };
        tokio::select! {
            biased;
            error = self.unsound() => Err(error),
            (calls, ()) = served => {
                if let Err(error) = calls {
                    tracing::error!(%error, "the object service's gRPC server failed");
                }
                Ok(())
            }
        }
    }

    /// Starts what goes on beside serving; it ends with what is returned.
    async fn start_behind(&self, drain: &Drain) -> Result<[Task<()>; 6], Error> {
        let Self { config, node, segments, partitions, admissions, .. } = self;
        let (node, own) = (*node, || (Arc::clone(segments), partitions.clone()));
        let pace = Pace {
            bytes_per_second: config.scrub_bytes_per_second,
            every: config.scrub_every,
            after_start: config.scrub_after_start,
        };
        let scrub = Scrub::open(Arc::clone(segments), pace).await?;
        let (held, asked) = own();
        let sweep = Sweep { node, segments: held, partitions: asked };
        let (held, asked) = own();
        let losses = Losses { node, segments: held, partitions: asked };
        let (held, asked) = own();
        let inventory = Inventory {
            segments: held,
            partitions: asked,
            admissions: Arc::clone(admissions),
            every: config.inventory_every,
        };
        let admitted = Arc::clone(admissions).run(Arc::clone(segments), drain.clone());
        let settled = settle_doubts(Arc::clone(segments), Arc::clone(admissions), drain.clone());
        let times = (config.sweep_every, config.sweep_age);
        Ok([
            spawn("incarnations", admitted),
            spawn("segments in doubt", settled),
            spawn("segment sweep", sweep.run(times, drain.clone())),
            spawn("inventory", inventory.run(drain.clone())),
            spawn("lost copies", losses.run(drain.clone())),
            spawn("scrub", scrub.run(drain.clone())),
        ])
    }

    /// Why the process is to start anew; pends while it goes on, or is not to.
    async fn unsound(&self) -> Error {
        let why = self.segments.unsound().await;
        if !self.config.ends_when_unsound {
            return std::future::pending().await;
        }
        match why {
            Unsound::Sync(why) => Error::RefusingWrites { why },
            Unsound::Rows(what) => Error::RowsDamaged { what },
        }
    }
}
