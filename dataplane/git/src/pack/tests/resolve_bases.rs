//! Deltas that name their base by id: thin packs, cycles, missing bases.

use std::ops::ControlFlow;

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId, ObjectKind};

use super::support::{Outside, chain, resolve, scan_in};
use crate::pack::{BaseRef, Error, ExternalBase, Limits, NoBases, Resolver, Step};
use crate::testing::{DeltaBuilder, PackBuilder, id_of};

const SHA1: ObjectFormat = ObjectFormat::Sha1;
const BLOB: ObjectKind = ObjectKind::Blob;

fn blob_id(content: &[u8]) -> ObjectId {
    id_of(SHA1, BLOB, content)
}

fn on(base: &[u8], result: &[u8]) -> (ObjectId, Vec<u8>) {
    (blob_id(base), DeltaBuilder::between(base, result))
}

#[test]
fn bad_input_055_a_thin_pack_rests_on_the_bases_provided() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let id = |content: &[u8]| id_of(format, ObjectKind::Tree, content);
        let pack = PackBuilder::new(format)
            .ref_delta(id(b"outside"), &DeltaBuilder::between(b"outside", b"out"))
            .ofs_delta(0, &DeltaBuilder::between(b"out", b"outer"))
            .ref_delta(id(b"outer"), &DeltaBuilder::between(b"outer", b"outermost"))
            .ref_delta(id(b"outside"), &DeltaBuilder::between(b"outside", b"outsider"));
        let outside = Outside::default().with(format, ObjectKind::Tree, b"outside");
        let (resolved, seen) =
            resolve(format, &pack.build(), &Limits::default(), &outside).unwrap();
        let bases: Vec<BaseRef> = resolved.iter().map(|object| object.base).collect();
        let external = BaseRef::External(id(b"outside"));
        assert_eq!(bases, [external, BaseRef::InPack(0), BaseRef::InPack(1), external]);
        assert_eq!(resolved.external_bases(), [id(b"outside")]);
        assert_eq!(resolved.find(&id(b"outside")), None);
        assert_eq!(seen[&2].2.as_deref(), Some(&b"outermost"[..]));
    }
}

#[test]
fn s17_a_dropped_content_is_made_again_from_an_outside_base() {
    let outside: Vec<u8> = b"outside ".repeat(50);
    let mut pack = PackBuilder::new(SHA1);
    let first = [&outside[..], b"first"].concat();
    let (base, delta) = on(&outside, &first);
    pack = pack.ref_delta(base, &delta);
    for number in 0..6 {
        let child = [&first[..], format!("{number}").as_bytes()].concat();
        let grandchild = [&child[..], b"+"].concat();
        pack = pack.ofs_delta(0, &DeltaBuilder::between(&first, &child));
        let base = pack.len() - 1;
        pack = pack.ofs_delta(base, &DeltaBuilder::between(&child, &grandchild));
        pack = pack.ofs_delta(base, &DeltaBuilder::between(&child, b"x"));
    }
    let outside = Outside::default().with(SHA1, BLOB, &outside);
    let pack = pack.build();
    let roomy = resolve(SHA1, &pack, &Limits::default(), &outside).unwrap();
    let limits = Limits { base_cache_bytes: 0, ..Limits::default() };
    let tight = resolve(SHA1, &pack, &limits, &outside).unwrap();
    assert!(tight.0.iter().eq(roomy.0.iter()));
}

#[test]
fn bad_input_049_deltas_that_rest_on_each_other_are_missing_a_base() {
    let (one, other) = (&b"one"[..], &b"other"[..]);
    let (to_one, back) = (on(other, one), on(one, other));
    let pack = PackBuilder::new(SHA1)
        .ref_delta(to_one.0, &to_one.1)
        .ref_delta(back.0, &back.1)
        .ref_delta(blob_id(b"self"), &DeltaBuilder::between(b"self", b"self"));
    let error = resolve(SHA1, &pack.build(), &Limits::default(), &NoBases).unwrap_err();
    assert!(matches!(error, Error::MissingBase { .. }));
    // Who has one of them outside the pack may send such a pack.
    let outside = Outside::default().with(SHA1, BLOB, one).with(SHA1, BLOB, b"self");
    let (resolved, _) = resolve(SHA1, &pack.build(), &Limits::default(), &outside).unwrap();
    assert_eq!(resolved.external_bases().len(), 2);
    assert_eq!(resolved.base(0), BaseRef::InPack(1));
}

#[test]
fn bad_input_053_a_missing_base_is_named() {
    let (base, delta) = on(b"elsewhere", b"else");
    let pack = PackBuilder::new(SHA1).object(BLOB, b"here").ref_delta(base, &delta);
    let error = resolve(SHA1, &pack.build(), &Limits::default(), &NoBases).unwrap_err();
    assert_eq!(error.to_string(), format!("missing delta base {base}"));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn bases_are_asked_for_in_pages_until_a_round_brings_nothing() {
    let bases: Vec<Vec<u8>> = (0..3000).map(|n| format!("base {n}").into_bytes()).collect();
    let mut pack = PackBuilder::new(SHA1);
    let mut outside = Outside::default();
    for base in &bases {
        pack = pack.ref_delta(blob_id(base), &DeltaBuilder::between(base, b"b"));
        outside = outside.with(SHA1, BLOB, base);
    }
    let (resolved, _) = resolve(SHA1, &pack.build(), &Limits::default(), &outside).unwrap();
    assert_eq!(resolved.external_bases().len(), 3000);
    // All make the same object.
    assert_eq!((resolved.by_id().len(), resolved.duplicates().len()), (1, 2999));

    let pack = Bytes::from(pack.build());
    let scanned = scan_in(SHA1, &pack, &Limits::default(), 4096).unwrap();
    let mut resolver = Resolver::new(scanned, Limits::default());
    let mut visit = |_: &crate::pack::Visited<'_>| ControlFlow::Continue(());
    let mut asked = 0;
    let error = loop {
        match resolver.step(&pack, &mut visit) {
            Ok(Step::NeedBases(ids)) => asked += ids.len(),
            Ok(Step::Done) => panic!("nothing was provided"),
            Err(error) => break error,
        }
    };
    assert_eq!(asked, 3000);
    assert!(matches!(error, Error::MissingBase { .. }));
}

#[test]
fn p_i1_a_base_that_is_another_object_is_corrupt() {
    let (base, delta) = on(b"right", b"r");
    let pack = Bytes::from(PackBuilder::new(SHA1).ref_delta(base, &delta).build());
    let scanned = scan_in(SHA1, &pack, &Limits::default(), 4096).unwrap();
    let mut resolver = Resolver::new(scanned, Limits::default());
    let mut visit = |_: &crate::pack::Visited<'_>| ControlFlow::Continue(());
    assert_eq!(resolver.step(&pack, &mut visit).unwrap(), Step::NeedBases(vec![base]));
    let content = Bytes::from_static(b"wrong");
    let wrong = ExternalBase { id: base, kind: BLOB, content };
    let error = resolver.provide(&wrong, &pack, &mut visit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error));
}
