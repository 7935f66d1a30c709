//! What watches over the nodes of an `up` on this machine: asked by its socket, without a token,
//! because who may open the file is its owner.

use std::path::Path;
use std::time::Duration;

use gitstratum_core::NodeId;
use gitstratum_proto::local::v1 as wire;
use gitstratum_proto::local::v1::supervisor_client::SupervisorClient;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::{channel, failure};
use crate::Error;

/// Name of the socket in the data directory.
const SOCKET: &str = "supervisor.sock";
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
