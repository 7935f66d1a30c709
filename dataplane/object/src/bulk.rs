//! The bulk port (S50): HTTP/1.1 over authenticated connections. Reads are answered
//! with verified frames, writes after they are durable.

mod answer;
mod read;
mod whole;
mod write;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::grpc;
use gitstratum_core::ProcessRole;
use gitstratum_git::segment::Origin;
use gitstratum_identity::{Listener, Peer, PeerStream};
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_proto::bulk::{READ_PATH, SEGMENTS_PATH};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::admission::Admissions;
use crate::error::Error;
use crate::segments::Segments;
use answer::AnswerBody;

/// Longest wait for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// How long open calls may go on once the drain has started.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// What the bulk port serves from.
#[derive(Clone)]
pub(crate) struct Bulk {
    pub(crate) segments: Arc<Segments>,
    pub(crate) writes: Arc<Semaphore>,
    pub(crate) write_idle: Duration,
    /// Whole segments that are given out at once.
    pub(crate) transfers: Arc<Semaphore>,
    pub(crate) node: gitstratum_core::NodeId,
    pub(crate) admissions: Arc<Admissions>,
}

/// Serves until the drain starts, then finishes the open calls.
pub(crate) async fn serve(bulk: Bulk, mut listener: Listener, drain: Drain) {
    let mut connections = TaskGroup::new("bulk connections");
    while let Some(stream) = listener.accept().await {
        let (bulk, drain) = (bulk.clone(), drain.clone());
        connections.spawn(connection(bulk, stream, drain));
        // Finished connections are taken out as new ones come.
        while let Some(Some(_)) = futures::FutureExt::now_or_never(connections.next()) {}
    }
    connections.drain(DRAIN_WITHIN).await;
}

async fn connection(bulk: Bulk, stream: PeerStream, drain: Drain) {
    let peer = stream.who();
    let service = service_fn(move |request| {
        let bulk = bulk.clone();
        async move {
            let id = grpc::sent_request_id(request.headers());
            let operation = format!("{} {}", request.method(), request.uri().path());
            let answering = route(bulk, peer, request);
            let role = ProcessRole::Object;
            Ok::<_, Infallible>(grpc::as_part_of(id, (role, &operation), answering).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?peer, %error, "bulk connection ended");
    }
}

async fn route(bulk: Bulk, peer: Peer, request: Request<Incoming>) -> Response<AnswerBody> {
    let path = request.uri().path().to_owned();
    let answered = match (request.method(), path.strip_prefix(SEGMENTS_PATH)) {
        (&Method::POST, None) if path == READ_PATH => match may_read(peer) {
            true => read::answer(bulk, request).await,
            false => Err(Error::NotAllowed),
        },
        (&Method::GET, Some(id)) => match may_copy(peer) {
            true => whole::answer(bulk, id).await,
            false => Err(Error::NotAllowed),
        },
        (&Method::PUT, Some(id)) => match may_write(peer) {
            true => write::answer(bulk, peer, (id, request)).await,
            false => Err(Error::NotAllowed),
        },
        _ => Err(Error::NoSuchCall),
    };
    answered.unwrap_or_else(|error| answer::refusal(&error))
}

/// Frontends and metadata nodes read.
fn may_read(peer: Peer) -> bool {
    matches!(peer.role, ProcessRole::Frontend | ProcessRole::Metadata | ProcessRole::Object)
}

/// Object nodes copy from each other.
fn may_copy(peer: Peer) -> bool {
    peer.role == ProcessRole::Object
}

/// P-S9: a frontend writes segments of its pushes, an object node those of its runs; copies are
/// fetched by those who keep them.
fn may_write(peer: Peer) -> bool {
    matches!(peer.role, ProcessRole::Frontend | ProcessRole::Object)
}

/// Whether `peer` may have written a segment that says so of its origin.
fn may_have_made(peer: Peer, origin: Origin) -> bool {
    match origin {
        Origin::Push { .. } => peer.role == ProcessRole::Frontend,
        Origin::Claim(_) => peer.role == ProcessRole::Object,
    }
}
