use bytes::Bytes;

use super::*;

fn message(lines: &[&str]) -> String {
    parse(lines).unwrap_err().to_string()
}

fn payload(bytes: &'static [u8]) -> Packet {
    Packet::Data(Bytes::from_static(bytes))
}

/// What `packet` leads to behind `lines`.
fn then(lines: &[&str], packet: Packet) -> Result<Step, Error> {
    let mut parser = Parser::new(ObjectFormat::Sha1, Limits::default());
    for packet in packets(lines) {
        parser.accept(packet).unwrap();
    }
    parser.accept(packet)
}

#[test]
fn bad_input_007_an_empty_line_is_refused() {
    for empty in [&b""[..], b"\n"] {
        let refused = then(&[], payload(empty));
        assert_eq!(refused, Err(Error::EmptyLine { place: "in a command's capabilities" }));
        let refused = then(&["command=fetch", "0001"], payload(empty));
        assert_eq!(refused, Err(Error::EmptyLine { place: "in a command's arguments" }));
    }
}

#[test]
fn bad_input_008_delimiters_and_response_ends_have_their_place() {
    let unexpected = |packet: &str, place: &str| format!("unexpected {packet} packet {place}");
    let arguments = "in a command's arguments";
    for command in ["command=fetch", "command=ls-refs"] {
        assert_eq!(message(&[command, "0001", "0001"]), unexpected("delimiter", arguments));
        assert_eq!(message(&[command, "0001", "0002"]), unexpected("response end", arguments));
    }
    assert_eq!(message(&["0002"]), unexpected("response end", "in a command's capabilities"));
    assert_eq!(parse(&["0001"]), Err(Error::NoCommand));
}

#[test]
fn bad_input_009_a_nul_inside_a_line_is_refused() {
    let refused = then(&[], payload(b"command=fetch\0x"));
    assert_eq!(refused, Err(Error::Nul { place: "in a command's capabilities" }));
    let refused = then(&["command=ls-refs", "0001"], payload(b"ref-prefix a\0b\n"));
    assert_eq!(refused, Err(Error::Nul { place: "in a command's arguments" }));
}

#[test]
fn bad_input_010_side_band_frames_from_a_client_are_refused() {
    for frame in [&b"\x01PACK"[..], b"\x02hello", b"\x03bye"] {
        assert_eq!(then(&[], payload(frame)), Err(Error::SideBand));
        assert_eq!(then(&["command=fetch", "0001"], payload(frame)), Err(Error::SideBand));
    }
}

#[test]
fn bad_input_013_an_unknown_command_is_named_without_its_tricks() {
    assert_eq!(message(&["command=push"]), "invalid command 'push'");
    assert_eq!(message(&["command=\x1b[2J\u{202e}boo"]), "invalid command '[2Jboo'");
    let long = format!("command={}", "x".repeat(60_000));
    assert!(message(&[&long]).len() < 120);
}

#[test]
fn bad_input_014_two_commands_are_refused() {
    assert_eq!(
        message(&["command=fetch", "command=ls-refs"]),
        "command 'ls-refs' requested after command 'fetch'"
    );
    assert!(matches!(parse(&["command=fetch", "command=fetch"]), Err(Error::SecondCommand { .. })));
}

#[test]
fn bad_input_015_capabilities_that_were_not_advertised_are_refused() {
    for line in ["server-option=x", "session-id=1", "fetch=shallow", "ls-refs", "agent", "x"] {
        let refused = parse(&["command=fetch", line]);
        assert!(matches!(refused, Err(Error::UnknownCapability(_))), "{line}");
    }
    assert_eq!(message(&["server-option=x"]), "unknown capability 'server-option=x'");
}

#[test]
fn capability_lines_are_bounded() {
    let agents = |count: usize| {
        let mut lines = vec!["agent=x"; count];
        lines[0] = "command=fetch";
        parse(&lines)
    };
    assert_eq!(agents(64), Ok(Step::More));
    assert_eq!(agents(65), Err(Error::TooMany { what: "capability lines", max: 64 }));
}

#[test]
fn bad_input_016_unknown_arguments_are_refused() {
    for line in ["bar", "want", "thin-pack ", "done now", "sideband-all", "peel", "have"] {
        assert!(matches!(fetch(&[line]), Err(Error::UnknownLine(_))), "{line}");
    }
    for line in ["ref-prefix", "want x", "peel x", "ref-prefixes x"] {
        assert!(matches!(ls_refs(&[line]), Err(Error::UnknownLine(_))), "{line}");
    }
    assert_eq!(fetch(&["bar\x07"]).unwrap_err().to_string(), "unexpected line: 'bar'");
}

#[test]
fn bad_input_017_object_formats_must_agree() {
    let sha256 = |lines: &[&str]| parse_with(Limits::default(), ObjectFormat::Sha256, lines);
    assert_eq!(
        message(&["command=fetch", "object-format=sha256"]),
        "mismatched object format: server sha1; client sha256"
    );
    assert!(parse(&["object-format=sha1", "command=fetch", "0000"]).is_ok());
    assert!(sha256(&["command=fetch", "object-format=sha256", "0001"]).is_ok());
    for lines in [
        &["command=fetch", "object-format=sha1"][..],
        &["command=fetch", "0001"],
        &["command=ls-refs", "0000"],
    ] {
        let refused = sha256(lines).unwrap_err();
        assert_eq!(refused.to_string(), "mismatched object format: server sha256; client sha1");
    }
}

#[test]
fn bad_input_017_ids_of_the_other_format_are_refused() {
    for (word, digits) in [("want", 64), ("have", 64), ("shallow", 39), ("want", 0)] {
        let line = format!("{word} {}", "a".repeat(digits));
        assert!(matches!(fetch(&[&line]), Err(Error::ObjectId { .. })), "{line}");
    }
}

#[test]
fn bad_input_024_and_037_features_that_are_off_are_refused() {
    for line in ["want-ref refs/heads/main", "packfile-uris https", "bundle-uri"] {
        assert!(matches!(fetch(&[line]), Err(Error::UnknownLine(_))), "{line}");
    }
    for command in ["command=bundle-uri", "command=object-info"] {
        assert!(matches!(parse(&[command]), Err(Error::UnknownCommand(_))), "{command}");
    }
}

#[test]
fn capabilities_without_a_command_are_refused() {
    assert_eq!(parse(&["agent=x", "0000"]), Err(Error::NoCommand));
}
