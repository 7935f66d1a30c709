use proptest::prelude::*;

use super::*;
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

const COMMIT: &[u8] = b"tree aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
parent bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
parent cccccccccccccccccccccccccccccccccccccccc
author A <a@example.org> 1 +0000
committer C <c@example.org> 1234567890 -0130
gpgsig -----BEGIN PGP SIGNATURE-----
 committer X <x> 5 +0000
 -----END PGP SIGNATURE-----

subject
";

fn id(digit: &str) -> ObjectId {
    ObjectId::from_hex(ObjectFormat::Sha1, digit.repeat(40).as_bytes()).unwrap()
}

#[test]
fn a_commit_gives_its_links_and_its_date() {
    let commit = CommitRef::parse(ObjectFormat::Sha1, COMMIT).unwrap();
    assert_eq!(commit.tree, id("a"));
    assert_eq!(commit.parents().collect::<Vec<_>>(), [id("b"), id("c")]);
    assert_eq!(commit.author(), "A <a@example.org> 1 +0000");
    assert_eq!(commit.committed_at(), 1_234_567_890);
    assert_eq!(commit.message(), "subject\n");
}

#[test]
fn a_commit_without_dates_is_readable_and_without_a_tree_is_not() {
    let bare = b"tree aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
    assert_eq!(CommitRef::parse(ObjectFormat::Sha1, bare).unwrap().committed_at(), 0);
    let kind = ObjectKind::Commit;
    let cases: [(&[u8], &str); 2] = [
        (b"parent bbbb\n", "tree"),
        (b"tree aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nparent xx\n", "parent"),
    ];
    for (content, line) in cases {
        let error = CommitRef::parse(ObjectFormat::Sha1, content).unwrap_err();
        assert_eq!(error, ParseError::Line { kind, line });
    }
}

#[test]
fn a_tag_gives_its_target() {
    let content = b"object aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\ntype tree\ntag v1\n\nold\n";
    let tag = TagRef::parse(ObjectFormat::Sha1, content).unwrap();
    assert_eq!((tag.target, tag.target_kind), (id("a"), ObjectKind::Tree));
    assert_eq!((tag.name, tag.tagger()), ("v1".into(), None));
    assert_eq!(tag.message(), "old\n");
    assert!(TagRef::parse(ObjectFormat::Sha256, content).is_err());
}

#[test]
fn a_tree_gives_its_entries_and_its_first_fault() {
    let mut content = Vec::new();
    for named in [&b"100644 a\0"[..], b"40000 b\xff\0", b"160000 c\0"] {
        content.extend_from_slice(named);
        content.extend_from_slice(id("a").as_bytes());
    }
    let end = content.len();
    content.extend_from_slice(b"100644 d\0short");
    let entries: Vec<_> = TreeEntries::new(ObjectFormat::Sha1, &content).collect();
    let kinds: Vec<_> = entries.iter().flatten().map(|entry| entry.mode.object_kind()).collect();
    assert_eq!(kinds, [Some(ObjectKind::Blob), Some(ObjectKind::Tree), None]);
    assert_eq!(entries[3], Err(ParseError::TreeEntry { position: end, reason: "no id" }));
    assert_eq!(entries.len(), 4);
}

proptest! {
    #[test]
    fn parsing_arbitrary_bytes_never_panics(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let entries = TreeEntries::new(format, &content).count();
            prop_assert!(entries <= content.len());
            prop_assert!(CommitRef::parse(format, &content).is_err() || content.starts_with(b"tree "));
            prop_assert!(TagRef::parse(format, &content).is_err() || content.starts_with(b"object "));
        }
    }

    #[test]
    fn a_commits_parents_are_read_back(parents in proptest::collection::vec(any::<[u8; 20]>(), 0..20)) {
        let parents: Vec<_> =
            parents.iter().map(|bytes| ObjectId::from_slice(bytes).unwrap()).collect();
        let mut content = format!("tree {}\n", id("a"));
        for parent in &parents {
            content.push_str(&format!("parent {parent}\n"));
        }
        let commit = CommitRef::parse(ObjectFormat::Sha1, content.as_bytes()).unwrap();
        prop_assert_eq!(commit.parents().collect::<Vec<_>>(), parents);
    }
}
