use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectKind};
use gitstratum_git::pack::BaseSource as _;
use gitstratum_git::testing::{DeltaBuilder, PackBuilder, commit, id_of, tree};

use super::*;
use crate::ingest::testing::{History, Rig, SHA1, view};

/// A repository with a line of commits, and a thin pack on top of it.
async fn thin(rig: &Rig) -> (Arc<crate::view::View>, History, Bytes) {
    let history = History::line(2);
    let stored = rig.put(&view(1, Vec::new()), history.pack(), &[history.tip()]).await.unwrap();
    let base = history.blobs[1];
    let changed = [history.content(&base), b"one line more\n"].concat();
    let delta = DeltaBuilder::between(history.content(&base), &changed);
    let blob = id_of(SHA1, ObjectKind::Blob, &changed);
    let root = tree(&[("100644", b"file", blob)]);
    let root_id = id_of(SHA1, ObjectKind::Tree, &root);
    let mut next = History::default();
    next.add(ObjectKind::Tree, root.clone());
    let content = commit(&root_id, &[history.tip()], "on top\n");
    let tip = next.add(ObjectKind::Commit, content.clone());
    next.commits.push(tip);
    let pack = PackBuilder::new(SHA1)
        .object(ObjectKind::Commit, &content)
        .object(ObjectKind::Tree, &root)
        .ref_delta(base, &delta);
    (view(2, vec![stored]), next, pack.build().into())
}

#[tokio::test]
async fn bad_input_055_a_thin_pack_with_a_base_in_the_repository_is_resolved() {
    let rig = Rig::new();
    let (view, next, pack) = thin(&rig).await;
    rig.nodes.forget_calls();
    let taken = rig.take(&view, pack, &[next.tip()]).await.unwrap();
    let checked = &taken.intake.checked;
    let bases = checked.resolved.external_bases();
    assert_eq!(bases.len(), 1);
    assert_eq!(checked.annex.base(&bases[0]).unwrap().unwrap().0, ObjectKind::Blob);
    assert!(rig.nodes.calls().reads <= 2, "an index and a run of entries");
}

#[tokio::test]
async fn bad_input_053_a_base_that_is_no_member_is_missing() {
    let rig = Rig::new();
    let (_, next, pack) = thin(&rig).await;
    // The object is stored, and the repository that is pushed to does not list its pack.
    let refused = rig.take(&view(1, Vec::new()), pack, &[next.tip()]).await;
    assert!(matches!(refused.err(), Some(Error::Missing)));
}

#[tokio::test]
async fn bad_input_049_deltas_in_a_circle_are_missing_a_base_and_end() {
    let rig = Rig::new();
    let (one, other) = (b"content number one".as_slice(), b"content number two".as_slice());
    let id = |content| id_of(SHA1, ObjectKind::Blob, content);
    let pack = PackBuilder::new(SHA1)
        .ref_delta(id(other), &DeltaBuilder::between(other, one))
        .ref_delta(id(one), &DeltaBuilder::between(one, other));
    let refused = rig.take(&view(1, Vec::new()), pack.build().into(), &[]).await;
    assert!(matches!(refused.err(), Some(Error::Missing)));
}

#[tokio::test]
async fn bad_input_050_a_long_chain_is_resolved_and_one_too_long_is_refused() {
    let chain = |count: u32| {
        let mut pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, b"0");
        for number in 1..=count {
            let previous = (number - 1).to_string().into_bytes();
            let next = number.to_string().into_bytes();
            let base = usize::try_from(number - 1).unwrap();
            pack = pack.ofs_delta(base, &DeltaBuilder::between(&previous, &next));
        }
        Bytes::from(pack.build())
    };
    let rig = Rig::new();
    assert!(rig.take(&view(1, Vec::new()), chain(4_095), &[]).await.is_ok());
    let refused = rig.take(&view(1, Vec::new()), chain(4_096), &[]).await.err().unwrap();
    assert!(refused.words().contains("chain longer than 4095"), "{}", refused.words());
}

#[tokio::test]
async fn bad_input_052_what_deltas_make_is_drawn_from_the_memory_of_pushes() {
    const MIB: usize = 1024 * 1024;
    let rig = Rig::with(|config| config.push_memory_bytes_max = 40 * MIB as u64);
    // Twelve megabytes made of a few bytes, with another delta on top so that they are held.
    let piece = vec![b'x'; 0xff_ffff / 16];
    let large = 12 * piece.len() as u64;
    let mut delta = DeltaBuilder::new(piece.len() as u64, large);
    for _ in 0..12 {
        delta = delta.copy(0, piece.len() as u64);
    }
    let end = DeltaBuilder::new(large, 1).copy(0, 1).build();
    let pack = PackBuilder::new(SHA1)
        .object(ObjectKind::Blob, &piece)
        .ofs_delta(0, &delta.build())
        .ofs_delta(1, &end);
    let pack = Bytes::from(pack.build());
    assert!(pack.len() < MIB);
    let taken = rig.take(&view(1, Vec::new()), pack.clone(), &[]).await.unwrap();
    assert!(rig.context.memory_budget.available() < 17 * MIB as u64, "the room was reserved");
    drop(taken);
    let _others = rig.context.memory_budget.reserve(30 * MIB as u64).await.unwrap();
    let refused = rig.take(&view(1, Vec::new()), pack, &[]).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Busy);
}

#[tokio::test]
async fn a_push_that_is_given_up_stops_resolving() {
    let rig = Rig::new();
    let history = History::line(400);
    let view = view(1, Vec::new());
    let tips = [history.tip()];
    let taking = rig.take(&view, history.pack(), &tips);
    drop(tokio::time::timeout(Duration::from_millis(1), taking).await);
    for _ in 0..2_000 {
        if rig.is_free() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a push that was given up holds disk or memory");
}
