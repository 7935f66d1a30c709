use bytes::BytesMut;
use gitstratum_core::{ObjectFormat, ObjectId};

use super::super::tests::{id, lines, packets};
use super::super::{Deepen, Error, Exchange, Filter, Limits, Next, Readiness};
use super::*;
use crate::pktline::{Packet, SideBand};

const STOCK: &str = "multi_ack_detailed side-band-64k thin-pack no-progress include-tag \
     ofs-delta deepen-since deepen-not agent=git/2.39.5";

fn session(exchange: Exchange) -> Session {
    Session::new(ObjectFormat::Sha1, exchange, Limits::default())
}

/// What each of `lines` leads to.
fn feed(session: &mut Session, lines: &[&str]) -> Result<Vec<Step>, Error> {
    packets(lines).into_iter().map(|packet| session.accept(packet)).collect()
}

fn want(number: u8, capabilities: &str) -> String {
    format!("want {} {capabilities}", id(number))
}

fn have(number: u8) -> String {
    format!("have {}", id(number))
}

/// A session that wants one commit with `capabilities` and has told `haves`.
fn negotiating(exchange: Exchange, capabilities: &str, haves: &[u8]) -> Session {
    let mut session = session(exchange);
    feed(&mut session, &[&want(9, capabilities), "0000"]).unwrap();
    for number in haves {
        feed(&mut session, &[&have(*number)]).unwrap();
    }
    session
}

fn answer(session: &mut Session, common: &[ObjectId], ready: Readiness) -> (Vec<String>, Next) {
    let mut out = BytesMut::new();
    let next = session.answer(common, ready, &mut out);
    (lines(&out), next)
}

#[test]
fn a_clone_wants_flushes_and_is_done() {
    let mut session = session(Exchange::Stateful);
    let wants = [&want(1, STOCK), &format!("want {}", id(2)), &format!("want {}", id(1))];
    let wants = wants.map(String::as_str);
    assert_eq!(feed(&mut session, &wants), Ok(vec![Step::More; 3]));
    assert_eq!(feed(&mut session, &["0000", "done"]), Ok(vec![Step::Wants, Step::Done]));
    let fetch = session.fetch();
    assert_eq!(fetch.wants, [id(1), id(2)]);
    assert!(fetch.done && !fetch.progress && fetch.side_band == SideBand::Large);
    assert!(fetch.shape.thin_pack && fetch.shape.ofs_delta && fetch.shape.include_tag);
    assert_eq!(
        answer(&mut session, &[], Readiness::MoreHaves),
        (vec!["NAK".to_owned()], Next::Pack)
    );
}

#[test]
fn gs_fe_10_shallow_and_deepen_lines_come_with_the_wants() {
    let mut session = session(Exchange::Stateless);
    let shallow = format!("shallow {}", id(5));
    let conversation = [&want(1, STOCK), &shallow, "deepen 2147483647", "0000"];
    feed(&mut session, &conversation).unwrap();
    assert_eq!(session.fetch().shape.shallow, [id(5)]);
    assert_eq!(session.fetch().shape.deepen, Some(Deepen::Everything));
    let mut out = BytesMut::new();
    shallow_info(&mut out, &[id(1)], &[id(5)]);
    let expected = format!("0034shallow {}0036unshallow {}0000", id(1), id(5));
    assert_eq!(&out[..], expected.as_bytes());
}

#[test]
fn a_relative_depth_is_a_capability_of_v0() {
    let mut session = session(Exchange::Stateful);
    let conversation = [&want(1, &format!("{STOCK} deepen-relative")), "deepen 3", "0000"];
    feed(&mut session, &conversation).unwrap();
    assert!(matches!(session.fetch().shape.deepen, Some(Deepen::Beyond(n)) if n.get() == 3));
}

#[test]
fn a_filter_must_have_been_negotiated() {
    let mut plain = session(Exchange::Stateful);
    let refused = feed(&mut plain, &[&want(1, STOCK), "filter blob:none"]);
    assert_eq!(refused, Err(Error::NotNegotiated("filter")));
    let mut filtering = session(Exchange::Stateful);
    let first = want(1, &format!("{STOCK} filter"));
    feed(&mut filtering, &[&first, "filter blob:none", "0000"]).unwrap();
    assert_eq!(filtering.fetch().shape.filter, Some(Filter::BlobNone));
}

#[test]
fn side_bands_and_ack_modes_prefer_the_stronger() {
    let side_band = |capabilities: &str| {
        let mut session = session(Exchange::Stateful);
        feed(&mut session, &[&want(1, capabilities)]).unwrap();
        (session.fetch().side_band, session.negotiated().acks)
    };
    assert_eq!(side_band(""), (SideBand::None, AckMode::Single));
    assert_eq!(side_band("side-band multi_ack"), (SideBand::Small, AckMode::Multi));
    let both = "multi_ack_detailed multi_ack side-band-64k side-band unknown-word";
    assert_eq!(side_band(both), (SideBand::Large, AckMode::Detailed));
}

#[test]
fn gs_fe_19_rounds_acknowledge_what_is_common_until_ready() {
    let mut session = negotiating(Exchange::Stateful, STOCK, &[1, 2]);
    assert_eq!(feed(&mut session, &["0000"]), Ok(vec![Step::Round]));
    let first = answer(&mut session, &[id(2)], Readiness::MoreHaves);
    let common = |number| format!("ACK {} common", id(number));
    assert_eq!(first, (vec![common(2), "NAK".into()], Next::MoreHaves));
    assert_eq!(session.fetch().haves, [id(2)]);

    feed(&mut session, &[&have(3), &have(4), "0000"]).unwrap();
    assert_eq!(session.fetch().haves, [id(2), id(3), id(4)]);
    let second = answer(&mut session, &[id(2), id(3)], Readiness::Ready);
    let ready = format!("ACK {} ready", id(3));
    assert_eq!(second, (vec![common(3), ready, "NAK".into()], Next::MoreHaves));

    assert_eq!(feed(&mut session, &["done"]), Ok(vec![Step::Done]));
    let last = answer(&mut session, &[id(2), id(3)], Readiness::Ready);
    assert_eq!(last, (vec![format!("ACK {}", id(3))], Next::Pack));
    assert_eq!(session.fetch().haves, [id(2), id(3)]);
}

#[test]
fn a_stateless_round_ends_its_response() {
    let mut session = negotiating(Exchange::Stateless, STOCK, &[1]);
    feed(&mut session, &["0000"]).unwrap();
    let (said, next) = answer(&mut session, &[], Readiness::MoreHaves);
    assert_eq!((said, next), (vec!["NAK".to_owned()], Next::EndOfResponse));
}

#[test]
fn no_done_gets_the_pack_as_soon_as_ready() {
    let capabilities = format!("{STOCK} no-done");
    let mut session = negotiating(Exchange::Stateless, &capabilities, &[1]);
    feed(&mut session, &["0000"]).unwrap();
    let (said, next) = answer(&mut session, &[id(1)], Readiness::Ready);
    let ack = format!("ACK {}", id(1));
    assert_eq!(said, [format!("{ack} common"), format!("{ack} ready"), "NAK".into(), ack]);
    assert_eq!(next, Next::Pack);
}

#[test]
fn haves_before_done_are_acknowledged_too() {
    let mut session = negotiating(Exchange::Stateless, STOCK, &[1, 2]);
    feed(&mut session, &["done"]).unwrap();
    let (said, next) = answer(&mut session, &[id(1)], Readiness::MoreHaves);
    assert_eq!(said, [format!("ACK {} common", id(1)), format!("ACK {}", id(1))]);
    assert_eq!(next, Next::Pack);
}

#[test]
fn old_clients_are_acknowledged_in_their_way() {
    let mut multi = negotiating(Exchange::Stateful, "multi_ack", &[1, 2]);
    feed(&mut multi, &["0000"]).unwrap();
    let (said, _) = answer(&mut multi, &[id(1), id(2)], Readiness::Ready);
    let goes_on = |number| format!("ACK {} continue", id(number));
    assert_eq!(said, [goes_on(1), goes_on(2), "NAK".into()]);

    let mut single = negotiating(Exchange::Stateful, "", &[1, 2, 3]);
    feed(&mut single, &["0000"]).unwrap();
    assert_eq!(answer(&mut single, &[], Readiness::MoreHaves).0, ["NAK"]);
    feed(&mut single, &[&have(4), &have(5), "0000"]).unwrap();
    let (said, _) = answer(&mut single, &[id(4), id(5)], Readiness::Ready);
    assert_eq!(said, [format!("ACK {}", id(4))]);
    feed(&mut single, &["done"]).unwrap();
    assert_eq!(answer(&mut single, &[], Readiness::Ready), (vec![], Next::Pack));
}

#[test]
fn bad_input_027_what_is_not_common_is_never_acknowledged() {
    for capabilities in ["", "multi_ack", STOCK] {
        let mut session = negotiating(Exchange::Stateful, capabilities, &[1, 2]);
        feed(&mut session, &["0000"]).unwrap();
        let (said, _) = answer(&mut session, &[id(1), id(77)], Readiness::Ready);
        let text = said.concat();
        assert!(!text.contains(&id(2).to_string()) && !text.contains(&id(77).to_string()));
    }
}

#[test]
fn bad_input_034_rounds_are_bounded() {
    let mut session = negotiating(Exchange::Stateful, STOCK, &[]);
    for _ in 0..512 {
        assert_eq!(session.accept(Packet::Flush), Ok(Step::Round));
    }
    let refused = session.accept(Packet::Flush);
    assert_eq!(refused, Err(Error::TooMany { what: "negotiation rounds", max: 512 }));
}

#[test]
fn a_client_without_wants_says_goodbye() {
    assert_eq!(session(Exchange::Stateful).accept(Packet::Flush), Ok(Step::Goodbye));
}

#[test]
fn bad_input_008_v0_takes_no_special_packets_but_flush() {
    for special in [Packet::Delim, Packet::ResponseEnd] {
        let refused = session(Exchange::Stateful).accept(special.clone());
        assert!(matches!(refused, Err(Error::Misplaced { place: "in wants", .. })));
        let refused = negotiating(Exchange::Stateful, STOCK, &[]).accept(special);
        assert!(matches!(refused, Err(Error::Misplaced { place: "in haves", .. })));
    }
    let mut done = negotiating(Exchange::Stateful, STOCK, &[]);
    feed(&mut done, &["done"]).unwrap();
    assert!(matches!(done.accept(Packet::Flush), Err(Error::Misplaced { .. })));
}

#[test]
fn lines_out_of_place_are_refused() {
    for line in ["done", "have x", "want", "hello world", "wants x"] {
        let refused = feed(&mut session(Exchange::Stateful), &[line]);
        assert!(matches!(refused, Err(Error::UnknownLine(_))), "{line}");
    }
    let mut haves = negotiating(Exchange::Stateful, STOCK, &[]);
    let refused = feed(&mut haves, &[&format!("want {}", id(1))]);
    assert!(matches!(refused, Err(Error::UnknownLine(_))));
    let mut twice = session(Exchange::Stateful);
    let refused = feed(&mut twice, &[&want(1, STOCK), &want(2, STOCK)]);
    assert!(matches!(refused, Err(Error::ObjectId { .. })));
}

#[test]
fn bad_input_017_v0_refuses_the_other_object_format() {
    let refused = feed(&mut session(Exchange::Stateful), &[&want(1, "object-format=sha256")]);
    assert!(matches!(refused, Err(Error::ObjectFormat { .. })));
}
