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
    assert_eq!(far.who(), cluster.peer(ProcessRole::Frontend, NodeId(9)));
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
    assert_eq!(listener.accept().await.unwrap().who().role, ProcessRole::Frontend);
}

#[tokio::test]
async fn bad_input_160_an_address_where_another_node_answers_is_refused() {
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

/// A control port, the cluster's authority in `ca.crt`, and both ways in.
async fn open_port(cluster: &Cluster) -> (Listener, Guests, SocketAddr) {
    let tls = cluster.tls(ProcessRole::Control, OBJECT, ManualClock::new(NOW));
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = port.local_addr().unwrap();
    let admitted = Admitted { roles: &[ProcessRole::Agent], connections_max: 4 };
    let (service, metrics) = (Service::Control, Metrics::new());
    let opened = listen_open_tcp(port, service, &tls, admitted, &metrics, Drain::never());
    let (nodes, guests) = opened.unwrap();
    (nodes, guests, address)
}

async fn visit(cluster: &Cluster, address: SocketAddr) -> io::Result<impl tokio::io::AsyncRead> {
    let tls = crate::GuestTls::new(&cluster.authority_file(), ManualClock::new(NOW)).unwrap();
    tls.client().connect(TcpStream::connect(address).await.unwrap()).await
}

#[tokio::test]
async fn p_s9_who_has_no_certificate_is_a_guest_and_never_a_node() {
    let cluster = Cluster::new(0xc1);
    let (mut nodes, mut guests, address) = open_port(&cluster).await;
    let _near = visit(&cluster, address).await.unwrap();
    let guest = guests.accept().await.unwrap();
    assert!(guest.who().ip().is_loopback());
    let book = Book([((OBJECT, Service::Control), address)].into());
    let agent = dialer(&cluster, ProcessRole::Agent, Arc::new(book));
    let _node = agent.dial(OBJECT, Service::Control).await.unwrap();
    assert_eq!(nodes.accept().await.unwrap().who().role, ProcessRole::Agent);
}

#[tokio::test]
async fn p_s9_a_guest_believes_only_a_control_plane_of_its_authority() {
    let cluster = Cluster::new(0xc1);
    let (_nodes, _guests, address) = open_port(&cluster).await;
    // The same id under another key, as one who listens in between would have.
    assert!(visit(&Cluster::new(0xc1), address).await.is_err());
    let (listener, book) = listen(&cluster, Drain::never()).await;
    let bulk = book.address(OBJECT, Service::Bulk).unwrap();
    let error = visit(&cluster, bulk).await.err().unwrap().to_string();
    assert!(error.contains("not expected here"), "{error}");
    drop(listener);
}

#[tokio::test]
async fn bad_input_161_guests_are_bounded_and_leave_the_nodes_room() {
    let cluster = Cluster::new(0xc1);
    let (mut nodes, mut guests, address) = open_port(&cluster).await;
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for _ in 0..GUESTS_MAX + 8 {
        near.extend(visit(&cluster, address).await.ok());
        let soon = timeout(Duration::from_millis(200), guests.accept()).await;
        far.extend(soon.ok().flatten());
    }
    assert_eq!(far.len(), GUESTS_MAX, "as many as are served at a time");
    far.pop();
    let next = timeout(Duration::from_secs(5), guests.accept()).await.unwrap();
    assert!(next.is_some(), "one left, one that waited comes in");
    let book = Book([((OBJECT, Service::Control), address)].into());
    let agent = dialer(&cluster, ProcessRole::Agent, Arc::new(book));
    let _node = agent.dial(OBJECT, Service::Control).await.unwrap();
    assert_eq!(nodes.accept().await.unwrap().who().role, ProcessRole::Agent);
}
