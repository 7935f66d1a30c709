use std::num::NonZeroU32;

use bytes::Bytes;

use super::super::super::{Deepen, Filter, Shape};
use super::*;

fn depth(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[test]
fn gs_fe_07_fetch_takes_all_its_arguments() {
    let (want, have, shallow) =
        (format!("want {}", id(1)), format!("have {}", id(2)), format!("shallow {}", id(3)));
    let request = fetch(&[
        "thin-pack",
        "no-progress",
        "include-tag",
        "ofs-delta",
        "wait-for-done",
        "deepen 3",
        "deepen-relative",
        "filter blob:none",
        &want,
        &have,
        &shallow,
        "done",
    ]);
    let shape = Shape {
        thin_pack: true,
        ofs_delta: true,
        include_tag: true,
        shallow: vec![id(3)],
        deepen: Some(Deepen::Beyond(depth(3))),
        filter: Some(Filter::BlobNone),
    };
    let expected = Fetch {
        wants: vec![id(1)],
        haves: vec![id(2)],
        haves_ignored: 0,
        done: true,
        wait_for_done: true,
        shape,
        side_band: SideBand::Large,
        progress: false,
    };
    assert_eq!(request, Ok(expected));
}

#[test]
fn a_bare_fetch_wants_progress_and_large_frames() {
    let request = fetch(&[]).unwrap();
    assert!(request.progress && !request.done && !request.negotiates());
    assert_eq!(request.side_band, SideBand::Large);
    assert!(!request.shape.has_shallow_info());
}

#[test]
fn bad_input_025_a_million_equal_wants_are_one() {
    let want = format!("want {}", id(1));
    let mut lines = vec!["command=fetch", "0001"];
    lines.resize(1_000_002, &want);
    lines.push("0000");
    let Ok(Step::Request(Request::Fetch(request))) = parse(&lines) else {
        panic!("because equal wants are within the limit")
    };
    assert_eq!(request.wants, [id(1)]);
}

fn numbered(word: &str, count: u8) -> Vec<String> {
    (0..count).map(|number| format!("{word} {}", id(number))).collect()
}

fn fetch_within(limits: Limits, arguments: &[String]) -> Result<Fetch, Error> {
    let mut lines = vec!["command=fetch", "0001"];
    lines.extend(arguments.iter().map(String::as_str));
    lines.push("0000");
    match parse_with(limits, ObjectFormat::Sha1, &lines)? {
        Step::Request(Request::Fetch(fetch)) => Ok(*fetch),
        other => panic!("not a fetch: {other:?}"),
    }
}

#[test]
fn bad_input_025_wants_and_shallow_lines_are_bounded() {
    let limits = Limits { wants_max: 3, shallows_max: 3, ..Limits::default() };
    for count in [2, 3] {
        let request = fetch_within(limits, &numbered("want", count)).unwrap();
        assert_eq!(request.wants.len(), usize::from(count));
        let request = fetch_within(limits, &numbered("shallow", count)).unwrap();
        assert_eq!(request.shape.shallow.len(), usize::from(count));
    }
    let wants = fetch_within(limits, &numbered("want", 4));
    assert_eq!(wants, Err(Error::TooMany { what: "wants", max: 3 }));
    let shallows = fetch_within(limits, &numbered("shallow", 4));
    assert_eq!(shallows, Err(Error::TooMany { what: "shallow lines", max: 3 }));
}

#[test]
fn bad_input_026_haves_beyond_the_limit_are_ignored() {
    let limits = Limits { haves_max: 3, ..Limits::default() };
    for (count, kept, ignored) in [(2, 2, 0), (3, 3, 0), (4, 3, 1), (200, 3, 197)] {
        let request = fetch_within(limits, &numbered("have", count)).unwrap();
        assert_eq!((request.haves.len(), request.haves_ignored), (kept, ignored));
    }
}

#[test]
fn bad_input_026_three_hundred_thousand_haves_are_cut_at_the_default() {
    let haves: Vec<String> = (0..300_000).map(|number| format!("have {number:040x}")).collect();
    let request = fetch_within(Limits::default(), &haves).unwrap();
    assert_eq!(request.haves.len(), 256 * 1_024);
    assert_eq!(request.haves_ignored, 300_000 - 256 * 1_024);
    assert_eq!(request.haves[9].to_string(), format!("{:040x}", 9));
}

#[test]
fn gs_fe_10_every_way_to_deepen_is_read() {
    let deepen = |arguments: &[&str]| fetch(arguments).unwrap().shape.deepen;
    let not = |names: &[&'static str]| names.iter().copied().map(Bytes::from).collect();
    assert_eq!(deepen(&["deepen 1"]), Some(Deepen::Depth(depth(1))));
    assert_eq!(deepen(&["deepen 2147483646"]), Some(Deepen::Depth(depth(0x7fff_fffe))));
    assert_eq!(deepen(&["deepen 2147483647"]), Some(Deepen::Everything));
    assert_eq!(deepen(&["deepen-relative"]), None);
    assert_eq!(
        deepen(&["deepen-since 1700000000"]),
        Some(Deepen::Excluding { since: Some(1_700_000_000), not: vec![] })
    );
    assert_eq!(
        deepen(&["deepen-not v1", "deepen-not refs/heads/x", "deepen-since 5"]),
        Some(Deepen::Excluding { since: Some(5), not: not(&["v1", "refs/heads/x"]) })
    );
}

#[test]
fn bad_input_029_depths_and_times_that_are_none_are_refused() {
    for value in ["0", "-1", "2147483648", "18446744073709551616", "+1", "1x", "", " 1"] {
        let refused = fetch(&[&format!("deepen {value}")]);
        assert!(matches!(refused, Err(Error::Deepen { what: "deepen", .. })), "{value}");
    }
    for value in ["0", "-1", "9223372036854775808", "now", ""] {
        let refused = fetch(&[&format!("deepen-since {value}")]);
        assert!(matches!(refused, Err(Error::Deepen { what: "deepen-since", .. })), "{value}");
    }
    for value in ["", &"x".repeat(1_001)] {
        let refused = fetch(&[&format!("deepen-not {value}")]);
        assert!(matches!(refused, Err(Error::Deepen { what: "deepen-not", .. })), "{value}");
    }
}

#[test]
fn bad_input_029_a_depth_excludes_times_and_names() {
    assert_eq!(fetch(&["deepen 1", "deepen-since 5"]), Err(Error::DeepenBoth));
    assert_eq!(fetch(&["deepen-not v1", "deepen 1"]), Err(Error::DeepenBoth));
}

#[test]
fn names_to_deepen_by_are_bounded() {
    let limits = Limits { deepen_nots_max: 2, ..Limits::default() };
    assert!(fetch_within(limits, &vec!["deepen-not v1".to_owned(); 2]).is_ok());
    let refused = fetch_within(limits, &vec!["deepen-not v1".to_owned(); 3]);
    assert_eq!(refused, Err(Error::TooMany { what: "deepen-not lines", max: 2 }));
}

#[test]
fn bad_input_032_bad_and_second_filters_are_refused() {
    let refused = fetch(&["filter sparse:oid=main"]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "invalid filter 'sparse:oid=main': only blob:none, blob:limit=N and tree:N are supported"
    );
    assert_eq!(fetch(&["filter tree:0", "filter tree:0"]), Err(Error::SecondFilter));
}

#[test]
fn bad_input_018_too_many_prefixes_count_as_none() {
    let prefixes = |count: usize| {
        let lines: Vec<String> = (0..count).map(|n| format!("ref-prefix refs/x{n}/")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        ls_refs(&lines).unwrap().prefixes.map(|kept| kept.len())
    };
    assert_eq!(prefixes(999), Some(999));
    assert_eq!(prefixes(1_000), Some(1_000));
    assert_eq!(prefixes(1_001), None);
    assert_eq!(prefixes(100_000), None);
}

#[test]
fn a_prefix_longer_than_any_name_matches_nothing_and_is_not_kept() {
    let request = ls_refs(&[&format!("ref-prefix refs/{}", "x".repeat(1_000))]).unwrap();
    assert_eq!(request.prefixes, Some(vec![]));
    assert!(!request.matches(&name("refs/heads/main")));
}
