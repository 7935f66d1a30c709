use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId};

use super::*;

mod history;

const BUDGET: EntryBudget = EntryBudget(1_000_000);

/// Trees by id, for the tests to provide.
#[derive(Default)]
struct Trees(BTreeMap<ObjectId, Bytes>);

fn blob(name: &str) -> ObjectId {
    id_of(name.as_bytes())
}

fn id_of(bytes: &[u8]) -> ObjectId {
    ObjectId::from_bytes(ObjectFormat::Sha1, &blake3::hash(bytes).as_bytes()[..20]).unwrap()
}

impl Trees {
    /// A tree of `mode name id` entries, which are in git's order.
    fn add(&mut self, entries: &[(&str, &str, ObjectId)]) -> ObjectId {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend(format!("{mode} {name}\0").as_bytes());
            bytes.extend(id.as_bytes());
        }
        let id = id_of(&bytes);
        self.0.insert(id, bytes.into());
        id
    }

    fn row(&self, root: ObjectId, parent_roots: Vec<ObjectId>) -> RowIds {
        let commits = vec![Commit { key: (), root, parent_roots }];
        let mut builder = RowBuilder::new(commits, BUDGET);
        while !builder.is_done() {
            for tree in builder.wanted() {
                builder.provide(tree, self.0[&tree].clone()).unwrap();
            }
        }
        let [((), row)] = builder.finish().unwrap().try_into().unwrap();
        row.unwrap()
    }

    fn walk(&self, root: ObjectId, excluded: HashSet<ObjectId>) -> RowIds {
        let mut walk = TreeWalk::new([root], excluded, BUDGET);
        while !walk.is_done() {
            for tree in walk.wanted() {
                walk.provide(tree, &self.0[&tree]).unwrap();
            }
        }
        walk.finish().unwrap()
    }
}

/// The ids of a row, each of which it must list once.
fn set(row: &RowIds) -> BTreeSet<ObjectId> {
    let ids: BTreeSet<_> = row.trees.iter().chain(&row.blobs).copied().collect();
    assert_eq!(ids.len(), row.trees.len() + row.blobs.len());
    ids
}

fn ids<const N: usize>(ids: [ObjectId; N]) -> BTreeSet<ObjectId> {
    ids.into()
}

#[test]
fn s7_a_row_has_what_no_parent_has_at_the_same_path() {
    let mut trees = Trees::default();
    let same = trees.add(&[("100644", "deep", blob("deep"))]);
    let before = trees.add(&[("100644", "x", blob("x")), ("100644", "y", blob("y1"))]);
    let after = trees.add(&[("100644", "x", blob("x")), ("100644", "y", blob("y2"))]);
    let parent = trees.add(&[("40000", "changed", before), ("40000", "same", same)]);
    let root = trees.add(&[
        ("100644", "added", blob("added")),
        ("40000", "changed", after),
        ("40000", "same", same),
    ]);
    let changed = ids([root, after, blob("y2"), blob("added")]);
    assert_eq!(set(&trees.row(root, vec![parent])), changed);
    assert_eq!(set(&trees.row(root, vec![root, parent])), ids([]));
    assert_eq!(set(&trees.row(root, vec![parent, parent])), changed);
    let whole = ids([root, after, same, blob("x"), blob("y2"), blob("added"), blob("deep")]);
    assert_eq!(set(&trees.row(root, vec![])), whole);
}

#[test]
fn s7_a_merge_lists_what_neither_parent_has() {
    let mut trees = Trees::default();
    let ours = trees.add(&[("100644", "a", blob("a2")), ("100644", "b", blob("b1"))]);
    let theirs = trees.add(&[("100644", "a", blob("a1")), ("100644", "b", blob("b2"))]);
    let clean = trees.add(&[("100644", "a", blob("a2")), ("100644", "b", blob("b2"))]);
    let evil = trees.add(&[("100644", "a", blob("a3")), ("100644", "b", blob("b2"))]);
    assert_eq!(set(&trees.row(clean, vec![ours, theirs])), ids([clean]));
    assert_eq!(set(&trees.row(evil, vec![ours, theirs])), ids([evil, blob("a3")]));
    assert_eq!(set(&trees.row(ours, vec![ours, theirs])), ids([]));
}

#[test]
fn a_file_that_becomes_a_directory_and_back_is_listed() {
    let mut trees = Trees::default();
    let below = trees.add(&[("100644", "f", blob("f"))]);
    let file = trees.add(&[
        ("100644", "a", blob("file")),
        ("100644", "a.c", blob("c")),
        ("100644", "a0", blob("zero")),
    ]);
    let directory = trees.add(&[
        ("100644", "a.c", blob("c")),
        ("40000", "a", below),
        ("100644", "a0", blob("zero")),
    ]);
    assert_eq!(set(&trees.row(directory, vec![file])), ids([directory, below, blob("f")]));
    assert_eq!(set(&trees.row(file, vec![directory])), ids([file, blob("file")]));
}

#[test]
fn a_directory_is_found_behind_names_that_sort_before_its_slash() {
    let mut trees = Trees::default();
    let before = trees.add(&[("100644", "x", blob("x")), ("100644", "y", blob("y1"))]);
    let after = trees.add(&[("100644", "x", blob("x")), ("100644", "y", blob("y2"))]);
    let parent = trees.add(&[("40000", "a", before)]);
    let root = trees.add(&[("100644", "a.c", blob("c")), ("40000", "a", after)]);
    let changed = ids([root, after, blob("y2"), blob("c")]);
    assert_eq!(set(&trees.row(root, vec![parent])), changed);
}

#[test]
fn a_gitlink_is_no_object_and_vouches_for_none() {
    let mut trees = Trees::default();
    let below = trees.add(&[("100644", "f", blob("f"))]);
    let link = trees.add(&[("160000", "a", below), ("160000", "b", blob("b"))]);
    let real = trees.add(&[("40000", "a", below), ("100644", "b", blob("b"))]);
    assert_eq!(set(&trees.row(link, vec![])), ids([link]));
    assert_eq!(set(&trees.row(real, vec![link])), ids([real, below, blob("f"), blob("b")]));
    assert_eq!(set(&trees.walk(link, HashSet::new())), ids([link]));
}

#[test]
fn a_change_of_mode_alone_brings_the_tree_only() {
    let mut trees = Trees::default();
    let before = trees.add(&[("100644", "a", blob("a"))]);
    let after = trees.add(&[("100755", "a", blob("a"))]);
    assert_eq!(set(&trees.row(after, vec![before])), ids([after]));
}

#[test]
fn bad_input_070_a_tree_of_ten_to_the_twenty_paths_costs_its_distinct_trees() {
    let mut trees = Trees::default();
    let names: Vec<String> = (0..100).map(|at| format!("{at:02}")).collect();
    let mut top = trees.add(&[("100644", "laugh", blob("laugh"))]);
    for _ in 0..10 {
        let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_str(), top)).collect();
        top = trees.add(&entries);
    }
    assert_eq!(set(&trees.row(top, vec![])).len(), 12);
    assert_eq!(set(&trees.walk(top, HashSet::new())).len(), 12);
}

#[test]
fn bad_input_069_a_tree_deeper_than_2048_is_refused() {
    let mut trees = Trees::default();
    let mut top = trees.add(&[("100644", "f", blob("f"))]);
    for _ in 1..DEPTH_MAX {
        top = trees.add(&[("40000", "d", top)]);
    }
    assert_eq!(trees.row(top, vec![]).trees.len(), DEPTH_MAX);
    assert_eq!(trees.walk(top, HashSet::new()).trees.len(), DEPTH_MAX);

    let deeper = trees.add(&[("40000", "d", top)]);
    let commits = vec![Commit { key: (), root: deeper, parent_roots: vec![] }];
    let mut builder = RowBuilder::new(commits, BUDGET);
    let mut walk = TreeWalk::new([deeper], HashSet::new(), BUDGET);
    let (mut row_refused, mut walk_refused) = (None, None);
    while row_refused.is_none() || walk_refused.is_none() {
        let [tree] = builder.wanted().try_into().unwrap();
        row_refused = builder.provide(tree, trees.0[&tree].clone()).err();
        walk_refused = walk.provide(tree, &trees.0[&tree]).err();
    }
    assert!(matches!(row_refused, Some(Error::Depth { .. })));
    assert!(matches!(walk_refused, Some(Error::Depth { .. })));
}

#[test]
fn s24_over_the_budget_is_busy() {
    let mut trees = Trees::default();
    let root = trees.add(&[("100644", "a", blob("a")), ("100644", "b", blob("b"))]);
    let row = |entries| {
        let commits = vec![Commit { key: (), root, parent_roots: vec![] }];
        RowBuilder::new(commits, EntryBudget(entries)).provide(root, trees.0[&root].clone())
    };
    assert_eq!(row(2), Ok(()));
    assert_eq!(row(1).unwrap_err().kind(), ErrorKind::Busy);
    let mut walk = TreeWalk::new([root], HashSet::new(), EntryBudget(1));
    assert_eq!(walk.provide(root, &trees.0[&root]).unwrap_err().kind(), ErrorKind::Busy);
}

#[test]
fn trees_that_wait_for_others_are_bounded() {
    let large = Bytes::from(vec![b'1'; HELD_BYTES_MAX / 2 + 1]);
    let commits = [("a", "b"), ("c", "d")].map(|(root, parent)| Commit {
        key: (),
        root: blob(root),
        parent_roots: vec![blob(parent)],
    });
    let mut builder = RowBuilder::new(commits.into(), BUDGET);
    builder.provide(blob("a"), large.clone()).unwrap();
    let refused = builder.provide(blob("c"), large).unwrap_err();
    assert_eq!((refused.kind(), refused), (ErrorKind::Busy, Error::Held { limit: HELD_BYTES_MAX }));
}

#[test]
fn s7_a_row_whose_trees_are_not_at_hand_is_absent_and_others_are_not() {
    let mut trees = Trees::default();
    let root = trees.add(&[("100644", "a", blob("a"))]);
    let commits = vec![
        Commit { key: 'a', root, parent_roots: vec![blob("gone")] },
        Commit { key: 'b', root, parent_roots: vec![] },
        Commit { key: 'c', root, parent_roots: vec![root] },
    ];
    let mut builder = RowBuilder::new(commits, BUDGET);
    assert_eq!(builder.wanted(), [root, blob("gone")]);
    builder.provide(root, trees.0[&root].clone()).unwrap();
    assert_eq!(builder.wanted(), [blob("gone")]);
    builder.give_up(blob("gone")).unwrap();
    let rows = builder.finish().unwrap();
    let whole = RowIds { trees: vec![root], blobs: vec![blob("a")] };
    assert_eq!(rows, [('a', None), ('b', Some(whole)), ('c', Some(RowIds::default()))]);
}

#[test]
fn bytes_that_are_no_tree_and_trees_that_are_not_wanted_are_refused() {
    let bad: &[&[u8]] = &[
        b"100644",
        b"100644 a",
        b"100644 a\0short",
        b" a\0aaaaaaaaaaaaaaaaaaaa",
        b"10064x a\0aaaaaaaaaaaaaaaaaaaa",
        b"1006440000 a\0aaaaaaaaaaaaaaaaaaaa",
        b"1006\0a aaaaaaaaaaaaaaaaaaaaaa",
    ];
    for bytes in bad {
        let commits = vec![Commit { key: (), root: blob("r"), parent_roots: vec![] }];
        let mut builder = RowBuilder::new(commits, BUDGET);
        let refused = builder.provide(blob("r"), Bytes::from_static(bytes)).unwrap_err();
        assert_eq!(refused, Error::Malformed { tree: blob("r") });
        let mut walk = TreeWalk::new([blob("r")], HashSet::new(), BUDGET);
        assert_eq!(walk.provide(blob("r"), bytes), Err(refused));
    }
    let commits = vec![Commit { key: (), root: blob("r"), parent_roots: vec![] }];
    let mut builder = RowBuilder::new(commits, BUDGET);
    let stranger = builder.provide(blob("s"), Bytes::new()).unwrap_err();
    assert_eq!(stranger.kind(), ErrorKind::Bug);
    assert_eq!(builder.finish().unwrap_err(), Error::Unfinished { wanted: 1 });
    let walk = TreeWalk::new([blob("r")], HashSet::new(), BUDGET);
    assert_eq!(walk.finish().unwrap_err(), Error::Unfinished { wanted: 1 });
}

#[test]
fn an_excluded_tree_is_neither_listed_nor_entered() {
    let mut trees = Trees::default();
    let held = trees.add(&[("100644", "h", blob("h"))]);
    let root = trees.add(&[("100644", "a", blob("a")), ("40000", "d", held)]);
    assert_eq!(set(&trees.walk(root, [held].into())), ids([root, blob("a")]));
    assert_eq!(set(&trees.walk(root, [blob("a")].into())), ids([root, held, blob("h")]));
    assert_eq!(set(&trees.walk(root, [root].into())), ids([]));
}
