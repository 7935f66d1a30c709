//! tonic over the transport of `identity`, and the one translation between error
//! kinds and gRPC codes.

mod guests;
mod request;

use std::fmt::Display;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use gitstratum_core::{ErrorKind, NodeId, ProcessRole};
use gitstratum_identity::{Accepted, BoxStream, Dialer, Listener, Peer, Service};
use gitstratum_process::Drain;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::Connected;
use tonic::transport::{Endpoint, Server, Uri};
use tonic::{Code, Status};

pub use guests::serve_guests;
pub use request::{SendRequestId, TakeRequestId, as_part_of, sent_request_id};

/// Flow-control window of a stream and of a connection, bytes.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// How often a peer that owes an answer is asked whether it is there, and how long it has: a
/// connection to a node that is cut off is given up long before TCP would (P-A8).
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEP_ALIVE_WITHIN: Duration = Duration::from_millis(1_500);
/// Calls that a caller has taken back before they were looked at: of a log's heartbeats there
/// are many when a node was stopped for a while.
const RESETS_MAX: usize = 10_000;
/// Calls taken back whose answers are passed over in silence for a second of the machine's clock;
/// those of all others are refused by a reset. Of these the 1,025th would end the connection with all
/// calls on it, which is for servers that nobody trusts: a node that is slow for a while answers many
/// calls too late.
const RESETS_REMEMBERED: usize = 0;
/// Longest wait for a connection: less than calls wait, so that each is told of its own, and
/// enough for a SYN that is lost and sent again after a second.
const CONNECT_DEADLINE: Duration = Duration::from_millis(1_500);
/// What was learned so long after that is of a time when nobody waited for it.
const CONNECT_STALE: Duration = Duration::from_secs(2);

/// On an answer: the condition that the cluster is in and that the answer comes from.
pub const CONDITION: &str = "gs-condition";
/// The control plane has lost its state on all its voters (S45).
pub const CONTROL_PLANE_LOST: &str = "ControlPlaneLost";

/// A channel to one service of one node. Each call carries the id of its request.
pub type Channel = InterceptedService<tonic::transport::Channel, SendRequestId>;

/// A channel to `service` on `node`, connected when first used and again after a break.
pub fn channel(dialer: Arc<dyn Dialer>, node: NodeId, service: Service) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let dialer = Arc::clone(&dialer);
        async move { connect(dialer.as_ref(), node, service).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://gitstratum.internal")
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_WITHIN)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_max_concurrent_reset_streams(RESETS_REMEMBERED)
        .http2_max_local_error_reset_streams(None)
        .connect_with_connector_lazy(connector);
    InterceptedService::new(channel, SendRequestId)
}

/// Dials until there is a connection or a failure of this moment. A channel goes on connecting
/// only while somebody calls: when its caller has left, the next one would be told of a failure
/// that may be of long ago, while the node may be well by now (P-A8).
async fn connect(dialer: &dyn Dialer, node: NodeId, service: Service) -> io::Result<BoxStream> {
    loop {
        let began = Instant::now();
        let dialled = timeout(CONNECT_DEADLINE, dialer.dial(node, service)).await;
        match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Err(_) if began.elapsed() > CONNECT_STALE => {}
            dialled => return dialled,
        }
    }
}

/// Serves `routes` of `role` on `listener` until `drain` starts, then finishes the open
/// calls. Every request carries its [`Peer`] in its extensions, and runs as part of the
/// request whose id it came with.
///
/// # Errors
/// When the HTTP/2 server itself fails, which ends only this listener.
pub async fn serve(
    listener: Listener,
    role: ProcessRole,
    routes: tonic::service::Routes,
    drain: Drain,
) -> Result<(), tonic::transport::Error> {
    let incoming = listener.into_stream().map(|accepted| accepted.map(Connection));
    Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .layer(TakeRequestId { role })
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, async move { drain.started().await })
        .await
}

/// The authenticated peer of a request.
///
/// # Errors
/// `Unauthenticated` when the connection had none.
pub fn peer<T>(request: &tonic::Request<T>) -> Result<Peer, Status> {
    request
        .extensions()
        .get::<Peer>()
        .copied()
        .ok_or_else(|| Status::unauthenticated("the connection carries no node identity"))
}

/// The status of a failure of `kind`, with `message` for the log of the other side.
pub fn status(kind: ErrorKind, message: impl Display) -> Status {
    let code = match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Busy => Code::ResourceExhausted,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Bug => Code::Internal,
    };
    Status::new(code, message.to_string())
}

/// The kind of failure that `status` tells.
pub fn kind(status: &Status) -> ErrorKind {
    match status.code() {
        Code::NotFound => ErrorKind::NotFound,
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => ErrorKind::Conflict,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::ResourceExhausted => ErrorKind::Busy,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
        Code::Internal | Code::Unimplemented | Code::Ok => ErrorKind::Bug,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            ErrorKind::Unavailable
        }
    }
}

/// An accepted connection, in the form tonic wants.
struct Connection<W>(Accepted<W>);

impl<W: Copy + Send + Sync + 'static> Connected for Connection<W> {
    type ConnectInfo = W;

    fn connect_info(&self) -> W {
        self.0.who()
    }
}

impl<W: Unpin> AsyncRead for Connection<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<W: Unpin> AsyncWrite for Connection<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
