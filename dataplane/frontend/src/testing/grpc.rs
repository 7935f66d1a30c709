//! Just enough gRPC to answer calls by name: messages in, messages and a status out.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::stream;
use gitstratum_identity::Listener;
use gitstratum_process::{TaskGroup, spawn};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// Compression flag and length in front of a message.
const PREFIX_BYTES: usize = 5;

/// What a call answers: messages, or a status code (gRPC's numbers).
pub(super) type Answer = Result<Vec<Vec<u8>>, Code>;

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub u8);

/// Answers calls.
pub(super) trait Calls: Send + Sync + 'static {
    /// The answer to `method` with `message`.
    fn call(&self, method: &str, message: Bytes) -> impl Future<Output = Answer> + Send;
}

/// Serves `calls` on `listener` until that ends.
pub(super) async fn serve<C: Calls>(mut listener: Listener, calls: Arc<C>) {
    let mut connections = TaskGroup::new("double");
    while let Some(stream) = listener.accept().await {
        let calls = Arc::clone(&calls);
        let service = service_fn(move |request| answer(Arc::clone(&calls), request));
        let serving = http2::Builder::new(Streams).serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, "double's connection ended");
            }
        });
    }
}

#[derive(Clone, Copy)]
struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        spawn("double's stream", future).detach();
    }
}

type Frames = StreamBody<stream::Iter<std::vec::IntoIter<io::Result<Frame<Bytes>>>>>;

async fn answer<C: Calls>(
    calls: Arc<C>,
    request: Request<Incoming>,
) -> Result<Response<Frames>, Infallible> {
    let path = request.uri().path().to_owned();
    let method = path.rsplit('/').next().unwrap_or_default();
    let mut message = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    message.advance(PREFIX_BYTES.min(message.len()));
    let answer = calls.call(method, message).await;
    let code = answer.as_ref().err().copied().unwrap_or(Code(0));
    let mut frames: Vec<_> = answer
        .unwrap_or_default()
        .iter()
        .map(|message| Ok(Frame::data(prefixed(message))))
        .collect();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(code.0)));
    frames.push(Ok(Frame::trailers(trailers)));
    let mut response = Response::new(StreamBody::new(stream::iter(frames)));
    let media_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, media_type);
    Ok(response)
}

fn prefixed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    out.freeze()
}
