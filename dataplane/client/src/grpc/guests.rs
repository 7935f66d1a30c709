use std::time::Duration;

use futures::StreamExt as _;
use gitstratum_core::ProcessRole;
use gitstratum_identity::Guests;
use gitstratum_process::Drain;
use tonic::transport::Server;

use super::Connection;
use super::request::TakeRequestId;

/// How long a guest may stay, and how long it then has to hear an answer out.
const STAY_MAX: Duration = Duration::from_secs(30);
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// Calls of one guest at a time.
const CALLS_MAX: u32 = 4;

/// Serves `routes` of `role` to those who showed no certificate, until `drain` starts.
/// Their requests carry no [`gitstratum_identity::Peer`], only the address they come from.
///
/// # Errors
/// When the HTTP/2 server itself fails, which ends only this listener.
pub async fn serve_guests(
    guests: Guests,
    role: ProcessRole,
    routes: tonic::service::Routes,
    drain: Drain,
) -> Result<(), tonic::transport::Error> {
    let incoming = guests.into_stream().map(|accepted| accepted.map(Connection));
    Server::builder()
        .max_concurrent_streams(CALLS_MAX)
        .max_connection_age(STAY_MAX)
        .max_connection_age_grace(LEAVE_WITHIN)
        .layer(TakeRequestId { role })
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, async move { drain.started().await })
        .await
}
