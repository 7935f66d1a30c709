//! Real histories, where they are at hand.

use std::path::PathBuf;

use gitstratum_core::{ObjectFormat, ObjectKind};

use super::support::take_whole;

/// The pack in a bundle: what follows the empty line after its refs.
fn bundled_pack(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/repos").join(name);
    let Ok(bundle) = std::fs::read(&path) else {
        eprintln!("skipped: no {name} beside the project");
        return None;
    };
    let start = bundle.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2;
    Some(bundle[start..].to_vec())
}

fn check(name: &str, objects: [usize; 3]) {
    let Some(pack) = bundled_pack(name) else {
        return;
    };
    let (resolved, linked) = take_whole(ObjectFormat::Sha1, &pack).unwrap();
    let count = |kind| resolved.iter().filter(|object| object.kind == kind).count();
    let found = [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Blob].map(count);
    assert_eq!(found, objects);
    assert_eq!((linked.external.len(), resolved.duplicates().len()), (0, 0));
    println!("depth {} roots {}", linked.tree_depth, linked.roots.len());
}

#[test]
fn the_history_of_jj_is_taken_whole() {
    check("jj.bundle", [11_606, 42_433, 35_938]);
}

#[test]
fn the_early_history_of_git_is_taken_whole() {
    check("git-early.bundle", [11_350, 16_479, 19_268]);
}
