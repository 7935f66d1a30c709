//! What real clients send, taken as they send it.

use std::fs;

use gitstratum_core::{ObjectFormat, ObjectId};

use super::super::capabilities::Offered;
use super::super::receive_pack::{Change, Parser as PushParser, Push};
use super::super::{Deepen, Exchange, Fetch, Filter, Limits, v0, v2};
use super::stock::Stock;
use super::{id, packets};
use crate::pktline::{Decoder, Packet, SideBand};

/// Runs a stock client against a stock server and returns what the client sent.
fn capture(stock: &Stock, option: &str, program: &str, args: &[&str]) -> Vec<u8> {
    let sent = stock.path("sent");
    let option = format!("--{option}=tee {} | {program}", sent.display());
    let args: Vec<&str> =
        args.iter().map(|arg| if *arg == "PROGRAM" { option.as_str() } else { arg }).collect();
    let output = stock.client(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
    fs::read(sent).unwrap()
}

fn uploads(stock: &Stock, args: &[&str]) -> Vec<u8> {
    capture(stock, "upload-pack", "git-upload-pack", args)
}

/// The requests of a v2 client.
fn v2_requests(format: ObjectFormat, bytes: &[u8]) -> Vec<v2::Request> {
    let mut parser = v2::Parser::new(format, Limits::default());
    let mut requests = Vec::new();
    for packet in super::decode(bytes) {
        match parser.accept(packet).unwrap() {
            v2::Step::Request(request) => requests.push(request),
            v2::Step::More | v2::Step::Goodbye => {}
        }
    }
    assert!(parser.is_idle());
    requests
}

/// The only fetch of a v2 client.
fn v2_fetch(format: ObjectFormat, bytes: &[u8]) -> Fetch {
    let fetches: Vec<Fetch> = v2_requests(format, bytes)
        .into_iter()
        .filter_map(|request| match request {
            v2::Request::Fetch(fetch) => Some(*fetch),
            v2::Request::LsRefs(_) => None,
        })
        .collect();
    assert_eq!(fetches.len(), 1);
    fetches.into_iter().next().unwrap()
}

/// The request of a v0 client, and the steps on the way to it.
fn v0_fetch(format: ObjectFormat, packets: Vec<Packet>) -> (Fetch, Vec<v0::Step>) {
    let mut session = v0::Session::new(format, Exchange::Stateless, Limits::default());
    let steps = packets.into_iter().map(|packet| session.accept(packet).unwrap());
    let steps = steps.filter(|step| *step != v0::Step::More).collect();
    (session.fetch().clone(), steps)
}

#[test]
fn gs_fe_03_a_v2_clone_lists_refs_and_fetches_them() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let stock = Stock::with_history(format);
        let sent = uploads(
            &stock,
            &["-c", "protocol.version=2", "clone", "-q", "--no-local", "PROGRAM", "server", "c"],
        );
        let requests = v2_requests(format, &sent);
        let Some(v2::Request::LsRefs(listing)) = requests.first() else {
            panic!("no listing first: {requests:?}")
        };
        assert!(listing.peel && listing.symrefs && listing.unborn && listing.prefixes.is_some());
        let fetch = v2_fetch(format, &sent);
        let mut wants: Vec<ObjectId> = stock.refs().iter().map(|listed| listed.id).collect();
        wants.sort();
        wants.dedup();
        let mut asked = fetch.wants.clone();
        asked.sort();
        assert_eq!(asked, wants);
        assert!(fetch.done && fetch.haves.is_empty() && !fetch.progress);
        assert!(fetch.shape.thin_pack && fetch.shape.ofs_delta);
    }
}

#[test]
fn gs_fe_11_shallow_and_partial_v2_clones_are_understood() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let clone = |options: &[&str], target: &str| {
        let start = ["-c", "protocol.version=2", "clone", "-q", "--no-local", "--bare"];
        let args = [&start, options, &["PROGRAM", "server", target]].concat();
        v2_fetch(ObjectFormat::Sha1, &uploads(&stock, &args)).shape
    };
    let shape = clone(&["--depth=1", "--filter=blob:limit=1k"], "c1");
    assert!(matches!(shape.deepen, Some(Deepen::Depth(depth)) if depth.get() == 1));
    assert_eq!(shape.filter, Some(Filter::BlobLimit(1_024)));
    assert_eq!(clone(&["--filter=tree:0"], "c2").filter, Some(Filter::TreeDepth(0)));
    assert_eq!(clone(&["--filter=blob:none"], "c3").filter, Some(Filter::BlobNone));
    let shape = clone(&["--shallow-since=1600000000", "--shallow-exclude=v1"], "c4");
    let expected = Deepen::Excluding { since: Some(1_600_000_000), not: vec!["v1".into()] };
    assert_eq!(shape.deepen, Some(expected));
}

#[test]
fn gs_fe_10_later_fetches_into_a_shallow_clone_are_understood() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let url = format!("file://{}", stock.path("server").display());
    stock.git(&["clone", "-q", "--depth=1", &url, "shallow"]);
    let main = stock.id_of("main");
    let fetch = |version: &str, options: &[&str]| {
        let version = format!("protocol.version={version}");
        let start = ["-C", "shallow", "-c", &version, "fetch", "-q", "PROGRAM"];
        uploads(&stock, &[&start, options, &["origin", "main"]].concat())
    };
    let deeper = v2_fetch(ObjectFormat::Sha1, &fetch("2", &["--deepen=1"]));
    assert!(matches!(deeper.shape.deepen, Some(Deepen::Beyond(depth)) if depth.get() == 1));
    assert_eq!((deeper.shape.shallow, deeper.haves), (vec![main], vec![main]));
    let (whole, steps) = v0_fetch(ObjectFormat::Sha1, super::decode(&fetch("0", &["--unshallow"])));
    assert_eq!(whole.shape.deepen, Some(Deepen::Everything));
    assert_eq!(whole.shape.shallow, [stock.id_of("side")]);
    assert_eq!(steps, [v0::Step::Wants, v0::Step::Done]);
}

#[test]
fn gs_fe_19_negotiation_without_a_fetch_waits_for_done() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let sent = uploads(
        &stock,
        &[
            "-C",
            "work",
            "-c",
            "protocol.version=2",
            "fetch",
            "-q",
            "PROGRAM",
            "--negotiate-only",
            "--negotiation-tip=main",
            "origin",
        ],
    );
    let fetch = v2_fetch(ObjectFormat::Sha1, &sent);
    assert!(fetch.wait_for_done && fetch.wants.is_empty() && fetch.negotiates());
    assert!(fetch.haves.contains(&stock.id_of("main")));
}

#[test]
fn gs_fe_03_v0_and_v1_clones_are_understood() {
    for version in ["protocol.version=0", "protocol.version=1"] {
        let stock = Stock::with_history(ObjectFormat::Sha1);
        let args = ["-c", version, "clone", "-q", "--filter=blob:none", "--no-local", "--bare"];
        let sent = uploads(&stock, &[&args[..], &["PROGRAM", "server", "c"]].concat());
        let (fetch, steps) = v0_fetch(ObjectFormat::Sha1, super::decode(&sent));
        assert_eq!(steps, [v0::Step::Wants, v0::Step::Done]);
        assert_eq!(fetch.wants.len(), 3);
        assert_eq!(fetch.shape.filter, Some(Filter::BlobNone));
        assert_eq!(fetch.side_band, SideBand::Large);
    }
}

/// As git 2.39 posts it over HTTP: a depth is asked alone first, then again with `done`.
#[test]
fn gs_fe_10_a_stateless_shallow_clone_asks_twice() {
    let want = format!(
        "want {} multi_ack_detailed no-done side-band-64k thin-pack no-progress include-tag \
         ofs-delta deepen-since deepen-not agent=git/2.39.5",
        id(1)
    );
    let (fetch, steps) = v0_fetch(ObjectFormat::Sha1, packets(&[&want, "deepen 1", "0000"]));
    assert_eq!(steps, [v0::Step::Wants]);
    assert!(fetch.shape.deepen.is_some() && !fetch.done);
    let (_, steps) = v0_fetch(ObjectFormat::Sha1, packets(&[&want, "deepen 1", "0000", "done"]));
    assert_eq!(steps, [v0::Step::Wants, v0::Step::Done]);
}

/// As git 2.39 posts it over HTTP with `--deepen`: relative by capability, haves at once.
#[test]
fn gs_fe_19_a_stateless_fetch_repeats_its_wants_in_each_round() {
    let want = format!(
        "want {} multi_ack_detailed no-done side-band-64k deepen-relative thin-pack \
         no-progress include-tag ofs-delta deepen-since deepen-not agent=git/2.39.5",
        id(1)
    );
    let (shallow, have) = (format!("shallow {}", id(2)), format!("have {}", id(2)));
    let round = packets(&[&want, &shallow, "deepen 1", "0000", &have, "0000"]);
    let (fetch, steps) = v0_fetch(ObjectFormat::Sha1, round);
    assert_eq!(steps, [v0::Step::Wants, v0::Step::Round]);
    assert_eq!((fetch.haves, fetch.shape.shallow), (vec![id(2)], vec![id(2)]));
    assert!(matches!(fetch.shape.deepen, Some(Deepen::Beyond(_))));
}

/// What a client pushes, and the bytes that follow.
fn push(stock: &Stock, args: &[&str]) -> (Push, Vec<u8>) {
    let start = ["-C", "work", "push", "-q", "PROGRAM"];
    let args = [&start, args].concat();
    let sent = capture(stock, "receive-pack", "git-receive-pack", &args);
    let offered = Offered { push_options: true };
    let mut parser = PushParser::new(stock.format(), offered, Limits::default());
    let (mut decoder, mut buffer) = (Decoder::default(), bytes::BytesMut::from(&sent[..]));
    while let Some(packet) = decoder.decode(&mut buffer).unwrap() {
        if let Some(push) = parser.accept(packet).unwrap() {
            return (push, buffer.to_vec());
        }
    }
    panic!("the push never ended")
}

#[test]
fn gs_fe_08_pushes_of_a_stock_client_are_understood() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let stock = Stock::with_history(format);
        stock.server(&["config", "receive.advertisePushOptions", "true"]);
        let old = stock.id_of("main");
        stock.commit("four");
        let refs = ["origin", "main", "main:refs/heads/new", ":refs/heads/side"];
        let (push, pack) = push(&stock, &[&["--atomic", "-o", "ci.skip"], &refs[..]].concat());
        let asked = push.capabilities;
        assert!(asked.atomic && asked.quiet && asked.report_status && asked.push_options);
        assert_eq!(asked.side_band, SideBand::Large);
        assert_eq!(push.options, [&b"ci.skip"[..]]);
        assert_eq!(push.refusal, None);
        let mut changes: Vec<(Change, &[u8])> =
            push.commands.iter().map(|command| (command.change(), &command.raw_name[..])).collect();
        changes.sort_by_key(|(_, name)| name.to_vec());
        let expected: [(Change, &[u8]); 3] = [
            (Change::Update, b"refs/heads/main"),
            (Change::Create, b"refs/heads/new"),
            (Change::Delete, b"refs/heads/side"),
        ];
        assert_eq!(changes, expected);
        assert!(push.commands.iter().any(|command| command.old == old));
        assert!(pack.starts_with(b"PACK"));
    }
}

#[test]
fn bad_input_060_a_stock_client_sends_no_pack_when_it_only_deletes() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let (push, pack) = push(&stock, &["origin", ":refs/heads/side"]);
    assert!(!push.expects_pack() && pack.is_empty());
    assert_eq!(push.commands[0].change(), Change::Delete);
}

#[test]
fn gs_fe_10_a_push_from_a_shallow_clone_names_its_cut() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let main = stock.id_of("main");
    let url = format!("file://{}", stock.path("server").display());
    fs::remove_dir_all(stock.path("work")).unwrap();
    stock.git(&["clone", "-q", "--depth=1", &url, "work"]);
    stock.commit("four");
    let (push, _) = push(&stock, &["origin", "main"]);
    assert_eq!(push.shallow, [main]);
}
