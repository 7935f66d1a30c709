//! What watches over the nodes of an `up` on this machine, both ends: it is asked by a socket,
//! without a token, because who may open the file is its owner.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use gitstratum_core::NodeId;
use gitstratum_proto::local::v1 as wire;
use gitstratum_proto::local::v1::supervisor_client::SupervisorClient;
use gitstratum_proto::local::v1::supervisor_server::{Supervisor, SupervisorServer};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use super::{channel, failure};
use crate::Error;

/// Name of the socket in the data directory.
pub const SOCKET: &str = "supervisor.sock";
/// Longest wait: a node may take 100 s to stop, and a start waits for that.
const DEADLINE: Duration = Duration::from_secs(180);

/// Stops a node of the `up` on `data`; it stays down until it is started.
///
/// # Errors
/// When no `up` with several nodes runs there, or the node is none of it.
pub async fn stop_node(data: &Path, node: NodeId) -> Result<(), Error> {
    let request = wire::StopNodeRequest { node: node.0 };
    ask(data, async |client| client.stop_node(request).await).await.map(drop)
}

/// Starts a node of the `up` on `data` again, and waits until it is ready.
///
/// # Errors
/// As [`stop_node`].
pub async fn start_node(data: &Path, node: NodeId) -> Result<(), Error> {
    let request = wire::StartNodeRequest { node: node.0 };
    ask(data, async |client| client.start_node(request).await).await.map(drop)
}

async fn ask<T>(
    data: &Path,
    call: impl AsyncFnOnce(&mut SupervisorClient<Channel>) -> Result<Response<T>, Status>,
) -> Result<T, Error> {
    let place = format!("`gitstratum up --nodes 3` on {}", data.display());
    let Some(channel) = channel::store(&data.join(SOCKET)) else {
        return Err(Error::NoSupervisor(data.to_owned()));
    };
    let mut client = SupervisorClient::new(channel);
    match tokio::time::timeout(DEADLINE, call(&mut client)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(failure::of(&place, &status)),
        Err(_) => Err(Error::Silent { place, within: DEADLINE }),
    }
}

/// The nodes that are watched over. `None` of a node that is none of them.
pub trait Nodes: Send + Sync + 'static {
    /// Stops a node, which then stays down.
    fn stop(&self, node: NodeId) -> BoxFuture<'_, Option<Result<(), String>>>;

    /// Starts a node again, and waits until it is ready.
    fn start(&self, node: NodeId) -> BoxFuture<'_, Option<Result<(), String>>>;
}

/// Does what callers of `listener` want of `nodes`, until `drained` is done.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: UnixListener,
    nodes: Arc<dyn Nodes>,
    drained: impl Future<Output = ()>,
) -> Result<(), Error> {
    let served = Server::builder()
        .add_service(SupervisorServer::new(Owner { nodes }))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), drained);
    served.await.map_err(|error| Error::Unreachable {
        place: "the supervisor's socket".to_owned(),
        reason: failure::chain(&error),
    })
}

struct Owner {
    nodes: Arc<dyn Nodes>,
}

#[tonic::async_trait]
impl Supervisor for Owner {
    async fn stop_node(
        &self,
        request: Request<wire::StopNodeRequest>,
    ) -> Result<Response<wire::StopNodeResponse>, Status> {
        let node = NodeId(request.into_inner().node);
        done(node, self.nodes.stop(node).await)?;
        Ok(Response::new(wire::StopNodeResponse {}))
    }

    async fn start_node(
        &self,
        request: Request<wire::StartNodeRequest>,
    ) -> Result<Response<wire::StartNodeResponse>, Status> {
        let node = NodeId(request.into_inner().node);
        done(node, self.nodes.start(node).await)?;
        Ok(Response::new(wire::StartNodeResponse {}))
    }
}

fn done(node: NodeId, outcome: Option<Result<(), String>>) -> Result<(), Status> {
    let outcome = outcome.ok_or_else(|| Status::not_found(format!("no node {node} runs here")))?;
    outcome.map_err(|why| Status::unavailable(format!("node {node}: {why}")))
}
