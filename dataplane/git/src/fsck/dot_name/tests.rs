use proptest::prelude::*;

use super::*;

#[test]
fn bad_input_063_every_spelling_of_dot_git_is_known() {
    let spellings: [&[u8]; 22] = [
        b".git",
        b".GIT",
        b".gIt",
        b"git~1",
        b"GIT~1",
        ".g\u{200c}it".as_bytes(),
        ".git\u{200f}".as_bytes(),
        "\u{feff}.git".as_bytes(),
        ".gi\u{206a}\u{202e}T".as_bytes(),
        b".git::$INDEX_ALLOCATION",
        b".git:stream",
        b".git.",
        b".git ",
        b".git . .",
        b"git~1.",
        b"git~1::$DATA",
        b"a\\.git",
        b"a\\b\\git~1",
        b".git\\x",
        b".git\xff",
        b"x\\.git . ::$INDEX_ALLOCATION",
        b".git/",
    ];
    for name in spellings {
        assert!(dot_names(name).contains(&DotName::Git), "{}", name.escape_ascii());
    }
}

#[test]
fn names_that_only_look_like_dot_git_are_left_alone() {
    let names: [&[u8]; 14] = [
        b".gitx",
        b"git",
        b"gitt",
        b"git~2",
        b"git~10",
        b".gi",
        b".gitkeep",
        b"x.git",
        b".\xffgit",
        b"..git",
        "\u{202f}.git".as_bytes(),
        b"",
        b"git ~1",
        b".g it",
    ];
    for name in names {
        assert!(!dot_names(name).contains(&DotName::Git), "{}", name.escape_ascii());
    }
}

#[test]
fn bad_input_071_the_special_files_are_known_by_all_their_names() {
    let cases: [(&[u8], &[DotName]); 18] = [
        (b".gitmodules", &[DotName::Gitmodules]),
        (b".GITMODULES", &[DotName::Gitmodules]),
        (b".gitmodules .", &[DotName::Gitmodules]),
        (b".gitmodules:x", &[DotName::Gitmodules]),
        (".git\u{200d}modules".as_bytes(), &[DotName::Gitmodules]),
        (b"gitmod~1", &[DotName::Gitmodules]),
        (b"GITMOD~4", &[DotName::Gitmodules]),
        (b"gi7eba~1", &[DotName::Gitmodules]),
        (b"gi7eb~10", &[DotName::Gitmodules]),
        (b"gi7d29~9. ", &[DotName::Gitattributes]),
        (b"gitatt~1", &[DotName::Gitattributes]),
        (b".gitattributes", &[DotName::Gitattributes]),
        (b"sub\\.gitmodules", &[DotName::Gitmodules]),
        (b".gitignore", &[DotName::Gitignore]),
        (b".mailmap", &[DotName::Mailmap]),
        (b"maba30~1", &[DotName::Mailmap]),
        // Too short to tell: it may be any of them.
        (
            b"~1234567",
            &[DotName::Gitmodules, DotName::Gitattributes, DotName::Gitignore, DotName::Mailmap],
        ),
        (b"gi~12345", &[DotName::Gitmodules, DotName::Gitattributes, DotName::Gitignore]),
    ];
    for (name, meanings) in cases {
        assert_eq!(dot_names(name), meanings, "{}", name.escape_ascii());
    }
    let others: [&[u8]; 8] = [
        b".gitmodule",
        b".gitmodulesx",
        b"gitmod~5",
        b"gitmod~0",
        b"gi7eba~0",
        b"gi7ebax1",
        b"gi7eba~1x",
        b"gitmodules",
    ];
    for name in others {
        assert!(dot_names(name).is_empty(), "{}", name.escape_ascii());
    }
}

proptest! {
    #[test]
    fn arbitrary_names_never_panic(name in proptest::collection::vec(any::<u8>(), 0..40)) {
        let dotted = [b".git", &name[..]].concat();
        for name in [&name, &dotted] {
            prop_assert!(dot_names(name).len() <= 5);
        }
    }
}
