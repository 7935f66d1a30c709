//! Delta trees inside one pack.

use std::ops::ControlFlow;

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId, ObjectKind};
use proptest::prelude::*;

use super::support::{chain, resolve, resolve_with, scan_in};
use crate::pack::{BaseRef, Error, Limits, NoBases, Resolved, Resolver};
use crate::testing::{DeltaBuilder, PackBuilder, deflate, id_of, store};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

fn blob_id(content: &[u8]) -> ObjectId {
    id_of(SHA1, ObjectKind::Blob, content)
}

fn resolve_alone(pack: &PackBuilder) -> Result<Resolved, Error> {
    resolve(SHA1, &pack.build(), &Limits::default(), &NoBases).map(|(resolved, _)| resolved)
}

fn refusal(pack: &PackBuilder) -> Error {
    resolve_alone(pack).unwrap_err()
}

/// A chain of `deltas` deltas, each adding a byte.
fn long_chain(deltas: usize) -> PackBuilder {
    let mut content = Vec::new();
    let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, &content);
    for number in 0..deltas {
        let base = content.clone();
        content.push(u8::try_from(number % 251).unwrap());
        pack = pack.ofs_delta(number, &DeltaBuilder::between(&base, &content));
    }
    pack
}

#[test]
fn deltas_of_both_kinds_are_resolved_and_shown_whole() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let id = |content: &[u8]| id_of(format, ObjectKind::Tag, content);
        let pack = PackBuilder::new(format)
            // A delta may stand before the object that it names as its base.
            .ref_delta(id(b"one two"), &DeltaBuilder::between(b"one two", b"one two three"))
            .object(ObjectKind::Tag, b"one")
            .ofs_delta(1, &DeltaBuilder::between(b"one", b"one two"));
        let (resolved, seen) =
            resolve(format, &pack.build(), &Limits::default(), &NoBases).unwrap();
        let contents = [&b"one two three"[..], b"one", b"one two"];
        for (object, content) in resolved.iter().zip(contents) {
            assert_eq!((object.id, object.kind), (id(content), ObjectKind::Tag));
            assert_eq!(object.size, content.len() as u64);
            assert_eq!(object.blake3, crate::hash::fingerprint(content));
            assert_eq!(seen[&object.ordinal].2.as_deref(), Some(content));
            assert_eq!(resolved.find(&object.id), Some(object.ordinal));
        }
        let bases: Vec<BaseRef> = resolved.iter().map(|object| object.base).collect();
        assert_eq!(bases, [BaseRef::InPack(2), BaseRef::None, BaseRef::InPack(1)]);
    }
}

#[test]
fn bad_input_050_a_chain_may_have_4095_deltas_and_not_one_more() {
    assert_eq!(resolve_alone(&long_chain(4095)).unwrap().len(), 4096);
    let error = refusal(&long_chain(4096));
    assert!(matches!(error, Error::ChainTooLong { limit: 4095, .. }));
}

#[test]
fn bad_input_050_a_chain_of_100_000_is_refused_without_recursion() {
    // The same delta again and again: nothing to the stack, whatever the limit.
    let identity = DeltaBuilder::new(2, 2).copy(0, 2).build();
    let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, b"ab");
    for number in 0..100_000 {
        pack = pack.ofs_delta(number, &identity);
    }
    assert!(matches!(refusal(&pack), Error::ChainTooLong { .. }));
    let limits = Limits { chain_max: u16::MAX, ..Limits::default() };
    let outcome = resolve(SHA1, &pack.build(), &limits, &NoBases);
    assert!(matches!(outcome, Err(Error::ChainTooLong { .. })));
}

#[test]
fn bad_input_051_bad_deltas_are_refused_with_their_place() {
    let deltas = [
        DeltaBuilder::new(4, 4).copy(2, 4).build(),
        DeltaBuilder::new(4, 4).raw(&[0]).build(),
        DeltaBuilder::new(4, 9).copy(0, 4).build(),
        DeltaBuilder::new(5, 4).copy(0, 4).build(),
    ];
    for delta in deltas {
        let pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, b"base").ofs_delta(0, &delta);
        let error = refusal(&pack);
        assert!(matches!(error, Error::Delta { .. }), "{}", chain(&error));
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn bad_input_052_growing_deltas_end_at_the_budget() {
    // Each delta doubles its base: 64 bytes become a tebibyte in 34 steps.
    let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, &[b'x'; 64]);
    let mut size = 64_u64;
    for number in 0..34 {
        let delta = DeltaBuilder::new(size, size * 2).copy(0, size).copy(0, size).build();
        pack = pack.ofs_delta(number, &delta);
        size *= 2;
    }
    assert!(matches!(refusal(&pack), Error::ObjectTooLarge { .. }));
}

#[test]
fn bad_input_052_work_done_twice_counts_against_the_budget() {
    let (pack, total) = bush(3, 3);
    let pack = pack.build();
    let tight = Limits { base_cache_bytes: 0, ..Limits::default() };
    let scarce = Limits { resolved_bytes_max: total + 20_000, ..tight.clone() };
    assert!(resolve(SHA1, &pack, &tight, &NoBases).is_ok());
    let error = resolve(SHA1, &pack, &scarce, &NoBases).unwrap_err();
    assert!(matches!(error, Error::ResolveBudget { .. }));
}

/// A tree of deltas: every object has `width` deltas on it, `depth` levels
/// deep. With the sum of all contents.
fn bush(width: usize, depth: usize) -> (PackBuilder, u64) {
    let root = vec![b'r'; 10_000];
    let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, &root);
    let mut total = root.len() as u64;
    let mut level = vec![(0, root)];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (base, content) in &level {
            for child in 0..width {
                let mut grown = content.clone();
                grown.extend_from_slice(format!(" {base}.{child}").as_bytes());
                total += grown.len() as u64;
                next.push((pack.len(), grown.clone()));
                pack = pack.ofs_delta(*base, &DeltaBuilder::between(content, &grown));
            }
        }
        level = next;
    }
    (pack, total)
}

#[test]
fn s17_dropped_bases_are_made_again_with_the_same_result() {
    let (pack, _) = bush(3, 4);
    let pack = pack.build();
    let roomy = resolve(SHA1, &pack, &Limits::default(), &NoBases).unwrap();
    for base_cache_bytes in [0, 10_000, 25_000, 31_000] {
        let limits = Limits { base_cache_bytes, ..Limits::default() };
        let tight = resolve(SHA1, &pack, &limits, &NoBases).unwrap();
        assert!(tight.0.iter().eq(roomy.0.iter()));
        assert_eq!(tight.1, roomy.1);
    }
}

#[test]
fn bad_input_056_one_object_twice_with_other_zlib_counts_once() {
    let pack = PackBuilder::new(SHA1)
        .object_claiming(ObjectKind::Blob, 5, deflate(b"twice"))
        .object_claiming(ObjectKind::Blob, 5, store(b"twice"))
        .ofs_delta(1, &DeltaBuilder::between(b"twice", b"twice more"));
    let resolved = resolve_alone(&pack).unwrap();
    assert_eq!(resolved.duplicates(), [1]);
    assert_eq!(resolved.find(&blob_id(b"twice")), Some(0));
    assert_eq!(resolved.by_id().len(), 2);
    // No base refers to a copy that is not indexed.
    assert_eq!(resolved.base(2), BaseRef::InPack(0));
}

#[test]
fn bad_input_056_copies_that_rest_on_each_other_make_no_cycle() {
    let (one, other) = (&b"one"[..], &b"one and other"[..]);
    let pack = PackBuilder::new(SHA1)
        .ref_delta(blob_id(other), &DeltaBuilder::between(other, one))
        .object(ObjectKind::Blob, one)
        .ofs_delta(1, &DeltaBuilder::between(one, other));
    let resolved = resolve_alone(&pack).unwrap();
    // The whole copy stands for the object, though it comes later.
    assert_eq!(resolved.duplicates(), [0]);
    assert_eq!(resolved.find(&blob_id(one)), Some(1));
    assert_eq!(resolved.base(2), BaseRef::InPack(1));
}

#[test]
fn bad_input_080_an_object_over_its_limit_is_refused_by_its_kind() {
    let limits = Limits { commit_bytes_max: 40, object_bytes_max: 100, ..Limits::default() };
    for (kind, limit) in [
        (ObjectKind::Commit, 40),
        (ObjectKind::Tag, 40),
        (ObjectKind::Tree, 100),
        (ObjectKind::Blob, 100),
    ] {
        let base = vec![b'b'; 30];
        for size in [limit - 1, limit, limit + 1] {
            let mut delta = DeltaBuilder::new(30, size);
            for start in (0..size).step_by(30) {
                delta = delta.copy(0, (size - start).min(30));
            }
            let pack = PackBuilder::new(SHA1).object(kind, &base).ofs_delta(0, &delta.build());
            let outcome = resolve(SHA1, &pack.build(), &limits, &NoBases);
            let refused = outcome.map(|_| ()).map_err(|error| chain(&error));
            let text = format!("has {size} bytes, the limit is {limit}");
            match refused {
                Ok(()) => assert!(size <= limit, "{kind} {size}"),
                Err(error) => assert!(size > limit && error.ends_with(&text), "{error}"),
            }
        }
    }
}

#[test]
fn a_large_blob_that_nothing_rests_on_is_hashed_without_being_held() {
    let base: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let result = [&base[..], b"end"].concat();
    let further = [&result[..], b"!"].concat();
    let delta = DeltaBuilder::between(&base, &result);
    let pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, &base).ofs_delta(0, &delta);
    let (resolved, seen) = resolve(SHA1, &pack.build(), &Limits::default(), &NoBases).unwrap();
    assert_eq!((seen[&1].0, seen[&1].2.is_none()), (blob_id(&result), true));
    assert_eq!(resolved.get(1).blake3, crate::hash::fingerprint(&result));
    // It is held after all when something names it as its base.
    let pack = pack.ref_delta(blob_id(&result), &DeltaBuilder::between(&result, &further));
    let (resolved, _) = resolve(SHA1, &pack.build(), &Limits::default(), &NoBases).unwrap();
    assert_eq!((resolved.id(2), resolved.base(2)), (blob_id(&further), BaseRef::InPack(1)));
}

#[test]
fn a_visitor_can_stop_the_work() {
    let pack = Bytes::from(bush(2, 2).0.build());
    let scanned = scan_in(SHA1, &pack, &Limits::default(), 100).unwrap();
    let mut left = 3;
    let outcome = resolve_with(&pack, scanned, &Limits::default(), &NoBases, |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(outcome, Err(Error::Stopped)));
}

#[test]
fn a_result_before_the_end_is_a_bug() {
    let pack = Bytes::from(bush(2, 2).0.build());
    let scanned = scan_in(SHA1, &pack, &Limits::default(), 100).unwrap();
    let error = Resolver::new(scanned, Limits::default()).finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug);
}

#[test]
fn a_spool_that_changed_after_the_scan_is_corrupt() {
    let pack = Bytes::from(bush(2, 2).0.build());
    let mut visit = |_: &crate::pack::Visited<'_>| ControlFlow::Continue(());
    for place in 12..pack.len() - 20 {
        let scanned = scan_in(SHA1, &pack, &Limits::default(), 100).unwrap();
        let mut damaged = pack.to_vec();
        damaged[place] ^= 0x40;
        let mut resolver = Resolver::new(scanned, Limits::default());
        let outcome = resolver.step(&Bytes::from(damaged), &mut visit);
        // A header's unused size bits of a delta by distance are read once only.
        let error = outcome.map_err(|error| error.kind());
        assert!(matches!(error, Err(ErrorKind::Corrupt) | Ok(_)), "{place}: {error:?}");
    }
    let scanned = scan_in(SHA1, &pack, &Limits::default(), 100).unwrap();
    let short = pack.slice(..pack.len() / 2);
    let error = Resolver::new(scanned, Limits::default()).step(&short, &mut visit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

proptest! {
    #[test]
    fn any_delta_tree_gives_the_contents_it_was_made_of(
        parents in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..40),
        base_cache_bytes in 0_u64..2000,
    ) {
        let mut contents = vec![b"root".repeat(20)];
        let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, &contents[0]);
        for (number, (parent, by_id)) in parents.iter().enumerate() {
            let parent = parent.index(contents.len());
            let base = contents[parent].clone();
            let content = [&base[..], format!(" {number}").as_bytes()].concat();
            let delta = DeltaBuilder::between(&base, &content);
            pack = match by_id {
                true => pack.ref_delta(blob_id(&base), &delta),
                false => pack.ofs_delta(parent, &delta),
            };
            contents.push(content);
        }
        let limits = Limits { base_cache_bytes, ..Limits::default() };
        let (resolved, seen) = resolve(SHA1, &pack.build(), &limits, &NoBases).unwrap();
        for (object, content) in resolved.iter().zip(&contents) {
            prop_assert_eq!(object.id, blob_id(content));
            if let Some(whole) = &seen[&object.ordinal].2 {
                prop_assert_eq!(whole, content);
            }
        }
    }
}
