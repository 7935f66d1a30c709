//! The sockets of the process that watches: one to the control plane of a node that is up,
//! one for what the owner wants of the nodes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gitstratum_core::NodeId;
use gitstratum_ctl::endpoint::lives;
use gitstratum_ctl::rpc::supervisor::{self, Nodes};
use gitstratum_process::{Drain, Task, spawn};
use tokio::net::UnixStream;

use super::super::sockets;
use super::children::Children;
use super::living_in;

/// Opens them; they close when the tasks are dropped.
pub(super) fn open(data: &Path, children: &Arc<Children>, drain: &Drain) -> Result<[Task<()>; 2]> {
    let control = sockets::listen(&data.join("control.sock"))?;
    let folders: Arc<[PathBuf]> = children.folders().cloned().collect();
    let dial = move || control_of_a_living(Arc::clone(&folders));
    let control = spawn("control socket", sockets::join_each(control, dial, drain.clone()));
    let supervisor = sockets::listen(&data.join(supervisor::SOCKET))?;
    let (children, drain) = (Arc::clone(children), drain.clone());
    let supervisor = spawn("supervisor socket", async move {
        let drained = async { drain.started().await };
        if let Err(error) = supervisor::serve(supervisor, children, drained).await {
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

impl Nodes for Children {
    fn stop(&self, node: NodeId) -> BoxFuture<'_, Option<Result<(), String>>> {
        Self::stop(self, node).map(said).boxed()
    }

    fn start(&self, node: NodeId) -> BoxFuture<'_, Option<Result<(), String>>> {
        self.restart(node).map(said).boxed()
    }
}

fn said(done: Option<Result<()>>) -> Option<Result<(), String>> {
    done.map(|done| done.map_err(|error| format!("{error:#}")))
}
