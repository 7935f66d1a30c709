//! What is listed, compared with stock git byte by byte.

use gitstratum_core::RefName;
use gitstratum_frontend::testing::World;
use gitstratum_proto::control::v1::SnapshotUpdate;

use crate::git::{Home, text};
use crate::raw::{call, get, login, packets};
use crate::{until, within};

const V2: &str = "Git-Protocol: version=2";

/// A packet stream's lines.
fn lines(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..4]).unwrap(), 16).unwrap();
        let end = length.max(4);
        lines.push(text(&bytes[4..end]).trim_end().to_owned());
        bytes = &bytes[end..];
    }
    lines
}

/// What was listed, without what follows a NUL: capabilities differ.
fn refs_of(bytes: &[u8]) -> Vec<String> {
    let mut lines = lines(bytes);
    lines.retain(|line| !line.starts_with("version") && !line.starts_with('#'));
    for line in &mut lines {
        *line = line.split('\0').next().unwrap().to_owned();
    }
    lines
}

#[tokio::test]
async fn gs_fe_06_ls_refs_is_stock_gits_to_the_byte() {
    let (world, home) = (World::new(), Home::new().await);
    let token = world.user(1, "ann", "");
    for (id, format) in [(1, "sha1"), (2, "sha256")] {
        let mut record = world.repository(id, &format!("ann/{format}"));
        record.object_format = if format == "sha1" { 1 } else { 2 };
        world.publish(SnapshotUpdate { repositories: vec![record], ..Default::default() });
        let stock = home.sample(format).await;
        let mut state = None;
        world.metadata.change(id, |repo| state = Some(repo.clone()));
        let mut state = state.unwrap();
        state.format = gitstratum_core::ObjectFormat::parse(format).unwrap();
        home.copy_refs(&stock, &mut state).await;
        world.metadata.change(id, |repo| *repo = state);
    }
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    let requests: [&[&str]; 8] = [
        &["peel\n", "symrefs\n"],
        &["peel\n", "symrefs\n", "unborn\n", "ref-prefix refs/heads/\n", "ref-prefix refs/tags/\n"],
        &["symrefs\n", "ref-prefix HEAD\n"],
        &["peel\n", "ref-prefix refs/tags/v\n", "ref-prefix refs/tags/v1\n"],
        &["ref-prefix refs/heads/topic/a\n"],
        &["ref-prefix nothing\n"],
        &["ref-prefix \n", "symrefs\n"],
        &[],
    ];
    for format in ["sha1", "sha256"] {
        let stock = home.path().join(format!("sample-{format}"));
        let object_format = format!("object-format={format}");
        for request in requests {
            let head = ["command=ls-refs\n", "agent=git/test", &object_format, "|"];
            let body = packets(&[&head, request, &[""]].concat());
            let target = format!("/ann/{format}.git");
            let headers = [V2, &login(&token)];
            let ours = call(running.http(), &target, "git-upload-pack", &headers, &body).await;
            assert_eq!(ours.status, 200, "{}", ours.text());
            let program = ["upload-pack", "--stateless-rpc", stock.to_str().unwrap()];
            let theirs = home.stock(&program, "version=2", &body).await;
            assert_eq!(text(&ours.body), text(&theirs), "{format} {request:?}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn gs_fe_06_an_unborn_head_is_listed_as_stock_git_does() {
    let (world, home) = (World::new(), Home::new().await);
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/empty");
    world.metadata.change(1, |repo| repo.head = RefName::branch("trunk").unwrap());
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    let stock = home.path().join("empty");
    let path = stock.to_str().unwrap();
    home.git_text(None, &["init", "-q", "-b", "trunk", path]).await;
    for request in [&["symrefs\n", "unborn\n", "peel\n"][..], &["unborn\n"], &["symrefs\n"]] {
        let head = ["command=ls-refs\n", "object-format=sha1", "|"];
        let body = packets(&[&head, request, &[""]].concat());
        let headers = [V2, &login(&token)];
        let ours = call(running.http(), "/ann/empty", "git-upload-pack", &headers, &body).await;
        let program = ["upload-pack", "--stateless-rpc", path];
        let theirs = home.stock(&program, "version=2", &body).await;
        assert_eq!(text(&ours.body), text(&theirs), "{request:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn gs_fe_03_older_clients_are_advertised_what_stock_git_advertises() {
    let (world, home) = (World::new(), Home::new().await);
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let stock = home.sample("sha1").await;
    let mut state = None;
    world.metadata.change(1, |repo| state = Some(repo.clone()));
    let mut state = state.unwrap();
    home.copy_refs(&stock, &mut state).await;
    world.metadata.change(1, |repo| *repo = state);
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    let path = stock.to_str().unwrap();
    let program = ["upload-pack", "--http-backend-info-refs", path];
    let theirs = home.stock(&program, "version=0", b"").await;
    for header in ["X: y", "Git-Protocol: version=0", "Git-Protocol: version=9", V2] {
        let target = "/ann/x/info/refs?service=git-upload-pack";
        let ours = get(running.http(), target, &[header, &login(&token)]).await;
        assert_eq!(ours.status, 200);
        let kind = "application/x-git-upload-pack-advertisement";
        assert_eq!(ours.header("content-type"), Some(kind));
        assert_eq!(ours.header("cache-control"), Some("no-cache, max-age=0, must-revalidate"));
        if header == V2 {
            assert_eq!(lines(&ours.body)[0], "version 2");
            continue;
        }
        assert_eq!(lines(&ours.body)[0], "# service=git-upload-pack");
        let mut listed = refs_of(&ours.body);
        assert_eq!(listed.remove(0), "", "a flush after the service line");
        assert_eq!(listed, refs_of(&theirs), "{header}");
    }
    running.stop().await;
}

#[tokio::test]
async fn bad_input_039_a_long_protocol_header_counts_for_nothing() {
    let (world, home) = (World::new(), Home::new().await);
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    let long = format!("{V2}:{}", "x".repeat(4 * 1024));
    let target = "/ann/x/info/refs?service=git-upload-pack";
    let answer = get(running.http(), target, &[&long, &login(&token)]).await;
    assert!(answer.text().contains("# service=git-upload-pack"));
    running.stop().await;
}

#[tokio::test]
async fn bad_input_019_hidden_refs_are_never_listed() {
    let (world, home) = (World::new(), Home::new().await);
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let id = "1".repeat(40);
    world.metadata.change(1, |repo| {
        for name in ["refs/heads/main", "refs/gs/keep", "refs/replace/1", "refs/pull/1/head"] {
            repo.set(name, &id, "");
        }
    });
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    let url = format!("http://x:{}@{}/ann/x", token.expose(), running.http());
    for version in ["protocol.version=0", "protocol.version=2"] {
        let all = home.git_text(None, &["-c", version, "ls-remote", &url]).await;
        assert_eq!(all, format!("{id}\tHEAD\n{id}\trefs/heads/main\n"), "{version}");
        let asked = home.git_text(None, &["-c", version, "ls-remote", &url, "refs/gs/*"]).await;
        assert_eq!(asked, "", "{version}");
    }
    running.stop().await;
}

#[tokio::test]
async fn gs_fe_01_02_stock_git_lists_the_same_over_http_and_ssh() {
    let (world, home) = (World::new(), Home::new().await);
    let token = world.user(1, "ann", &home.fingerprint);
    world.repository(1, "ann/x");
    let stock = home.sample("sha1").await;
    let mut state = None;
    world.metadata.change(1, |repo| state = Some(repo.clone()));
    let mut state = state.unwrap();
    home.copy_refs(&stock, &mut state).await;
    world.metadata.change(1, |repo| *repo = state);
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    let expected = home.git_text(None, &["ls-remote", "--symref", stock.to_str().unwrap()]).await;
    let (http, ssh) = (running.http(), running.ssh());
    let secret = token.expose();
    let urls = [
        format!("http://ann:{secret}@{http}/ann/x.git"),
        format!("http://ann:{secret}@{http}/git/ann/x"),
        format!("ssh://git@{ssh}/ann/x.git"),
        format!("ssh://git@{ssh}/ann/x"),
    ];
    for url in &urls {
        for version in ["0", "1", "2"] {
            let version = format!("protocol.version={version}");
            let arguments = ["-c", &version, "ls-remote", "--symref", url];
            let listed = home.git_text(Some(&running), &arguments).await;
            assert_eq!(listed, expected, "{url} {version}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn p_c5_a_listing_shows_what_was_pushed_before_it() {
    let (world, home) = (World::new(), Home::new().await);
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    let body = packets(&["command=ls-refs\n", "object-format=sha1", "|", ""]);
    for round in 1..=3 {
        let id = round.to_string().repeat(40);
        world.metadata.change(1, |repo| repo.set("refs/heads/main", &id, ""));
        let headers = [V2, &login(&token)];
        let listed = call(running.http(), "/ann/x", "git-upload-pack", &headers, &body).await;
        assert!(listed.text().contains(&format!("{id} refs/heads/main")), "{}", listed.text());
    }
    assert_eq!(world.metadata.calls("GetRefs"), 3, "one call each");
    running.stop().await;
}

#[tokio::test]
async fn gs_fe_21_identical_listings_at_once_make_two_calls_at_most() {
    const CLIENTS: usize = 40;
    let (world, home) = (World::new(), Home::new().await);
    let token = world.user(1, "ann", "");
    world.repository(1, "ann/x");
    let id = "1".repeat(40);
    world.metadata.change(1, |repo| repo.set("refs/heads/main", &id, ""));
    let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
    world.metadata.hold();
    let body = packets(&["command=ls-refs\n", "object-format=sha1", "|", ""]);
    let headers = login(&token);
    let headers = [V2, headers.as_str()];
    let asking =
        (0..CLIENTS).map(|_| call(running.http(), "/ann/x", "git-upload-pack", &headers, &body));
    let releasing = async {
        let open = format!("gitstratum_frontend_active_connections {CLIENTS}\n");
        until(|| world.metrics.render().contains(&open)).await;
        until(|| world.metadata.calls("GetRefs") > 0).await;
        world.metadata.release(CLIENTS);
    };
    let (answers, ()) =
        within(async { tokio::join!(futures::future::join_all(asking), releasing) }).await;
    assert!(answers.iter().all(|answer| answer.text().contains(&id)));
    let calls = world.metadata.calls("GetRefs");
    assert!(calls <= CLIENTS / 4, "{calls} calls for {CLIENTS} clients");
    running.stop().await;
}
