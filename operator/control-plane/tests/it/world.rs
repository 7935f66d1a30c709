use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::grpc;
use gitstratum_consensus::{NoNetwork, families};
use gitstratum_control_plane::{Config, Dependencies, Doors, Error, Founding, Handle, Service};
use gitstratum_core::{
    Clock, ClusterId, ManualClock, NodeId, ProcessRole, SeededEntropy, SystemEntropy, Token,
    UnixMillis,
};
use gitstratum_identity::{Authority, Guests, LocalNetwork, Peer, Service as Port};
use gitstratum_process::{Drain, DrainTrigger, Metrics, Task, spawn};
use gitstratum_proto::control::v1::administration_client::AdministrationClient;
use gitstratum_proto::control::v1::control_client::ControlClient;
use gitstratum_proto::control::v1::fleet_client::FleetClient;
use gitstratum_proto::control::v1::{
    CreateRepositoryRequest, Node, ProcessReport, RegisterNodeRequest, ReportRequest, Repository,
};
use gitstratum_store::{Engine, MemoryEngine};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

pub(crate) const NODE: NodeId = Founding::node(1);
/// Longest any single wait of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A founded control plane of one voter, serving.
pub(crate) struct World {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) memory: Option<Arc<MemoryEngine>>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: Metrics,
    pub(crate) handle: Handle,
    pub(crate) cluster: ClusterId,
    pub(crate) admin: Token,
    /// By which nodes enrol.
    pub(crate) join: Token,
    pub(crate) network: LocalNetwork,
    socket: PathBuf,
    _directory: tempfile::TempDir,
    trigger: DrainTrigger,
    running: Option<Task<Result<(), Error>>>,
}

pub(crate) type Administration = AdministrationClient<InterceptedService<Channel, Bearer>>;
pub(crate) type Client = ControlClient<InterceptedService<Channel, Bearer>>;

#[derive(Clone)]
pub(crate) struct Bearer(Option<String>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value: MetadataValue<_> = format!("Bearer {token}").parse().expect("ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

pub(crate) fn memory() -> Arc<MemoryEngine> {
    MemoryEngine::new(&families())
}

pub(crate) fn config() -> Config {
    Config {
        settle_timeout: Duration::from_millis(500),
        node_down_after: Duration::from_secs(4),
        ..Config::single(NODE)
    }
}

pub(crate) fn dependencies(engine: Arc<dyn Engine>, clock: Arc<ManualClock>) -> Dependencies {
    Dependencies {
        engine,
        network: Arc::new(NoNetwork),
        dialer: LocalNetwork::new().dialer(Peer {
            cluster: ClusterId([0; 16]),
            role: ProcessRole::Control,
            node: NODE,
        }),
        clock,
        entropy: SystemEntropy::new(),
        metrics: Metrics::new(),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let engine = memory();
        let mut world = Self::on(Arc::clone(&engine) as Arc<dyn Engine>, config()).await;
        world.memory = Some(engine);
        world
    }

    /// Founds a cluster of some nodes, one of which votes.
    pub(crate) async fn of(nodes: u8) -> Self {
        Self::founded(memory() as Arc<dyn Engine>, config(), nodes).await
    }

    /// Founds a cluster on `engine`.
    pub(crate) async fn on(engine: Arc<dyn Engine>, config: Config) -> Self {
        Self::founded(engine, config, 1).await
    }

    async fn founded(engine: Arc<dyn Engine>, config: Config, nodes: u8) -> Self {
        let clock = ManualClock::new(UnixMillis(1_700_000_000_000));
        let service = Service::open(config, dependencies(Arc::clone(&engine), Arc::clone(&clock)))
            .await
            .expect("a control plane on an empty engine");
        let founding =
            Founding::draw(nodes, 4, &*clock, &*SeededEntropy::new(3)).expect("a founding");
        let cluster = service.handle().found(&founding).await.expect("a new cluster");
        service.stop().await;
        let mut world = Self::again(engine, clock, cluster.id, founding.admin_token).await;
        world.join = founding.join_token;
        world
    }

    /// Opens what is on `engine` and serves it.
    pub(crate) async fn again(
        engine: Arc<dyn Engine>,
        clock: Arc<ManualClock>,
        cluster: ClusterId,
        admin: Token,
    ) -> Self {
        let config = Config { recorded_cluster: Some(cluster), ..config() };
        Self::with(engine, clock, admin, config).await
    }

    pub(crate) async fn with(
        engine: Arc<dyn Engine>,
        clock: Arc<ManualClock>,
        admin: Token,
        config: Config,
    ) -> Self {
        let cluster = config.recorded_cluster.expect("a recorded cluster");
        let needs = dependencies(Arc::clone(&engine), Arc::clone(&clock));
        let metrics = needs.metrics.clone();
        let service = Service::open(config, needs).await.expect("what was founded before");
        let network = LocalNetwork::new();
        let (trigger, drain) = Drain::new();
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("control.sock");
        let people = UnixListener::bind(&socket).expect("a socket");
        let nodes = network.listen(NODE, Port::Control, 100, drain.clone()).expect("a door");
        let handle = service.handle();
        let entropy = SeededEntropy::new(5);
        let authority = Authority::create(cluster, clock.wall(), &*entropy).expect("an authority");
        service.sign_with(Arc::new(authority));
        let doors = Doors { nodes, guests: Guests::none(), people: Some(people) };
        let running = Some(spawn("control plane", service.run(doors, drain)));
        let join = Token::generate(&*entropy);
        let (memory, _directory) = (None, directory);
        Self {
            engine,
            memory,
            clock,
            metrics,
            handle,
            cluster,
            admin,
            join,
            network,
            socket,
            _directory,
            trigger,
            running,
        }
    }

    /// Stops serving as a signal would, and returns what a restart needs.
    pub(crate) async fn stop(&mut self) {
        self.trigger.start();
        let running = self.running.take().expect("it runs");
        let ended = tokio::time::timeout(PATIENCE, running).await.expect("it drains");
        ended.expect("no panic").expect("no error");
    }

    pub(crate) async fn restart(mut self) -> Self {
        self.stop().await;
        let (engine, clock) = (Arc::clone(&self.engine), Arc::clone(&self.clock));
        Self::again(engine, clock, self.cluster, self.admin.clone()).await
    }

    pub(crate) fn client(&self, token: Option<&str>) -> Client {
        ControlClient::with_interceptor(self.channel(), Bearer(token.map(str::to_owned)))
    }

    pub(crate) fn administration(&self, token: Option<&str>) -> Administration {
        AdministrationClient::with_interceptor(self.channel(), Bearer(token.map(str::to_owned)))
    }

    fn channel(&self) -> Channel {
        let socket = self.socket.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://control").connect_with_connector_lazy(connector)
    }

    pub(crate) fn admin(&self) -> Client {
        self.client(Some(self.admin.expose()))
    }

    pub(crate) fn fleet(&self, role: ProcessRole, node: NodeId) -> FleetClient<grpc::Channel> {
        let peer = Peer { cluster: self.cluster, role, node };
        FleetClient::new(grpc::channel(self.network.dialer(peer), NODE, Port::Control))
    }

    pub(crate) fn agent(&self) -> FleetClient<grpc::Channel> {
        self.fleet(ProcessRole::Agent, NODE)
    }

    pub(crate) async fn register(&self, incarnation: u64) -> Result<(), Status> {
        let roles = ["frontend", "metadata", "object"].map(str::to_owned).to_vec();
        let node = Node { id: NODE.0, roles, incarnation, ..Node::default() };
        self.agent().register_node(RegisterNodeRequest { node: Some(node) }).await.map(drop)
    }

    /// Another node starts for the first time.
    pub(crate) async fn register_other(&self, node: NodeId) {
        self.register_as(node, &["metadata", "object"]).await;
    }

    pub(crate) async fn register_as(&self, node: NodeId, roles: &[&str]) {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let record = Node { id: node.0, roles, incarnation: 1, ..Node::default() };
        let request = RegisterNodeRequest { node: Some(record) };
        self.fleet(ProcessRole::Agent, node).register_node(request).await.expect("registered");
    }

    pub(crate) async fn report(&self, incarnation: u64, applied: u64) -> Result<u64, Status> {
        let process = |role: &str| ProcessReport {
            role: role.to_owned(),
            applied_version: applied,
            ready: true,
            ..ProcessReport::default()
        };
        let processes = vec![process("frontend"), process("metadata")];
        let request =
            ReportRequest { node: NODE.0, incarnation, processes, ..ReportRequest::default() };
        self.agent().report(request).await.map(|response| response.into_inner().version)
    }

    /// Plays the data roles: whatever is made is applied at once.
    pub(crate) async fn follow(&self) -> Task<()> {
        self.register(1).await.expect("registered");
        self.report(1, u64::MAX >> 1).await.expect("reported");
        let peer = Peer { cluster: self.cluster, role: ProcessRole::Agent, node: NODE };
        let channel = grpc::channel(self.network.dialer(peer), NODE, Port::Control);
        let handle = self.handle.clone();
        spawn("data roles", async move {
            let mut agent = FleetClient::new(channel);
            loop {
                let applied_version = handle.version().await.expect("running").0;
                let process = |role: &str| ProcessReport {
                    role: role.to_owned(),
                    applied_version,
                    ready: true,
                    ..ProcessReport::default()
                };
                let processes = vec![process("frontend"), process("metadata")];
                let request = ReportRequest {
                    node: NODE.0,
                    incarnation: 1,
                    processes,
                    ..ReportRequest::default()
                };
                if agent.report(request).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    pub(crate) async fn create(&self, path: &str) -> Result<Repository, Status> {
        let request = CreateRepositoryRequest { path: path.to_owned(), ..Default::default() };
        self.admin().create_repository(request).await.map(tonic::Response::into_inner)
    }

    /// Lets time pass until the node is in `state`, with or without heartbeats.
    pub(crate) async fn pass_until(&self, state: u32, beats: Option<u64>) {
        let passing = async {
            while self.node().await.state != state {
                self.advance(Duration::from_millis(100));
                if let Some(incarnation) = beats {
                    self.report(incarnation, 1).await.expect("reported");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, passing).await.expect("soon");
    }

    /// The node as the control plane shows it.
    pub(crate) async fn node(&self) -> Node {
        let state = self.admin().get_cluster_state(()).await.expect("for admins").into_inner();
        state.nodes.into_iter().next().expect("one node")
    }

    pub(crate) fn clock_millis(&self) -> u64 {
        self.clock.wall().0
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        assert!(self.clock.wall().0 > 0);
    }

    pub(crate) fn metric(&self, line: &str) -> Option<u64> {
        let page = self.metrics.render();
        let found = page.lines().find_map(|text| text.strip_prefix(line))?;
        found.trim().parse().ok()
    }
}
