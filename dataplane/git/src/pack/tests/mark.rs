//! What the tips of a push reach.

use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectKind};

use super::support::{resolve, take_whole};
use crate::pack::{Limits, NoBases, ReadFrom, mark_strays};
use crate::testing::{PackBuilder, commit, id_of, tag, tree};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

#[test]
fn s8_what_no_tip_reaches_is_stray() {
    let blob = b"blob".to_vec();
    let lone = b"lone".to_vec();
    let sub = tree(&[("100644", b"f", id_of(SHA1, ObjectKind::Blob, &blob))]);
    let link = id_of(SHA1, ObjectKind::Commit, b"elsewhere");
    let root = tree(&[
        ("160000", b"module", link),
        ("40000", b"sub", id_of(SHA1, ObjectKind::Tree, &sub)),
    ]);
    let first = commit(&id_of(SHA1, ObjectKind::Tree, &root), &[], "first");
    let first_id = id_of(SHA1, ObjectKind::Commit, &first);
    let second = commit(&id_of(SHA1, ObjectKind::Tree, &sub), &[first_id], "second");
    let second_id = id_of(SHA1, ObjectKind::Commit, &second);
    let label = tag(&first_id, ObjectKind::Commit, "v1");
    let label_id = id_of(SHA1, ObjectKind::Tag, &label);
    let pack = PackBuilder::new(SHA1)
        .object(ObjectKind::Blob, &blob)
        .object(ObjectKind::Blob, &lone)
        .object(ObjectKind::Tree, &sub)
        .object(ObjectKind::Tree, &root)
        .object(ObjectKind::Commit, &first)
        .object(ObjectKind::Commit, &second)
        .object(ObjectKind::Tag, &label)
        .object(ObjectKind::Blob, &lone)
        .build();
    let (resolved, linked) = take_whole(SHA1, &pack).unwrap();
    let mut roots = linked.roots.clone();
    roots.sort_unstable();
    assert_eq!(roots, [1, 5, 6]);
    assert!(linked.external.is_empty());
    let pack = Bytes::from(pack);
    let from = ReadFrom { pack: &pack, bases: &NoBases };
    for (tips, strays) in [
        (vec![second_id, label_id], vec![1]),
        (vec![second_id], vec![1, 6]),
        (vec![label_id], vec![1, 5]),
        (vec![first_id, link], vec![1, 5, 6]),
        (vec![], vec![0, 1, 2, 3, 4, 5, 6]),
    ] {
        let found = mark_strays(&resolved, from, &tips, &Limits::default()).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), strays);
    }
}

#[test]
fn bad_input_069_a_very_deep_tree_is_marked_without_recursion() {
    let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, b"leaf");
    let mut inner = ("100644", id_of(SHA1, ObjectKind::Blob, b"leaf"));
    for _ in 0..50_000 {
        let content = tree(&[(inner.0, b"d", inner.1)]);
        pack = pack.object(ObjectKind::Tree, &content);
        inner = ("40000", id_of(SHA1, ObjectKind::Tree, &content));
    }
    let pack = Bytes::from(pack.build());
    let (resolved, _) = resolve(SHA1, &pack, &Limits::default(), &NoBases).unwrap();
    let from = ReadFrom { pack: &pack, bases: &NoBases };
    let strays = mark_strays(&resolved, from, &[inner.1], &Limits::default()).unwrap();
    assert!(strays.is_empty());
}
