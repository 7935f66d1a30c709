//! Start, standing with partitions, counters, and the end.

use std::time::Duration;

use gitstratum_core::SystemClock;
use gitstratum_frontend::testing::World;
use gitstratum_frontend::{Config, Service, ServiceError};
use gitstratum_process::Probe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::{call, get, login, packets};
use crate::{until, within};

const TARGET: &str = "/ann/x/info/refs?service=git-upload-pack";

#[tokio::test]
async fn s10_sessions_are_opened_renewed_in_one_call_and_closed() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    until(|| world.metadata.renewals().len() >= 2).await;
    assert_eq!(world.metadata.sessions(), 4, "one with each partition");
    for renewal in world.metadata.renewals() {
        assert_eq!(renewal.renewals.len(), 4, "one call to a leader carries all it leads");
        assert!(renewal.renewals.iter().all(|each| each.floor == 1 && each.least_version > 0));
    }
    running.stop().await;
    assert_eq!(world.metadata.sessions(), 0);
}

#[tokio::test]
async fn s10_a_session_that_the_partition_closed_is_opened_anew() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    until(|| world.metadata.sessions() == 4).await;
    world.metadata.close_sessions();
    let heard = world.metadata.renewals().len();
    until(|| world.metadata.renewals().len() > heard).await;
    let body = packets(&["command=fetch", "object-format=sha1", "|", &want(), "done", ""]);
    let headers = [&login(&token), "Git-Protocol: version=2"];
    within(async {
        while world.metadata.sessions() == 0 {
            call(running.http(), "/ann/x", "git-upload-pack", &headers, &body).await;
        }
    })
    .await;
    assert_eq!(world.metadata.calls("OpenSession"), 5, "one more than at the start");
    running.stop().await;
}

fn want() -> String {
    format!("want {}", "1".repeat(40))
}

#[tokio::test]
async fn gs_mx_01_to_04_requests_hits_and_connections_are_counted() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let list = packets(&["command=ls-refs\n", "object-format=sha1", "|", ""]);
    let headers = [&login(&token), "Git-Protocol: version=2"];
    for _ in 0..2 {
        call(running.http(), "/ann/x", "git-upload-pack", &headers, &list).await;
    }
    get(running.http(), TARGET, &[&login(&token), "Git-Protocol: version=2"]).await;
    get(running.http(), TARGET, &[]).await;
    get(running.http(), "/", &[]).await;
    let page = world.metrics.render();
    for line in [
        "gitstratum_frontend_requests_total{operation=\"ls_refs\",result=\"ok\"} 2",
        "gitstratum_frontend_requests_total{operation=\"advertise\",result=\"ok\"} 1",
        "gitstratum_frontend_requests_total{operation=\"advertise\",result=\"not_found\"} 1",
        "gitstratum_frontend_requests_total{operation=\"refuse\",result=\"invalid\"} 1",
        "gitstratum_frontend_request_duration_seconds_count{operation=\"ls_refs\"} 2",
        "gitstratum_frontend_cache_hits_total{cache=\"refs\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} not in\n{page}");
    }
    let _open = TcpStream::connect(running.http()).await.unwrap();
    let _other = TcpStream::connect(running.ssh()).await.unwrap();
    until(|| world.metrics.render().contains("gitstratum_frontend_active_connections 2\n")).await;
    running.stop().await;
}

#[tokio::test]
async fn gs_op_41_a_drain_lets_requests_finish_and_idle_connections_go() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let id = "1".repeat(40);
    world.metadata.change(1, |repo| repo.set("refs/heads/main", &id, ""));
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let mut idle = TcpStream::connect(running.http()).await.unwrap();
    world.metadata.hold();
    let list = packets(&["command=ls-refs\n", "object-format=sha1", "|", ""]);
    let address = running.http();
    let headers = [login(&token), "Git-Protocol: version=2".to_owned()];
    let headers = [headers[0].as_str(), headers[1].as_str()];
    let asking = call(address, "/ann/x", "git-upload-pack", &headers, &list);
    let draining = async {
        until(|| world.metadata.calls("GetRefs") > 0).await;
        running.start_drain();
        let mut end = [0; 1];
        assert_eq!(within(idle.read(&mut end)).await.unwrap(), 0, "an idle connection is closed");
        world.metadata.release(1);
    };
    let (answer, ()) = tokio::join!(asking, draining);
    assert!(answer.text().contains(&id));
    assert_eq!(running.stop().await, 0, "nothing was cut");
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_client_that_goes_away_stops_its_command() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    world.metadata.hold();
    let mut client = TcpStream::connect(running.http()).await.unwrap();
    let request = format!("GET {TARGET} HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", login(&token));
    client.write_all(request.as_bytes()).await.unwrap();
    until(|| world.metadata.calls("GetRefs") > 0).await;
    drop(client);
    let cut =
        "gitstratum_frontend_requests_total{operation=\"advertise\",result=\"unavailable\"} 1";
    until(|| world.metrics.render().contains(cut)).await;
    running.stop().await;
}

#[tokio::test]
async fn what_does_not_start_says_why() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let open = async |change: fn(&mut Config), key: Option<Vec<u8>>| {
        let mut config = Config::new(spool.path().to_owned());
        config.ssh = Some("127.0.0.1:0".parse().unwrap());
        change(&mut config);
        let mut deps = world.deps(SystemClock::new(), None);
        deps.host_key = key.unwrap_or(deps.host_key);
        Service::open(config, deps).await.map(|_| ()).unwrap_err()
    };
    let error = open(|config| config.replication_factor = 0, None).await;
    assert!(matches!(error, ServiceError::Config { .. }), "{error}");
    let error = open(|config| config.https = config.ssh, None).await;
    assert!(error.to_string().contains("https needs a certificate"), "{error}");
    let error = open(|_| {}, Some(b"damaged".to_vec())).await;
    assert!(matches!(error, ServiceError::HostKey { .. }), "{error}");
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config::new(spool.path().to_owned());
    config.http = Some(taken.local_addr().unwrap());
    let deps = world.deps(SystemClock::new(), None);
    let error = Service::open(config, deps).await.map(|_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("listen for http on 127.0.0.1:"), "{text}");
}

#[tokio::test]
async fn a_frontend_is_ready_once_it_knows_the_cluster() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let known = world.publisher.current().to_update();
    world.publisher.publish(gitstratum_client::cluster::Snapshot::empty());
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    assert_eq!(world.health.failing(Probe::Ready).len(), 1);
    world.publisher.publish(gitstratum_client::cluster::Snapshot::empty().apply(&known));
    assert!(world.health.failing(Probe::Ready).is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_l4_slow_and_idle_connections_block_nobody() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let mut slow = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(running.http()).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET /ann/x/info/refs HTTP/1.1\r\nHost:").await.unwrap();
        }
        slow.push(stream);
    }
    let login = login(&token);
    let headers = [login.as_str()];
    let asked = get(running.http(), TARGET, &headers);
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await;
    assert_eq!(answer.expect("nobody is blocked").status, 200);
    drop(slow);
    running.stop().await;
}
