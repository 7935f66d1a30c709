//! The agent of this node, on its Unix socket.

use std::path::PathBuf;
use std::time::Duration;

use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::agent::v1::agent_client::AgentClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// First and longest pause between two tries to reach the agent.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(20);
pub(crate) const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// Longest wait for an answer, or for a stream to begin.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// A client of the agent at `socket`, which may come and go; dialled when first asked.
pub(crate) fn connect(socket: PathBuf) -> AgentClient<Channel> {
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel =
        Endpoint::from_static("http://agent.internal").connect_with_connector_lazy(connector);
    AgentClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// What `call` returns, unless it takes too long.
pub(crate) async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded("the agent did not answer in time");
    tokio::time::timeout(CALL_DEADLINE, call).await.map_err(late)?
}
