//! Git over HTTP ("smart HTTP"): three routes and nothing else.

mod answer;
mod body;
mod exchange;
mod gunzip;
mod route;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_identity::accept::Conn;
use gitstratum_process::spawn;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use super::guarded::Guarded;
use crate::frontend::Frontend;
use body::Body;

/// What a client over a connection limit is told.
pub(crate) const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

/// Longest wait for a request's head, also between two requests of a connection.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// Most bytes of a request's head; beyond, 431 (bad input 110).
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 32;
/// Resets that a client may pile up before its connection is closed (bad input 101).
const RESETS_MAX: usize = 20;
/// Flow-control window of an HTTP/2 stream, bytes; a connection has four of them.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of an HTTP/2 stream waiting to be sent.
const SEND_BYTES_MAX: usize = 256 * 1024;
/// How often an HTTP/2 peer is asked whether it is there, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_MAX: Duration = Duration::from_secs(20);

/// Serves one connection to its end, or until it is idle after its drain has started.
pub(crate) async fn serve(frontend: Arc<Frontend>, conn: Conn) {
    let Conn { io, client, alpn, drain, .. } = conn;
    let _counted = frontend.metrics.connection();
    let guarded = Guarded::new(io, CancellationToken::new(), frontend.config.idle);
    let io = TokioIo::new(guarded);
    let client = client.ip();
    let service = service_fn(move |request: Request<Incoming>| {
        let frontend = Arc::clone(&frontend);
        async move { Ok::<Response<Body>, Infallible>(exchange::run(frontend, client, request).await) }
    });
    let ended = if alpn.as_deref() == Some(b"h2") {
        let connection = http2_builder().serve_connection(io, service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = drain.started() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let connection = http1_builder().serve_connection(io, service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = drain.started() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%client, %error, "http connection ended");
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
}

fn http2_builder() -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_MAX);
    builder
}

/// Runs the streams of HTTP/2 connections, each of which ends with its connection.
#[derive(Clone, Copy, Debug)]
struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        spawn("http stream", future).detach();
    }
}

/// What ends a body that must not look complete.
fn broken(words: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, words)
}
