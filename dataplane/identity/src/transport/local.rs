use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gitstratum_core::NodeId;
use gitstratum_process::Drain;
use parking_lot::Mutex;
use tokio::io::duplex;
use tokio::sync::mpsc;

use super::{ACCEPT_QUEUE_MAX, BoxStream, Dialer, Listener, Peer, PeerStream, Service};

/// Bytes on their way in one direction of a connection; a writer then waits.
const STREAM_BYTES_MAX: usize = 256 * 1024;

type Address = (NodeId, Service);
type Listening = BTreeMap<Address, mpsc::Sender<PeerStream>>;

/// The network of services that live in one process. It carries identities as they
/// are told: only that process has access.
#[derive(Clone, Debug, Default)]
pub struct LocalNetwork {
    listening: Arc<Mutex<Listening>>,
}

impl LocalNetwork {
    /// A network where nobody listens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts connections to `service` of `node`, at most `connections_max` at a
    /// time, until `drain` starts or the listener is dropped.
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there already.
    pub fn listen(
        &self,
        node: NodeId,
        service: Service,
        connections_max: usize,
        drain: Drain,
    ) -> io::Result<Listener> {
        let address = (node, service);
        let (sender, incoming) = mpsc::channel(ACCEPT_QUEUE_MAX);
        let mut listening = self.listening.lock();
        if listening.contains_key(&address) {
            return Err(failed(io::ErrorKind::AddrInUse, address));
        }
        listening.insert(address, sender);
        drop(listening);
        let registration = Registration { network: self.clone(), address };
        Ok(Listener::new(incoming, connections_max, drain, registration))
    }

    /// Opens connections as `identity`.
    pub fn dialer(&self, identity: Peer) -> Arc<dyn Dialer> {
        Arc::new(LocalDialer { network: self.clone(), identity })
    }
}

/// Ends the listening when dropped.
#[derive(Debug)]
struct Registration {
    network: LocalNetwork,
    address: Address,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.network.listening.lock().remove(&self.address);
    }
}

#[derive(Debug)]
struct LocalDialer {
    network: LocalNetwork,
    identity: Peer,
}

impl Dialer for LocalDialer {
    fn dial(&self, node: NodeId, service: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        let address = (node, service);
        let listener = self.network.listening.lock().get(&address).cloned();
        let identity = self.identity;
        async move {
            let refused = || failed(io::ErrorKind::ConnectionRefused, address);
            let listener = listener.ok_or_else(refused)?;
            let (near, far) = duplex(STREAM_BYTES_MAX);
            let connection = PeerStream::new(identity, Box::new(far));
            listener.send(connection).await.map_err(|_| refused())?;
            Ok(Box::new(near) as BoxStream)
        }
        .boxed()
    }
}

fn failed(kind: io::ErrorKind, (node, service): Address) -> io::Error {
    let what = match kind {
        io::ErrorKind::AddrInUse => "already listening for",
        _ => "nobody listens for",
    };
    io::Error::new(kind, format!("{what} {} of node {node}", service.as_str()))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use gitstratum_core::{ClusterId, ProcessRole};
    use gitstratum_process::spawn;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const NODE: NodeId = NodeId(1);

    fn frontend() -> Peer {
        Peer { cluster: ClusterId([7; 16]), role: ProcessRole::Frontend, node: NodeId(9) }
    }

    fn listen(network: &LocalNetwork, connections_max: usize) -> Listener {
        network.listen(NODE, Service::Bulk, connections_max, Drain::never()).unwrap()
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_the_listener_knows_who_dialled() {
        let network = LocalNetwork::new();
        let mut listener = listen(&network, 4);
        let mut near = network.dialer(frontend()).dial(NODE, Service::Bulk).await.unwrap();
        let mut far = listener.accept().await.unwrap();
        assert_eq!(far.who(), frontend());
        near.write_all(b"ping").await.unwrap();
        near.shutdown().await.unwrap();
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        far.write_all(b"pong").await.unwrap();
        drop(far);
        near.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"pingpong");
    }

    #[tokio::test]
    async fn a_service_that_nobody_listens_for_refuses() {
        let network = LocalNetwork::new();
        let dialer = network.dialer(frontend());
        let listener = listen(&network, 4);
        let kind = |result: io::Result<BoxStream>| result.err().map(|error| error.kind());
        let refused = Some(io::ErrorKind::ConnectionRefused);
        assert_eq!(kind(dialer.dial(NODE, Service::Object).await), refused);
        assert_eq!(kind(dialer.dial(NodeId(2), Service::Bulk).await), refused);
        assert_eq!(kind(dialer.dial(NODE, Service::Bulk).await), None);
        drop(listener);
        assert_eq!(kind(dialer.dial(NODE, Service::Bulk).await), refused);
    }

    #[tokio::test]
    async fn one_service_of_a_node_is_listened_for_once() {
        let network = LocalNetwork::new();
        let first = listen(&network, 4);
        let again = network.listen(NODE, Service::Bulk, 4, Drain::never());
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(listen(&network, 4));
    }

    #[tokio::test]
    async fn a_full_listener_accepts_again_when_a_connection_closes() {
        let network = LocalNetwork::new();
        let mut listener = listen(&network, 1);
        let dialer = network.dialer(frontend());
        let _near = dialer.dial(NODE, Service::Bulk).await.unwrap();
        let _other = dialer.dial(NODE, Service::Bulk).await.unwrap();
        let open = listener.accept().await.unwrap();
        assert!(listener.accept().now_or_never().is_none(), "one place, one connection");
        drop(open);
        assert!(listener.accept().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_drain_ends_the_stream_of_connections() {
        let network = LocalNetwork::new();
        let (trigger, drain) = Drain::new();
        let listener = network.listen(NODE, Service::Bulk, 4, drain).unwrap();
        let serving = spawn("serve", async move { listener.into_stream().count().await });
        let _near = network.dialer(frontend()).dial(NODE, Service::Bulk).await.unwrap();
        tokio::task::yield_now().await;
        trigger.start();
        assert_eq!(serving.await, Ok(1));
        let late = network.dialer(frontend()).dial(NODE, Service::Bulk).await;
        assert!(late.is_err(), "the listener went with its stream");
    }
}
