use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use proptest::prelude::*;

use super::table::IdTable;
use super::*;
use crate::pack::tests::support::take_whole;
use crate::testing::{PackBuilder, commit, id_of, tag, tree};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

fn outside(text: &str, kind: ObjectKind) -> Reference {
    Reference { id: id_of(SHA1, kind, text.as_bytes()), kind }
}

/// A tower of trees, each holding the next; the outermost tree's id.
fn tower(mut pack: PackBuilder, levels: usize, outermost_first: bool) -> (PackBuilder, ObjectId) {
    let mut inner = ("100644", id_of(SHA1, ObjectKind::Blob, b"leaf"));
    let mut trees = Vec::new();
    for _ in 0..levels {
        let content = tree(&[(inner.0, b"d", inner.1)]);
        inner = ("40000", id_of(SHA1, ObjectKind::Tree, &content));
        trees.push(content);
    }
    if outermost_first {
        trees.reverse();
    }
    for content in &trees {
        pack = pack.object(ObjectKind::Tree, content);
    }
    (pack, inner.1)
}

#[test]
fn s16_what_the_pack_rests_on_is_found_once_with_its_kind() {
    let blob = outside("blob", ObjectKind::Blob);
    let subtree = outside("tree", ObjectKind::Tree);
    let parent = outside("parent", ObjectKind::Commit);
    let link = outside("link", ObjectKind::Commit);
    let root = tree(&[
        ("100644", b"a", blob.id),
        ("120000", b"b", blob.id),
        ("160000", b"c", link.id),
        ("40000", b"d", subtree.id),
    ]);
    let root_id = id_of(SHA1, ObjectKind::Tree, &root);
    let change = commit(&root_id, &[parent.id, parent.id], "m");
    let label = tag(&blob.id, ObjectKind::Blob, "v");
    let pack = PackBuilder::new(SHA1)
        .object(ObjectKind::Commit, &change)
        .object(ObjectKind::Tree, &root)
        .object(ObjectKind::Tag, &label)
        .build();
    let (_, linked) = take_whole(SHA1, &pack).unwrap();
    let mut expected = [blob, subtree, parent];
    expected.sort_by_key(|reference| reference.id);
    assert_eq!(linked.external, expected);
    let mut roots = linked.roots;
    roots.sort_unstable();
    assert_eq!((roots, linked.tree_depth), (vec![0, 2], 2));
}

#[test]
fn bad_input_069_a_tree_may_be_2048_deep_and_not_one_more() {
    for outermost_first in [true, false] {
        let leaf = PackBuilder::new(SHA1).object(ObjectKind::Blob, b"leaf");
        let (pack, _) = tower(leaf.clone(), 2048, outermost_first);
        assert_eq!(take_whole(SHA1, &pack.build()).unwrap().1.tree_depth, 2048);
        for levels in [2049, 3000, 100_000] {
            let (pack, _) = tower(leaf.clone(), levels, outermost_first);
            let error = take_whole(SHA1, &pack.build()).unwrap_err();
            assert!(error.ends_with("is nested deeper than 2048"), "{error}");
        }
    }
}

#[test]
fn bad_input_070_a_tree_of_shared_trees_costs_no_more_than_its_trees() {
    let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, b"laugh");
    let mut inner = ("100644", id_of(SHA1, ObjectKind::Blob, b"laugh"));
    let names: Vec<String> = (100..200).map(|number| number.to_string()).collect();
    for _ in 0..10 {
        let entries: Vec<_> =
            names.iter().map(|name| (inner.0, name.as_bytes(), inner.1)).collect();
        let content = tree(&entries);
        pack = pack.object(ObjectKind::Tree, &content);
        inner = ("40000", id_of(SHA1, ObjectKind::Tree, &content));
    }
    let (resolved, linked) = take_whole(SHA1, &pack.build()).unwrap();
    assert_eq!((linked.tree_depth, linked.roots), (10, vec![resolved.find(&inner.1).unwrap()]));
}

#[test]
fn bad_input_075_a_reference_to_another_kind_is_refused() {
    let blob_id = id_of(SHA1, ObjectKind::Blob, b"blob");
    let root = tree(&[("100644", b"a", blob_id)]);
    let root_id = id_of(SHA1, ObjectKind::Tree, &root);
    let good = PackBuilder::new(SHA1)
        .object(ObjectKind::Blob, b"blob")
        .object(ObjectKind::Tree, &root)
        .object(ObjectKind::Commit, &commit(&root_id, &[], "m"));
    assert!(take_whole(SHA1, &good.build()).is_ok());
    let bad = [
        (ObjectKind::Commit, commit(&root_id, &[blob_id], "parent is a blob")),
        (ObjectKind::Commit, commit(&root_id, &[root_id], "parent is a tree")),
        (ObjectKind::Commit, commit(&blob_id, &[], "tree is a blob")),
        (ObjectKind::Tree, tree(&[("40000", b"d", blob_id)])),
        (ObjectKind::Tree, tree(&[("100644", b"f", root_id)])),
        (ObjectKind::Tag, tag(&blob_id, ObjectKind::Tree, "t")),
    ];
    for (kind, content) in bad {
        let error = take_whole(SHA1, &good.clone().object(kind, &content).build()).unwrap_err();
        assert!(error.contains("is referred to as"), "{error}");
    }
    // What is outside is for others to check.
    let content = commit(&root_id, &[blob_id], "m");
    let alone = PackBuilder::new(SHA1).object(ObjectKind::Commit, &content).build();
    assert_eq!(take_whole(SHA1, &alone).unwrap().1.external.len(), 2);
    let outside = id_of(SHA1, ObjectKind::Blob, b"outside");
    let two_kinds = tree(&[("100644", b"a", outside), ("40000", b"b", outside)]);
    let pack = PackBuilder::new(SHA1).object(ObjectKind::Tree, &two_kinds).build();
    assert!(take_whole(SHA1, &pack).is_err());
}

#[test]
fn bad_input_077_a_chain_of_tags_is_limited() {
    let chain = |tags: usize| {
        let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, b"end");
        let mut target = (ObjectKind::Blob, id_of(SHA1, ObjectKind::Blob, b"end"));
        for _ in 0..tags {
            let content = tag(&target.1, target.0, "t");
            pack = pack.object(ObjectKind::Tag, &content);
            target = (ObjectKind::Tag, id_of(SHA1, ObjectKind::Tag, &content));
        }
        take_whole(SHA1, &pack.build())
    };
    assert_eq!(chain(100).unwrap().1.tree_depth, 0);
    assert!(chain(101).unwrap_err().ends_with("is nested deeper than 100"));
    assert!(chain(10_000).is_err());
}

#[test]
fn an_object_that_cannot_be_read_is_refused() {
    for kind in [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Tag] {
        let pack = PackBuilder::new(SHA1).object(kind, b"nonsense").build();
        let error = take_whole(SHA1, &pack).unwrap_err();
        assert!(error.contains("cannot be read"), "{error}");
    }
}

#[test]
fn open_references_between_trees_are_limited() {
    let (pack, _) = tower(PackBuilder::new(SHA1), 12, true);
    let limits =
        |tree_links_max| crate::pack::Limits { tree_links_max, ..crate::pack::Limits::default() };
    let visit_all = |limits: &crate::pack::Limits| {
        let (_, seen) = crate::pack::tests::support::resolve(
            SHA1,
            &pack.build(),
            &crate::pack::Limits::default(),
            &crate::pack::NoBases,
        )
        .unwrap();
        let mut links = Links::new(SHA1, limits);
        seen.iter().try_for_each(|(ordinal, (id, kind, content))| {
            let content = crate::pack::Content::Whole(content.as_deref().unwrap());
            links.visit(&Visited { ordinal: *ordinal, id, kind: *kind, size: 0, content })
        })
    };
    assert!(visit_all(&limits(11)).is_ok());
    assert!(matches!(visit_all(&limits(10)), Err(LinkError::TooMany { limit: 10 })));
}

proptest! {
    #[test]
    fn the_id_table_numbers_each_id_once(ids in proptest::collection::vec(0_u16..900, 0..4000)) {
        let id = |number: u16| id_of(ObjectFormat::Sha256, ObjectKind::Blob, &number.to_be_bytes());
        let mut table = IdTable::new(ObjectFormat::Sha256);
        let mut first_seen: Vec<u16> = Vec::new();
        for number in &ids {
            let index = table.insert(&id(*number)) as usize;
            if index == first_seen.len() {
                first_seen.push(*number);
            }
            prop_assert_eq!(first_seen[index], *number);
        }
        prop_assert_eq!(table.len(), first_seen.len());
        for (index, number) in first_seen.iter().enumerate() {
            prop_assert_eq!(table.id(index), id(*number));
            prop_assert_eq!(table.find(&id(*number)), Some(index as u32));
        }
        prop_assert_eq!(table.find(&id(900)), None);
    }
}
