//! The request id on calls between nodes: sent with each that a request causes, found again
//! by whoever serves it, so that one id names a request in the log lines of all roles.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gitstratum_core::ProcessRole;
use gitstratum_process::{RequestId, is_in_line, request_span};
use http::{HeaderMap, HeaderValue};
use tonic::Status;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tracing::Instrument as _;

/// Sends the id of the request that a call belongs to, if it belongs to one.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendRequestId;

impl Interceptor for SendRequestId {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        if let Some(id) = RequestId::current()
            && let Ok(value) = MetadataValue::try_from(id.to_string())
        {
            request.metadata_mut().insert(RequestId::HEADER, value);
        }
        Ok(request)
    }
}

/// The id that a call came with.
pub fn sent_request_id(headers: &HeaderMap) -> Option<RequestId> {
    RequestId::parse(headers.get(RequestId::HEADER)?.to_str().ok()?)
}

/// Runs `work`, which `role` does for call `operation`, as part of the request that caused
/// it, with one line at debug level when it is done.
pub async fn as_part_of<T>(
    request: Option<RequestId>,
    (role, operation): (ProcessRole, &str),
    work: impl Future<Output = T>,
) -> T {
    let Some(id) = request else { return work.await };
    let told = async {
        let answer = work.await;
        tracing::debug!("call answered");
        answer
    };
    id.scope(told.instrument(request_span(id, role, operation))).await
}

/// Serves each call as part of the request that caused it.
#[derive(Clone, Copy, Debug)]
pub struct TakeRequestId {
    /// Who serves.
    pub role: ProcessRole,
}

impl<S> tower::Layer<S> for TakeRequestId {
    type Service = Taking<S>;

    fn layer(&self, inner: S) -> Taking<S> {
        Taking { role: self.role, inner }
    }
}

/// A service that [`TakeRequestId`] is round.
#[derive(Clone, Copy, Debug)]
pub struct Taking<S> {
    role: ProcessRole,
    inner: S,
}

impl<S, B, R> tower::Service<http::Request<B>> for Taking<S>
where
    S: tower::Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let id = sent_request_id(request.headers());
        let (role, operation) = (self.role, request.uri().path().to_owned());
        let work = self.inner.call(request);
        Box::pin(async move {
            let answered = as_part_of(id, (role, &operation), work).await;
            answered.map(|response| if is_in_line() { undated(response) } else { response })
        })
    }
}

/// An answer to which no time is added: where a simulation owns the clock, hyper must not read
/// the machine's.
fn undated<R>(mut response: http::Response<R>) -> http::Response<R> {
    const NEVER: HeaderValue = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
    response.headers_mut().insert(http::header::DATE, NEVER);
    response
}
