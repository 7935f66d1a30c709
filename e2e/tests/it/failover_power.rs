//! All power lost at random moments of a push loop, on a disk that forgets what was not
//! synced (P-D3), and the order of what is synced before a push is acknowledged (P-D1).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::is_long;
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::http::{Credentials, Http};
use lossyfs::{Event, Loss, monotonic_now};

use crate::chain::{Chain, mixed};
use crate::failover_kill::seed;
use crate::objects::{FILE, Objects};
use crate::shared::Up;
use crate::slate::Slate;
use crate::work::create;

/// Power cuts in CI, and in the long run.
const CUTS: u32 = 5;
const CUTS_LONG: u32 = 50;
const MOMENT_MAX_MILLIS: u32 = 1_000;
/// Bytes beyond which a segment is a file and no row.
const INLINE_BYTES_MAX: u32 = 256 << 10;
/// Pushes of each size whose syncs are looked at.
const WATCHED: u32 = 5;

#[test]
fn p_d3_no_loss_of_power_loses_an_acknowledged_push() -> Result<()> {
    let Some(mut slate) = Slate::new()? else { return Ok(()) };
    let mut up = slate.start()?;
    let mut chain = Chain::begin(&up, "demo/power")?;
    let seed = seed();
    let cuts = if is_long() { CUTS_LONG } else { CUTS };
    for round in 0..cuts {
        let moment = mixed(seed ^ round) % MOMENT_MAX_MILLIS;
        let loss = match round % 2 {
            0 => Loss::Everything,
            _ => Loss::Some { seed: u64::from(mixed(seed ^ round)) },
        };
        let seen = || format!("seed {seed}, round {round}, {loss:?} after {moment} ms");
        cut(&slate, &up, &mut chain, (moment, loss)).with_context(seen)?;
        up.stratum.kill()?;
        slate.remount().with_context(seen)?;
        up.stratum.launch().with_context(seen)?;
        chain.settle(&up).with_context(seen)?;
    }
    eprintln!("{cuts} power cuts, {} pushes", chain.len());
    ensure!(chain.len() > usize::try_from(cuts)?, "{} pushes prove nothing", chain.len());
    chain.verify(&up, "power.git")?;
    up.stratum.stop()?;
    Ok(())
}

/// Cuts the power some time after the next pushes have begun, then kills what still runs.
pub(crate) fn cut(
    slate: &Slate,
    up: &Up,
    chain: &mut Chain,
    (moment, loss): (u32, Loss),
) -> Result<()> {
    let control = slate.control()?;
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| chain.push_until_gone(up));
        std::thread::sleep(Duration::from_millis(moment.into()));
        control.cut_power(loss);
        // A process that does not die of it acknowledges nothing any more.
        std::thread::sleep(Duration::from_millis(100));
        // It may have ended by itself.
        drop(up.stratum.strike());
        pushing.join().map_err(|_| anyhow::anyhow!("the pushing thread panicked"))?
    })
}

#[test]
fn s4_and_s13_what_a_push_brings_is_durable_before_its_refs_and_both_before_the_ack() -> Result<()>
{
    let Some(slate) = Slate::new()? else { return Ok(()) };
    let mut up = slate.start()?;
    create(&up.stratum, "demo/order", "sha1")?;
    // The first push opens sessions and streams, which sync on their own account.
    watched(&slate, &up, "first", 10)?;
    for (kind, bytes) in [("a row", 1_000), ("a file", 2 * INLINE_BYTES_MAX)] {
        let mut counts = Vec::new();
        for number in 0..WATCHED {
            let name = format!("{}{number}", kind.replace(' ', "-"));
            let syncs = watched(&slate, &up, &name, bytes)?;
            check_order(&syncs, kind)?;
            counts.push(syncs.len());
        }
        eprintln!("syncs of a push whose segment is {kind}: {counts:?}");
    }
    up.stratum.stop()?;
    Ok(())
}

/// The syncs that ended between a push's first byte and its acknowledgement.
fn watched(slate: &Slate, up: &Up, name: &str, bytes: u32) -> Result<Vec<Event>> {
    let noise: Vec<u8> = (0..bytes / 4).flat_map(|at| mixed(at).to_be_bytes()).collect();
    let mut objects = Objects::new();
    let blob = objects.blob(&[name.as_bytes(), &noise].concat());
    let tree = objects.tree(&[(FILE, b"file", blob)]);
    let tip = objects.commit(&tree, &[], name);
    let push = Push::new().create(&format!("refs/heads/{name}"), &tip).pack(objects.pack());
    let control = slate.control()?;
    let first = control.next_event();
    let http = Http::new(&up.stratum.endpoint().http, "demo/order")
        .with(Credentials::Bearer(up.token.clone()));
    let report = push.send(&http)?;
    let acknowledged = monotonic_now();
    ensure!(report.is_done(), "{}", report.why());
    let events = control.events_since(first).into_iter();
    Ok(events.filter(|e| e.kind.is_sync() && e.succeeded && e.at <= acknowledged).collect())
}

/// Segments first, by a file of their own and its folder or by a log of the object node;
/// then the partition's log.
fn check_order(syncs: &[Event], kind: &str) -> Result<()> {
    let shown = || syncs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let last = |is_it: &dyn Fn(&str) -> bool| syncs.iter().rposition(|event| is_it(&event.path));
    // The mark of how far a log is synced follows when it likes.
    let is_log = |path: &str, of: &str| path.contains(of) && path.ends_with(".log");
    let stored = match kind {
        "a file" => last(&|path| path.contains("/object/segments/")),
        _ => last(&|path| is_log(path, "/object/db/")),
    };
    let stored = stored.with_context(|| format!("{kind} was not synced:\n{}", shown()))?;
    let listed = last(&|path| is_log(path, "/metadata/db/"));
    let listed = listed.with_context(|| format!("no log:\n{}", shown()))?;
    ensure!(stored < listed, "refs before objects:\n{}", shown());
    Ok(())
}
