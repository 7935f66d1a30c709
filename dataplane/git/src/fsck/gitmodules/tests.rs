use proptest::prelude::*;

use super::*;
use crate::fsck::{Options, SpecialKind, check_special};

fn found(content: &[u8]) -> Vec<MessageId> {
    let findings = check_special(SpecialKind::Gitmodules, content, &Options::default());
    findings.into_iter().map(|finding| finding.id).collect()
}

fn with(setting: &str) -> Vec<MessageId> {
    found(format!("[submodule \"sub\"]\n\t{setting}\n").as_bytes())
}

#[test]
fn a_usual_file_passes() {
    let content = b"\xef\xbb\xbf# comment\r\n[submodule \"lib/a.b\"]\r\n\tpath = lib/a\r\n\turl = ../a.git\r\n\
        [submodule \"b\"] path=b ; more\n url = \"https://example.org/b\"\n shallow\n update = rebase\n\
        [core]\n path = -x\n[submodule.C]\nurl=git@example.org:c.git\n";
    assert_eq!(found(content), []);
}

#[test]
fn bad_input_071_settings_that_do_more_than_name_a_place_are_refused() {
    for (setting, id) in [
        ("url = -u./x", MessageId::GitmodulesUrl),
        ("path = -x", MessageId::GitmodulesPath),
        ("path = \"a\r\"", MessageId::GitmodulesPath),
        ("path = a\\nb", MessageId::GitmodulesPath),
        ("update = !cmd", MessageId::GitmodulesUpdate),
        ("URL = \"-\"x", MessageId::GitmodulesUrl),
    ] {
        assert_eq!(with(setting), [id], "{setting}");
    }
    for setting in ["path = a\r", "update = checkout", "update", "url", "branch = -x"] {
        assert_eq!(with(setting), [], "{setting}");
    }
}

#[test]
fn bad_input_071_names_that_climb_out_are_refused() {
    for name in ["../../x", "a/..", "..", "a\\\\..\\\\b", "", "..\\\\x"] {
        let content = format!("[submodule \"{name}\"]\nignore = all\n");
        assert_eq!(found(content.as_bytes()), [MessageId::GitmodulesName], "{name}");
    }
    for name in ["...", "a..b", "..a", "a/...", "x/..y"] {
        let content = format!("[submodule \"{name}\"]\nignore = all\n");
        assert_eq!(found(content.as_bytes()), [], "{name}");
    }
    assert_eq!(found(b"[submodule]\nurl = -x\n"), [], "a section without a name is none");
}

#[test]
fn bad_input_071_addresses_are_read_as_every_client_would() {
    for url in [
        "./%0ax",
        "../a%0Ab",
        "../../:example.org/x",
        "..//example.org/x",
        "git://host/a%0ab",
        "https://example.org/%0a",
        "https:///example.org/x",
        "http::x",
        "https://user@/x",
        "https://?x",
        "http://one\\ntwo.example.org/",
        "-",
    ] {
        assert_eq!(with(&format!("url = {url}")), [MessageId::GitmodulesUrl], "{url}");
    }
    for url in [
        "./x",
        "../x",
        "../../x/y.git",
        "..",
        "/srv/git/x",
        "git@example.org:x.git",
        "ssh://example.org/%0a",
        "https://user:pa%20ss@example.org:8443/x/../y",
        "https://[::1]:443/x",
        "http::https://example.org/x",
        "https://example.org",
        "file:///x",
    ] {
        assert_eq!(with(&format!("url = {url}")), [], "{url}");
    }
}

#[test]
fn bad_input_071_a_file_over_the_limit_is_refused() {
    let at_limit = vec![b'\n'; GITMODULES_LEN_MAX as usize];
    assert_eq!(found(&at_limit), []);
    assert_eq!(found(&[&at_limit[..], b"\n"].concat()), [MessageId::GitmodulesLarge]);
}

#[test]
fn a_file_that_is_no_configuration_is_told_and_what_stands_before_counts() {
    for rest in ["[submodule \"x\n\"]", "[x", "=", "[a]b", "k = \"x", "k = \\q", "[s \"x\"", "k !"]
    {
        let content = format!("[submodule \"sub\"]\nurl = -x\n{rest}");
        let is_whole = rest == "[a]b";
        let parse = (!is_whole).then_some(MessageId::GitmodulesParse);
        let expected: Vec<_> = std::iter::once(MessageId::GitmodulesUrl).chain(parse).collect();
        assert_eq!(found(content.as_bytes()), expected, "{rest}");
    }
}

#[test]
fn findings_of_one_file_are_limited() {
    let content = "[submodule \"..\"]\nurl = x\n".repeat(10_000);
    assert!(found(content.as_bytes()).len() <= 50);
}

/// Section, key and value.
type Parsed = Result<(String, String, Option<String>), config::Malformed>;

fn parsed(content: &[u8]) -> Vec<Parsed> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Config::new(content)
        .map(|setting| {
            setting
                .map(|Setting { section, key, value }| (text(section), text(key), value.map(text)))
        })
        .collect()
}

#[test]
fn values_are_read_as_git_reads_them() {
    let content = b"[A \"b\\\"C\"]Key = one  \ttwo ; x\n k2=\"a # b\" c\\\n d\nflag\n";
    let section = || "a.b\"C".to_owned();
    let expected = [
        Ok((section(), "key".to_owned(), Some("one   two".to_owned()))),
        Ok((section(), "k2".to_owned(), Some("a # b c d".to_owned()))),
        Ok((section(), "flag".to_owned(), None)),
    ];
    assert_eq!(parsed(content), expected);
}

proptest! {
    #[test]
    fn arbitrary_files_never_panic_and_end(content in "[\\[\\]\"\\\\ =\n\r\ta-c.!-]{0,200}") {
        let settings = parsed(content.as_bytes());
        prop_assert!(settings.len() <= content.len() + 1);
        prop_assert!(found(content.as_bytes()).len() <= 50);
    }
}
