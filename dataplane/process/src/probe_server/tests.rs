use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::{DrainTrigger, Task, spawn};

struct Fixture {
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
    trigger: DrainTrigger,
    running: Task<()>,
}

async fn start() -> Fixture {
    let (health, metrics) = (Health::new(), Metrics::new());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = ProbeServer::bind(any, health.clone(), metrics.clone()).await.unwrap();
    let (trigger, drain) = Drain::new();
    let address = server.local_addr();
    let running = spawn("server", server.run(drain));
    Fixture { address, health, metrics, trigger, running }
}

/// Status and body of the one answer to `head`.
async fn ask(address: SocketAddr, head: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].to_owned(), body.to_owned())
}

fn answer(status: &str, body: &str) -> (String, String) {
    (status.to_owned(), body.to_owned())
}

#[tokio::test]
async fn gf_11_probes_list_the_checks_that_fail() {
    let fixture = start().await;
    let flag = fixture.health.flag(Probe::Ready, "raft");
    assert_eq!(ask(fixture.address, "GET /livez").await, answer("200", "ok\n"));
    assert_eq!(ask(fixture.address, "GET /readyz").await, answer("503", "raft: starting\n"));
    assert_eq!(ask(fixture.address, "HEAD /readyz").await, answer("503", ""));
    flag.pass();
    assert_eq!(ask(fixture.address, "GET /readyz?verbose").await, answer("200", "ok\n"));
    assert_eq!(ask(fixture.address, "GET /startupz").await, answer("200", "ok\n"));
}

#[tokio::test]
async fn gf_12_metrics_are_on_the_page() {
    let fixture = start().await;
    fixture.metrics.counter("calls_total", "Calls.").add(41);
    let (status, body) = ask(fixture.address, "GET /metrics").await;
    assert_eq!(status, "200");
    assert!(body.contains("\ncalls_total 41\n"), "{body}");
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn nothing_else_is_served_on_the_probe_port() {
    let fixture = start().await;
    for head in ["GET /", "GET /livez/", "POST /other", "GET /..%2flivez"] {
        assert_eq!(ask(fixture.address, head).await.0, "404", "{head}");
    }
    for head in ["POST /metrics", "DELETE /readyz", "TRACE /livez"] {
        assert_eq!(ask(fixture.address, head).await.0, "405", "{head}");
    }
}

#[tokio::test]
async fn bad_input_110_a_huge_head_is_refused() {
    let fixture = start().await;
    let head = format!("GET /livez HTTP/1.1\r\nx: {}\r\n", "y".repeat(HEAD_BYTES_MAX));
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(status.escape_ascii().to_string(), "HTTP/1.1 431");
}

#[tokio::test]
async fn bad_input_011_other_protocols_are_cut() {
    let fixture = start().await;
    for banner in [&b"SSH-2.0-x\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(banner).await.unwrap();
        let mut rest = Vec::new();
        let read = timeout(Duration::from_secs(1), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "still open after {}", banner.escape_ascii());
    }
}

#[tokio::test]
async fn the_port_closes_with_its_drain_and_a_taken_one_is_named() {
    let fixture = start().await;
    let again = ProbeServer::bind(fixture.address, Health::new(), Metrics::new()).await;
    let error = again.unwrap_err().to_string();
    assert!(error.contains(&fixture.address.to_string()), "{error}");
    fixture.trigger.start();
    assert_eq!(fixture.running.await, Ok(()));
    assert!(TcpStream::connect(fixture.address).await.is_err());
}
