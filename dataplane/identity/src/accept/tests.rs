use std::net::Ipv4Addr;

use gitstratum_core::{ManualClock, NodeId, ProcessRole};
use gitstratum_process::{DrainTrigger, Task, spawn};
use tokio::sync::mpsc;

use super::*;
use crate::testing::{Cluster, NOW};

/// Longest wait for what must happen.
const SOON: Duration = Duration::from_secs(20);

fn config() -> AcceptConfig {
    AcceptConfig { name: "test", close_after: Duration::ZERO, ..AcceptConfig::default() }
}

struct Fixture {
    address: SocketAddr,
    metrics: Metrics,
    /// Connections handed to the handler.
    arrived: mpsc::Receiver<Seen>,
    trigger: DrainTrigger,
    running: Task<usize>,
}

/// What the handler saw of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    client: SocketAddr,
    peer: Option<Peer>,
}

async fn start(transport: Transport, config: AcceptConfig) -> Fixture {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let metrics = Metrics::new();
    let server = Server::new(listener, transport, config, &metrics);
    let address = server.local_addr().unwrap();
    let (sender, arrived) = mpsc::channel(64);
    let (trigger, drain) = Drain::new();
    let handler = move |mut conn: Conn| {
        let sender = sender.clone();
        async move {
            sender.send(Seen { client: conn.client, peer: conn.peer }).await.unwrap();
            let mut byte = [0];
            // Answers `?`; on `d` waits for the drain; else goes on until its client goes.
            while let Ok(1) = conn.io.read(&mut byte).await {
                if byte == *b"?" {
                    conn.io.write_all(b"!").await.unwrap();
                }
                if byte == *b"d" {
                    conn.drain.started().await;
                    return;
                }
            }
        }
    };
    let running = spawn("server", server.run(handler, drain));
    Fixture { address, metrics, arrived, trigger, running }
}

impl Fixture {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn arrival(&mut self) -> Seen {
        timeout(SOON, self.arrived.recv()).await.unwrap().unwrap()
    }

    fn counted(&self, result: &str) -> bool {
        let line = format!("{{server=\"test\",result=\"{result}\"}} 1\n");
        self.metrics.render().contains(&line)
    }
}

async fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    // A reset is an end too.
    match timeout(SOON, stream.read_to_end(&mut heard)).await {
        Ok(_end) => heard,
        Err(_) => panic!("the connection is still open"),
    }
}

#[tokio::test]
async fn the_handler_gets_the_connection_and_its_client() {
    let mut fixture = start(Transport::Plain, config()).await;
    let mut stream = fixture.connect().await;
    let seen = fixture.arrival().await;
    assert_eq!(seen, Seen { client: stream.local_addr().unwrap(), peer: None });
    stream.write_all(b"?").await.unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"!");
    assert!(fixture.counted("admitted"));
}

#[tokio::test]
async fn p_l4_clients_over_the_limit_are_told_and_a_place_is_used_again() {
    let limits = AcceptConfig { connections_max: 1, refusal: b"busy\n", ..config() };
    let mut fixture = start(Transport::Plain, limits).await;
    let first = fixture.connect().await;
    fixture.arrival().await;
    let mut refused = fixture.connect().await;
    refused.write_all(b"a request that nobody reads").await.unwrap();
    refused.shutdown().await.unwrap();
    assert_eq!(read_all(refused).await, b"busy\n");
    assert!(fixture.counted("over_limit"));
    drop(first);
    let again = async {
        loop {
            let mut next = fixture.connect().await;
            next.write_all(b"?").await.unwrap();
            let mut answer = [0];
            match next.read_exact(&mut answer).await {
                Ok(_) if answer == *b"!" => return,
                _ => {}
            }
        }
    };
    timeout(SOON, again).await.unwrap();
}

#[tokio::test]
async fn one_client_cannot_take_every_place() {
    let limits = AcceptConfig { per_client_max: 1, ..config() };
    let mut fixture = start(Transport::Plain, limits).await;
    let _first = fixture.connect().await;
    fixture.arrival().await;
    let refused = fixture.connect().await;
    assert_eq!(read_all(refused).await, b"");
    assert!(fixture.counted("over_client_limit"));
}

fn internal(cluster: &Cluster) -> Transport {
    let tls = cluster.tls(ProcessRole::Object, NodeId(2), ManualClock::new(NOW));
    Transport::Tls(tls.server(&[ProcessRole::Metadata]).unwrap())
}

#[tokio::test]
async fn p_s9_an_internal_port_hands_out_proved_peers() {
    let cluster = Cluster::new(0xc1);
    let mut fixture = start(internal(&cluster), config()).await;
    let dialler = cluster.tls(ProcessRole::Metadata, NodeId(1), ManualClock::new(NOW));
    let client = dialler.client(cluster.peer(ProcessRole::Object, NodeId(2))).unwrap();
    let _stream = client.connect(fixture.connect().await).await.unwrap();
    let seen = fixture.arrival().await;
    assert_eq!(seen.peer, Some(cluster.peer(ProcessRole::Metadata, NodeId(1))));
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let limits = AcceptConfig { handshake_timeout: Duration::from_millis(50), ..config() };
    let fixture = start(internal(&Cluster::new(0xc1)), limits).await;
    let mut slow = fixture.connect().await;
    slow.write_all(b"\x16\x03\x01").await.unwrap();
    read_all(slow).await;
    assert!(fixture.counted("handshake_timeout"));
}

#[tokio::test]
async fn bad_input_011_plain_text_on_a_tls_port_is_cut_at_once() {
    let fixture = start(internal(&Cluster::new(0xc1)), config()).await;
    for banner in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n"] {
        let mut stream = fixture.connect().await;
        stream.write_all(banner).await.unwrap();
        assert!(timeout(Duration::from_secs(1), read_all(stream)).await.is_ok());
    }
    let count = "{server=\"test\",result=\"handshake_failed\"} 2\n";
    assert!(fixture.metrics.render().contains(count));
}

/// The order of design §9: accept on for a while, close the port, then tell handlers.
#[tokio::test]
async fn a_drain_accepts_on_then_closes_the_port_then_ends_handlers() {
    let limits = AcceptConfig { close_after: Duration::from_secs(1), ..config() };
    let mut fixture = start(Transport::Plain, limits).await;
    let mut early = fixture.connect().await;
    fixture.arrival().await;
    fixture.trigger.start();
    let late = fixture.connect().await;
    fixture.arrival().await;
    drop(late);
    early.write_all(b"?").await.unwrap();
    early.read_exact(&mut [0]).await.unwrap();
    early.write_all(b"d").await.unwrap();
    assert_eq!(read_all(early).await, b"", "ends once told");
    assert!(TcpStream::connect(fixture.address).await.is_err(), "told after the port closed");
    assert_eq!(fixture.running.await, Ok(0));
}

#[tokio::test]
async fn handlers_that_outlive_the_deadline_are_cut_and_counted() {
    let limits = AcceptConfig { drain_within: Duration::from_millis(50), ..config() };
    let mut fixture = start(Transport::Plain, limits).await;
    let stubborn = fixture.connect().await;
    fixture.arrival().await;
    fixture.trigger.start();
    assert_eq!(fixture.running.await, Ok(1));
    assert_eq!(read_all(stubborn).await, b"");
}
