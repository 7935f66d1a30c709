use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt as _};
use gitstratum_client::grpc::{self, Channel};
use gitstratum_consensus::Role;
use gitstratum_core::NodeId;
use gitstratum_identity::{Dialer, Service as Port};
use http::{HeaderValue, Request, Response};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::{Service, ServiceExt as _};

use super::{STALE, STALE_CALLS};
use crate::plane::Plane;

/// On a call that another voter has passed on: it is not passed on again.
const FORWARDED: &str = "gs-forwarded";

/// Answers where the log is led, and passes calls on to there everywhere else: what people
/// and nodes are told rests on what only the leader knows. Who may do what is decided
/// there, by the token that the call carries.
#[derive(Clone)]
pub(super) struct Forward<S> {
    inner: S,
    plane: Arc<Plane>,
    leaders: Arc<Leaders>,
}

/// Channels to voters that lead or have led.
pub(crate) struct Leaders {
    dialer: Arc<dyn Dialer>,
    channels: Mutex<BTreeMap<NodeId, Channel>>,
}

impl Leaders {
    pub(crate) fn new(dialer: Arc<dyn Dialer>) -> Arc<Self> {
        Arc::new(Self { dialer, channels: Mutex::default() })
    }

    fn channel(&self, node: NodeId) -> Channel {
        let mut channels = self.channels.lock();
        let dialed = || grpc::channel(Arc::clone(&self.dialer), node, Port::Control);
        channels.entry(node).or_insert_with(dialed).clone()
    }
}

impl<S> Forward<S> {
    pub(super) fn new(inner: S, plane: Arc<Plane>, leaders: Arc<Leaders>) -> Self {
        Self { inner, plane, leaders }
    }

    /// Who has to answer, if it is not this voter.
    fn other_leader(&self) -> Option<NodeId> {
        let status = self.plane.group.status();
        let leader = status.leader.filter(|_| status.role != Role::Leader)?;
        (leader.node != self.plane.config.node).then_some(leader.node)
    }
}

impl<S: NamedService> NamedService for Forward<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        gitstratum_process::failpoint!("control.call.answer", return not_there());
        if request.headers().contains_key(STALE) {
            if STALE_CALLS.contains(&request.uri().path()) {
                return self.inner.call(request).boxed();
            }
            request.headers_mut().remove(STALE);
        }
        let Some(leader) = self.other_leader() else {
            return self.inner.call(request).boxed();
        };
        if request.headers_mut().insert(FORWARDED, HeaderValue::from_static("1")).is_some() {
            let status = Status::unavailable("the control plane is changing its leader");
            return std::future::ready(Ok(status.into_http())).boxed();
        }
        let channel = self.leaders.channel(leader);
        async move { Ok(pass_on(channel, leader, request).await) }.boxed()
    }
}

/// What a caller hears who reaches nothing.
fn not_there() -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    std::future::ready(Ok(Status::unavailable("the control plane is not there").into_http()))
        .boxed()
}

async fn pass_on(channel: Channel, leader: NodeId, request: Request<Body>) -> Response<Body> {
    match channel.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            let message = format!("the control plane's leader on node {leader}: {error}");
            Status::unavailable(message).into_http()
        }
    }
}
