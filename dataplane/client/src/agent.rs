//! The agent of this node.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use gitstratum_identity::BoxStream;
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::agent::v1::agent_client::AgentClient;
use hyper_util::rt::TokioIo;
use tokio::io::{DuplexStream, duplex};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// First and longest pause between two tries to reach the agent.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(20);
pub(crate) const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// Longest wait for an answer, or for a stream to begin.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// Bytes on their way in one direction of a connection inside the process.
const PIPE_BYTES_MAX: usize = 256 * 1024;

/// Where the agent of this node is found.
#[derive(Clone, Debug)]
pub enum Door {
    /// A Unix socket.
    Socket(PathBuf),
    /// A queue of connections: agent and asker are one process.
    Inside(mpsc::Sender<DuplexStream>),
}

impl Door {
    async fn dial(self) -> io::Result<BoxStream> {
        match self {
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Inside(queue) => {
                let (near, far) = duplex(PIPE_BYTES_MAX);
                let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
                queue.send(far).await.map_err(gone)?;
                Ok(Box::new(near))
            }
        }
    }
}

/// A client of the agent behind `door`, which may come and go; dialled when first asked.
pub(crate) fn connect(door: Door) -> AgentClient<Channel> {
    let connector = tower::service_fn(move |_: Uri| {
        let dialled = door.clone().dial();
        async move { dialled.await.map(TokioIo::new) }
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
