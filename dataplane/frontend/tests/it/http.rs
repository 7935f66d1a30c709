//! Requests that are none, and those that break the rules of HTTP.

use std::time::Duration;

use gitstratum_frontend::testing::{Running, World};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::{self, Answer, call, get, login, packets, request};
use crate::within;

const TARGET: &str = "/ann/x/info/refs?service=git-upload-pack";

struct Scene {
    world: World,
    running: Running,
    login: String,
    _spool: TempDir,
}

async fn scene() -> Scene {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let login = login(&world.user(1, "ann", ""));
    world.repository(1, "ann/x");
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    Scene { world, running, login, _spool: spool }
}

async fn line(scene: &Scene, line: &str) -> Answer {
    request(scene.running.http(), line, &[&scene.login], b"").await
}

#[tokio::test]
async fn bad_input_104_105_paths_that_are_none_look_nothing_up() {
    let scene = scene().await;
    for (path, status) in [
        ("/ann/..%2fx", 404),
        ("/ann/x%00", 404),
        ("/ann/%252e%252e", 404),
        ("//ann/x", 404),
        ("/ann//x", 404),
        ("/ann/x;a", 404),
        ("/ann/%5cx", 404),
        ("/ann/%c0%ae", 400),
        ("/ann/x%zz", 400),
        ("/api/x", 404),
        ("/ann/x.git.git", 404),
        ("/ann", 404),
    ] {
        let answer = line(&scene, &format!("GET {path}/info/refs?service=git-upload-pack")).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    }
    let long = "x".repeat(70_000);
    let bytes = format!("GET /ann/{long}/info/refs HTTP/1.1\r\nHost: x\r\n\r\n");
    let heard = raw::send(scene.running.http(), bytes.as_bytes()).await;
    let status = String::from_utf8_lossy(&heard[9..12]).into_owned();
    assert!(["400", "404", "414", "431"].contains(&status.as_str()), "{status}");
    assert_eq!(scene.world.metadata.calls("GetRefs"), 0);
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_106_wrong_types_methods_and_services() {
    let scene = scene().await;
    assert_eq!(line(&scene, "GET /ann/x/git-upload-pack").await.status, 405);
    assert_eq!(line(&scene, "GET /ann/x/git-receive-pack").await.status, 405);
    let dumb = line(&scene, "GET /ann/x/info/refs").await;
    assert_eq!(dumb.status, 403);
    assert!(dumb.text().contains("dumb http protocol"), "{}", dumb.text());
    assert_eq!(line(&scene, "GET /ann/x/info/refs?service=git-upload-archive").await.status, 403);
    assert_eq!(line(&scene, "GET /ann/x/HEAD").await.status, 404);
    assert_eq!(line(&scene, "GET /ann/x/objects/info/packs").await.status, 404);
    let headers = [scene.login.as_str(), "Content-Type: text/plain"];
    let wrong =
        request(scene.running.http(), "POST /ann/x/git-upload-pack", &headers, b"0000").await;
    assert_eq!(wrong.status, 415);
    assert_eq!(scene.world.metadata.calls("GetRefs"), 0);
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_106_a_git_client_reads_plain_words() {
    let scene = scene().await;
    let headers = ["User-Agent: git/2.39.5"];
    let answer = get(scene.running.http(), "/ann/x/info/refs", &headers).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.text(), "the dumb http protocol is not served; use a newer git\n");
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_107_spoofed_hosts_and_absolute_addresses_change_nothing() {
    let scene = scene().await;
    let absolute = format!("GET http://elsewhere:1{TARGET}");
    let headers = [scene.login.as_str(), "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil"];
    let answer = request(scene.running.http(), &absolute, &headers, b"").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.head.contains("evil") && !answer.text().contains("elsewhere"));
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_108_a_body_is_asked_for_only_after_the_login() {
    let scene = scene().await;
    let ask = |login: &str| {
        format!(
            "POST /ann/x/git-upload-pack HTTP/1.1\r\nHost: x\r\n{login}\
             Content-Type: application/x-git-upload-pack-request\r\n\
             Content-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let first_line = async |request: String| {
        let mut stream = TcpStream::connect(scene.running.http()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut line = [0; 12];
        within(stream.read_exact(&mut line)).await.unwrap();
        String::from_utf8_lossy(&line).into_owned()
    };
    assert_eq!(first_line(ask("")).await, "HTTP/1.1 401");
    assert_eq!(first_line(ask("Authorization: Bearer no\r\n")).await, "HTTP/1.1 401");
    assert_eq!(first_line(ask(&format!("{}\r\n", scene.login))).await, "HTTP/1.1 100");
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_109_other_methods_and_ranges() {
    let scene = scene().await;
    for method in ["HEAD", "TRACE", "OPTIONS", "PUT", "DELETE", "PROPFIND"] {
        assert_eq!(line(&scene, &format!("{method} {TARGET}")).await.status, 405, "{method}");
    }
    let connect = line(&scene, "CONNECT ann:443").await;
    assert!((400..500).contains(&connect.status), "{}", connect.status);
    let headers = [scene.login.as_str(), "Range: bytes=0-1", "Upgrade: h2c"];
    let ranged = get(scene.running.http(), TARGET, &headers).await;
    assert_eq!(ranged.status, 200);
    assert!(ranged.text().ends_with("0000"));
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_110_huge_and_many_headers() {
    let scene = scene().await;
    let huge = format!("GET {TARGET} HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let heard = raw::send(scene.running.http(), huge.as_bytes()).await;
    assert!(heard.starts_with(b"HTTP/1.1 431"), "{}", heard.escape_ascii());
    let many = "X: y\r\n".repeat(1_000);
    let many = format!("GET {TARGET} HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let heard = raw::send(scene.running.http(), many.as_bytes()).await;
    assert!(heard.starts_with(b"HTTP/1.1 431"), "{}", heard.escape_ascii());
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_100_ambiguous_lengths_and_lines_end_the_connection() {
    let scene = scene().await;
    let head = format!(
        "POST /ann/x/git-upload-pack HTTP/1.1\r\nHost: x\r\n{}\r\n\
         Content-Type: application/x-git-upload-pack-request\r\n",
        scene.login
    );
    for rest in [
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\n0000",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\n folded\r\n\r\n0000",
        "Content-Length: +4\r\n\r\n0000",
    ] {
        let heard = raw::send(scene.running.http(), format!("{head}{rest}").as_bytes()).await;
        assert!(heard.starts_with(b"HTTP/1.1 400"), "{rest:?}: {}", heard.escape_ascii());
    }
    // Both lengths: the chunks count, and nothing behind them is read as a request.
    let both = format!(
        "{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0000\r\n0\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    );
    let heard = String::from_utf8_lossy(&raw::send(scene.running.http(), both.as_bytes()).await)
        .into_owned();
    assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{heard}");
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_011_other_protocols_on_the_http_port() {
    let scene = scene().await;
    for banner in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
    {
        let heard =
            tokio::time::timeout(Duration::from_secs(1), raw::send(scene.running.http(), banner));
        let heard = heard.await.expect("closed within a second");
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 400"), "{}", heard.escape_ascii());
    }
    scene.running.stop().await;
}

#[tokio::test]
async fn wrong_requests_of_v2_are_answered_with_err_packets() {
    let scene = scene().await;
    let head = ["command=ls-refs\n", "object-format=sha1"];
    for (name, body) in [
        ("bad_input_001", b"0003".to_vec()),
        ("bad_input_002", b"+00a".to_vec()),
        ("bad_input_003", b"fff1".to_vec()),
        ("bad_input_004", b"0014command".to_vec()),
        ("bad_input_006", b"0001".repeat(2_000)),
        (
            "bad_input_007",
            packets(&["command=ls-refs\n", "object-format=sha1", "|"])
                .into_iter()
                .chain(*b"0004")
                .collect(),
        ),
        ("bad_input_008", packets(&["command=ls-refs\n", "|", "|"])),
        ("bad_input_009", packets(&["command=ls-refs\n", "object-format=sha1", "|", "a\0b", ""])),
        ("bad_input_010", packets(&["\u{1}command=ls-refs"])),
        ("bad_input_013", packets(&["command=rm -rf\n", "object-format=sha1", ""])),
        ("bad_input_014", packets(&["command=ls-refs", "command=fetch", ""])),
        ("bad_input_015", packets(&[head[0], head[1], "session-id=1", ""])),
        ("bad_input_016", packets(&[head[0], head[1], "|", "colour", ""])),
        ("bad_input_017", packets(&["command=ls-refs\n", "object-format=sha256", ""])),
        ("bad_input_038", packets(&["command=object-info\n", head[1], "|", "size", ""])),
    ] {
        let headers = [scene.login.as_str(), "Git-Protocol: version=2"];
        let answer = call(scene.running.http(), "/ann/x", "git-upload-pack", &headers, &body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let text = answer.text();
        assert!(text.get(4..8) == Some("ERR "), "{name}: {text}");
        let length = usize::from_str_radix(&text[..4], 16).unwrap();
        assert_eq!(length, text.len(), "{name}: one packet and nothing after it");
    }
    assert_eq!(scene.world.metadata.calls("GetRefs"), 0, "no work was done");
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_018_too_many_prefixes_list_everything() {
    let scene = scene().await;
    let id = "1".repeat(40);
    scene.world.metadata.change(1, |repo| repo.set("refs/heads/main", &id, ""));
    let mut lines = vec!["command=ls-refs\n", "object-format=sha1", "|"];
    lines.extend(std::iter::repeat_n("ref-prefix refs/none\n", 100_000));
    lines.push("");
    let headers = [scene.login.as_str(), "Git-Protocol: version=2"];
    let body = packets(&lines);
    let answer = call(scene.running.http(), "/ann/x", "git-upload-pack", &headers, &body).await;
    assert!(answer.text().contains("refs/heads/main"), "{}", answer.text());
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_103_gzip_is_read_once_and_bombs_are_stopped() {
    use std::io::Write as _;
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let login = login(&world.user(1, "ann", ""));
    world.repository(1, "ann/x");
    let limit = |config: &mut gitstratum_frontend::Config| {
        config.fetch_request_bytes_max = 1024 * 1024;
    };
    let running = world.frontend(spool.path().to_owned(), limit, None).await;
    let packed = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let list = packets(&["command=ls-refs\n", "object-format=sha1", "|", ""]);
    let send = |coding: &'static str, body: Vec<u8>| {
        let headers = [login.clone(), format!("Content-Encoding: {coding}")];
        let address = running.http();
        async move {
            let headers = [headers[0].as_str(), headers[1].as_str(), "Git-Protocol: version=2"];
            call(address, "/ann/x", "git-upload-pack", &headers, &body).await
        }
    };
    assert_eq!(send("gzip", packed(&list)).await.text(), "0000");
    assert_eq!(send("br", list.clone()).await.status, 415);
    assert_eq!(send("gzip, gzip", packed(&packed(&list))).await.status, 415);
    let mut bomb = packets(&["command=ls-refs\n", "object-format=sha1", "|"]);
    bomb.extend(packets(&["ref-prefix refs/none\n"]).repeat(400_000));
    assert_eq!(send("gzip", packed(&bomb)).await.status, 413);
    running.stop().await;
}

#[tokio::test]
async fn bad_input_005_012_slow_and_endless_requests_are_cut() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let login = login(&world.user(1, "ann", ""));
    world.repository(1, "ann/x");
    let limits = |config: &mut gitstratum_frontend::Config| {
        config.idle = Duration::from_millis(200);
        config.fetch_request_bytes_max = 100_000;
    };
    let running = world.frontend(spool.path().to_owned(), limits, None).await;
    let head = format!(
        "POST /ann/x/git-upload-pack HTTP/1.1\r\nHost: x\r\n{login}\r\n\
         Git-Protocol: version=2\r\nContent-Type: application/x-git-upload-pack-request\r\n"
    );
    let silent = format!("{head}Content-Length: 100\r\n\r\n00");
    let heard = raw::send(running.http(), silent.as_bytes()).await;
    assert!(heard.starts_with(b"HTTP/1.1 408"), "{}", heard.escape_ascii());
    let headers = [login.as_str(), "Git-Protocol: version=2"];
    let tiny = packets(&["agent=x"]).repeat(20_000);
    let answer = call(running.http(), "/ann/x", "git-upload-pack", &headers, &tiny).await;
    assert!(answer.status == 413 || answer.text().contains("ERR "), "{}", answer.text());
    running.stop().await;
}
