//! Bad inputs that take as long as a limit does (5, 61, 113): all clients begin at once,
//! each test waits for its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::ObjectKind;
use gitstratum_e2e::now;
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::ssh::{Order, Ran};
use gitstratum_e2e::wire::{End, Heard, Program, Wire};
use parking_lot::Mutex;

use crate::ground::Ground;
use crate::objects::Objects;
use crate::shared::Shared;

static UP: Shared = Shared::new();
static WAITS: LazyLock<Mutex<Option<Result<Waits>>>> =
    LazyLock::new(|| Mutex::new(Some(Waits::begin())));

/// The idle limit of 60 s, and the time it may take to notice it.
const IDLE_MAX: Duration = Duration::from_secs(70);
/// What a client that drips has in any case.
const IDLE_MIN: Duration = Duration::from_secs(55);
/// Longest time to log in, likewise.
const LOGIN_MAX: Duration = Duration::from_secs(33);
/// Pause between two bytes of a client that drips.
const DRIP: Duration = Duration::from_secs(20);

type Waiting<T> = JoinHandle<Result<T>>;

/// The clients, each in a thread of its own.
struct Waits {
    drip_http: Option<Waiting<Heard>>,
    drip_ssh: Option<Waiting<Duration>>,
    stall_http: Option<Waiting<Heard>>,
    stall_ssh: Option<Waiting<Duration>>,
    compress: Option<Waiting<()>>,
    silent: Option<Waiting<Heard>>,
    half_banner: Option<Waiting<Heard>>,
}

impl Waits {
    fn begin() -> Result<Self> {
        // Threads hold the system up as long as they need it.
        let begin = |name: &str| Ground::new(&UP, name);
        let grounds = (begin("drip")?, begin("drip-ssh")?, begin("stall")?, begin("stall-ssh")?);
        let (silent, half) = (begin("silent")?, begin("half")?);
        let compress = begin("compress")?;
        Ok(Self {
            drip_http: Some(std::thread::spawn(move || drip_http(&grounds.0))),
            drip_ssh: Some(std::thread::spawn(move || drip_ssh(&grounds.1))),
            stall_http: Some(std::thread::spawn(move || stall_http(&grounds.2))),
            stall_ssh: Some(std::thread::spawn(move || stall_ssh(&grounds.3))),
            compress: Some(std::thread::spawn(move || compress_ssh(&compress))),
            silent: Some(std::thread::spawn(move || greet(&silent, b""))),
            half_banner: Some(std::thread::spawn(move || greet(&half, b"SSH-2.0"))),
        })
    }
}

/// What the client chosen by `which` has seen.
fn outcome<T>(which: impl FnOnce(&mut Waits) -> Option<Waiting<T>>) -> Result<T> {
    let waiting = {
        let mut place = WAITS.lock();
        let waits = place.as_mut().context("no waits")?;
        let waits = waits.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        which(waits).context("waited for already")?
    };
    waiting.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
}

/// A body that comes one byte every 20 s.
fn drip_http(ground: &Ground) -> Result<Heard> {
    let http = ground.http();
    let (target, media_type) = http.rpc(Program::UploadPack);
    let head = http.head("POST", &target, &[("Content-Type", &media_type)], 1_000);
    let mut wire = Wire::open(http.address())?;
    wire.send(head.as_bytes())?;
    for byte in b"0032" {
        // A server that has cut the client takes no more bytes.
        if wire.send(&[*byte]).is_err() {
            break;
        }
        let heard = wire.hear_out(DRIP)?;
        if heard.end == End::Closed {
            ground.unharmed()?;
            return Ok(heard);
        }
    }
    let heard = wire.hear_out(Duration::from_secs(1))?;
    ground.unharmed()?;
    Ok(heard)
}

/// The input of a command, likewise: how long the connection lived.
fn drip_ssh(ground: &Ground) -> Result<Duration> {
    let ssh = ground.ssh();
    let mut transport = ssh.login()?;
    let mut channel = transport.open_channel()?;
    transport.order(&channel, &Order::Exec(ssh.line(Program::ReceivePack).as_bytes()))?;
    let began = now();
    let mut ran = Ran::default();
    for byte in b"0032" {
        transport.feed(&mut channel, &[*byte], &mut ran)?;
        transport.wait_at_most(DRIP);
        // Nothing said within the pause is what an idle connection says.
        if transport.listen(&mut channel, &mut ran).is_ok() {
            break;
        }
    }
    ground.unharmed()?;
    Ok(began.elapsed())
}

/// A push whose pack begins later than a client may be silent elsewhere.
fn compress_ssh(ground: &Ground) -> Result<()> {
    let ssh = ground.ssh();
    let mut objects = Objects::new();
    let tip = objects.small_commit(&[ground.base.tip], "compressed for long\n");
    let pack = objects.pack();
    let body = Push::new().create("refs/heads/late", &tip).pack(pack.clone()).body();
    let (commands, _) = body.split_at(body.len() - pack.len());
    let mut transport = ssh.login()?;
    let mut channel = transport.open_channel()?;
    transport.order(&channel, &Order::Exec(ssh.line(Program::ReceivePack).as_bytes()))?;
    let mut ran = Ran::default();
    transport.feed(&mut channel, commands, &mut ran)?;
    // Shorter than the server's questions whether somebody is there, which are answered.
    transport.wait_at_most(Duration::from_secs(25));
    let began = now();
    while began.elapsed() < IDLE_MAX {
        let cut = transport.listen(&mut channel, &mut ran).is_ok();
        ensure!(!cut, "it was cut while it compressed: {ran:?}");
    }
    transport.feed(&mut channel, &pack, &mut ran)?;
    transport.wait_at_most(IDLE_MAX);
    transport.listen(&mut channel, &mut ran)?;
    ensure!(ran.exit == Some(0), "{ran:?}");
    ensure!(String::from_utf8_lossy(&ran.out).contains("ok refs/heads/late"), "{ran:?}");
    Ok(())
}

/// A push of which the last hundredth does not come.
fn stalled(ground: &Ground) -> (Vec<u8>, usize) {
    let mut objects = Objects::new();
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_be_bytes()).collect();
    objects.add(ObjectKind::Blob, &noise);
    let tip = objects.small_commit(&[ground.base.tip], "stalled\n");
    let body = Push::new().create("refs/heads/evil", &tip).pack(objects.pack()).body();
    let end = body.len() * 99 / 100;
    (body, end)
}

fn stall_http(ground: &Ground) -> Result<Heard> {
    let http = ground.http();
    let (body, end) = stalled(ground);
    let (target, media_type) = http.rpc(Program::ReceivePack);
    let head = http.head("POST", &target, &[("Content-Type", &media_type)], body.len());
    let mut wire = Wire::open(http.address())?;
    wire.send(head.as_bytes())?;
    wire.send(&body[..end])?;
    let heard = wire.hear_out(IDLE_MAX + Duration::from_secs(5))?;
    ground.unharmed()?;
    leaves_nothing(ground)?;
    Ok(heard)
}

fn stall_ssh(ground: &Ground) -> Result<Duration> {
    let ssh = ground.ssh();
    let (body, end) = stalled(ground);
    let mut transport = ssh.login()?;
    let mut channel = transport.open_channel()?;
    transport.order(&channel, &Order::Exec(ssh.line(Program::ReceivePack).as_bytes()))?;
    let began = now();
    let mut ran = Ran::default();
    transport.feed(&mut channel, &body[..end], &mut ran)?;
    transport.listen(&mut channel, &mut ran)?;
    let took = began.elapsed();
    ensure!(ran.exit != Some(0), "{ran:?}");
    ground.unharmed()?;
    leaves_nothing(ground)?;
    Ok(took)
}

/// No spool is left of a push that did not end, and the repository is sound.
fn leaves_nothing(ground: &Ground) -> Result<()> {
    let spool = ground.up.stratum.data().join("nodes/1/spool");
    let left = std::fs::read_dir(&spool)?.count();
    ensure!(left == 0, "{left} files in the spool");
    ground.up.stratum.cli(&["check", &ground.path])?;
    Ok(())
}

/// A connection that says only this instead of its banner.
fn greet(ground: &Ground, start: &[u8]) -> Result<Heard> {
    let address = ground.ssh().address().to_owned();
    let mut wire = Wire::open_from(IpAddr::V4(Ipv4Addr::new(127, 0, 78, 1)), &address)?;
    wire.send(start)?;
    let heard = wire.hear_out(LOGIN_MAX + Duration::from_secs(5))?;
    ground.unharmed()?;
    Ok(heard)
}

#[test]
fn bad_input_005_a_body_that_drips() -> Result<()> {
    let heard = outcome(|waits| waits.drip_http.take())?;
    ensure!(heard.end == End::Closed, "it is still open after {:?}", heard.took);
    ensure!((IDLE_MIN..=IDLE_MAX).contains(&heard.took), "cut after {:?}", heard.took);
    ensure!(heard.text().starts_with("HTTP/1.1 408 "), "{:?}", heard.text());
    Ok(())
}

#[test]
fn bad_input_005_a_command_whose_input_drips() -> Result<()> {
    let took = outcome(|waits| waits.drip_ssh.take())?;
    ensure!((IDLE_MIN..=IDLE_MAX).contains(&took), "cut after {took:?}");
    Ok(())
}

#[test]
fn bad_input_061_gs_fe_14_a_push_that_stalls() -> Result<()> {
    let heard = outcome(|waits| waits.stall_http.take())?;
    ensure!(heard.end == End::Closed, "it is still open after {:?}", heard.took);
    ensure!((Duration::from_secs(25)..=IDLE_MAX).contains(&heard.took), "after {:?}", heard.took);
    Ok(())
}

#[test]
fn bad_input_061_a_push_over_ssh_that_stalls() -> Result<()> {
    let took = outcome(|waits| waits.stall_ssh.take())?;
    ensure!((Duration::from_secs(25)..=IDLE_MAX).contains(&took), "cut after {took:?}");
    Ok(())
}

#[test]
fn gs_fe_08_a_client_may_compress_longer_than_it_may_be_silent() -> Result<()> {
    outcome(|waits| waits.compress.take())
}

#[test]
fn bad_input_113_a_client_without_a_banner() -> Result<()> {
    for heard in [outcome(|waits| waits.silent.take())?, outcome(|waits| waits.half_banner.take())?]
    {
        ensure!(heard.end == End::Closed, "it is still open after {:?}", heard.took);
        ensure!(heard.took <= LOGIN_MAX, "cut after {:?}", heard.took);
    }
    Ok(())
}
