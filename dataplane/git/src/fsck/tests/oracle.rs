//! Stock git judges the same objects.

use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use super::generate::{Dice, Targets};
use super::is_refused;
use crate::fsck::{
    Finding, MessageId, Options, Session, Severity, SpecialKind, check, check_special,
};
use crate::testing::stock_git::StockGit;
use crate::testing::{PackBuilder, commit, id_of, tree};

/// Objects of each kind that are generated and judged.
const OBJECTS: usize = 400;

/// What stock git says of one object.
#[derive(Default)]
struct Verdict {
    rules: BTreeSet<String>,
    is_refused: bool,
}

/// Stores the contents, however wrong, and runs `git fsck --strict` over them.
fn ask_git(git: &StockGit, kind: ObjectKind, contents: &[Vec<u8>]) -> BTreeMap<ObjectId, Verdict> {
    let mut paths = String::new();
    for (number, content) in contents.iter().enumerate() {
        let name = format!("object-{number}");
        std::fs::write(git.path().join(&name), content).unwrap();
        paths.push_str(&name);
        paths.push('\n');
    }
    let args =
        ["hash-object", "-w", "--literally", "--no-filters", "-t", kind.as_str(), "--stdin-paths"];
    git.run(&args, paths.as_bytes());
    let output = git.try_run(&["fsck", "--strict", "--no-dangling"], b"");
    let text = [output.stdout, output.stderr].concat();
    read_verdicts(git.format, &String::from_utf8_lossy(&text))
}

fn read_verdicts(format: ObjectFormat, text: &str) -> BTreeMap<ObjectId, Verdict> {
    let mut verdicts: BTreeMap<ObjectId, Verdict> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split([' ', ':']).filter(|word| !word.is_empty()).collect();
        let id = |word: &str| ObjectId::from_hex(format, word.as_bytes()).ok();
        match words.as_slice() {
            // Links between the objects are not what is compared.
            ["error", "in", _, _, "broken", "links"] => {}
            [level @ ("error" | "warning"), "in", _, object, rule, ..] => {
                let verdict = verdicts.entry(id(object).unwrap()).or_default();
                verdict.rules.insert((*rule).to_owned());
                verdict.is_refused |= *level == "error";
            }
            ["error", object, "object", "could", "not", "be", "parsed", ..] => {
                verdicts.entry(id(object).unwrap()).or_default().is_refused = true;
            }
            _ => {}
        }
    }
    verdicts
}

/// Our findings in git's words.
fn in_words_of_git(findings: &[Finding]) -> BTreeSet<String> {
    comparable(findings.iter().map(|finding| finding.id.to_string()).collect())
}

/// How much of a broken tree is looked at is nobody's business.
fn comparable(mut rules: BTreeSet<String>) -> BTreeSet<String> {
    if rules.contains("badTree") {
        rules.retain(|rule| rule == "badTree");
    }
    rules
}

/// As stock git judges: what `promises.md` raises stays as mild as it is there,
/// and a special name for what is no file is told of the object named.
fn like_git() -> Options {
    Options::default()
        .with(MessageId::GitattributesSymlink, Severity::Info)
        .with(MessageId::GitmodulesBlob, Severity::Ignore)
        .with(MessageId::GitattributesBlob, Severity::Ignore)
}

/// An object of each kind to refer to; they do not exist.
fn targets(format: ObjectFormat) -> Targets {
    let of = |kind| id_of(format, kind, b"");
    Targets {
        blob: of(ObjectKind::Blob),
        tree: of(ObjectKind::Tree),
        commit: of(ObjectKind::Commit),
    }
}

fn compare(kind: ObjectKind, make: impl Fn(&mut Dice, &Targets) -> Vec<u8>) {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let git = StockGit::new(format);
        let targets = targets(format);
        let mut dice = Dice::new(63);
        let contents: Vec<_> = (0..OBJECTS).map(|_| make(&mut dice, &targets)).collect();
        let verdicts = ask_git(&git, kind, &contents);
        let (mut refused, mut accepted) = (0, 0);
        for content in &contents {
            let findings = check(kind, format, content, &like_git());
            let verdict = verdicts.get(&id_of(format, kind, content));
            let shown = format!("{kind} {}\n{findings:?}", content.escape_ascii());
            let theirs = verdict.is_some_and(|verdict| verdict.is_refused);
            assert_eq!(is_refused(&findings), theirs, "{shown}");
            if let Some(verdict) = verdict.filter(|verdict| !verdict.rules.is_empty()) {
                assert_eq!(
                    in_words_of_git(&findings),
                    comparable(verdict.rules.clone()),
                    "{shown}"
                );
            }
            refused += usize::from(theirs);
            accepted += usize::from(!theirs);
        }
        assert!(refused > OBJECTS / 5 && accepted > OBJECTS / 20, "{refused} {accepted}");
    }
}

#[test]
fn bad_input_074_commits_are_judged_as_stock_git_judges_them() {
    compare(ObjectKind::Commit, Dice::commit);
}

#[test]
fn tags_are_judged_as_stock_git_judges_them() {
    compare(ObjectKind::Tag, Dice::tag);
}

#[test]
fn bad_input_063_to_067_trees_are_judged_as_stock_git_judges_them() {
    compare(ObjectKind::Tree, Dice::tree);
}

/// Settings of submodules, right and wrong; each becomes a `.gitmodules` file.
const SETTINGS: [&str; 52] = [
    "url = ./x",
    "url = ../x",
    "url = ../../../x",
    "url = -x",
    "url = --upload-pack=x",
    "url = ./%0ax",
    "url = ../%0Ax",
    "url = .././/x",
    "url = ../:x",
    "url = ..//x",
    "url = ./:x",
    "url = git://h/x",
    "url = git://h/%0a",
    "url = http://h/x",
    "url = https://h:443/x",
    "url = https://h:0443/x",
    "url = https://h:0/x",
    "url = https://h:70000/x",
    "url = https://h:x/x",
    "url = https://h:/x",
    "url = https:///x",
    "url = https://",
    "url = https::h/x",
    "url = https::https://h/x",
    "url = ftp://h/%0a",
    "url = ftps://u:p@h/%41",
    "url = ftps://u%zz@h/x",
    "url = https://h/%4",
    "url = https://h/../x",
    "url = https://h/a/../x",
    "url = https://h/a/../../x",
    "url = https://h/./x",
    "url = https://h_h.-/x",
    "url = https://h~h/x",
    "url = https://[::1]/x",
    "url = https://[::1]:8/x",
    "url = https://h?x=%0a",
    "url = https://h#x",
    "url = ssh://h/%0a",
    "url = \"a\\nb\"",
    "url = \"https://h/a\\nb\"",
    "url = \"./a\\nb\"",
    "url",
    "path = x",
    "path = -x",
    "path = \"-\"",
    "update = !x",
    "update = merge",
    "update",
    "update = x",
    "x = \\q",
    "!",
];

#[test]
fn bad_input_071_gitmodules_files_are_judged_as_stock_git_judges_them() {
    let git = StockGit::new(ObjectFormat::Sha1);
    let names = ["a", "..", "a/../b", "a\\\\..", "...", "", "a\\\"b", "-x"];
    let sections = names.map(|name| format!("[submodule \"{name}\"]\nbranch = x\n"));
    let settings = SETTINGS.map(|setting| format!("[Submodule \"s\"]\n\t{setting}\n"));
    let others = [
        "[submodule]\nurl = -x\n".to_owned(),
        "[submodule.A]\nurl = -x\n".to_owned(),
        "[submodule \"x\"] url = -x\n".to_owned(),
        "[submodule \"x\"]\r\nurl = -x\r\n".to_owned(),
        "[submodule \"x\n\"]\nurl = -x\n".to_owned(),
        "[submodule \"x\"]\nurl = \\\n-x\n".to_owned(),
        "[submodule \"x\"]\nurl = \"-x\n".to_owned(),
        "url = -x\n".to_owned(),
    ];
    let contents: Vec<Vec<u8>> =
        sections.into_iter().chain(settings).chain(others).map(String::into_bytes).collect();
    let ids: Vec<_> =
        contents.iter().map(|content| id_of(git.format, ObjectKind::Blob, content)).collect();
    ask_git(&git, ObjectKind::Blob, &contents);
    let trees: Vec<_> = ids.iter().map(|id| tree(&[("100644", b".gitmodules", *id)])).collect();
    let verdicts = ask_git(&git, ObjectKind::Tree, &trees);
    for (content, id) in contents.iter().zip(&ids) {
        let findings = check_special(SpecialKind::Gitmodules, content, &Options::default());
        let theirs = verdicts.get(id).map(|verdict| verdict.rules.clone()).unwrap_or_default();
        let shown = String::from_utf8_lossy(content);
        assert_eq!(in_words_of_git(&findings), theirs, "{shown}");
    }
}

/// One push of a blob, a tree with it, and a commit.
fn small_push(git: &StockGit, name: &[u8], mode: &str, blob: &[u8]) -> (PackBuilder, Vec<u8>) {
    let blob_id = id_of(git.format, ObjectKind::Blob, blob);
    let root = tree(&[(mode, name, blob_id)]);
    let root_id = id_of(git.format, ObjectKind::Tree, &root);
    let pack = PackBuilder::new(git.format)
        .object(ObjectKind::Blob, blob)
        .object(ObjectKind::Tree, &root)
        .object(ObjectKind::Commit, &commit(&root_id, &[], "m"));
    (pack, root)
}

#[test]
fn a_push_is_refused_where_index_pack_refuses_it() {
    let git = StockGit::new(ObjectFormat::Sha1);
    let lines = [b"x".repeat(2047), b"x".repeat(2048)];
    let cases: [(&[u8], &str, &[u8]); 16] = [
        (b"plain", "100644", b"blob"),
        (b".git", "100644", b"blob"),
        (b".git\xe2\x80\x8c", "100644", b"blob"),
        (b"..", "100644", b"blob"),
        (b"a/b", "100644", b"blob"),
        (b"old", "100664", b"blob"),
        (b"padded", "0100644", b"blob"),
        (b".gitmodules", "120000", b"blob"),
        (b".gitmodules", "100644", b"[submodule \"x\"]\nurl = -x\n"),
        (b".gitmodules", "100644", b"[submodule \"../x\"]\nurl = x\n"),
        (b".gitmodules", "100644", b"[submodule \"x\"]\nurl = x\n"),
        (b".gitmodules", "100644", b"[broken"),
        (b".gitattributes", "100644", b"* text"),
        (b".gitattributes", "100644", &lines[0]),
        (b".gitattributes", "100644", &lines[1]),
        (b"\xff\xfe", "100644", b"blob"),
    ];
    for (name, mode, blob) in cases {
        let (pack, root) = small_push(&git, name, mode, blob);
        let mut session = Session::new(git.format, like_git());
        for (kind, content) in [(ObjectKind::Tree, &root[..]), (ObjectKind::Blob, blob)] {
            let id = id_of(git.format, kind, content);
            let size = content.len() as u64;
            let content = crate::pack::Content::Whole(content);
            session.visit(&crate::pack::Visited { ordinal: 0, id: &id, kind, size, content });
        }
        let args = ["index-pack", "--stdin", "--strict", "--fsck-objects"];
        let output = git.try_run(&args, &pack.build());
        let shown = format!("{} {mode}: {:?}", name.escape_ascii(), session.reports());
        assert_eq!(session.errors() == 0, output.status.success(), "{shown}");
    }
}
