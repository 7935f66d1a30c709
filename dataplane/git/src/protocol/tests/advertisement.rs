//! What we say, byte for byte against what stock git says, and to its own client.

use bytes::BytesMut;
use gitstratum_core::{ObjectFormat, ObjectId};

use super::super::capabilities::{Advertisement, Offered, Service, advertise_v2};
use super::super::receive_pack::{Capabilities, Reporter, Verdict};
use super::super::v2::{
    LsRefs, acknowledgments, listed_ref, packfile_header, shallow_info, unborn_head,
};
use super::super::{AdvertisedRef, Exchange, Fetch, Limits, Readiness, Version, v0};
use super::stock::{Stock, request, with_our_agent};
use super::{decode, line_of, name};
use crate::pktline::{Packet, SideBand, flush};

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

fn upload_pack(stock: &Stock, version: Version, exchange: Exchange) -> BytesMut {
    let main = name("refs/heads/main");
    let refs = stock.refs();
    let head_target = (!refs.is_empty()).then_some(main.clone());
    let service = Service::UploadPack { exchange, head_target };
    let format = stock.format();
    let mut out = BytesMut::new();
    let mut advertisement = Advertisement::begin(version, service, format, &mut out);
    if let Some(listed) = refs.iter().find(|listed| listed.name == main) {
        let head = name("HEAD");
        let entry = AdvertisedRef { name: &head, symref_target: Some(&main), ..listed.entry() };
        advertisement.push(&entry, &mut out);
    }
    refs.iter().for_each(|listed| advertisement.push(&listed.entry(), &mut out));
    advertisement.finish(&mut out);
    out
}

fn receive_pack(stock: &Stock, version: Version, offered: Offered) -> BytesMut {
    let mut out = BytesMut::new();
    let service = Service::ReceivePack(offered);
    let mut advertisement = Advertisement::begin(version, service, stock.format(), &mut out);
    stock.refs().iter().for_each(|listed| advertisement.push(&listed.entry(), &mut out));
    advertisement.finish(&mut out);
    out
}

#[test]
fn gs_fe_05_v2_capabilities_are_stock_gits_without_those_not_served() {
    for format in FORMATS {
        let stock = Stock::empty(format);
        let said = stock.serve(&["upload-pack", "--advertise-refs", "server"], "version=2", b"");
        let mut expected = with_our_agent(&said);
        let unserved =
            |packet: &Packet| ["server-option", "object-info"].contains(&line_of(packet).as_str());
        expected.retain(|packet| !unserved(packet));
        let mut out = BytesMut::new();
        advertise_v2(format, &mut out);
        assert_eq!(decode(&out), expected);
    }
}

#[test]
fn gs_fe_03_v0_and_v1_advertisements_are_stock_gits() {
    for format in FORMATS {
        let stock = Stock::with_history(format);
        for (version, variable) in [(Version::V0, ""), (Version::V1, "version=1")] {
            let said = stock.serve(&["upload-pack", "--advertise-refs", "server"], variable, b"");
            let ours = upload_pack(&stock, version, Exchange::Stateless);
            assert_eq!(decode(&ours), with_our_agent(&said));
            let said = stock.serve(&["upload-pack", "server"], variable, b"0000");
            let ours = upload_pack(&stock, version, Exchange::Stateful);
            assert_eq!(decode(&ours), with_our_agent(&said));
        }
    }
}

#[test]
fn gs_fe_08_push_advertisements_are_stock_gits() {
    for format in FORMATS {
        for stock in [Stock::empty(format), Stock::with_history(format)] {
            for (version, variable) in
                [(Version::V0, ""), (Version::V1, "version=1"), (Version::V2, "version=2")]
            {
                let said = stock.serve(&["receive-pack", "server"], variable, b"0000");
                let ours = receive_pack(&stock, version, Offered::default());
                assert_eq!(decode(&ours), with_our_agent(&said));
            }
        }
    }
    let stock = Stock::empty(ObjectFormat::Sha1);
    stock.server(&["config", "receive.advertisePushOptions", "true"]);
    let said = stock.serve(&["receive-pack", "server"], "", b"0000");
    let ours = receive_pack(&stock, Version::V0, Offered { push_options: true });
    assert_eq!(decode(&ours), with_our_agent(&said));
}

/// Lets the stock client read `bytes` in place of a server and run to its end.
fn show_to_client(stock: &Stock, bytes: &[u8], args: &[&str]) -> (bool, String) {
    let file = stock.write("said", bytes);
    let program = format!("cat {}; cat >/dev/null; :", file.display());
    let option = format!("--upload-pack={program}");
    let args: Vec<&str> =
        args.iter().map(|arg| if *arg == "UPLOAD" { option.as_str() } else { arg }).collect();
    let output = stock.client(&args);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Stock git of this age says nothing for an empty repository; its client has long
/// understood the line that later ones send, which names the object format.
#[test]
fn gs_fe_05_the_stock_client_takes_our_empty_advertisement() {
    for format in FORMATS {
        let stock = Stock::empty(format);
        for (version, config) in
            [(Version::V0, "protocol.version=0"), (Version::V1, "protocol.version=1")]
        {
            let ours = upload_pack(&stock, version, Exchange::Stateful);
            let first = line_of(&decode(&ours)[usize::from(version == Version::V1)]);
            assert!(first.starts_with(&format!("{} capabilities^{{}}\0", ObjectId::null(format))));
            assert!(first.contains(&format!(" object-format={format} ")));
            let listing = ["-c", config, "ls-remote", "UPLOAD", "server"];
            let (success, said) = show_to_client(&stock, &ours, &listing);
            assert!(success && said.is_empty(), "{said}");
            let clone = ["-c", config, "clone", "-q", "UPLOAD", "server", config];
            let (success, said) = show_to_client(&stock, &ours, &clone);
            assert!(success && said.contains("empty repository"), "{said}");
        }
    }
}

fn ls_refs_answer(stock: &Stock, asked: &LsRefs) -> BytesMut {
    let (head, main) = (name("HEAD"), name("refs/heads/main"));
    let refs = stock.refs();
    let mut out = BytesMut::new();
    match refs.iter().find(|listed| listed.name == main) {
        Some(listed) => {
            let entry = AdvertisedRef { name: &head, symref_target: Some(&main), ..listed.entry() };
            listed_ref(&mut out, asked, &entry);
        }
        None if asked.lists_unborn_head() => unborn_head(&mut out, &main),
        None => {}
    }
    refs.iter().for_each(|listed| listed_ref(&mut out, asked, &listed.entry()));
    flush(&mut out);
    out
}

/// What stock git answers to a v2 request.
fn stock_v2(stock: &Stock, command: &str, arguments: &[&str]) -> Vec<u8> {
    let command = format!("command={command}");
    let format = format!("object-format={}", stock.format());
    let lines = [&[command.as_str(), &format, "0001"], arguments, &["0000"]].concat();
    stock.serve(&["upload-pack", "--stateless-rpc", "server"], "version=2", &request(&lines))
}

#[test]
fn gs_fe_06_ref_listings_are_stock_gits() {
    for format in FORMATS {
        for stock in [Stock::empty(format), Stock::with_history(format)] {
            for arguments in
                [&[][..], &["peel"], &["symrefs"], &["unborn"], &["peel", "symrefs", "unborn"]]
            {
                let asked = LsRefs {
                    peel: arguments.contains(&"peel"),
                    symrefs: arguments.contains(&"symrefs"),
                    unborn: arguments.contains(&"unborn"),
                    prefixes: None,
                };
                let expected = stock_v2(&stock, "ls-refs", arguments);
                assert_eq!(ls_refs_answer(&stock, &asked), expected, "{arguments:?}");
            }
        }
    }
}

#[test]
fn gs_fe_06_the_stock_client_reads_our_v2_listing() {
    let stock = Stock::with_history(ObjectFormat::Sha256);
    let mut said = BytesMut::new();
    advertise_v2(ObjectFormat::Sha256, &mut said);
    let asked = LsRefs { peel: true, symrefs: true, ..LsRefs::default() };
    said.extend_from_slice(&ls_refs_answer(&stock, &asked));
    let (success, listing) = show_to_client(
        &stock,
        &said,
        &["-c", "protocol.version=2", "ls-remote", "--symref", "UPLOAD", "server"],
    );
    assert!(success, "{listing}");
    assert_eq!(listing, stock.git(&["ls-remote", "--symref", "server"]));
}

#[test]
fn gs_fe_19_v2_sections_are_stock_gits() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let (main, side) = (stock.id_of("main"), stock.id_of("side"));
    let (want, have) = (format!("want {main}"), format!("have {side}"));
    let foreign = format!("have {}", "ab".repeat(20));
    let round = Fetch { wants: vec![main], haves: vec![side], ..Fetch::default() };
    let waiting = Fetch { wait_for_done: true, ..round.clone() };

    for (fetch, arguments, common, readiness) in [
        (&round, vec![&want, &foreign], vec![], Readiness::MoreHaves),
        (&waiting, vec![&want, &have], vec![side], Readiness::Ready),
    ] {
        let mut arguments: Vec<&str> = arguments.into_iter().map(String::as_str).collect();
        arguments.extend(fetch.wait_for_done.then_some("wait-for-done"));
        let mut ours = BytesMut::new();
        acknowledgments(&mut ours, fetch, &common, readiness);
        assert_eq!(ours, stock_v2(&stock, "fetch", &arguments));
    }
    let mut ours = BytesMut::new();
    acknowledgments(&mut ours, &round, &[side], Readiness::Ready);
    packfile_header(&mut ours);
    assert!(stock_v2(&stock, "fetch", &[&want, &have]).starts_with(&ours));
}

#[test]
fn gs_fe_10_shallow_sections_are_stock_gits() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let (main, side) = (stock.id_of("main"), stock.id_of("side"));
    let want = format!("want {main}");
    let cut = format!("shallow {main}");
    for (arguments, shallow, unshallow) in [
        (vec![&want[..], "deepen 1", "done"], vec![main], vec![]),
        (vec![&want, &cut, "deepen 2", "done"], vec![side], vec![main]),
        (vec![&want, &cut, "deepen 2147483647", "done"], vec![], vec![main]),
        (vec![&want, &cut, "done"], vec![], vec![]),
    ] {
        let mut ours = BytesMut::new();
        shallow_info(&mut ours, &shallow, &unshallow);
        packfile_header(&mut ours);
        let said = stock_v2(&stock, "fetch", &arguments);
        assert!(said.starts_with(&ours), "{arguments:?}");
    }
}

#[test]
fn gs_fe_19_v0_answers_are_stock_gits() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let (main, side) = (stock.id_of("main"), stock.id_of("side"));
    let have = format!("have {side}");
    let foreign = format!("have {}", "ab".repeat(20));
    let detailed = "multi_ack_detailed side-band-64k";
    for (capabilities, tail) in [
        (detailed, vec!["done"]),
        (detailed, vec![&foreign, "0000"]),
        (detailed, vec![&have, "0000"]),
        (detailed, vec![&have, "done"]),
        ("multi_ack_detailed no-done side-band-64k", vec![&have, "0000"]),
        ("multi_ack side-band-64k", vec![&have, "0000"]),
        ("multi_ack side-band-64k", vec![&have, "done"]),
        ("side-band-64k", vec![&have, "0000"]),
        ("side-band-64k", vec![&foreign, "0000"]),
        ("side-band-64k", vec![&have, "done"]),
    ] {
        let first = format!("want {main} {capabilities}");
        let lines = [&[first.as_str(), "0000"], &tail[..]].concat();
        let bytes = request(&lines);
        let mut session =
            v0::Session::new(ObjectFormat::Sha1, Exchange::Stateless, Limits::default());
        let mut ours = BytesMut::new();
        for packet in decode(&bytes) {
            if let v0::Step::Round | v0::Step::Done = session.accept(packet).unwrap() {
                session.answer(&[side], Readiness::Ready, &mut ours);
            }
        }
        let said = stock.serve(&["upload-pack", "--stateless-rpc", "server"], "", &bytes);
        assert!(said.starts_with(&ours), "{lines:?}: {}", ours.escape_ascii());
        let rest = &said[ours.len()..];
        assert!(rest.is_empty() || rest[4] == 2, "{lines:?}: {}", rest.escape_ascii());
    }
}

#[test]
fn gs_fe_08_reports_are_stock_gits() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let side = stock.id_of("side");
    for (side_band, word) in [(SideBand::None, ""), (SideBand::Large, " side-band-64k")] {
        stock.server(&["update-ref", "refs/heads/gone", "side"]);
        let zero = "0".repeat(40);
        let first = format!("{side} {zero} refs/heads/gone\0 report-status{word}");
        let input = request(&[&first, "0000"]);
        let said = stock.serve(&["receive-pack", "--stateless-rpc", "server"], "", &input);
        let capabilities =
            Capabilities { report_status: true, side_band, ..Capabilities::default() };
        let verdict = Verdict { raw_name: b"refs/heads/gone", outcome: Ok(()) };
        let mut ours = BytesMut::new();
        Reporter::new(&capabilities).report(Ok(()), [verdict], &mut ours);
        assert_eq!(ours, said);
    }
}

#[test]
fn gs_fe_08_the_stock_client_reads_our_report() {
    let stock = Stock::with_history(ObjectFormat::Sha1);
    let mut said = receive_pack(&stock, Version::V0, Offered::default());
    let capabilities =
        Capabilities { report_status: true, side_band: SideBand::Large, ..Capabilities::default() };
    let reporter = Reporter::new(&capabilities);
    reporter.notice("mind the gap", &mut said);
    let verdicts = [
        Verdict { raw_name: b"refs/heads/side", outcome: Ok(()) },
        Verdict { raw_name: b"refs/tags/v1", outcome: Err("kept by rule") },
    ];
    reporter.report(Ok(()), verdicts, &mut said);
    let file = stock.write("said", &said);
    let program = format!("--receive-pack=cat {}; cat >/dev/null; :", file.display());
    let refs = [":refs/heads/side", ":refs/tags/v1"];
    let output = stock.client(&["-C", "work", "push", &program, "../server", refs[0], refs[1]]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("remote: mind the gap"), "{text}");
    assert!(text.contains("- [deleted]         side"), "{text}");
    assert!(text.contains("! [remote rejected] v1 (kept by rule)"), "{text}");
}
