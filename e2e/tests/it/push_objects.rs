//! Bad inputs 63 to 80: objects that break git's rules.

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_e2e::fetch::Fetch;
use gitstratum_e2e::push::{Push, Report};
use gitstratum_git::testing::{self, PackBuilder, deflate, id_of};

use crate::ground::Ground;
use crate::objects::{FILE, FOLDER, Objects, SYMLINK, missing};
use crate::shared::Shared;
use crate::work::folder;

static UP: Shared = Shared::new();

/// Author and committer of commits made by hand.
const AUTHOR: &str = "author A <a@example.org> 1700000000 +0000";
const COMMITTER: &str = "committer C <c@example.org> 1700000000 +0000";

/// Pushes a commit of the tree that `make` makes, which must be refused; gives the words.
fn tree_refused(
    ground: &Ground,
    make: impl FnOnce(&mut Objects, ObjectId) -> ObjectId,
) -> Result<String> {
    let (objects, tip) = commit_of(make);
    ground.refused(&ground.branch(&objects, &tip))
}

/// A commit of the tree that `make` makes of a blob.
fn commit_of(make: impl FnOnce(&mut Objects, ObjectId) -> ObjectId) -> (Objects, ObjectId) {
    let mut objects = Objects::new();
    let blob = objects.blob(b"content\n");
    let tree = make(&mut objects, blob);
    let tip = objects.commit(&tree, &[], "a commit\n");
    (objects, tip)
}

/// Pushes a commit of a tree with these entries, which must be refused.
fn entries_refused(ground: &Ground, entries: &[(&str, &[u8])]) -> Result<String> {
    tree_refused(ground, |objects, blob| {
        let list: Vec<_> = entries.iter().map(|(mode, name)| (*mode, *name, blob)).collect();
        objects.tree(&list)
    })
}

/// Pushes a commit of a tree that must be taken.
fn taken(
    ground: &Ground,
    name: &str,
    make: impl FnOnce(&mut Objects, ObjectId) -> ObjectId,
) -> Result<Report> {
    let (objects, tip) = commit_of(make);
    let report = ground.done(&Push::new().create(name, &tip).pack(objects.pack()))?;
    ground.unharmed()?;
    Ok(report)
}

/// Pushes a branch at a commit with this content, on a tree that is there; gives the words.
fn commit_refused(ground: &Ground, content: &[u8]) -> Result<String> {
    let mut objects = Objects::new();
    let tip = objects.add(ObjectKind::Commit, content);
    ground.refused(&ground.branch(&objects, &tip))
}

#[test]
fn bad_input_063_names_that_become_dot_git() -> Result<()> {
    let ground = Ground::new(&UP, "dotgit")?;
    let names = [
        ".git",
        ".GIT",
        ".Git",
        "git~1",
        "GIT~1",
        ".g\u{200c}it",
        ".git::$INDEX_ALLOCATION",
        ".git.",
        ".git ",
        ".git...",
    ];
    for name in names {
        let words = entries_refused(&ground, &[(FILE, name.as_bytes())])?;
        ensure!(words.contains("hasDotgit"), "{name:?}: {words}");
    }
    Ok(())
}

#[test]
fn bad_input_064_names_that_are_paths() -> Result<()> {
    let ground = Ground::new(&UP, "names")?;
    let cases: [(&[u8], &str); 5] = [
        (b".", "hasDot"),
        (b"..", "hasDotdot"),
        (b"", ""),
        (b"a/b", "fullPathname"),
        (b"a\0b", ""),
    ];
    for (name, rule) in cases {
        let words = entries_refused(&ground, &[(FILE, name)])?;
        ensure!(words.contains(rule), "{name:?}: {words}");
    }
    Ok(())
}

#[test]
fn bad_input_065_entries_out_of_order() -> Result<()> {
    let ground = Ground::new(&UP, "order")?;
    let words = entries_refused(&ground, &[(FILE, b"b"), (FILE, b"a")])?;
    ensure!(words.contains("treeNotSorted"), "{words}");
    let words = entries_refused(&ground, &[(FILE, b"a"), (FILE, b"a")])?;
    ensure!(words.contains("duplicateEntries"), "{words}");
    let words = tree_refused(&ground, |objects, blob| {
        let below = objects.tree(&[(FILE, b"x", blob)]);
        objects.tree(&[(FILE, b"a", blob), (FILE, b"a-", blob), (FOLDER, b"a", below)])
    })?;
    ensure!(words.contains("duplicateEntries"), "{words}");
    Ok(())
}

#[test]
fn bad_input_066_modes() -> Result<()> {
    let ground = Ground::new(&UP, "modes")?;
    for mode in ["777777", "0777777", "0100644", "1", "", "100644x", "-100644"] {
        entries_refused(&ground, &[(mode, b"file")])?;
    }
    let words = tree_refused(&ground, |objects, blob| {
        let below = objects.tree(&[(FILE, b"x", blob)]);
        objects.tree(&[("040000", b"folder", below)])
    })?;
    ensure!(words.contains("zeroPaddedFilemode"), "{words}");
    Ok(())
}

#[test]
fn bad_input_066_an_old_mode_is_taken_with_a_warning() -> Result<()> {
    let ground = Ground::new(&UP, "modes-old")?;
    let report = taken(&ground, "refs/heads/old", |objects, blob| {
        objects.tree(&[("100664", b"file", blob)])
    })?;
    ensure!(report.told.contains("badFilemode"), "{:?}", report.told);
    Ok(())
}

#[test]
fn bad_input_067_entries_of_the_null_id() -> Result<()> {
    let ground = Ground::new(&UP, "null")?;
    let null = ObjectId::null(ObjectFormat::Sha1);
    for mode in [FILE, FOLDER, "160000"] {
        let words = tree_refused(&ground, |objects, _| objects.tree(&[(mode, b"x", null)]))?;
        ensure!(words.contains("nullSha1"), "{mode}: {words}");
    }
    Ok(())
}

#[test]
fn bad_input_068_names_that_are_only_odd() -> Result<()> {
    let ground = Ground::new(&UP, "names-odd")?;
    let long = vec![b'n'; 5_000];
    let report =
        taken(&ground, "refs/heads/long", |objects, blob| objects.tree(&[(FILE, &long, blob)]))?;
    ensure!(report.told.contains("largePathname"), "{:?}", report.told);
    let odd = b"caf\xe9 \xff\xfe\x01";
    taken(&ground, "refs/heads/odd", |objects, blob| objects.tree(&[(FILE, odd, blob)]))?;
    let stratum = &ground.up.stratum;
    let url = stratum.http(&ground.path);
    stratum.git().run(stratum.scratch(), &["clone", "-q", "--mirror", &url, "odd.git"])?;
    let listing = stratum
        .git()
        .command(&folder(stratum, "odd.git"), &["ls-tree", "-z", "--name-only", "odd"])
        .output()?;
    ensure!(listing.stdout == [&odd[..], &[0]].concat(), "{:?}", listing.stdout);
    Ok(())
}

/// The root of `depth` trees in one another.
fn nested(objects: &mut Objects, blob: ObjectId, depth: usize) -> ObjectId {
    let innermost = objects.tree(&[(FILE, b"x", blob)]);
    (1..depth).fold(innermost, |below, _| objects.tree(&[(FOLDER, b"d", below)]))
}

#[test]
fn bad_input_069_trees_too_deep() -> Result<()> {
    let ground = Ground::new(&UP, "deep")?;
    for depth in [2_049, 3_000] {
        tree_refused(&ground, |objects, blob| nested(objects, blob, depth))?;
    }
    taken(&ground, "refs/heads/deep", |objects, blob| nested(objects, blob, 2_048))?;
    Ok(())
}

#[test]
fn bad_input_070_trees_that_unfold_without_end() -> Result<()> {
    let ground = Ground::new(&UP, "laughs")?;
    let (objects, tip) = commit_of(|objects, blob| {
        let mut below = objects.tree(&[(FILE, b"x", blob)]);
        for _ in 0..10 {
            let names: Vec<String> = (0..100).map(|number| format!("{number:02}")).collect();
            let entries: Vec<_> =
                names.iter().map(|name| (FOLDER, name.as_bytes(), below)).collect();
            below = objects.tree(&entries);
        }
        below
    });
    let push = Push::new().create("refs/heads/laughs", &tip).pack(objects.pack());
    ground.done(&push)?;
    let whole = Fetch::new().want(&tip).done().send(&ground.http())?;
    let pack = whole.pack.context("no pack")?;
    // A commit, eleven trees, a blob.
    ensure!(pack[8..12] == [0, 0, 0, 13], "{:?}", &pack[..12]);
    let shallow = Fetch::new().want(&tip).depth(1).filter("blob:none").done();
    let pack = shallow.send(&ground.http())?.pack.context("no pack")?;
    ensure!(pack[8..12] == [0, 0, 0, 12], "{:?}", &pack[..12]);
    ground.unharmed()
}

/// Pushes a commit with this content under `.gitmodules`, which must be refused.
fn gitmodules_refused(ground: &Ground, content: &[u8]) -> Result<String> {
    tree_refused(ground, |objects, _| {
        let blob = objects.blob(content);
        objects.tree(&[(FILE, b".gitmodules", blob)])
    })
}

#[test]
fn bad_input_071_submodules_that_attack() -> Result<()> {
    let ground = Ground::new(&UP, "gitmodules")?;
    let section = |name: &str, line: &str| format!("[submodule \"{name}\"]\n\t{line}\n");
    let cases = [
        section("x", "url = -u./x"),
        section("x", "path = -x\n\turl = https://example.org/x"),
        section("x", "update = !cmd\n\turl = https://example.org/x"),
        section("../../x", "url = https://example.org/x"),
        section("x", "path = \"sub\r\"\n\turl = https://example.org/x"),
        section("x", "url = ./../../../../:/x"),
        section("x", "url = https://example.org/x%0ahost=evil"),
    ];
    for case in cases {
        let words = gitmodules_refused(&ground, case.as_bytes())?;
        ensure!(words.contains("gitmodules"), "{case:?}: {words}");
    }
    let large = section("x", &format!("url = https://example.org/{}", "x".repeat(5 << 20)));
    gitmodules_refused(&ground, large.as_bytes())?;
    let words = tree_refused(&ground, |objects, _| {
        let target = objects.blob(b"elsewhere");
        objects.tree(&[(SYMLINK, b".gitmodules", target)])
    })?;
    ensure!(words.contains("gitmodulesSymlink"), "{words}");
    tree_refused(&ground, |objects, blob| {
        let below = objects.tree(&[(FILE, b"x", blob)]);
        objects.tree(&[(FOLDER, b".gitmodules", below)])
    })?;
    Ok(())
}

#[test]
fn bad_input_072_attributes_without_measure() -> Result<()> {
    let ground = Ground::new(&UP, "gitattributes")?;
    let line = [vec![b'x'; 1 << 20], b" text\n".to_vec()].concat();
    let words = tree_refused(&ground, |objects, _| {
        let blob = objects.blob(&line);
        objects.tree(&[(FILE, b".gitattributes", blob)])
    })?;
    ensure!(words.contains("gitattributesLineLength"), "{words}");
    let pack = blob_of(200 << 20);
    ground.refused(&Push::new().create("refs/heads/evil", &missing(1)).pack(pack))?;
    let words = tree_refused(&ground, |objects, _| {
        let target = objects.blob(b"elsewhere");
        objects.tree(&[(SYMLINK, b".gitattributes", target)])
    })?;
    ensure!(words.contains("gitattributesSymlink"), "{words}");
    Ok(())
}

/// A pack of one blob of zeros.
fn blob_of(size: usize) -> Vec<u8> {
    let body = deflate(&vec![0; size]);
    let pack = PackBuilder::new(ObjectFormat::Sha1);
    pack.object_claiming(ObjectKind::Blob, size as u64, body).build()
}

#[test]
fn bad_input_073_symbolic_links_are_only_stored() -> Result<()> {
    let ground = Ground::new(&UP, "symlinks")?;
    let targets = ["/etc/passwd", ".git/hooks", "../../../../root/.ssh/authorized_keys"];
    for (number, target) in targets.iter().enumerate() {
        let name = format!("refs/heads/link{number}");
        taken(&ground, &name, |objects, _| {
            let target = objects.blob(target.as_bytes());
            objects.tree(&[(SYMLINK, b"link", target)])
        })?;
        let blob = id_of(ObjectFormat::Sha1, ObjectKind::Blob, target.as_bytes());
        let sent = Fetch::new().want(&blob).done().send(&ground.http())?;
        ensure!(sent.is_done(), "{:?}", sent.error);
    }
    Ok(())
}

#[test]
fn bad_input_074_commits_that_are_none() -> Result<()> {
    let ground = Ground::new(&UP, "commits")?;
    let tree = format!("tree {}", ground.base.tree);
    let year = "18446744073709551616";
    let cases = [
        format!("{AUTHOR}\n{COMMITTER}\n\nx\n"),
        format!("{tree}\n{COMMITTER}\n\nx\n"),
        format!("{tree}\n{AUTHOR}\n\nx\n"),
        format!("{tree}\n{AUTHOR}\n{AUTHOR}\n{COMMITTER}\n\nx\n"),
        format!("{tree}\nauthor A <a@b> {year} +0000\n{COMMITTER}\n\nx\n"),
        format!("{tree}\nauthor A <a@b> 1700000000 +9999\n{COMMITTER}\n\nx\n"),
        format!("{tree}\nauthor A <a@b> -1 +0000\n{COMMITTER}\n\nx\n"),
        format!("{tree}\nauthor A a@b 1700000000 +0000\n{COMMITTER}\n\nx\n"),
        format!("{tree}\n{AUTHOR}\0\n{COMMITTER}\n\nx\n"),
        format!("{tree}\n{AUTHOR}\n{COMMITTER}\nx\0y z\n\nx\n"),
        format!("{tree}\n{AUTHOR}\n{COMMITTER}"),
        String::new(),
    ];
    for case in cases {
        commit_refused(&ground, case.as_bytes()).with_context(|| format!("{case:?}"))?;
    }
    Ok(())
}

#[test]
fn bad_input_075_parents_that_are_missing_or_no_commits() -> Result<()> {
    let ground = Ground::new(&UP, "parents")?;
    let tree = ground.base.tree;
    let words = commit_refused(&ground, &testing::commit(&tree, &[missing(1)], "orphan\n"))?;
    ensure!(words.contains("missing necessary objects"), "{words}");
    for parent in [ground.base.blob, ground.base.tree, ground.base.tag] {
        commit_refused(&ground, &testing::commit(&tree, &[parent], "odd\n"))?;
    }
    let no_tree = testing::commit(&missing(2), &[], "no tree\n");
    let words = commit_refused(&ground, &no_tree)?;
    ensure!(words.contains("missing necessary objects"), "{words}");
    commit_refused(&ground, &testing::commit(&ground.base.blob, &[], "blob as tree\n"))?;
    Ok(())
}

#[test]
fn bad_input_076_a_hundred_thousand_parents() -> Result<()> {
    let ground = Ground::new(&UP, "many-parents")?;
    let parents = vec![ground.base.tip; 100_000];
    commit_refused(&ground, &testing::commit(&ground.base.tree, &parents, "many\n"))?;
    commit_refused(&ground, &testing::commit(&ground.base.tree, &parents[..1_025], "many\n"))?;
    Ok(())
}

#[test]
fn bad_input_077_tags_of_tags_and_of_nothing() -> Result<()> {
    let ground = Ground::new(&UP, "tags")?;
    let mut objects = Objects::new();
    let mut tag = objects.tag(&ground.base.tip, ObjectKind::Commit, "t0");
    for number in 1..10_000 {
        tag = objects.tag(&tag, ObjectKind::Tag, &format!("t{number}"));
    }
    ground.refused(&Push::new().create("refs/tags/evil", &tag).pack(objects.pack()))?;
    let mut objects = Objects::new();
    let hollow = objects.tag(&missing(1), ObjectKind::Commit, "hollow");
    let push = Push::new().create("refs/tags/evil", &hollow).pack(objects.pack());
    let words = ground.refused(&push)?;
    ensure!(words.contains("missing necessary objects"), "{words}");
    let mut objects = Objects::new();
    let wrong = objects.tag(&ground.base.blob, ObjectKind::Commit, "wrong");
    ground.refused(&Push::new().create("refs/tags/evil", &wrong).pack(objects.pack()))?;
    Ok(())
}

#[test]
fn bad_input_078_signatures_and_headers_without_end() -> Result<()> {
    let ground = Ground::new(&UP, "headers")?;
    let head = format!("tree {}\n{AUTHOR}\n{COMMITTER}\n", ground.base.tree);
    let cut = format!("{head}gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQEzBAAB\n\nsigned\n");
    commit_refused(&ground, cut.as_bytes())?;
    let long = format!("{head}x-note {}\n\nlong\n", "x".repeat(10 << 20));
    commit_refused(&ground, long.as_bytes())?;
    let many = format!("{head}{}\nmany\n", "x-note y\n".repeat(1 << 20));
    commit_refused(&ground, many.as_bytes())?;
    Ok(())
}

#[test]
fn bad_input_079_a_tree_of_another_repository() -> Result<()> {
    let ground = Ground::new(&UP, "links")?;
    let other = Ground::new(&UP, "links-other")?;
    let expected =
        commit_refused(&ground, &testing::commit(&missing(3), &[], "a tree of nobody\n"))?;
    let theirs = testing::commit(&other.base.tree, &[], "a tree of theirs\n");
    ensure!(commit_refused(&ground, &theirs)? == expected, "it is told apart");
    let of_blob = |blob: ObjectId| {
        tree_refused(&ground, |objects, _| objects.tree(&[(FILE, b"theirs", blob)]))
    };
    let (expected, words) = (of_blob(missing(4))?, of_blob(other.base.blob)?);
    ensure!(words == expected, "{words:?} is not {expected:?}");
    Ok(())
}

#[test]
fn bad_input_080_a_blob_over_the_limit() -> Result<()> {
    let ground = Ground::new(&UP, "large")?;
    let push = Push::new().create("refs/heads/evil", &missing(1)).pack(blob_of((100 << 20) + 1));
    let words = ground.refused(&push)?;
    ensure!(words.contains(&(100 << 20).to_string()), "the limit is not named: {words}");
    Ok(())
}
