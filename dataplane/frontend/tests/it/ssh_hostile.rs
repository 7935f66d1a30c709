//! SSH as no stock client would use it.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{SeededEntropy, Token};
use gitstratum_frontend::testing::{Running, World};
use russh::client::{AuthResult, Config, Handle, Handler, connect};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{until, within};

struct Trusting;

impl Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

fn key(seed: u64) -> PrivateKey {
    let pem = gitstratum_frontend::host_key::generate(&*SeededEntropy::new(seed));
    PrivateKey::from_openssh(pem).unwrap()
}

fn fingerprint(key: &PrivateKey) -> String {
    key.public_key().fingerprint(HashAlg::Sha256).to_string()
}

struct Scene {
    world: World,
    running: Running,
    _spool: TempDir,
}

/// Ann's key is that of seed 7.
async fn scene(change: fn(&mut gitstratum_frontend::Config)) -> Scene {
    let (world, spool) = (World::new(), tempfile::tempdir().unwrap());
    let _token: Token = world.user(1, "ann", &fingerprint(&key(7)));
    world.repository(1, "ann/x");
    let running = world.frontend(spool.path().to_owned(), change, None).await;
    Scene { world, running, _spool: spool }
}

impl Scene {
    async fn client(&self) -> Handle<Trusting> {
        let config = Arc::new(Config::default());
        within(connect(config, self.running.ssh(), Trusting)).await.unwrap()
    }

    async fn logged_in(&self) -> Handle<Trusting> {
        let mut client = self.client().await;
        assert!(offer(&mut client, "git", key(7)).await.unwrap());
        client
    }
}

async fn offer(
    client: &mut Handle<Trusting>,
    user: &str,
    key: PrivateKey,
) -> Result<bool, russh::Error> {
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let answer = within(client.authenticate_publickey(user, key)).await?;
    Ok(matches!(answer, AuthResult::Success))
}

#[tokio::test]
async fn bad_input_118_six_keys_and_no_more() {
    let scene = scene(|_| {}).await;
    let mut client = scene.client().await;
    for seed in 100..106 {
        assert!(!offer(&mut client, "git", key(seed)).await.unwrap(), "{seed}");
    }
    let seventh = offer(&mut client, "git", key(7)).await;
    assert!(!matches!(seventh, Ok(true)), "the right key comes too late");
    let mut fresh = scene.client().await;
    for seed in 100..105 {
        assert!(!offer(&mut fresh, "git", key(seed)).await.unwrap());
    }
    assert!(offer(&mut fresh, "git", key(7)).await.unwrap(), "the sixth is the right one");
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_118_a_change_of_user_between_tries_carries_nothing_over() {
    let scene = scene(|_| {}).await;
    let mut client = scene.client().await;
    assert!(!offer(&mut client, "root", key(7)).await.unwrap());
    assert!(!offer(&mut client, "git", key(100)).await.unwrap());
    assert!(!offer(&mut client, "ann", key(7)).await.unwrap());
    assert!(offer(&mut client, "git", key(7)).await.unwrap());
    let mut client = scene.client().await;
    let none = within(client.authenticate_none("git")).await.unwrap();
    assert!(!matches!(none, AuthResult::Success));
    let password = within(client.authenticate_password("git", "x")).await.unwrap();
    assert!(!matches!(password, AuthResult::Success));
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_116_ten_channels_and_no_more() {
    let scene = scene(|_| {}).await;
    let client = scene.logged_in().await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(within(client.channel_open_session()).await.unwrap());
    }
    assert!(within(client.channel_open_session()).await.is_err());
    open.pop().unwrap().close().await.unwrap();
    until_opens(&client).await;
    scene.running.stop().await;
}

async fn until_opens(client: &Handle<Trusting>) {
    within(async {
        while client.channel_open_session().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn bad_input_121_a_channel_takes_one_command_and_no_forwarding() {
    let scene = scene(|_| {}).await;
    let client = scene.logged_in().await;
    assert!(
        within(client.channel_open_direct_tcpip("127.0.0.1", 1, "127.0.0.1", 1)).await.is_err()
    );
    let mut channel = within(client.channel_open_session()).await.unwrap();
    channel.exec(true, "git-upload-pack 'ann/x'").await.unwrap();
    channel.exec(true, "git-upload-pack 'ann/x'").await.unwrap();
    let (mut taken, mut refused) = (0, 0);
    while taken + refused < 2 {
        match within(channel.wait()).await.unwrap() {
            ChannelMsg::Success => taken += 1,
            ChannelMsg::Failure => refused += 1,
            _ => {}
        }
    }
    assert_eq!((taken, refused), (1, 1));
    drop(client);
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_039_an_environment_of_4_kib_is_ignored() {
    let scene = scene(|_| {}).await;
    let client = scene.logged_in().await;
    let mut channel = within(client.channel_open_session()).await.unwrap();
    let long = format!("version=2:{}", "x".repeat(4 * 1024));
    channel.set_env(false, "GIT_PROTOCOL", long).await.unwrap();
    channel.exec(true, "git-upload-pack 'ann/x'").await.unwrap();
    let first = loop {
        if let ChannelMsg::Data { data } = within(channel.wait()).await.unwrap() {
            break data;
        }
    };
    assert!(!first.windows(9).any(|nine| nine == b"version 2"), "{}", first.escape_ascii());
    drop(client);
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_005_a_silent_command_is_cut_and_the_client_told() {
    let scene = scene(|config| config.idle = Duration::from_millis(300)).await;
    let client = scene.logged_in().await;
    let mut channel = within(client.channel_open_session()).await.unwrap();
    channel.set_env(false, "GIT_PROTOCOL", "version=2").await.unwrap();
    channel.exec(true, "git-upload-pack 'ann/x'").await.unwrap();
    let (mut heard, mut status) = (Vec::new(), None);
    while let Some(message) = within(channel.wait()).await {
        match message {
            ChannelMsg::Data { data } => heard.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    assert_eq!(status, Some(128));
    assert!(heard.ends_with(b"ERR nothing received for 0 s"), "{}", heard.escape_ascii());
    scene.running.stop().await;
}

#[tokio::test]
async fn p_l4_a_connection_on_which_nothing_runs_is_closed() {
    let scene = scene(|config| config.idle = Duration::from_millis(300)).await;
    let client = scene.logged_in().await;
    until(|| client.is_closed()).await;
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_113_who_does_not_greet_or_log_in_is_cut() {
    let scene = scene(|config| config.login_max = Duration::from_millis(300)).await;
    for hello in [&b""[..], b"SSH-2.0-x\r\n"] {
        let mut stream = TcpStream::connect(scene.running.ssh()).await.unwrap();
        stream.write_all(hello).await.unwrap();
        let mut heard = Vec::new();
        drop(within(stream.read_to_end(&mut heard)).await);
        assert!(heard.starts_with(b"SSH-2.0-gitstratum\r\n"));
    }
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_011_113_other_greetings_are_cut_at_once() {
    let scene = scene(|_| {}).await;
    let banner = vec![b'x'; 1 << 20];
    for hello in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\x16\x03\x01\x00\x05", &banner] {
        let closed = async {
            let mut stream = TcpStream::connect(scene.running.ssh()).await.unwrap();
            drop(stream.write_all(hello).await);
            let mut heard = Vec::new();
            drop(stream.read_to_end(&mut heard).await);
        };
        tokio::time::timeout(Duration::from_secs(1), closed).await.expect("cut within a second");
    }
    scene.running.stop().await;
}

#[tokio::test]
async fn bad_input_122_a_client_that_leaves_stops_its_command() {
    let scene = scene(|_| {}).await;
    scene.world.metadata.hold();
    let client = scene.logged_in().await;
    let channel = within(client.channel_open_session()).await.unwrap();
    channel.exec(true, "git-upload-pack 'ann/x'").await.unwrap();
    until(|| scene.world.metadata.calls("GetRefs") > 0).await;
    within(client.disconnect(Disconnect::ByApplication, "", "")).await.unwrap();
    drop(client);
    let cut = "gitstratum_frontend_requests_total{operation=\"fetch\",result=\"unavailable\"} 1";
    until(|| scene.world.metrics.render().contains(cut)).await;
    scene.running.stop().await;
}
