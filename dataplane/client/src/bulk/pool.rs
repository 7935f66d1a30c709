use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gitstratum_core::NodeId;
use gitstratum_identity::{Dialer, Service};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Error;

/// Most idle connections kept to one node.
const IDLE_PER_NODE_MAX: usize = 16;
/// Longest that one is kept: half of what the other side waits for a request's head before it
/// closes, so that a request never meets that closing.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// Most calls under way to one node.
const CALLS_PER_NODE_MAX: usize = 256;
/// Longest wait for a place among them.
const PLACE_DEADLINE: Duration = Duration::from_secs(1);
/// Longest silence inside an answer.
const IDLE_DEADLINE: Duration = Duration::from_secs(30);

/// The body of a request.
#[derive(Debug)]
pub(super) struct RequestBody(UnsyncBoxBody<Bytes, Infallible>);

impl RequestBody {
    pub(super) fn new(
        body: impl hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
    ) -> Self {
        Self(body.boxed_unsync())
    }
}

type Sender = SendRequest<UnsyncBoxBody<Bytes, Infallible>>;

/// Connections to every node's bulk port.
pub(super) struct Pool {
    dialer: Arc<dyn Dialer>,
    nodes: Mutex<BTreeMap<NodeId, Arc<NodePool>>>,
}

/// A connection without a call.
struct Idle {
    sender: Sender,
    since: Instant,
}

struct NodePool {
    node: NodeId,
    idle: Mutex<Vec<Idle>>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(dialer: Arc<dyn Dialer>) -> Self {
        Self { dialer, nodes: Mutex::new(BTreeMap::new()) }
    }

    /// Sends one request and returns its answer's head; the body is read from the answer.
    pub(super) async fn send(
        &self,
        node: NodeId,
        request: hyper::Request<RequestBody>,
    ) -> Result<Answer, Error> {
        let pool = self.node(node);
        let place = tokio::time::timeout(PLACE_DEADLINE, Arc::clone(&pool.places).acquire_owned());
        let place = place.await.map_err(|_| Error::Busy { node })?;
        let place = place.expect("because the semaphore is never closed");
        let mut request = request.map(|body| body.0);
        let (sender, answer) = loop {
            let idle = pool.take_idle();
            let was_idle = idle.is_some();
            let mut sender = match idle {
                Some(sender) => sender,
                None => self.connect(node).await?,
            };
            match sender.try_send_request(request).await {
                Ok(answer) => break (sender, answer),
                // It closed before anything was sent: there are at most as many of these as
                // idle ones, and the last one is new.
                Err(mut error) if was_idle && error.message().is_some() => {
                    request = error.take_message().expect("because it was just looked at");
                }
                Err(error) => {
                    // The others were made to the same process: it may be gone.
                    pool.idle.lock().clear();
                    return Err(Error::broken(node, error.into_error()));
                }
            }
        };
        let (head, body) = answer.into_parts();
        Ok(Answer { node, head, body, sender: Some(sender), pool, _place: place })
    }

    fn node(&self, node: NodeId) -> Arc<NodePool> {
        let mut nodes = self.nodes.lock();
        Arc::clone(nodes.entry(node).or_insert_with(|| {
            let places = Arc::new(Semaphore::new(CALLS_PER_NODE_MAX));
            Arc::new(NodePool { node, idle: Mutex::new(Vec::new()), places })
        }))
    }

    async fn connect(&self, node: NodeId) -> Result<Sender, Error> {
        let io = self.dialer.dial(node, Service::Bulk).await;
        let io = io.map_err(|source| Error::Connect { node, source })?;
        let made = handshake(TokioIo::new(io)).await;
        let (sender, connection) = made.map_err(|source| Error::broken(node, source))?;
        gitstratum_process::spawn("bulk connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%node, %error, "bulk connection ended");
            }
        })
        .detach();
        Ok(sender)
    }
}

impl NodePool {
    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock();
        while let Some(Idle { sender, since }) = idle.pop() {
            if sender.is_ready() && since.elapsed() < IDLE_MAX {
                return Some(sender);
            }
        }
        None
    }

    fn give_back(&self, sender: Sender) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_PER_NODE_MAX && !sender.is_closed() {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }
}

impl fmt::Debug for NodePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodePool").field("node", &self.node).finish_non_exhaustive()
    }
}

/// An answer whose body is still to be read. Read to its end it gives its connection
/// back; dropped before, the connection closes and the other side stops.
#[derive(Debug)]
pub(super) struct Answer {
    node: NodeId,
    head: http::response::Parts,
    body: Incoming,
    sender: Option<Sender>,
    pool: Arc<NodePool>,
    _place: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn status(&self) -> http::StatusCode {
        self.head.status
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.head.headers.get(name)?.to_str().ok().map(str::to_owned)
    }

    /// The next bytes of the body; `None` at its end.
    pub(super) async fn next_data(&mut self) -> Result<Option<Bytes>, Error> {
        let node = self.node;
        loop {
            let frame = tokio::time::timeout(IDLE_DEADLINE, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| Error::Deadline { node })? else {
                if let Some(sender) = self.sender.take() {
                    self.pool.give_back(sender);
                }
                return Ok(None);
            };
            let frame = frame.map_err(|source| Error::broken(node, source))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// The whole body, for small answers, within `deadline`.
    pub(super) async fn collect_body(mut self, deadline: Duration) -> Result<Bytes, Error> {
        let node = self.node;
        let gathered = tokio::time::timeout(deadline, async {
            let mut whole = BytesMut::new();
            while let Some(data) = self.next_data().await? {
                whole.extend_from_slice(&data);
            }
            Ok(whole.freeze())
        });
        gathered.await.map_err(|_| Error::Deadline { node })?
    }
}
