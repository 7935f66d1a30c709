use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::ErrorKind;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::{Drain, Failing, Health, Metrics, Probe, TaskGroup};

/// Most connections at once; the next ones are closed.
const CONNECTIONS_MAX: usize = 128;
/// A request's head comes within this time, also the next one on a kept connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// No connection lives longer; scrapers connect again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// After an accept that failed (no descriptors left, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Why the port did not open.
#[derive(Debug, thiserror::Error)]
pub enum ProbeServerError {
    /// The address is taken, or not ours.
    #[error("listen on {address} for probes and metrics")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl ProbeServerError {
    /// Always [`ErrorKind::Unavailable`].
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

/// The port of probes and metrics: `/livez`, `/readyz`, `/startupz`, `/metrics` by
/// GET or HEAD, and nothing else.
#[derive(Debug)]
pub struct ProbeServer {
    listener: TcpListener,
    address: SocketAddr,
    pages: Pages,
}

impl ProbeServer {
    /// Opens the port.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        health: Health,
        metrics: Metrics,
    ) -> Result<Self, ProbeServerError> {
        let failed = |source| ProbeServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, pages: Pages { health, metrics } })
    }

    /// Where it listens; tells the port when 0 was asked for.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `drain` starts. Give it the last drain of the process: a process
    /// that is finishing its work still answers that it is alive and not ready.
    pub async fn run(self, drain: Drain) {
        let mut connections = TaskGroup::new("probe connection");
        loop {
            tokio::select! {
                biased;
                () = drain.started() => return,
                Some(_) = connections.next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                        connections.spawn(serve(stream, self.pages.clone()));
                    }
                    Ok((stream, _)) => drop(stream),
                    Err(_) => sleep(ACCEPT_RETRY).await,
                },
            }
        }
    }
}

async fn serve(stream: TcpStream, pages: Pages) {
    let answer = move |request: Request<Incoming>| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(pages.answer(request.method(), request.uri().path()).await) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "probe connection ended"),
        Err(_) => tracing::debug!("probe connection was open for too long"),
    }
}

type Page = Response<Full<Bytes>>;

#[derive(Clone, Debug)]
struct Pages {
    health: Health,
    metrics: Metrics,
}

impl Pages {
    async fn answer(&self, method: &Method, path: &str) -> Page {
        let probe = match path {
            "/livez" => Probe::Live,
            "/readyz" => Probe::Ready,
            "/startupz" => Probe::Startup,
            "/metrics" if is_read(method) => return self.metrics_page().await,
            "/metrics" => return method_refused(),
            _ => return page(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
        };
        if !is_read(method) {
            return method_refused();
        }
        probe_page(&self.health.failing(probe))
    }

    async fn metrics_page(&self) -> Page {
        let metrics = self.metrics.clone();
        match crate::blocking(move || metrics.render()).await {
            Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => {
                tracing::error!(%error, "metrics page failed");
                page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "metrics page failed\n".to_owned())
            }
        }
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn probe_page(failing: &[Failing]) -> Page {
    if failing.is_empty() {
        return page(StatusCode::OK, TEXT, "ok\n".to_owned());
    }
    let lines = failing.iter().map(|failing| format!("{}: {}\n", failing.check, failing.reason));
    page(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines.collect())
}

fn method_refused() -> Page {
    let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned());
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    refusal
}

fn page(status: StatusCode, content_type: HeaderValue, text: String) -> Page {
    let mut page = Response::new(Full::new(Bytes::from(text)));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, content_type);
    page
}

#[cfg(test)]
mod tests;
