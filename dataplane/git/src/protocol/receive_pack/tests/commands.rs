use super::*;

#[test]
fn gs_fe_08_commands_and_capabilities_are_read() {
    let (old, new) = (id(1), id(2));
    let push = parse(&[
        &format!("shallow {old}"),
        &format!("{old} {new} refs/heads/a\0 {STOCK} quiet atomic unknown-word"),
        &format!("{old} {NULL} refs/heads/b"),
        &format!("{NULL} {new} refs/heads/c"),
        "0000",
    ])
    .unwrap();
    assert_eq!(push.shallow, [old]);
    let changes: Vec<Change> = push.commands.iter().map(Command::change).collect();
    assert_eq!(changes, [Change::Update, Change::Delete, Change::Create]);
    assert_eq!(push.commands[0].raw_name, &b"refs/heads/a"[..]);
    let capabilities = Capabilities {
        report_status: true,
        side_band: SideBand::Large,
        quiet: true,
        atomic: true,
        push_options: false,
    };
    assert_eq!((push.capabilities, push.refusal.clone()), (capabilities, None));
    assert!(push.expects_pack());
}

#[test]
fn bad_input_060_a_push_that_only_deletes_has_no_pack() {
    let push = parse(&[&format!("{} {NULL} refs/heads/a", id(1)), "0000"]).unwrap();
    assert!(!push.expects_pack());
    assert_eq!(parse(&["0000"]), Ok(Push::default()));
    assert!(!Push::default().expects_pack());
}

#[test]
fn bad_input_081_to_085_each_bad_name_has_its_own_reason() {
    let (name_255, name_256) = ("x".repeat(255), "x".repeat(256));
    for (bad, reason) in [
        ("refs/heads/a..b", "contains .. or @{"),
        ("refs/heads/a b", "contains a forbidden character"),
        ("refs/heads/a.lock", "has a component starting with a dot or ending with .lock"),
        ("HEAD", "not under refs/"),
        ("main", "not under refs/"),
        ("", "not under refs/"),
        ("refs/stash", "has one level only"),
        ("refs/heads/-x", "branch looks like an option, HEAD or an object id"),
        (&format!("refs/heads/{name_256}"), "has a component longer than 255 bytes"),
        (&"refs/x".repeat(200), "longer than 1000 bytes"),
    ] {
        let push = parse(&[&create(bad), &create("refs/heads/good"), "0000"]).unwrap();
        let error = push.commands[0].name.clone().unwrap_err();
        assert_eq!(error.to_string(), format!("funny refname: {reason}"), "{bad}");
        assert_eq!(push.commands[0].raw_name, bad.as_bytes());
        assert!(push.commands[1].name.is_ok() && push.refusal.is_none());
    }
    let push = parse(&[&create(&format!("refs/heads/{name_255}")), "0000"]).unwrap();
    assert!(push.commands[0].name.is_ok());
}

#[test]
fn bad_input_082_a_one_level_name_may_still_be_deleted() {
    let push = parse(&[&format!("{} {NULL} refs/stash", id(1)), "0000"]).unwrap();
    assert!(push.commands[0].name.is_ok());
}

#[test]
fn bad_input_085_a_name_that_is_not_utf_8_is_kept_byte_exact() {
    let line = [create("refs/heads/").as_bytes(), b"\xff\xfe"].concat();
    let sent = vec![Packet::Data(line.into()), Packet::Flush];
    let push = parse_with(Offered::default(), Limits::default(), sent).unwrap();
    let name = push.commands[0].name.clone().unwrap();
    assert_eq!(name.as_bytes(), b"refs/heads/\xff\xfe");
}

#[test]
fn bad_input_091_the_same_ref_twice_refuses_the_whole_push() {
    let push = parse(&[&create("refs/heads/a"), &create("refs/heads/a"), "0000"]).unwrap();
    assert_eq!(push.refusal, Some(Refusal::DuplicateRef(Bytes::from_static(b"refs/heads/a"))));
    assert_eq!(push.commands.len(), 2);
}

#[test]
fn bad_input_092_null_to_null_is_a_command_of_its_own() {
    let push = parse(&[&format!("{NULL} {NULL} refs/heads/a"), "0000"]).unwrap();
    assert_eq!(push.commands[0].change(), Change::Nothing);
    assert!(!push.expects_pack());
}

#[test]
fn bad_input_096_more_than_ten_thousand_commands_refuse_the_push() {
    let push = |count: usize| {
        let mut lines: Vec<String> =
            (0..count).map(|number| create(&format!("refs/heads/b{number}"))).collect();
        lines.push("0000".to_owned());
        parse(&lines.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
    };
    for count in [9_999, 10_000] {
        let whole = push(count);
        assert_eq!((whole.commands.len(), whole.refusal), (count, None));
    }
    let refused = push(10_001);
    assert_eq!(refused.commands.len(), 10_000);
    assert_eq!(refused.refusal, Some(Refusal::Commands(10_000)));
}

#[test]
fn the_text_of_a_push_is_bounded() {
    let length = create("refs/heads/a").len();
    let parse = |max: usize| {
        let limits = Limits { push_text_bytes_max: max, ..Limits::default() };
        let lines = [create("refs/heads/a"), create("refs/heads/b"), "0000".to_owned()];
        parse_with(Offered::default(), limits, packets(&lines.each_ref().map(String::as_str)))
    };
    assert!(parse(2 * length).is_ok());
    let refused = parse(2 * length - 1);
    assert!(matches!(refused, Err(Error::TooMany { what: "bytes of push commands", .. })));
}

#[test]
fn lines_that_are_no_commands_are_refused() {
    let id_1 = id(1);
    for line in [
        "hello".to_owned(),
        format!("{id_1} {id_1}"),
        format!("{NULL}{NULL} {} refs/heads/a", "a".repeat(64)),
        format!("{id_1} {} refs/heads/a", "a".repeat(64)),
        format!("{id_1}  {id_1} refs/heads/a"),
        format!("{id_1} {} refs/heads/a", "z".repeat(40)),
    ] {
        assert!(matches!(parse(&[&line]), Err(Error::PushCommand(_))), "{line}");
    }
    assert!(matches!(parse(&["shallow x"]), Err(Error::ObjectId { .. })));
}

#[test]
fn bad_input_007_to_010_frames_that_are_no_commands_are_refused() {
    let one = |packet| parse_with(Offered::default(), Limits::default(), vec![packet]);
    let data = |bytes: &'static [u8]| Packet::Data(Bytes::from_static(bytes));
    assert!(matches!(one(data(b"")), Err(Error::EmptyLine { .. })));
    assert!(matches!(one(Packet::Delim), Err(Error::Misplaced { .. })));
    assert!(matches!(one(Packet::ResponseEnd), Err(Error::Misplaced { .. })));
    assert_eq!(one(data(b"\x01PACK")), Err(Error::SideBand));
    let second = format!("{}\0 atomic", create("refs/heads/b"));
    let refused = parse(&[&create("refs/heads/a"), &second]);
    assert_eq!(refused, Err(Error::Nul { place: "in push commands" }));
    let thrice = format!("{}\0 atomic\0 quiet", create("refs/heads/b"));
    assert_eq!(parse(&[&thrice]), Err(Error::Nul { place: "in push commands" }));
}

#[test]
fn bad_input_017_a_push_of_the_other_object_format_is_refused() {
    let line = format!("{}\0object-format=sha256", create("refs/heads/a"));
    assert!(matches!(parse(&[&line]), Err(Error::ObjectFormat { .. })));
}

#[test]
fn bad_input_098_push_certificates_are_not_offered() {
    let refused = parse(&["push-cert\0 report-status"]).unwrap_err();
    assert_eq!(refused.to_string(), "push-cert is not supported");
}

fn push_with_options(options: &[String]) -> Push {
    let first = format!("{}\0 push-options", create("refs/heads/a"));
    let mut lines = vec![first.as_str(), "0000"];
    lines.extend(options.iter().map(String::as_str));
    lines.push("0000");
    let offered = Offered { push_options: true };
    parse_with(offered, Limits::default(), packets(&lines)).unwrap()
}

#[test]
fn push_options_are_read_only_when_they_were_offered() {
    assert_eq!(push_with_options(&["ci.skip".to_owned()]).options, [&b"ci.skip"[..]]);
    let first = format!("{}\0 push-options", create("refs/heads/a"));
    assert!(matches!(parse(&[&first]), Err(Error::UnknownCapability(_))));
}

#[test]
fn bad_input_099_push_options_are_bounded() {
    let many = |count: usize| push_with_options(&vec!["x".to_owned(); count]).refusal;
    assert_eq!((many(63), many(64)), (None, None));
    assert_eq!(many(65), Some(Refusal::Options(64)));
    let long = |length: usize| push_with_options(&["x".repeat(length)]).refusal;
    assert_eq!((long(1_023), long(1_024)), (None, None));
    assert_eq!(long(1_025), Some(Refusal::OptionBytes(1_024)));
    assert_eq!(push_with_options(&["a\x1bb".to_owned()]).refusal, Some(Refusal::OptionText));
}
