use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::cluster::Feed;
use gitstratum_client::copies::Copies;
use gitstratum_client::grpc;
use gitstratum_consensus::{Config as ConsensusConfig, Host, HostOptions, NoNetwork, families};
use gitstratum_core::{Clock, GrantsVersion, NodeId, ProcessRole, SystemClock};
use gitstratum_identity::{LocalNetwork, Service as Port};
use gitstratum_process::{Drain, DrainTrigger, Metrics, TaskGroup};
use gitstratum_store::{Engine, MemoryEngine};

use super::{ScriptedCopies, ScriptedPlanner};
use crate::config::Config;
use crate::planner::Planner;
use crate::rpc;
use crate::service::{Deps, Service};

/// Connections that the double's listener accepts.
const CONNECTIONS_MAX: usize = 64;
/// Longest that a test waits for the double.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a double is made of. `Default` is not given: a double needs at least a feed.
#[derive(Clone)]
pub struct DoubleOptions {
    /// Its node; the layout in the feed must place partitions there.
    pub node: NodeId,
    /// Layout, directory, grants.
    pub feed: Feed,
    /// Where it serves gRPC, if anywhere.
    pub network: Option<LocalNetwork>,
    /// Answers about history.
    pub planner: Arc<dyn Planner>,
    /// Makes copies of segments.
    pub copies: Arc<dyn Copies>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Its engine; a new one in memory when `None`.
    pub engine: Option<Arc<dyn Engine>>,
    /// How the service behaves.
    pub config: Config,
}

impl DoubleOptions {
    /// A double on node `node` with a planner that knows nothing, and the machine's clock.
    pub fn new(node: NodeId, feed: Feed) -> Self {
        Self {
            node,
            feed,
            network: None,
            planner: ScriptedPlanner::new(),
            copies: ScriptedCopies::new(),
            clock: SystemClock::new(),
            engine: None,
            config: Config::default(),
        }
    }
}

/// The real metadata service as a single voter, in this process. Stops when dropped.
pub struct MetadataDouble {
    /// The service.
    pub service: Arc<Service>,
    /// Its metrics.
    pub metrics: Metrics,
    /// Its groups: their figures count fsyncs.
    pub host: Arc<Host>,
    trigger: DrainTrigger,
    tasks: TaskGroup,
}

impl MetadataDouble {
    /// Starts the service, and its listener when there is a network.
    ///
    /// # Panics
    /// When it cannot: this is for tests.
    pub fn start(options: DoubleOptions) -> Self {
        let fresh = || MemoryEngine::new(&families()) as Arc<dyn Engine>;
        let host = Host::start(HostOptions {
            node: options.node,
            engine: options.engine.unwrap_or_else(fresh),
            network: Arc::new(NoNetwork),
            clock: Arc::clone(&options.clock),
            config: ConsensusConfig::default(),
        })
        .expect("because the default configuration is sound");
        let metrics = Metrics::new();
        let deps = Deps {
            node: options.node,
            host: Arc::clone(&host),
            feed: options.feed,
            clock: options.clock,
            planner: options.planner,
            copies: options.copies,
            metrics: metrics.clone(),
        };
        let service = Service::new(options.config, deps).expect("because the options are sound");
        let (trigger, drain) = Drain::new();
        let mut tasks = TaskGroup::new("metadata double");
        tasks.spawn(Arc::clone(&service).run(drain.clone()));
        if let Some(network) = options.network {
            let listener = network
                .listen(options.node, Port::Metadata, CONNECTIONS_MAX, drain.clone())
                .expect("because nobody else listens there");
            let served = grpc::serve(
                listener,
                ProcessRole::Metadata,
                rpc::routes(Arc::clone(&service)),
                drain,
            );
            tasks.spawn(async move { drop(served.await) });
        }
        Self { service, metrics, host, trigger, tasks }
    }

    /// Waits until the rows of directory version `version` are in all partitions.
    ///
    /// # Panics
    /// When that takes more than 20 seconds.
    pub async fn ready(&self, version: GrantsVersion) {
        let mut applied = self.service.applied();
        let reached = applied.wait_for(|applied| *applied >= version);
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        reached.expect("because a double is quick").expect("because the service lives");
    }

    /// Stops it and waits for that: a new double may use the same engine.
    pub async fn stop(self) {
        self.trigger.start();
        self.tasks.drain(PATIENCE).await;
        self.host.shutdown().await;
    }
}
