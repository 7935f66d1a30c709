//! Wire → domain → wire: the only place with status codes.

mod administration;
mod audit_stream;
mod control;
mod enrolment;
mod fleet;
mod forward;
mod gate;
mod recovery;
mod stream;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::grpc;
use gitstratum_core::{ProcessRole, Token};
use gitstratum_identity::{Guests, Listener, Peer};
use gitstratum_process::{Drain, RequestId, request_span};
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::control::v1::administration_server::AdministrationServer;
use gitstratum_proto::control::v1::control_server::ControlServer;
use gitstratum_proto::control::v1::enrolment_server::EnrolmentServer;
use gitstratum_proto::control::v1::fleet_server::FleetServer;
use gitstratum_proto::control::v1::recovery_server::RecoveryServer;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::call::{Call, Freshness};
use crate::error::Error;
use crate::plane::Plane;
use forward::Forward;
pub(crate) use forward::Leaders;
use gate::Gate;

/// Largest request, bytes: a name list or a key, never data.
const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// Longest that a call may take; a command that is under way then may yet be carried out.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// Longest that a reader of a stream may leave a message lying; it has to come again then.
const SEND_DEADLINE: Duration = Duration::from_secs(30);
/// How a token is announced in the metadata.
const BEARER: &str = "Bearer ";
/// On a call that takes the answer of any voter, however old (GS-CP-24).
const STALE: &str = "gs-stale";
/// The calls on which that counts: how the cluster is, which has to be seen when a majority is
/// gone. For all others a voter that has not heard of a revocation decides nothing.
const STALE_CALLS: [&str; 2] = [
    "/gitstratum.control.v1.Control/GetClusterState",
    "/gitstratum.control.v1.Administration/GetHashRing",
];

/// One of the services, over the plane.
#[derive(Clone)]
pub(crate) struct Api {
    plane: Arc<Plane>,
    drain: Drain,
}

/// Serves nodes, and people who come the same way, until `drain` starts.
pub(crate) async fn serve_nodes(
    plane: Arc<Plane>,
    listener: Listener,
    leaders: Arc<Leaders>,
    drain: Drain,
) -> Result<(), Error> {
    let fleet = FleetServer::new(Api { plane: Arc::clone(&plane), drain: drain.clone() });
    let fleet = fleet.max_decoding_message_size(REQUEST_BYTES_MAX);
    let enrolment = enrolment(&plane, &leaders, &drain);
    let fleet = Gate::new(fleet, Arc::clone(&plane));
    let routes = people_routes(plane, leaders, drain.clone());
    let routes = routes.add_service(fleet).add_service(enrolment);
    let served = grpc::serve(listener, ProcessRole::Control, routes, drain).await;
    served.map_err(|source| Error::Serve { door: "nodes", source: source.into() })
}

/// Serves people on this machine until `drain` starts.
pub(crate) async fn serve_people(
    plane: Arc<Plane>,
    listener: UnixListener,
    leaders: Arc<Leaders>,
    drain: Drain,
) -> Result<(), Error> {
    let routes = people_routes(plane, leaders, drain.clone());
    let connections = UnixListenerStream::new(listener);
    let stopped = async move { drain.started().await };
    let server = tonic::transport::Server::builder().add_routes(routes);
    let served = server.serve_with_incoming_shutdown(connections, stopped).await;
    served.map_err(|source| Error::Serve { door: "people", source: source.into() })
}

/// Serves those who have no certificate yet, and nothing but enrolment, until `drain` starts.
pub(crate) async fn serve_guests(
    plane: Arc<Plane>,
    guests: Guests,
    leaders: Arc<Leaders>,
    drain: Drain,
) -> Result<(), Error> {
    let routes = Routes::new(enrolment(&plane, &leaders, &drain));
    let served = grpc::serve_guests(guests, ProcessRole::Control, routes, drain.clone()).await;
    drain.started().await;
    served.map_err(|source| Error::Serve { door: "guests", source: source.into() })
}

fn enrolment(
    plane: &Arc<Plane>,
    leaders: &Arc<Leaders>,
    drain: &Drain,
) -> Gate<Forward<EnrolmentServer<Api>>> {
    let api = Api { plane: Arc::clone(plane), drain: drain.clone() };
    let enrolment = EnrolmentServer::new(api).max_decoding_message_size(REQUEST_BYTES_MAX);
    let enrolment = Forward::new(enrolment, Arc::clone(plane), Arc::clone(leaders));
    Gate::new(enrolment, Arc::clone(plane))
}

fn people_routes(plane: Arc<Plane>, leaders: Arc<Leaders>, drain: Drain) -> Routes {
    let api = Api { plane: Arc::clone(&plane), drain };
    let control = ControlServer::new(api.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    let administration = AdministrationServer::new(api.clone());
    let administration = administration.max_decoding_message_size(REQUEST_BYTES_MAX);
    let recovery = RecoveryServer::new(api).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let control = Forward::new(control, Arc::clone(&plane), Arc::clone(&leaders));
    let administration = Forward::new(administration, Arc::clone(&plane), Arc::clone(&leaders));
    let recovery = Forward::new(recovery, Arc::clone(&plane), leaders);
    Routes::new(Gate::new(control, Arc::clone(&plane)))
        .add_service(Gate::new(administration, plane))
        .add_service(recovery)
}

impl Api {
    /// The call that `request` is.
    fn enter<T>(&self, request: &Request<T>) -> Call {
        let text = |name: &str| request.metadata().get(name).and_then(|text| text.to_str().ok());
        let bearer = text("authorization").and_then(|value| value.strip_prefix(BEARER));
        let is_stale = request.metadata().contains_key(STALE);
        let sent_id = grpc::sent_request_id(request.metadata().as_ref());
        Call {
            plane: Arc::clone(&self.plane),
            token: bearer.and_then(|text| Token::parse(text).ok()),
            request_id: sent_id.unwrap_or_else(|| RequestId::random(&*self.plane.entropy)),
            client_addr: client_addr(request),
            freshness: if is_stale { Freshness::Stale } else { Freshness::Linearizable },
        }
    }
}

fn client_addr<T>(request: &Request<T>) -> String {
    if let Some(peer) = request.extensions().get::<Peer>() {
        return format!("node {}", peer.node);
    }
    if let Some(guest) = request.extensions().get::<SocketAddr>() {
        return guest.ip().to_string();
    }
    request.remote_addr().map_or_else(|| "local".to_owned(), |addr| addr.ip().to_string())
}

/// Runs a call under its request id and span, writes its line, and gives its answer a code.
async fn answer<R>(
    operation: &'static str,
    request_id: RequestId,
    run: impl Future<Output = Result<R, Error>>,
) -> Result<Response<R>, Status> {
    let span = request_span(request_id, ProcessRole::Control, operation);
    let logged = async {
        let result = in_time(run).await;
        match &result {
            Ok(_) => tracing::info!(result = "ok", "control request"),
            Err(error) => tracing::info!(result = %error.kind(), %error, "control request"),
        }
        result
    };
    let result = request_id.scope(logged.instrument(span)).await;
    result.map(Response::new).map_err(|error| status(&error))
}

/// What `run` returns, unless the time is up before.
async fn in_time<R>(run: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
    let ended = tokio::time::timeout(CALL_DEADLINE, run).await;
    ended.unwrap_or(Err(Error::Deadline(CALL_DEADLINE)))
}

fn status(error: &Error) -> Status {
    if let Error::Refused(rejection) = error
        && rejection.unauthenticated
    {
        return Status::unauthenticated(rejection.to_string());
    }
    grpc::status(error.kind(), error)
}
