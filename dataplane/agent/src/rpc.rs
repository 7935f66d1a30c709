//! The Unix socket: the last snapshot at once, whether or not the control plane is in
//! reach, then every version.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use gitstratum_client::grpc::TakeRequestId;
use gitstratum_core::{Incarnation, NodeId, ProcessRole};
use gitstratum_process::Drain;
use gitstratum_proto::agent::v1 as wire;
use gitstratum_proto::agent::v1::agent_server::{Agent, AgentServer};
use gitstratum_proto::control::v1::{
    LogAuditRequest, LogAuditResponse, ProcessReport, SnapshotUpdate,
};
use gitstratum_proto::split_snapshot;
use tokio::io::DuplexStream;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status};

use crate::Error;
use crate::heartbeat::Reports;
use crate::refusals::Spool;
use crate::watch::{Known, Version};

/// Largest message of a snapshot, in bytes.
const UPDATE_BYTES_MAX: usize = 1024 * 1024;
/// Messages waiting for a slow process.
const UPDATES_WAITING_MAX: usize = 16;

/// Longest that a process may leave a message lying; then it has to begin anew.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// The service behind the socket.
pub(crate) struct Socket {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) known: Arc<Known>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) refusals: Arc<Spool>,
}

/// Makes the socket, for this user only; one that a dead process left is replaced.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, Error> {
    use std::os::unix::fs::PermissionsExt;
    let fail = |source| Error::Listen { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, private).map_err(fail)?;
    Ok(listener)
}

/// Where connections come from.
pub(crate) enum Listener {
    Socket(UnixListener),
    Inside(mpsc::Receiver<DuplexStream>),
}

/// Serves until the drain starts.
pub(crate) async fn serve(socket: Socket, listener: Listener, drain: Drain) {
    let server = tonic::transport::Server::builder()
        .layer(TakeRequestId { role: ProcessRole::Agent })
        .add_service(AgentServer::new(socket));
    let stop = async move { drain.started().await };
    let served = match listener {
        Listener::Socket(listener) => {
            let incoming = UnixListenerStream::new(listener);
            server.serve_with_incoming_shutdown(incoming, stop).await
        }
        Listener::Inside(queue) => {
            let incoming = ReceiverStream::new(queue).map(Ok::<_, std::io::Error>);
            server.serve_with_incoming_shutdown(incoming, stop).await
        }
    };
    if let Err(error) = served {
        tracing::error!(%error, "the agent's socket failed");
    }
}

type Updates = Pin<Box<dyn Stream<Item = Result<SnapshotUpdate, Status>> + Send>>;

#[tonic::async_trait]
impl Agent for Socket {
    type WatchStream = Updates;

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Updates>, Status> {
        let from = request.into_inner().from_version;
        let (sender, receiver) = mpsc::channel(UPDATES_WAITING_MAX);
        let known = Arc::clone(&self.known);
        gitstratum_process::spawn("snapshot stream", feed(known, from, sender)).detach();
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn report(
        &self,
        request: Request<ProcessReport>,
    ) -> Result<Response<wire::ReportResponse>, Status> {
        match self.reports.put(request.into_inner()) {
            true => {
                let (_, silent) = self.known.silence();
                let (silent_millis, grace_millis) =
                    (millis(silent), millis(self.known.offline_grace()));
                Ok(Response::new(wire::ReportResponse { silent_millis, grace_millis }))
            }
            false => Err(Status::resource_exhausted("too many processes report")),
        }
    }

    async fn log_audit(
        &self,
        request: Request<LogAuditRequest>,
    ) -> Result<Response<LogAuditResponse>, Status> {
        let (refusals, request) = (Arc::clone(&self.refusals), request.into_inner());
        let kept = gitstratum_process::blocking(move || refusals.keep(request)).await;
        let kept = kept.map_err(|_| Status::internal("a task did not finish"))?;
        let failed = |error: gitstratum_store::files::Error| Status::unavailable(error.to_string());
        kept.map(|()| Response::new(LogAuditResponse {})).map_err(failed)
    }

    async fn status(
        &self,
        _request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let (connected, silent) = self.known.silence();
        Ok(Response::new(wire::StatusResponse {
            node: self.node.0,
            incarnation: self.incarnation.0,
            connected,
            silent_millis: millis(silent),
            version: self.known.current().version().0,
            grace_millis: millis(self.known.offline_grace()),
        }))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

type Sender = mpsc::Sender<Result<SnapshotUpdate, Status>>;

/// Sends everything, then each version; everything again when the process fell behind.
/// Ends when the process has gone.
async fn feed(known: Arc<Known>, from: u64, sender: Sender) {
    let mut held = from;
    loop {
        let (snapshot, versions) = known.subscribe();
        if snapshot.version().0 != held || held == 0 {
            let whole = split_snapshot(snapshot.to_update(), UPDATE_BYTES_MAX);
            if send_all(&sender, &whole).await.is_err() {
                return;
            }
            held = snapshot.version().0;
        }
        if follow(versions, &sender, &mut held).await.is_err() {
            return;
        }
        // It fell behind: what it holds is not told by differences any more.
        held = 0;
    }
}

/// `Ok` when versions were missed, `Err` when the process has gone.
async fn follow(
    mut versions: broadcast::Receiver<Version>,
    sender: &Sender,
    held: &mut u64,
) -> Result<(), ()> {
    loop {
        let version = tokio::select! {
            biased;
            () = sender.closed() => return Err(()),
            version = versions.recv() => version,
        };
        match version {
            Ok(version) => {
                let number = version.last().map_or(0, |update| update.version);
                let resets = version.first().is_some_and(|update| update.reset);
                if number > *held || resets {
                    send_all(sender, &version).await?;
                    *held = number;
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => return Ok(()),
            Err(broadcast::error::RecvError::Closed) => return Err(()),
        }
    }
}

async fn send_all(sender: &Sender, updates: &[SnapshotUpdate]) -> Result<(), ()> {
    for update in updates {
        sender.send_timeout(Ok(update.clone()), SEND_DEADLINE).await.map_err(|_| ())?;
    }
    Ok(())
}
