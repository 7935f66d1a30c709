//! Real histories, where they are at hand.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectKind};

use super::support::{resolve_with, scan_in};
use crate::fsck;
use crate::pack::{Limits, Links, NoBases, ReadFrom, Reader};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

/// What is known of a history, as stock git tells it.
struct Known {
    commits: usize,
    trees: usize,
    blobs: usize,
    tags: usize,
    tree_depth: u16,
}

/// The pack in a bundle: what follows the empty line after its refs.
fn bundled_pack(name: &str) -> Option<Bytes> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/repos").join(name);
    let Ok(bundle) = std::fs::read(&path) else {
        eprintln!("skipped: no {name} beside the project");
        return None;
    };
    let start = bundle.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2;
    Some(Bytes::from(bundle).slice(start..))
}

/// Takes the pack as a push would: scanned, resolved, linked, every object and
/// special blob judged.
fn check(name: &str, known: &Known) {
    let Some(pack) = bundled_pack(name) else {
        return;
    };
    let limits = Limits::default();
    let scanned = scan_in(SHA1, &pack, &limits, 64 * 1024).unwrap();
    let mut links = Links::new(SHA1, &limits);
    let mut session = fsck::Session::new(SHA1, fsck::Options::default());
    let resolved = resolve_with(&pack, scanned, &limits, &NoBases, |object| {
        links.visit(object).unwrap();
        session.visit(object);
        ControlFlow::Continue(())
    })
    .unwrap();
    let mut reader = Reader::new(&resolved, ReadFrom { pack: &pack, bases: &NoBases }, &limits);
    for blob in session.pending() {
        let (kind, content) = reader.find(&blob.id).unwrap().unwrap();
        session.judge_special(&blob, Some((kind, &content)));
    }
    let count = |kind| resolved.iter().filter(|object| object.kind == kind).count();
    assert_eq!(count(ObjectKind::Commit), known.commits);
    assert_eq!(count(ObjectKind::Tree), known.trees);
    assert_eq!(count(ObjectKind::Blob), known.blobs);
    assert_eq!(count(ObjectKind::Tag), known.tags);
    assert_eq!(resolved.duplicates(), []);
    // Every id that any object names is that of an object in the pack.
    let linked = links.finish(&resolved).unwrap();
    assert_eq!((linked.external, linked.tree_depth), (vec![], known.tree_depth));
    assert!(!linked.roots.is_empty());
    assert_eq!((session.errors(), session.pending()), (0, vec![]), "{:?}", session.reports());
}

#[test]
fn the_history_of_jj_is_taken_whole() {
    let known = Known { commits: 11_606, trees: 42_433, blobs: 35_938, tags: 0, tree_depth: 7 };
    check("jj.bundle", &known);
}

#[test]
fn the_early_history_of_git_is_taken_whole() {
    let known = Known { commits: 11_350, trees: 16_479, blobs: 19_268, tags: 0, tree_depth: 4 };
    check("git-early.bundle", &known);
}

#[test]
fn the_history_of_ripgrep_is_taken_whole() {
    let known = Known { commits: 2_327, trees: 6_351, blobs: 5_112, tags: 272, tree_depth: 5 };
    check("ripgrep.bundle", &known);
}
