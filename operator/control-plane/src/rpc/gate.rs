use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt as _};
use gitstratum_client::grpc;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic::server::NamedService;
use tower::Service;

use crate::error::Error;
use crate::plane::Plane;

/// Lets calls in, unless the control plane has lost its state: then every one is told so,
/// and nobody takes an empty directory for the directory (S45).
#[derive(Clone)]
pub(super) struct Gate<S> {
    inner: S,
    plane: Arc<Plane>,
}

impl<S> Gate<S> {
    pub(super) const fn new(inner: S, plane: Arc<Plane>) -> Self {
        Self { inner, plane }
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.plane.loss.lost() {
            Some(cluster) => {
                let lost = status(&Error::Lost(cluster)).into_http();
                std::future::ready(Ok(lost)).boxed()
            }
            None => self.inner.call(request).boxed(),
        }
    }
}

fn status(error: &Error) -> Status {
    let mut status = grpc::status(error.kind(), error);
    let condition = MetadataValue::from_static(grpc::CONTROL_PLANE_LOST);
    status.metadata_mut().insert(grpc::CONDITION, condition);
    status
}
