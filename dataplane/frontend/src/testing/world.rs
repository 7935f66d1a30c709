use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::audit::AuditLog;
use gitstratum_client::cluster::{Publisher, Snapshot};
use gitstratum_core::{
    Clock, ClusterId, Incarnation, NodeId, ProcessRole, SeededEntropy, SystemClock, SystemEntropy,
    Token,
};
use gitstratum_identity::{LocalNetwork, Peer, PublicTls, Service as Inner};
use gitstratum_process::{Drain, DrainTrigger, Health, Metrics, Task, spawn};
use gitstratum_proto::control::v1::{
    Layout, PartitionPlacement, Repository, SnapshotUpdate, SshKey, TokenRecord, UserRecord,
};

use super::Metadata;
use super::grpc;
use crate::{Addresses, Config, Deps, Service, host_key};

const CLUSTER: ClusterId = ClusterId([7; 16]);
const NODE: NodeId = NodeId(1);
const CONNECTIONS_MAX: usize = 64;
/// Partitions of the world.
const PARTITIONS: u32 = 4;

/// A cluster of one node without storage.
pub struct World {
    /// The metadata service.
    pub metadata: Metadata,
    /// The control plane's mouth.
    pub publisher: Publisher,
    /// What the frontend counts.
    pub metrics: Metrics,
    /// What the frontend tells probes.
    pub health: Health,
    network: LocalNetwork,
    _metadata: Task<()>,
    version: std::sync::atomic::AtomicU64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// A frontend that serves.
#[derive(Debug)]
pub struct Running {
    /// Where.
    pub addresses: Addresses,
    /// Its SSH host key, as it stands in `known_hosts`.
    pub host_key: String,
    drain: DrainTrigger,
    serving: Task<usize>,
}

impl World {
    /// A world with four partitions, and nobody and nothing in it.
    ///
    /// # Panics
    /// When the world cannot be made, which is a mistake in this module.
    #[expect(clippy::new_without_default, reason = "it starts a server, which no default does")]
    pub fn new() -> Self {
        let network = LocalNetwork::new();
        let metadata = Metadata::default();
        let listener = network
            .listen(NODE, Inner::Metadata, CONNECTIONS_MAX, Drain::never())
            .expect("because the network is new");
        let serving = grpc::serve(listener, Arc::new(metadata.clone()));
        let (publisher, _feed) = gitstratum_client::cluster::Feed::channel();
        let placement = |partition| PartitionPlacement {
            partition,
            voters: vec![NODE.0],
            preferred_leader: NODE.0,
            ..PartitionPlacement::default()
        };
        let layout =
            Layout { partitions: (0..PARTITIONS).map(placement).collect(), ..Layout::default() };
        publisher.publish(Snapshot::empty().apply(&SnapshotUpdate {
            version: 1,
            cluster_id: CLUSTER.0.to_vec().into(),
            layout: Some(layout),
            ..SnapshotUpdate::default()
        }));
        Self {
            metadata,
            publisher,
            metrics: Metrics::new(),
            health: Health::new(),
            network,
            _metadata: spawn("metadata double", serving),
            version: std::sync::atomic::AtomicU64::new(1),
        }
    }

    /// Tells the frontend of a change of the control plane's state.
    pub fn publish(&self, update: SnapshotUpdate) {
        let version = self.version.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let next = self.publisher.current().apply(&SnapshotUpdate { version, ..update });
        self.publisher.publish(next);
    }

    /// A user with one SSH key, given by its fingerprint (empty: none), and a token.
    pub fn user(&self, id: u64, name: &str, fingerprint: &str) -> Token {
        let token = Token::generate(&*SeededEntropy::new(id));
        let key = SshKey { fingerprint: fingerprint.to_owned(), ..SshKey::default() };
        let keys = if fingerprint.is_empty() { Vec::new() } else { vec![key] };
        let user = UserRecord { id, name: name.to_owned(), keys, ..UserRecord::default() };
        let record = TokenRecord {
            user_id: id,
            scope: 2,
            hash: token.hash().to_vec().into(),
            ..TokenRecord::default()
        };
        self.publish(SnapshotUpdate {
            users: vec![user],
            tokens: vec![record],
            ..SnapshotUpdate::default()
        });
        token
    }

    /// A live, empty repository that its owner alone may use.
    pub fn repository(&self, id: u64, path: &str) -> Repository {
        let repository = Repository {
            id,
            path: path.to_owned(),
            partition: u32::try_from(id).unwrap_or_default() % PARTITIONS,
            object_format: 1,
            default_branch: "main".to_owned(),
            state: 1,
            name_version: 1,
            ..Repository::default()
        };
        self.publish(SnapshotUpdate {
            repositories: vec![repository.clone()],
            ..SnapshotUpdate::default()
        });
        self.metadata.change(id, |_| {});
        repository
    }

    /// A frontend of this world on free loopback ports, with settings `change`d.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn frontend(
        &self,
        spool: PathBuf,
        change: impl FnOnce(&mut Config),
        tls: Option<Arc<PublicTls>>,
    ) -> Running {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::new(spool);
        config.http = Some(any);
        config.ssh = Some(any);
        config.https = tls.as_ref().map(|_| any);
        config.close_after = Duration::ZERO;
        config.drain_within = Duration::from_secs(10);
        change(&mut config);
        let deps = self.deps(SystemClock::new(), tls);
        let host_key = host_key::public_line(&deps.host_key).expect("because it was just made");
        let service = Service::open(config, deps).await.expect("because loopback has ports");
        let addresses = service.addresses();
        let (trigger, drain) = Drain::new();
        let serving = spawn("frontend", service.run(drain));
        Running { addresses, host_key, drain: trigger, serving }
    }

    /// What a frontend of this world is given.
    pub fn deps(&self, clock: Arc<dyn Clock>, tls: Option<Arc<PublicTls>>) -> Deps {
        let peer = Peer { cluster: CLUSTER, role: ProcessRole::Frontend, node: NODE };
        Deps {
            cluster: CLUSTER,
            node: NODE,
            incarnation: Incarnation(1),
            dialer: self.network.dialer(peer),
            feed: self.publisher.feed(),
            clock,
            entropy: SystemEntropy::new(),
            audit: AuditLog::channel(SystemClock::new()).0,
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            host_key: host_key::generate(&*SeededEntropy::new(1)),
            tls,
        }
    }
}

impl Running {
    /// The address of plain HTTP.
    ///
    /// # Panics
    /// When it is not served.
    pub fn http(&self) -> SocketAddr {
        self.addresses.http.expect("because the test serves http")
    }

    /// The address of SSH.
    ///
    /// # Panics
    /// When it is not served.
    pub fn ssh(&self) -> SocketAddr {
        self.addresses.ssh.expect("because the test serves ssh")
    }

    /// Begins the end, without waiting for it.
    pub fn start_drain(&self) {
        self.drain.start();
    }

    /// Drains it; returns how many connections were cut.
    ///
    /// # Panics
    /// When it panicked.
    pub async fn stop(self) -> usize {
        self.drain.start();
        self.serving.await.expect("because a frontend does not panic")
    }
}
