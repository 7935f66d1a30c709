use bytes::{Bytes, BytesMut};
use gitstratum_core::ObjectFormat;

use super::super::capabilities::Offered;
use super::super::tests::{decode, id, lines, packets};
use super::super::{Error, Limits};
use super::*;
use crate::pktline::{Packet, SideBand};

mod commands;

const NULL: &str = "0000000000000000000000000000000000000000";
const STOCK: &str = "report-status-v2 side-band-64k object-format=sha1 agent=git/2.39.5";

fn parse_with(offered: Offered, limits: Limits, packets: Vec<Packet>) -> Result<Push, Error> {
    let mut parser = Parser::new(ObjectFormat::Sha1, offered, limits);
    let mut push = None;
    for packet in packets {
        assert_eq!(push, None, "the push ended early");
        push = parser.accept(packet)?;
    }
    Ok(push.expect("because the fixture is complete"))
}

fn parse(lines: &[&str]) -> Result<Push, Error> {
    parse_with(Offered::default(), Limits::default(), packets(lines))
}

/// A command that creates `name`.
fn create(name: &str) -> String {
    format!("{NULL} {} {name}", id(1))
}

fn reporter(status: bool, framing: SideBand) -> Reporter {
    let asked =
        Capabilities { report_status: status, side_band: framing, ..Capabilities::default() };
    Reporter::new(&asked)
}

const VERDICTS: [Verdict<'_>; 2] = [
    Verdict { raw_name: b"refs/heads/a", outcome: Ok(()) },
    Verdict { raw_name: b"refs/heads/b", outcome: Err("stale\x1b[1m info\n") },
];

#[test]
fn gs_fe_08_the_report_names_each_ref() {
    let mut out = BytesMut::new();
    reporter(true, SideBand::None).report(Ok(()), VERDICTS, &mut out);
    assert_eq!(
        lines(&out),
        ["unpack ok", "ok refs/heads/a", "ng refs/heads/b stale[1m info ", "0000"]
    );
}

#[test]
fn a_multiplexed_report_ends_twice() {
    let mut out = BytesMut::new();
    reporter(true, SideBand::Large).report(Err("index\npack died"), VERDICTS, &mut out);
    let packets = decode(&out);
    let [Packet::Data(frame), Packet::Flush] = &packets[..] else {
        panic!("not one frame and a flush: {packets:?}")
    };
    assert_eq!(frame[0], 1);
    let report = lines(&frame[1..]);
    assert_eq!((report[0].as_str(), report[3].as_str()), ("unpack index pack died", "0000"));
}

#[test]
fn who_asks_for_no_report_gets_none() {
    let mut out = BytesMut::new();
    reporter(false, SideBand::None).report(Ok(()), VERDICTS, &mut out);
    assert!(out.is_empty());
    reporter(false, SideBand::Large).report(Ok(()), VERDICTS, &mut out);
    assert_eq!(&out[..], b"0000");
}

#[test]
fn the_longest_name_that_a_client_can_send_can_be_reported() {
    let longest = vec![b'x'; crate::pktline::PAYLOAD_BYTES_MAX - 82];
    let reason = "funny refname: ".repeat(100);
    let mut out = BytesMut::new();
    let verdicts = [
        Verdict { raw_name: &longest, outcome: Err(&reason) },
        Verdict { raw_name: b"refs/heads/b", outcome: Err(&reason) },
        Verdict { raw_name: &longest, outcome: Ok(()) },
    ];
    reporter(true, SideBand::None).report(Ok(()), verdicts, &mut out);
    let report = lines(&out);
    assert_eq!(report.len(), 5);
    assert!(report[1].contains(" funny refname"));
    assert!(report[2].len() < 1_100);
}

#[test]
fn texts_reach_the_client_on_their_bands() {
    let mut out = BytesMut::new();
    let large = reporter(true, SideBand::Large);
    large.progress("checking\x07", &mut out);
    large.fatal("gave up", &mut out);
    large.keep_alive(&mut out);
    assert_eq!(&out[..], b"000e\x02checking\n000d\x03gave up\n0005\x01");
    out.clear();
    let none = reporter(true, SideBand::None);
    none.progress("checking", &mut out);
    none.keep_alive(&mut out);
    assert!(out.is_empty());
    none.fatal("gave up", &mut out);
    assert_eq!(&out[..], b"000fERR gave up");
}

#[test]
fn a_quiet_client_reads_notices_and_no_progress() {
    let asked = Capabilities { quiet: true, side_band: SideBand::Large, ..Capabilities::default() };
    let mut out = BytesMut::new();
    Reporter::new(&asked).progress("checking", &mut out);
    assert!(out.is_empty());
    Reporter::new(&asked).notice("case twins", &mut out);
    assert_eq!(&out[..], b"0010\x02case twins\n");
}
