//! An answer that ends half-way: its client reads why, in the form that it reads then.

use std::process::Output;

use gitstratum_frontend::testing::{Running, World};
use gitstratum_proto::control::v1::{SnapshotUpdate, UserRecord};

use crate::git::{Home, text};
use crate::raw::{self, call, login, packets};
use crate::{until, within};

const ID: &str = "1111111111111111111111111111111111111111";
/// What carries a conversation, and its protocol's version.
const CARRIERS: [(Carrier, u8); 4] =
    [(Carrier::Http, 0), (Carrier::Http, 2), (Carrier::Ssh, 0), (Carrier::Ssh, 2)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Http,
    Ssh,
}

/// What ends an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// The session under which is read.
    Session,
    /// The right to read.
    Right,
}

impl Blow {
    fn words(self) -> &'static str {
        match self {
            Self::Session => "the connection to the metadata service was lost; try again",
            Self::Right => "your access was revoked",
        }
    }
}

/// Ann, with a key, a token and a repository of one branch.
struct Scene {
    world: World,
    home: Home,
    running: Running,
    token: gitstratum_core::Token,
}

impl Scene {
    async fn new() -> Self {
        let (world, home) = (World::new(), Home::new().await);
        let token = world.user(1, "ann", &home.fingerprint);
        world.repository(1, "ann/x");
        world.metadata.change(1, |repo| repo.set("refs/heads/main", ID, ""));
        let running = world.frontend(home.path().to_owned(), |_| {}, None).await;
        until(|| world.metadata.sessions() == 4).await;
        Self { world, home, running, token }
    }

    fn url(&self, carrier: Carrier) -> String {
        match carrier {
            Carrier::Http => {
                format!("http://ann:{}@{}/ann/x", self.token.expose(), self.running.http())
            }
            Carrier::Ssh => format!("ssh://git@{}/ann/x", self.running.ssh()),
        }
    }

    /// Ends what is under way once `method` was called `calls` times, the last one held.
    async fn strike(&self, blow: Blow, (method, calls): (&str, usize)) {
        until(|| self.world.metadata.calls(method) >= calls).await;
        match blow {
            Blow::Session => self.world.metadata.close_sessions(),
            Blow::Right => {
                let ann = UserRecord {
                    id: 1,
                    name: "ann".to_owned(),
                    suspended: true,
                    ..UserRecord::default()
                };
                let update = SnapshotUpdate { users: vec![ann], ..SnapshotUpdate::default() };
                self.world.publish(update);
            }
        }
    }

    async fn git(&self, version: u8, arguments: &[&str]) -> Output {
        let version = format!("protocol.version={version}");
        let arguments = [&["-c", &version][..], arguments].concat();
        self.home.git(Some(&self.running), &arguments).await
    }

    /// A request of fetch whose second look at the repository is held when `blow` strikes.
    async fn ask(&self, blow: Blow, version: u8, body: &[u8]) -> Vec<u8> {
        self.world.metadata.hold();
        let asking = async {
            let head = format!(
                "POST /ann/x/git-upload-pack HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                 Content-Type: application/x-git-upload-pack-request\r\n{}\r\n\
                 Git-Protocol: version={version}\r\nContent-Length: {}\r\n\r\n",
                login(&self.token),
                body.len()
            );
            raw::send(self.running.http(), &[head.as_bytes(), body].concat()).await
        };
        let (heard, ()) = tokio::join!(asking, self.strike(blow, ("GetRefs", 1)));
        heard
    }
}

fn contains(heard: &[u8], part: &[u8]) -> bool {
    heard.windows(part.len()).any(|window| window == part)
}

fn fatal(words: &str) -> Vec<u8> {
    format!("{:04x}\x03{words}\n", words.len() + 6).into_bytes()
}

#[tokio::test]
async fn bad_input_128_stock_git_shows_why_a_pack_broke_off() {
    for blow in [Blow::Session, Blow::Right] {
        for (carrier, version) in CARRIERS {
            let scene = Scene::new().await;
            scene.world.metadata.hold();
            scene.world.metadata.release(1);
            let (url, into) = (scene.url(carrier), scene.home.path().join("into"));
            let arguments = ["clone", "--bare", &url, into.to_str().unwrap()];
            let cloning = scene.git(version, &arguments);
            let (output, ()) = tokio::join!(cloning, scene.strike(blow, ("GetRefs", 2)));
            let shown = text(&output.stderr);
            assert!(!output.status.success(), "{carrier:?} {version}: {shown}");
            let line = format!("remote: {}", blow.words());
            assert!(shown.contains(&line), "{carrier:?} {version}: {shown}");
            assert!(!shown.contains("bad band"), "{carrier:?} {version}: {shown}");
        }
    }
}

#[tokio::test]
async fn bad_input_128_stock_git_shows_why_a_push_broke_off() {
    let scene = Scene::new().await;
    let folder = scene.home.sample("sha1").await;
    scene.world.metadata.hold();
    scene.world.metadata.release(1);
    let url = scene.url(Carrier::Ssh);
    let arguments = ["-C", folder.to_str().unwrap(), "push", &url, ":main"];
    let pushing = scene.git(2, &arguments);
    let (output, ()) = tokio::join!(pushing, scene.strike(Blow::Right, ("UpdateRefs", 1)));
    let shown = text(&output.stderr);
    assert!(!output.status.success(), "{shown}");
    assert!(shown.contains("remote: your access was revoked"), "{shown}");
    assert!(!shown.contains("bad band"), "{shown}");
}

#[tokio::test]
async fn after_the_first_frame_an_error_is_on_band_three() {
    let want = format!("want {ID}");
    let framed = format!("{want} side-band-64k");
    let v2 = packets(&["command=fetch", "object-format=sha1", "|", &want, "done", ""]);
    let v0 = packets(&[&framed, "", "done"]);
    for blow in [Blow::Session, Blow::Right] {
        for (version, body) in [(2, &v2), (0, &v0)] {
            let scene = Scene::new().await;
            let heard = scene.ask(blow, version, body).await;
            assert!(contains(&heard, &fatal(blow.words())), "{}", heard.escape_ascii());
            assert!(!contains(&heard, b"ERR "), "{}", heard.escape_ascii());
        }
    }
}

#[tokio::test]
async fn a_bare_pack_is_cut_off_without_words() {
    let scene = Scene::new().await;
    let body = packets(&[&format!("want {ID}"), "", "done"]);
    let heard = scene.ask(Blow::Session, 0, &body).await;
    assert!(contains(&heard, b"0008NAK\n"), "{}", heard.escape_ascii());
    assert!(!contains(&heard, b"ERR "), "{}", heard.escape_ascii());
    assert!(!heard.ends_with(b"0\r\n\r\n"), "taken for whole: {}", heard.escape_ascii());
}

/// The client takes for frames whatever follows the last acknowledgment.
#[tokio::test]
async fn a_plan_that_fails_after_the_last_acknowledgment_is_told_on_band_three() {
    let scene = Scene::new().await;
    scene.world.metadata.fail_from("PlanFetch", 2, 7);
    let (want, have) =
        (format!("want {ID} multi_ack_detailed no-done side-band-64k"), format!("have {ID}"));
    let body = packets(&[&want, "", &have, ""]);
    let headers = [&*login(&scene.token)];
    let asking = call(scene.running.http(), "/ann/x", "git-upload-pack", &headers, &body);
    let answer = within(asking).await;
    assert_eq!(scene.world.metadata.calls("PlanFetch"), 2, "{}", answer.text());
    assert!(contains(&answer.body, &fatal("you may not do this")), "{}", answer.text());
    assert!(!answer.text().contains("ERR "), "{}", answer.text());
}
