//! Who may know what, over HTTP.

use gitstratum_core::{SeededEntropy, Token};
use gitstratum_frontend::testing::World;
use gitstratum_proto::control::v1::{
    GrantRecord, Repository, SnapshotUpdate, TokenRecord, UserRecord,
};

use crate::git::Home;
use crate::raw::{Answer, basic, call, get, login};
use crate::until;

fn target(path: &str, service: &str) -> String {
    format!("/{path}/info/refs?service=git-{service}")
}

/// What a stranger can see of an answer; the request's id and the date differ always.
fn seen(answer: &Answer) -> (u16, String, String) {
    let head = answer.head.lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("x-request-id") && !line.starts_with("date")
    });
    let mut body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    body["request_id"].take();
    (answer.status, head.collect::<Vec<_>>().join("\n"), body.to_string())
}

struct Tenants {
    world: World,
    ann: Token,
    bob: Token,
}

/// Ann has a private and a public repository; Bob may read and nothing else.
fn tenants() -> Tenants {
    let world = World::new();
    let (ann, bob) = (world.user(1, "ann", ""), world.user(2, "bob", ""));
    world.repository(1, "ann/private");
    let public = Repository { public: true, ..world.repository(2, "ann/public") };
    let shared = world.repository(3, "ann/shared");
    world.publish(SnapshotUpdate {
        repositories: vec![public],
        grants: vec![GrantRecord {
            user_id: 2,
            role: 1,
            repo_id: shared.id,
            ..GrantRecord::default()
        }],
        ..SnapshotUpdate::default()
    });
    Tenants { world, ann, bob }
}

#[tokio::test]
async fn p_s1_missing_and_private_repositories_look_alike() {
    let Tenants { world, bob, .. } = tenants();
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let bob = login(&bob);
    for service in ["upload-pack", "receive-pack"] {
        for headers in [&[][..], &[bob.as_str()]] {
            let private = get(running.http(), &target("ann/private", service), headers).await;
            let missing = get(running.http(), &target("ann/missing", service), headers).await;
            let nobody = get(running.http(), &target("no/body", service), headers).await;
            let expected = if headers.is_empty() { 401 } else { 404 };
            assert_eq!(private.status, expected, "{service}");
            assert_eq!(seen(&private), seen(&missing), "{service}");
            assert_eq!(seen(&private), seen(&nobody), "{service}");
            let program = format!("git-{service}");
            let posted = call(running.http(), "/ann/private", &program, headers, b"0000").await;
            let missed = call(running.http(), "/ann/missing", &program, headers, b"0000").await;
            assert_eq!(posted.status, expected, "{service}");
            assert_eq!(seen(&posted), seen(&missed), "{service}");
        }
    }
    assert_eq!(world.metadata.calls("GetRefs"), 0, "nothing was looked up");
    running.stop().await;
}

#[tokio::test]
async fn gs_fe_12_read_and_write_are_told_apart() {
    let Tenants { world, ann, bob } = tenants();
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let (ann, bob) = (login(&ann), login(&bob));
    for (path, service, headers, status) in [
        ("ann/public", "upload-pack", &[][..], 200),
        ("ann/public", "receive-pack", &[], 401),
        ("ann/public", "upload-pack", &[bob.as_str()], 200),
        ("ann/public", "receive-pack", &[bob.as_str()], 403),
        ("ann/shared", "upload-pack", &[bob.as_str()], 200),
        ("ann/shared", "receive-pack", &[bob.as_str()], 403),
        ("ann/private", "upload-pack", &[ann.as_str()], 200),
    ] {
        let answer = get(running.http(), &target(path, service), headers).await;
        assert_eq!(answer.status, status, "{path} {service} {}", answer.text());
        let challenged = answer.header("www-authenticate");
        let expected = (status == 401).then_some("Basic realm=\"gitstratum\"");
        assert_eq!(challenged, expected, "{path} {service}");
    }
    running.stop().await;
}

#[tokio::test]
async fn bad_input_123_124_126_only_good_tokens_in_their_place_count() {
    let Tenants { world, ann, .. } = tenants();
    let expired = Token::generate(&*SeededEntropy::new(50));
    let record = TokenRecord {
        user_id: 1,
        scope: 2,
        hash: expired.hash().to_vec().into(),
        expires_millis: 1,
        ..TokenRecord::default()
    };
    world.publish(SnapshotUpdate { tokens: vec![record], ..SnapshotUpdate::default() });
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let unknown = Token::generate(&*SeededEntropy::new(51));
    let path = target("ann/private", "upload-pack");
    let bearer = |text: &str| format!("Authorization: Bearer {text}");
    for header in [
        bearer(expired.expose()),
        bearer(unknown.expose()),
        bearer("eyJhbGciOiJub25lIn0.e30."),
        basic("ann", "hunter2"),
        basic(ann.expose(), ""),
        "Authorization: Negotiate abc".to_owned(),
    ] {
        assert_eq!(get(running.http(), &path, &[&header]).await.status, 401, "{header}");
    }
    assert_eq!(get(running.http(), &path, &[&bearer(ann.expose())]).await.status, 200);
    let in_query = format!("{path}&access_token={}", ann.expose());
    assert_eq!(get(running.http(), &in_query, &[]).await.status, 401);
    running.stop().await;
}

#[tokio::test]
async fn bad_input_127_a_read_token_pushes_nowhere() {
    let Tenants { world, .. } = tenants();
    let reader = Token::generate(&*SeededEntropy::new(60));
    let record = TokenRecord {
        user_id: 1,
        scope: 1,
        hash: reader.hash().to_vec().into(),
        ..TokenRecord::default()
    };
    world.publish(SnapshotUpdate { tokens: vec![record], ..SnapshotUpdate::default() });
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let path = target("ann/private", "receive-pack");
    for header in [login(&reader), format!("Authorization: Bearer {}", reader.expose())] {
        assert_eq!(get(running.http(), &path, &[&header]).await.status, 403, "{header}");
        let headers = [header.as_str()];
        let posted = call(running.http(), "/ann/private", "git-receive-pack", &headers, b"0000");
        assert_eq!(posted.await.status, 403);
    }
    running.stop().await;
}

#[tokio::test]
async fn p_s3_a_revoked_token_and_a_suspended_user_are_out_at_once() {
    let Tenants { world, ann, bob } = tenants();
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let shared = target("ann/shared", "upload-pack");
    let status = async |token: &Token| get(running.http(), &shared, &[&login(token)]).await.status;
    assert_eq!((status(&ann).await, status(&bob).await), (200, 200));
    world.publish(SnapshotUpdate {
        tokens_gone: vec![ann.hash().to_vec().into()],
        users: vec![UserRecord {
            id: 2,
            name: "bob".to_owned(),
            suspended: true,
            ..UserRecord::default()
        }],
        ..SnapshotUpdate::default()
    });
    assert_eq!((status(&ann).await, status(&bob).await), (401, 401));
    running.stop().await;
}

#[tokio::test]
async fn bad_input_128_a_request_under_way_ends_when_its_grant_goes() {
    let Tenants { world, bob, .. } = tenants();
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    world.metadata.hold();
    let (shared, login) = (target("ann/shared", "upload-pack"), login(&bob));
    let headers = [login.as_str()];
    let asking = get(running.http(), &shared, &headers);
    let revoking = async {
        until(|| world.metadata.calls("GetRefs") > 0).await;
        // Something else changes first: that is no reason.
        world.user(9, "carol", "");
        let gone = GrantRecord { user_id: 2, repo_id: 3, ..GrantRecord::default() };
        world.publish(SnapshotUpdate { grants_gone: vec![gone], ..SnapshotUpdate::default() });
    };
    let (answer, ()) = tokio::join!(asking, revoking);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("your access was revoked"), "{}", answer.text());
    running.stop().await;
}

#[tokio::test]
async fn bad_input_129_guessing_is_slowed_and_real_users_log_in() {
    let Tenants { world, ann, .. } = tenants();
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let path = target("ann/private", "upload-pack");
    let mut slowed = 0;
    for number in 0..60 {
        let guess = basic("ann", &format!("guess {number}"));
        let answer = get(running.http(), &path, &[&guess]).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
            slowed += 1;
        } else {
            assert_eq!(answer.status, 401);
        }
    }
    assert!(slowed >= 20, "{slowed}");
    assert_eq!(get(running.http(), &path, &[&login(&ann)]).await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn stock_git_asks_for_a_password_only_when_it_must() {
    let Tenants { world, ann, .. } = tenants();
    let home = Home::new().await;
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    let http = running.http();
    let public = home.git(None, &["ls-remote", &format!("http://{http}/ann/public")]).await;
    assert!(public.status.success());
    let private = home.git(None, &["ls-remote", &format!("http://{http}/ann/private")]).await;
    let words = crate::git::text(&private.stderr);
    assert!(!private.status.success() && words.contains("could not read Username"), "{words}");
    let wrong = format!("http://x:{}@{http}/ann/missing", ann.expose());
    let missing = home.git(None, &["ls-remote", &wrong]).await;
    let words = crate::git::text(&missing.stderr);
    assert!(words.contains("repository not found, or you may not read it"), "{words}");
    running.stop().await;
}

#[tokio::test]
async fn bad_input_033_p_l2_a_busy_partition_is_told_with_retry_after() {
    const RESOURCE_EXHAUSTED: u8 = 8;
    let Tenants { world, ann, .. } = tenants();
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    world.metadata.fail_with(Some(RESOURCE_EXHAUSTED));
    let answer = get(running.http(), &target("ann/private", "upload-pack"), &[&login(&ann)]).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    running.stop().await;
}

#[tokio::test]
async fn s46_past_offline_grace_credentials_are_refused_and_it_is_said_since_when() {
    use gitstratum_client::cluster::News;
    use std::time::Duration;

    let Tenants { world, ann, .. } = tenants();
    let spool = tempfile::tempdir().unwrap();
    let running = world.frontend(spool.path().to_owned(), |_| {}, None).await;
    let grace = Duration::from_secs(3_600);
    let tell = |silent| world.publisher.tell(News { silent, grace });
    let path = target("ann/public", "upload-pack");
    let ann = login(&ann);
    tell(grace - Duration::from_secs(60));
    assert_eq!(get(running.http(), &path, &[&ann]).await.status, 200, "within it all goes on");
    tell(grace);
    let refused = get(running.http(), &path, &[&ann]).await;
    assert_eq!(refused.status, 503, "not 401: git would throw the good credential away");
    let words = refused.text();
    assert!(words.contains("no news from the control plane since 20"), "{words}");
    assert!(words.contains("offlineGrace (1h)"), "{words}");
    assert!(refused.header("retry-after").is_some());
    let wrong = login(&Token::generate(&*SeededEntropy::new(99)));
    assert_eq!(get(running.http(), &path, &[&wrong]).await.status, 503, "good or not: unknown");
    assert_eq!(get(running.http(), &path, &[]).await.status, 200, "nothing was to be checked");
    tell(Duration::ZERO);
    assert_eq!(get(running.http(), &path, &[&ann]).await.status, 200);
    running.stop().await;
}
