//! The sockets of the process that watches: one to the control plane of a node that is up,
//! one for what the owner wants of the nodes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use gitstratum_core::NodeId;
use gitstratum_ctl::endpoint::lives;
use gitstratum_process::{Drain, Task, spawn};
use gitstratum_proto::local::v1 as wire;
use gitstratum_proto::local::v1::supervisor_server::{Supervisor, SupervisorServer};
use tokio::net::UnixStream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::super::sockets;
use super::children::Children;
use super::living_in;

/// Opens them; they close when the tasks are dropped.
pub(super) fn open(data: &Path, children: &Arc<Children>, drain: &Drain) -> Result<[Task<()>; 2]> {
    let control = sockets::listen(&data.join("control.sock"))?;
    let folders: Arc<[PathBuf]> = children.folders().cloned().collect();
    let dial = move || control_of_a_living(Arc::clone(&folders));
    let control = spawn("control socket", sockets::join_each(control, dial, drain.clone()));
    let supervisor = sockets::listen(&data.join("supervisor.sock"))?;
    let service = SupervisorServer::new(Owner { children: Arc::clone(children) });
    let drain = drain.clone();
    let serving = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(UnixListenerStream::new(supervisor), async move {
            drain.started().await;
        });
    let supervisor = spawn("supervisor socket", async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the supervisor's socket is closed");
        }
    });
    Ok([control, supervisor])
}

/// A connection to the control plane of the first node that lives; it passes calls on to the
/// leader. One that hangs takes connections too, so it is asked for its life first.
async fn control_of_a_living(folders: Arc<[PathBuf]>) -> Option<UnixStream> {
    for folder in folders.iter() {
        let Some(endpoint) = living_in(folder) else { continue };
        if !lives(endpoint.metrics.trim_start_matches("http://")).await {
            continue;
        }
        if let Ok(stream) = UnixStream::connect(folder.join("control.sock")).await {
            return Some(stream);
        }
    }
    tracing::warn!("a caller of the control plane found no node that lives");
    None
}

struct Owner {
    children: Arc<Children>,
}

#[tonic::async_trait]
impl Supervisor for Owner {
    async fn stop_node(
        &self,
        request: Request<wire::StopNodeRequest>,
    ) -> Result<Response<wire::StopNodeResponse>, Status> {
        let node = NodeId(request.into_inner().node);
        answer(node, self.children.stop(node).await)?;
        Ok(Response::new(wire::StopNodeResponse {}))
    }

    async fn start_node(
        &self,
        request: Request<wire::StartNodeRequest>,
    ) -> Result<Response<wire::StartNodeResponse>, Status> {
        let node = NodeId(request.into_inner().node);
        answer(node, self.children.restart(node).await)?;
        Ok(Response::new(wire::StartNodeResponse {}))
    }
}

fn answer(node: NodeId, done: Option<Result<()>>) -> Result<(), Status> {
    let done = done.ok_or_else(|| Status::not_found(format!("no node {node} runs here")))?;
    done.map_err(|error| Status::unavailable(format!("node {node}: {error:#}")))
}
