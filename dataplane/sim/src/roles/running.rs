//! What goes on in a process until it ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use gitstratum_client::raft;
use gitstratum_consensus::{BoxFuture, GroupId, Host, Network, NetworkError};
use gitstratum_control_plane as control;
use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_identity::accept::{Conn, ConnStream};
use gitstratum_metadata as metadata;
use gitstratum_process::{Drain, spawn};
use turmoil::net::TcpListener;

use crate::network::{HTTP, Told};
use crate::node::SimNode;

/// Pause before a voter tries again to reach a leader.
const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// How often a node says what it leads.
const LEADS_EVERY: Duration = Duration::from_millis(200);

/// Ends the process once a log of `host` has failed, as the program does (S23).
pub(super) async fn ends_with(host: Arc<Host>, what: &'static str) -> Result<()> {
    let cause = host.failed().await;
    anyhow::bail!("the log of {what} has failed: {cause}")
}

/// Notes what this node leads, for as long as it runs.
pub(super) async fn note_leads(service: Arc<metadata::Service>, node: Arc<SimNode>) -> Result<()> {
    loop {
        tokio::time::sleep(LEADS_EVERY).await;
        for status in service.status(metadata::WithChecksums::No).await {
            if status.leader == node.id.0 {
                node.cluster.note_leader(node.id, status);
            }
        }
    }
}

/// Joins the other voters, founds the cluster where nobody has yet, and serves.
pub(super) async fn serve_control(
    voter: control::Voter,
    node: Arc<SimNode>,
    doors: control::Doors,
    drain: Drain,
) -> Result<()> {
    let service = voter.open().await?;
    let handle = service.handle();
    let founding = async {
        loop {
            match handle.join().await {
                Ok(()) if node.cluster.is_founded() || !node.is_first() => return Ok(()),
                Ok(()) => {
                    handle.found(&node.cluster.founding).await?;
                    node.cluster.note_founded();
                    return Ok(());
                }
                Err(error @ control::Error::OtherCluster { .. }) => return Err(error),
                Err(error) => tracing::debug!(%error, "the control plane is not joined yet"),
            }
            tokio::time::sleep(JOIN_PAUSE).await;
        }
    };
    let failed = ends_with(handle.host(), "the control plane");
    let served = service.run(doors, drain);
    let served = async {
        let (served, founded) = tokio::join!(served, founding);
        founded?;
        Ok(served?)
    };
    tokio::select! {
        biased;
        served = served => served,
        failed = failed => failed,
    }
}

/// Takes people's connections.
pub(super) async fn accept_people(
    node: NodeId,
    handler: impl Fn(Conn) -> futures::future::BoxFuture<'static, ()>,
    drain: Drain,
) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, HTTP)).await?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP));
    loop {
        let (stream, client) = listener.accept().await?;
        let io = ConnStream::Inside(Box::new(Told {
            name: format!("{node} < {client}"),
            stream,
            away: None,
        }));
        let conn = Conn { io, client, local, alpn: None, peer: None, drain: drain.clone() };
        spawn("people", handler(conn)).detach();
    }
}

/// A log's way to its other voters.
pub(super) struct Voters(pub(super) Arc<raft::Voters>);

impl Network for Voters {
    fn send(
        &self,
        _: GroupId,
        target: NodeId,
        message: bytes::Bytes,
    ) -> BoxFuture<'static, Result<bytes::Bytes, NetworkError>> {
        let voters = Arc::clone(&self.0);
        Box::pin(async move {
            voters.send(target, message).await.map_err(|error| match error.kind() {
                ErrorKind::Unavailable => NetworkError::Unreachable(error.to_string()),
                _ => NetworkError::Lost(error.to_string()),
            })
        })
    }
}
