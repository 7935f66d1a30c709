use bytes::BytesMut;
use gitstratum_core::ObjectFormat;

use super::super::tests::{id, lines, name, packets};
use super::super::{AdvertisedRef, Error, Fetch, Limits, Next, Readiness};
use super::*;
use crate::pktline::{Packet, SideBand};

mod arguments;
mod refused;

/// What the last of `lines` leads to; all before it must be taken.
fn parse_with(limits: Limits, format: ObjectFormat, lines: &[&str]) -> Result<Step, Error> {
    let mut parser = Parser::new(format, limits);
    let mut step = Step::More;
    for packet in packets(lines) {
        assert_eq!(step, Step::More, "the request ended early");
        step = parser.accept(packet)?;
    }
    Ok(step)
}

fn parse(lines: &[&str]) -> Result<Step, Error> {
    parse_with(Limits::default(), ObjectFormat::Sha1, lines)
}

fn fetch(arguments: &[&str]) -> Result<Fetch, Error> {
    let lines = [&["command=fetch", "0001"], arguments, &["0000"]].concat();
    match parse(&lines)? {
        Step::Request(Request::Fetch(fetch)) => Ok(*fetch),
        other => panic!("not a fetch: {other:?}"),
    }
}

fn ls_refs(arguments: &[&str]) -> Result<LsRefs, Error> {
    let lines = [&["command=ls-refs", "0001"], arguments, &["0000"]].concat();
    match parse(&lines)? {
        Step::Request(Request::LsRefs(request)) => Ok(request),
        other => panic!("not ls-refs: {other:?}"),
    }
}

#[test]
fn gs_fe_06_ls_refs_takes_all_its_arguments() {
    let request =
        ls_refs(&["peel", "symrefs", "unborn", "ref-prefix HEAD", "ref-prefix refs/heads/"])
            .unwrap();
    assert!(request.peel && request.symrefs && request.unborn);
    assert!(request.lists_unborn_head());
    assert!(request.matches(&name("refs/heads/main")));
    assert!(!request.matches(&name("refs/tags/v1")));
    assert_eq!(ls_refs(&[]), Ok(LsRefs::default()));
    assert!(LsRefs::default().matches(&name("refs/tags/v1")));
}

#[test]
fn an_unborn_head_is_listed_only_with_symrefs_and_a_fitting_prefix() {
    assert!(!ls_refs(&["unborn"]).unwrap().lists_unborn_head());
    assert!(!ls_refs(&["symrefs"]).unwrap().lists_unborn_head());
    let elsewhere = ls_refs(&["unborn", "symrefs", "ref-prefix refs/"]).unwrap();
    assert!(!elsewhere.lists_unborn_head());
}

#[test]
fn commands_follow_each_other_until_a_flush() {
    let mut parser = Parser::new(ObjectFormat::Sha1, Limits::default());
    let conversation =
        ["command=ls-refs", "0000", "command=fetch", "agent=git/2.39.5", "0001", "done", "0000"];
    let steps: Vec<Step> =
        packets(&conversation).into_iter().map(|packet| parser.accept(packet).unwrap()).collect();
    assert_eq!(steps[1], Step::Request(Request::LsRefs(LsRefs::default())));
    assert!(matches!(&steps[6], Step::Request(Request::Fetch(fetch)) if fetch.done));
    assert!(parser.is_idle());
    assert_eq!(parser.accept(Packet::Flush), Ok(Step::Goodbye));
}

#[test]
fn a_half_read_command_is_not_idle() {
    let mut parser = Parser::new(ObjectFormat::Sha1, Limits::default());
    assert!(parser.is_idle());
    for packet in packets(&["command=fetch", "0001"]) {
        assert_eq!(parser.accept(packet), Ok(Step::More));
        assert!(!parser.is_idle());
    }
}

fn answer(fetch: &Fetch, readiness: Readiness) -> (Vec<String>, Next) {
    let mut out = BytesMut::new();
    let next = acknowledgments(&mut out, fetch, &[id(1)], readiness);
    (lines(&out), next)
}

#[test]
fn gs_fe_19_acknowledgments_end_the_response_until_ready() {
    let (want, have) = (format!("want {}", id(9)), format!("have {}", id(1)));
    let round = fetch(&[&want, &have]).unwrap();
    let ack = format!("ACK {}", id(1));
    assert_eq!(
        answer(&round, Readiness::MoreHaves),
        (vec!["acknowledgments".into(), ack.clone(), "0000".into()], Next::EndOfResponse)
    );
    assert_eq!(
        answer(&round, Readiness::Ready),
        (vec!["acknowledgments".into(), ack, "ready".into(), "0001".into()], Next::Pack)
    );
}

#[test]
fn no_acknowledgments_are_due_after_done_or_without_haves() {
    let (want, have) = (format!("want {}", id(9)), format!("have {}", id(1)));
    for arguments in [&[&want[..], &have, "done"][..], &[&want]] {
        let request = fetch(arguments).unwrap();
        assert_eq!(answer(&request, Readiness::Ready), (vec![], Next::Pack));
    }
    let nothing = fetch(&[&have]).unwrap();
    assert_eq!(answer(&nothing, Readiness::Ready), (vec![], Next::EndOfResponse));
}

#[test]
fn a_client_that_waits_for_done_is_never_told_ready() {
    let have = format!("have {}", id(1));
    let request = fetch(&["wait-for-done", &have]).unwrap();
    let (said, next) = answer(&request, Readiness::Ready);
    assert_eq!(said, ["acknowledgments", &format!("ACK {}", id(1)), "0000"]);
    assert_eq!(next, Next::EndOfResponse);
}

#[test]
fn refs_are_listed_with_what_was_asked_for() {
    let (head, main, tag) = (name("HEAD"), name("refs/heads/main"), name("refs/tags/v1"));
    let entries = [
        AdvertisedRef { name: &head, id: id(1), peeled: None, symref_target: Some(&main) },
        AdvertisedRef { name: &tag, id: id(2), peeled: Some(id(3)), symref_target: None },
    ];
    let list = |request: &LsRefs| {
        let mut out = BytesMut::new();
        entries.iter().for_each(|entry| listed_ref(&mut out, request, entry));
        lines(&out)
    };
    let plain = [format!("{} HEAD", id(1)), format!("{} refs/tags/v1", id(2))];
    assert_eq!(list(&LsRefs::default()), plain);
    let full = [
        format!("{} HEAD symref-target:refs/heads/main", id(1)),
        format!("{} refs/tags/v1 peeled:{}", id(2), id(3)),
    ];
    assert_eq!(list(&ls_refs(&["peel", "symrefs"]).unwrap()), full);
}
