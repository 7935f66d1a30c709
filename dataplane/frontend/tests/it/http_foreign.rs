//! Clients of another kind at the HTTP port: browsers, and those that speak HTTP/2.

use gitstratum_frontend::testing::World;

use crate::raw::{call, get, login, packets, request, send};

/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const STREAMS: u32 = 10_000;

/// A stream that is opened and reset at once.
fn opened_and_reset(stream: u32) -> Vec<u8> {
    let id = stream.to_be_bytes();
    // HEADERS, whole and last: `:method: GET`, `:scheme: http`, `:path: /`; then RST_STREAM.
    let headers = [&[0, 0, 3, 1, 5][..], &id, &[0x82, 0x86, 0x84]].concat();
    [&headers[..], &[0, 0, 4, 3, 0], &id, &[0, 0, 0, 8]].concat()
}

#[tokio::test]
async fn bad_input_101_http_2_is_not_spoken_and_a_flood_of_it_ends_at_once() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let resets = (0..STREAMS).flat_map(|number| opened_and_reset(2 * number + 1));
    let resets: Vec<u8> = resets.collect();
    let settings: Vec<u8> = SETTINGS.repeat(STREAMS as usize);
    let soon = std::time::Duration::from_secs(5);
    for flood in [&resets, &settings] {
        let bytes = [PREFACE, &SETTINGS, flood].concat();
        let heard = tokio::time::timeout(soon, send(running.http(), &bytes)).await;
        let heard = heard.expect("it is cut");
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 4"), "{heard}");
    }
    assert_eq!(world.metadata.calls("GetRefs"), 0);
    running.stop().await;
}

/// A browser sends cookies, and perhaps what it has learned of a login elsewhere; none is asked
/// for here, so that no page can push in its user's name.
#[tokio::test]
async fn bad_input_112_a_page_of_another_origin_does_nothing_in_its_users_name() {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let cookie = format!("Cookie: token={}; session={}", token.expose(), login(&token));
    let page = [&cookie, "Origin: https://evil.example", "Referer: https://evil.example/x"];
    let line = format!("{} {} refs/heads/main\0report-status", "0".repeat(40), "1".repeat(40));
    let body = packets(&[&line, ""]);
    let pushed = call(running.http(), "/ann/x", "git-receive-pack", &page, &body).await;
    assert_eq!(pushed.status, 401, "{}", pushed.text());
    // A form of a page cannot say git's content type without being asked for leave first.
    let (origin, login) = ("Origin: https://evil.example", login(&token));
    let leave = [origin, "Access-Control-Request-Method: POST", &login];
    let line = "OPTIONS /ann/x/git-receive-pack";
    let asked = request(running.http(), line, &leave, b"").await;
    assert_eq!(asked.status, 405, "{}", asked.text());
    let info = "/ann/x/info/refs?service=git-receive-pack";
    let read = get(running.http(), info, &[origin, &login]).await;
    for answer in [&pushed, &asked, &read] {
        assert_eq!(answer.header("access-control-allow-origin"), None, "{}", answer.head);
        assert_eq!(answer.header("set-cookie"), None, "{}", answer.head);
    }
    assert_eq!(world.metadata.calls("UpdateRefs"), 0);
    running.stop().await;
}
