//! The services behind a control socket, in memory and steered by a test.

mod control;
mod data_plane;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gitstratum_core::SegmentId;
use gitstratum_proto::control::v1::control_server::ControlServer;
use gitstratum_proto::metadata::v1::metadata_server::MetadataServer;
use gitstratum_proto::object::v1::object_server::ObjectServer;
use gitstratum_proto::{control as cp, metadata, object};
use tokio::net::UnixListener;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Status};

/// The token that the double takes.
const TOKEN: &str = "gst_double";
/// Repositories and users in one of the double's pages, however many were asked for.
const PAGE_SIZE: usize = 2;

/// All that the double knows; tests write what they need.
#[derive(Debug, Default)]
pub struct World {
    /// The directory.
    pub repositories: Vec<cp::v1::Repository>,
    /// Users; the first one is who asks.
    pub users: Vec<cp::v1::UserRecord>,
    /// Tokens.
    pub tokens: Vec<cp::v1::TokenRecord>,
    /// Grants.
    pub grants: Vec<cp::v1::GrantRecord>,
    /// Nodes, layout, leaders.
    pub cluster: cp::v1::ClusterState,
    /// The control plane's audit lines.
    pub audit: Vec<cp::v1::AuditLine>,
    /// Records of the partitions.
    pub records: Vec<metadata::v1::RepositoryRecord>,
    /// Audit lines of partitions.
    pub partition_audit: BTreeMap<u32, Vec<metadata::v1::AuditLine>>,
    /// What `CheckRepository` says, by repository id.
    pub problems: BTreeMap<u64, Vec<String>>,
    /// And how many objects of each it could not hash.
    pub objects_too_large: u64,
    /// What the object node says of the segments that it holds.
    pub segments: BTreeMap<SegmentId, object::v1::VerifyResult>,
    /// What every call is answered with, if anything.
    pub failure: Option<(tonic::Code, String)>,
}

/// A running double. It ends when it is dropped.
#[derive(Debug)]
pub struct Double {
    world: Arc<Mutex<World>>,
    _server: JoinSet<()>,
    data: PathBuf,
}

/// Which services the double offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The control plane and the stores of a node.
    Node,
    /// The control plane alone.
    ControlPlane,
}

impl Double {
    /// Serves `world` in the data directory `data`, with a token file as `up` leaves it.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn start(data: &Path, world: World) -> io::Result<Self> {
        Self::offer(data, world, Offer::Node)
    }

    /// Serves `world` in `data`, as far as `offer` says.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn offer(data: &Path, world: World, offer: Offer) -> io::Result<Self> {
        std::fs::write(data.join("admin.token"), TOKEN)?;
        let world = Arc::new(Mutex::new(world));
        let mut server = JoinSet::new();
        serve(&mut server, &data.join("control.sock"), control_plane(&world))?;
        if offer == Offer::Node {
            let rpc = Rpc { world: Arc::clone(&world) };
            let metadata = Routes::new(MetadataServer::new(rpc.clone()));
            serve(&mut server, &data.join("nodes/1/metadata/admin.sock"), metadata)?;
            let object = Routes::new(ObjectServer::new(rpc));
            serve(&mut server, &data.join("nodes/1/object/admin.sock"), object)?;
        }
        Ok(Self { world, _server: server, data: data.to_owned() })
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it knows by now.
    pub async fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().await
    }
}

fn serve(server: &mut JoinSet<()>, socket: &Path, routes: Routes) -> io::Result<()> {
    std::fs::create_dir_all(socket.parent().unwrap_or(socket))?;
    let incoming = UnixListenerStream::new(UnixListener::bind(socket)?);
    let serving = Server::builder().add_routes(routes).serve_with_incoming(incoming);
    server.spawn(async move { drop(serving.await) });
    Ok(())
}

/// The control plane over what `world` holds, for callers with the right token.
pub(super) fn control_plane(world: &Arc<Mutex<World>>) -> Routes {
    let rpc = Rpc { world: Arc::clone(world) };
    let admit: Admit = admit;
    Routes::new(InterceptedService::new(ControlServer::new(rpc), admit))
}

/// The services.
#[derive(Clone, Debug)]
struct Rpc {
    world: Arc<Mutex<World>>,
}

impl Rpc {
    /// What is known, unless the test wants every call to fail.
    async fn world(&self) -> Result<MutexGuard<'_, World>, Status> {
        let world = self.world.lock().await;
        match &world.failure {
            Some((code, message)) => Err(Status::new(*code, message.clone())),
            None => Ok(world),
        }
    }
}

fn admit(request: Request<()>) -> Result<Request<()>, Status> {
    let expected = format!("Bearer {TOKEN}");
    match request.metadata().get("authorization") {
        Some(value) if value.as_bytes() == expected.as_bytes() => Ok(request),
        _ => Err(Status::unauthenticated("token is not known")),
    }
}

/// [`admit`], as a type.
type Admit = fn(Request<()>) -> Result<Request<()>, Status>;
