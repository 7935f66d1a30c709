//! Bad inputs 63 to 78, object by object.

use gitstratum_core::{ObjectId, ObjectKind};
use proptest::prelude::*;

use super::{SHA1, is_refused, judge};
use crate::fsck::{MessageId, Options, PARENTS_MAX, check};
use crate::testing::{commit, id_of, tag, tree};

fn blob() -> ObjectId {
    id_of(SHA1, ObjectKind::Blob, b"blob")
}

fn tree_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> = entries.iter().map(|(mode, name)| (*mode, *name, blob())).collect();
    tree(&entries)
}

fn tree_rules(entries: &[(&str, &[u8])]) -> (Vec<MessageId>, bool) {
    judge(ObjectKind::Tree, &tree_of(entries))
}

fn refused(id: MessageId) -> (Vec<MessageId>, bool) {
    (vec![id], true)
}

fn commit_with(headers: &str) -> Vec<u8> {
    format!("tree {}\n{headers}\nsubject\n", blob()).into_bytes()
}

const AUTHOR: &str = "author A <a@b> 1 +0000\n";
const COMMITTER: &str = "committer A <a@b> 1 +0000\n";

#[test]
fn bad_input_063_dot_git_in_any_spelling_is_refused() {
    let names: [&[u8]; 6] = [
        b".git",
        b".GIT",
        b"git~1",
        ".g\u{200c}it".as_bytes(),
        b".git::$INDEX_ALLOCATION",
        b".git.",
    ];
    for name in names {
        for mode in ["100644", "40000", "120000"] {
            assert_eq!(tree_rules(&[(mode, name)]), refused(MessageId::HasDotgit));
        }
    }
}

#[test]
fn bad_input_064_names_that_lead_elsewhere_are_refused() {
    assert_eq!(tree_rules(&[("100644", b".")]), refused(MessageId::HasDot));
    assert_eq!(tree_rules(&[("40000", b"..")]), refused(MessageId::HasDotdot));
    assert_eq!(tree_rules(&[("100644", b"a/b")]), refused(MessageId::FullPathname));
    assert_eq!(tree_rules(&[("100644", b"")]), refused(MessageId::BadTree));
    let (rules, is_refused) = tree_rules(&[("100644", b"a\0b")]);
    assert!(is_refused, "{rules:?}");
}

#[test]
fn bad_input_065_order_and_duplicates_are_checked() {
    let unsorted = [("100644", &b"b"[..]), ("100644", b"a")];
    assert_eq!(tree_rules(&unsorted), refused(MessageId::TreeNotSorted));
    let by_name_only = [("40000", &b"a"[..]), ("100644", b"a.c")];
    assert_eq!(tree_rules(&by_name_only), refused(MessageId::TreeNotSorted));
    let twice = [("100644", &b"a"[..]), ("100644", b"a")];
    assert_eq!(tree_rules(&twice), refused(MessageId::DuplicateEntries));
    let beside = [("100644", &b"a"[..]), ("40000", b"a")];
    assert_eq!(tree_rules(&beside), refused(MessageId::DuplicateEntries));
    let apart: [(&str, &[u8]); 5] = [
        ("100644", b"foo"),
        ("100644", b"foo.bar"),
        ("100644", b"foo.bar.baz"),
        ("40000", b"foo.bar"),
        ("40000", b"foo"),
    ];
    assert_eq!(tree_rules(&apart), refused(MessageId::DuplicateEntries));
    let right: [(&str, &[u8]); 5] = [
        ("100644", b"a"),
        ("100644", b"a.c"),
        ("40000", b"ab"),
        ("40000", b"b"),
        ("100644", b"b0"),
    ];
    assert_eq!(tree_rules(&right), (vec![], false));
}

#[test]
fn bad_input_066_modes_are_checked() {
    assert!(tree_rules(&[("0777777", b"a")]).1);
    assert_eq!(tree_rules(&[("777777", b"a")]), refused(MessageId::UnknownFilemode));
    assert_eq!(tree_rules(&[("644", b"a")]), refused(MessageId::UnknownFilemode));
    assert_eq!(tree_rules(&[("1100644", b"a")]), refused(MessageId::UnknownFilemode));
    assert_eq!(tree_rules(&[("040000", b"a")]), refused(MessageId::ZeroPaddedFilemode));
    for old in ["100664", "100600", "100444", "40755"] {
        assert_eq!(tree_rules(&[(old, b"a")]), (vec![MessageId::BadFilemode], false));
    }
    for mode in ["10064x", "", "100648", "7777777777777"] {
        assert_eq!(tree_rules(&[(mode, b"a")]), refused(MessageId::BadTree));
    }
}

#[test]
fn bad_input_067_null_ids_are_refused() {
    for mode in ["100644", "160000", "40000"] {
        let content = tree(&[(mode, b"a", ObjectId::null(SHA1))]);
        assert_eq!(judge(ObjectKind::Tree, &content), refused(MessageId::NullSha1));
    }
}

#[test]
fn bad_input_068_odd_names_are_accepted() {
    assert_eq!(tree_rules(&[("100644", b"\xff\xfe\x01")]), (vec![], false));
    let long = vec![b'n'; 5000];
    assert_eq!(tree_rules(&[("100644", &long)]), (vec![MessageId::LargePathname], false));
    assert_eq!(tree_rules(&[("100644", &long[..4096])]), (vec![], false));
}

#[test]
fn a_tree_that_is_cut_off_is_refused() {
    let whole = tree_of(&[("100644", b"a"), ("100644", b"b")]);
    for len in (1..whole.len()).filter(|len| *len != whole.len() / 2) {
        let (rules, is_refused) = judge(ObjectKind::Tree, &whole[..len]);
        assert!(is_refused && rules == [MessageId::BadTree], "{len}: {rules:?}");
    }
    assert_eq!(judge(ObjectKind::Tree, b""), (vec![], false));
}

#[test]
fn a_tree_of_too_many_entries_is_refused() {
    let mut content = Vec::new();
    for number in 0..=1_000_000 {
        content.extend_from_slice(format!("100644 {number:07}\0").as_bytes());
        content.extend_from_slice(blob().as_bytes());
    }
    assert_eq!(judge(ObjectKind::Tree, &content), refused(MessageId::TreeTooLarge));
    content.truncate(content.len() / 1_000_001 * 1_000_000);
    assert_eq!(judge(ObjectKind::Tree, &content), (vec![], false));
}

#[test]
fn bad_input_071_072_special_files_must_be_files() {
    for (name, link, no_file) in [
        (&b".gitmodules"[..], MessageId::GitmodulesSymlink, MessageId::GitmodulesBlob),
        (b".gitattributes", MessageId::GitattributesSymlink, MessageId::GitattributesBlob),
    ] {
        assert_eq!(tree_rules(&[("120000", name)]), refused(link));
        assert_eq!(tree_rules(&[("40000", name)]), refused(no_file));
        assert_eq!(tree_rules(&[("160000", name)]), refused(no_file));
        assert_eq!(tree_rules(&[("100644", name)]), (vec![], false));
    }
    let mild: [(&str, &[u8]); 2] = [("120000", b".gitignore"), ("120000", b".mailmap")];
    let rules = vec![MessageId::GitignoreSymlink, MessageId::MailmapSymlink];
    assert_eq!(tree_rules(&mild), (rules, false));
}

#[test]
fn bad_input_074_commits_need_their_headers_once_and_whole() {
    let good = commit(&blob(), &[blob()], "m");
    assert_eq!(judge(ObjectKind::Commit, &good), (vec![], false));
    let two_authors = format!("{AUTHOR}{AUTHOR}{COMMITTER}");
    for (headers, id) in [
        (COMMITTER, MessageId::MissingAuthor),
        (AUTHOR, MessageId::MissingCommitter),
        (&two_authors, MessageId::MultipleAuthors),
        ("parent x\n", MessageId::BadParentSha1),
        ("author A <a@b> 18446744073709551616 +0000\n", MessageId::BadDateOverflow),
        ("author A <a@b> 9223372036854775808 +0000\n", MessageId::BadDateOverflow),
        ("author A <a@b> x +0000\n", MessageId::BadDate),
        ("author A <a@b> -1 +0000\n", MessageId::BadDate),
        ("author A <a@b> +1 +0000\n", MessageId::BadDate),
        ("author A <a@b> \n1 +0000\n", MessageId::BadDate),
        ("author A <a@b>  01 +0000\n", MessageId::ZeroPaddedDate),
        ("author A <a@b> 1\n", MessageId::BadDate),
        ("author A <a@b> 01 +0000\n", MessageId::ZeroPaddedDate),
        ("author A <a@b> 1 +9999\n", MessageId::BadTimezone),
        ("author A <a@b> 1 +000\n", MessageId::BadTimezone),
        ("author A <a@b> 1 0000\n", MessageId::BadTimezone),
        ("author A <a@b>1 +0000\n", MessageId::MissingSpaceBeforeDate),
        ("author A <a@b 1 +0000\n", MessageId::BadEmail),
        ("author A<a@b> 1 +0000\n", MessageId::MissingSpaceBeforeEmail),
        ("author <a@b> 1 +0000\n", MessageId::MissingNameBeforeEmail),
        ("author A> <a@b> 1 +0000\n", MessageId::BadName),
        ("author A 1 +0000\n", MessageId::MissingEmail),
        ("author A <a@b>\0 1 +0000\n", MessageId::NulInHeader),
    ] {
        let rules = judge(ObjectKind::Commit, &commit_with(headers));
        assert_eq!(rules, refused(id), "{headers}");
    }
    let no_tree = format!("{AUTHOR}{COMMITTER}\n");
    assert_eq!(judge(ObjectKind::Commit, no_tree.as_bytes()), refused(MessageId::MissingTree));
    assert_eq!(judge(ObjectKind::Commit, b"tree x\n"), refused(MessageId::BadTreeSha1));
    assert_eq!(judge(ObjectKind::Commit, b""), refused(MessageId::UnterminatedHeader));
    let nul = [&good[..], b"\0"].concat();
    assert_eq!(judge(ObjectKind::Commit, &nul), refused(MessageId::NulInCommit));
    for fine in ["author A  <> 0 -2400\n", "author  <a> 9223372036854775807 +0000\n"] {
        let content = commit_with(&format!("{fine}{COMMITTER}"));
        assert_eq!(judge(ObjectKind::Commit, &content), (vec![], false), "{fine}");
    }
}

#[test]
fn bad_input_076_parents_are_limited() {
    for (parents, rules) in [
        (PARENTS_MAX, (vec![], false)),
        (PARENTS_MAX + 1, refused(MessageId::TooManyParents)),
        // So many do not even fit the headers.
        (100_000, refused(MessageId::HeaderTooLarge)),
    ] {
        let content = commit(&blob(), &vec![blob(); parents], "m");
        assert_eq!(judge(ObjectKind::Commit, &content), rules);
    }
}

#[test]
fn bad_input_078_headers_are_whole_and_of_bounded_length() {
    let people = format!("{AUTHOR}{COMMITTER}");
    let signed = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n";
    let whole = commit_with(&format!("{people}{signed}"));
    assert_eq!(judge(ObjectKind::Commit, &whole), (vec![], false));
    let cut = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n";
    for cut in
        [commit_with(&format!("{people}{cut}")), commit_with(&format!("{people}{cut}encoding x\n"))]
    {
        assert_eq!(judge(ObjectKind::Commit, &cut), refused(MessageId::BadGpgsig));
    }
    let in_line = &whole[..whole.len() - 30];
    assert_eq!(judge(ObjectKind::Commit, in_line), refused(MessageId::UnterminatedHeader));
    let large = commit_with(&format!("{people}x {}\n", "y".repeat(10 << 20)));
    assert_eq!(judge(ObjectKind::Commit, &large), refused(MessageId::HeaderTooLarge));
}

#[test]
fn tags_are_checked_line_by_line() {
    let good = tag(&blob(), ObjectKind::Blob, "v1");
    assert_eq!(judge(ObjectKind::Tag, &good), (vec![], false));
    let object = format!("object {}\n", blob());
    let tagged = format!("{object}type blob\n");
    for (content, id) in [
        ("type blob\n".to_owned(), MessageId::MissingObject),
        ("object x\n".to_owned(), MessageId::BadObjectSha1),
        (format!("{object}tag v1\n"), MessageId::MissingTypeEntry),
        (format!("{object}type blub\n"), MessageId::BadType),
        (tagged.clone(), MessageId::MissingTagEntry),
        (format!("{tagged}tag v1\ntagger A\n"), MessageId::MissingEmail),
        (format!("{tagged}tag v1"), MessageId::UnterminatedHeader),
    ] {
        assert_eq!(judge(ObjectKind::Tag, content.as_bytes()), refused(id), "{content}");
    }
    let early = format!("{tagged}tag v1\n\nold\n");
    let rules = judge(ObjectKind::Tag, early.as_bytes());
    assert_eq!(rules, (vec![MessageId::MissingTaggerEntry], false));
    let short = format!("{object}type tag\ntag x\n");
    let rules = vec![MessageId::MissingTaggerEntry, MessageId::MissingTag];
    assert_eq!(judge(ObjectKind::Tag, short.as_bytes()), (rules, true));
    let odd = tag(&blob(), ObjectKind::Blob, "a..b");
    assert_eq!(judge(ObjectKind::Tag, &odd), (vec![MessageId::BadTagName], false));
}

proptest! {
    #[test]
    fn arbitrary_objects_never_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        for kind in [ObjectKind::Commit, ObjectKind::Tag] {
            let findings = check(kind, SHA1, &content, &Options::default());
            prop_assert!(is_refused(&findings));
        }
        let findings = check(ObjectKind::Tree, SHA1, &content, &Options::default());
        prop_assert!(content.is_empty() || !findings.is_empty());
    }
}
