use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gitstratum_core::ManualClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;
use crate::testing::{Cluster, NOW};

const OBJECT: NodeId = NodeId(2);

struct Book(BTreeMap<(NodeId, Service), SocketAddr>);

impl AddressBook for Book {
    fn address(&self, node: NodeId, service: Service) -> Option<SocketAddr> {
        self.0.get(&(node, service)).copied()
    }
}

/// A bulk port of the object node, and its entry in the book.
async fn listen(cluster: &Cluster, drain: Drain) -> (Listener, Arc<Book>) {
    let tls = cluster.tls(ProcessRole::Object, OBJECT, ManualClock::new(NOW));
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = port.local_addr().unwrap();
    let admitted = Admitted { roles: &[ProcessRole::Frontend], connections_max: 4 };
    let listener = listen_tcp(port, Service::Bulk, &tls, admitted, &Metrics::new(), drain);
    let wrong_node = ((NodeId(3), Service::Bulk), address);
    let book = [((OBJECT, Service::Bulk), address), wrong_node];
    (listener.unwrap(), Arc::new(Book(book.into_iter().collect())))
}

fn dialer(cluster: &Cluster, role: ProcessRole, book: Arc<Book>) -> TcpDialer {
    let tls = cluster.tls(role, NodeId(9), ManualClock::new(NOW));
    TcpDialer::new(Arc::new(tls), book)
}

#[tokio::test]
async fn p_s9_nodes_talk_over_tcp_and_know_each_other() {
    let cluster = Cluster::new(0xc1);
    let (mut listener, book) = listen(&cluster, Drain::never()).await;
    let dialer = dialer(&cluster, ProcessRole::Frontend, book);
    let mut near = dialer.dial(OBJECT, Service::Bulk).await.unwrap();
    near.write_all(b"ping").await.unwrap();
    let mut far = listener.accept().await.unwrap();
    assert_eq!(far.peer(), cluster.peer(ProcessRole::Frontend, NodeId(9)));
    let mut heard = [0; 4];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
}

#[tokio::test]
async fn p_s9_a_role_that_may_not_use_the_port_never_arrives() {
    let cluster = Cluster::new(0xc1);
    let (mut listener, book) = listen(&cluster, Drain::never()).await;
    let wrong = dialer(&cluster, ProcessRole::Agent, Arc::clone(&book));
    if let Ok(mut stream) = wrong.dial(OBJECT, Service::Bulk).await {
        let mut end = Vec::new();
        assert!(stream.read_to_end(&mut end).await.is_err(), "refused with an alert");
    }
    let right = dialer(&cluster, ProcessRole::Frontend, book);
    let _near = right.dial(OBJECT, Service::Bulk).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().peer().role, ProcessRole::Frontend);
}

#[tokio::test]
async fn p_s9_an_address_where_another_node_answers_is_refused() {
    let cluster = Cluster::new(0xc1);
    let (_listener, book) = listen(&cluster, Drain::never()).await;
    let dialer = dialer(&cluster, ProcessRole::Frontend, book);
    let error = dialer.dial(NodeId(3), Service::Bulk).await.err().unwrap();
    assert!(error.to_string().contains("not expected here"), "{error}");
    let unknown = dialer.dial(NodeId(4), Service::Bulk).await.err().unwrap();
    assert_eq!(unknown.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_dropped_listener_closes_its_port() {
    let cluster = Cluster::new(0xc1);
    let (listener, book) = listen(&cluster, Drain::never()).await;
    let address = book.address(OBJECT, Service::Bulk).unwrap();
    drop(listener);
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(Duration::from_secs(20), closed).await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_the_listener() {
    let (trigger, drain) = Drain::new();
    let (mut listener, _book) = listen(&Cluster::new(0xc1), drain).await;
    trigger.start();
    assert!(listener.accept().await.is_none());
}
