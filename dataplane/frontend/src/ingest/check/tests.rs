use bytes::Bytes;
use gitstratum_core::ErrorKind;
use gitstratum_git::testing::{DeltaBuilder, PackBuilder, commit, tag, tree};

use super::*;
use crate::ingest::testing::{History, Rig, SHA1, Taken, view};

async fn take(rig: &Rig, pack: Bytes, tips: &[ObjectId]) -> Result<Taken, Error> {
    rig.take(&view(1, Vec::new()), pack, tips).await
}

async fn refusal(pack: Bytes) -> Error {
    let rig = Rig::new();
    let error = take(&rig, pack, &[]).await.err().expect("the pack is bad");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    error
}

#[tokio::test]
async fn s8_what_no_tip_reaches_is_stray() {
    let rig = Rig::new();
    let mut history = History::line(3);
    let stray = history.add(ObjectKind::Blob, b"nobody wants me".to_vec());
    let taken = take(&rig, history.pack(), &[history.tip()]).await.unwrap();
    let checked = &taken.intake.checked;
    let strays: Vec<ObjectId> = checked.strays.iter().map(|o| checked.resolved.id(o)).collect();
    assert_eq!(strays, [stray]);
    assert_eq!(checked.commits.len(), 3);
    assert!(!checked.is_worthless());
}

#[tokio::test]
async fn s8_strays_are_neither_commits_nor_tags_of_the_pack() {
    let rig = Rig::new();
    let mut history = History::line(3);
    let name = tag(&history.commits[2], ObjectKind::Commit, "v1");
    history.add(ObjectKind::Tag, name);
    let taken = take(&rig, history.pack(), &[history.commits[1]]).await.unwrap();
    let checked = &taken.intake.checked;
    assert_eq!((checked.commits.len(), checked.tags.len()), (2, 0));
}

#[tokio::test]
async fn a_pack_that_no_tip_reaches_is_not_worth_storing() {
    let rig = Rig::new();
    let history = History::line(2);
    assert!(take(&rig, history.pack(), &[]).await.unwrap().intake.is_worthless());
    let empty = Bytes::from(PackBuilder::new(SHA1).build());
    assert!(take(&rig, empty, &[history.tip()]).await.unwrap().intake.is_worthless());
}

#[tokio::test]
async fn bad_input_063_a_tree_with_git_in_it_is_refused_by_its_rule() {
    let mut history = History::line(1);
    let content = tree(&[("100644", b".git", history.blobs[0])]);
    history.add(ObjectKind::Tree, content);
    let words = refusal(history.pack()).await.words();
    assert!(words.contains("hasDotgit"), "{words}");
}

#[tokio::test]
async fn bad_input_066_an_odd_mode_is_accepted_with_a_warning() {
    let rig = Rig::new();
    let mut history = History::line(1);
    let content = tree(&[("100664", b"file", history.blobs[0])]);
    let root = history.add(ObjectKind::Tree, content);
    let tip = history.add(ObjectKind::Commit, commit(&root, &[], "old\n"));
    let taken = take(&rig, history.pack(), &[tip]).await.unwrap();
    let warnings = taken.intake.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("badFilemode"), "{warnings:?}");
}

#[tokio::test]
async fn bad_input_071_special_blobs_are_judged_wherever_they_come() {
    let bad = b"[submodule \"x\"]\n\tpath = x\n\turl = -u./x\n".to_vec();
    let mut first = History::default();
    let blob = first.add(ObjectKind::Blob, bad.clone());
    first.add(ObjectKind::Tree, tree(&[("100644", b".gitmodules", blob)]));
    let words = refusal(first.pack()).await.words();
    assert!(words.contains("gitmodulesUrl"), "{words}");
    let mut last = History::default();
    let blob = gitstratum_git::testing::id_of(SHA1, ObjectKind::Blob, &bad);
    last.add(ObjectKind::Tree, tree(&[("100644", b".GITMODULES", blob)]));
    last.add(ObjectKind::Blob, bad);
    assert!(refusal(last.pack()).await.words().contains("gitmodulesUrl"));
}

#[tokio::test]
async fn bad_input_071_a_blob_of_an_earlier_push_is_judged_by_its_new_name() {
    let rig = Rig::new();
    let mut history = History::line(1);
    let bad = b"[submodule \"x\"]\n\tpath = x\n\turl = -u./x\n".to_vec();
    let blob = history.add(ObjectKind::Blob, bad);
    let root = history.add(ObjectKind::Tree, tree(&[("100644", b"harmless", blob)]));
    let tip = history.add(ObjectKind::Commit, commit(&root, &[], "harmless\n"));
    let stored = rig.put(&view(1, Vec::new()), history.pack(), &[tip]).await.unwrap();
    let mut later = History::default();
    let root = later.add(ObjectKind::Tree, tree(&[("100644", b".gitmodules", blob)]));
    let tip = later.add(ObjectKind::Commit, commit(&root, &[], "not any more\n"));
    let refused = rig.take(&view(2, vec![stored]), later.pack(), &[tip]).await;
    assert!(refused.err().unwrap().words().contains("gitmodulesUrl"));
}

#[tokio::test]
async fn bad_input_074_a_commit_without_an_author_is_refused() {
    let mut history = History::line(1);
    let content = format!("tree {}\n\nno author\n", history.trees[0]).into_bytes();
    history.add(ObjectKind::Commit, content);
    assert!(refusal(history.pack()).await.words().contains("missingAuthor"));
}

#[tokio::test]
async fn bad_input_075_a_parent_that_is_a_blob_is_refused() {
    let mut history = History::line(1);
    let content = commit(&history.trees[0], &[history.blobs[0]], "odd\n");
    history.add(ObjectKind::Commit, content);
    let error = refusal(history.pack()).await;
    assert!(error.words().contains("is referred to as"), "{}", error.words());
}

#[tokio::test]
async fn bad_input_077_a_tags_end_is_found_through_other_tags() {
    let rig = Rig::new();
    let mut history = History::line(1);
    let inner = history.add(ObjectKind::Tag, tag(&history.tip(), ObjectKind::Commit, "inner"));
    let outer = history.add(ObjectKind::Tag, tag(&inner, ObjectKind::Tag, "outer"));
    let taken = take(&rig, history.pack(), &[outer, history.tip()]).await.unwrap();
    let checked = &taken.intake.checked;
    let leads_to = Some((history.tip(), ObjectKind::Commit));
    assert_eq!(checked.tip(&outer), Some(Tip { kind: ObjectKind::Tag, leads_to }));
    assert_eq!(checked.tip(&history.tip()).unwrap().leads_to, None);
    assert_eq!(checked.tip(&ObjectId::null(SHA1)), None);
}

#[tokio::test]
async fn bad_input_050_and_051_deltas_that_do_not_fit_are_refused() {
    let base = b"a base of some length";
    let pack = |delta: Vec<u8>| {
        let pack = PackBuilder::new(SHA1).object(ObjectKind::Blob, base);
        Bytes::from(pack.ofs_delta(0, &delta).build())
    };
    let len = base.len() as u64;
    let beyond = DeltaBuilder::new(len, 10).copy(len - 5, 10).build();
    let reserved = DeltaBuilder::new(len, 1).raw(&[0]).build();
    let liar = DeltaBuilder::new(len, 9).copy(0, 4).build();
    for delta in [beyond, reserved, liar] {
        let words = refusal(pack(delta)).await.words();
        assert!(words.contains("cannot be applied"), "{words}");
    }
}

#[tokio::test]
async fn bad_input_056_a_later_copy_in_the_pack_is_a_duplicate() {
    let rig = Rig::new();
    let history = History::line(1);
    let (kind, content) = history.objects[0].clone();
    let stored = gitstratum_git::testing::store(&content);
    let pack = history
        .objects
        .iter()
        .fold(PackBuilder::new(SHA1), |pack, (kind, content)| pack.object(*kind, content));
    let pack = pack.object_claiming(kind, content.len() as u64, stored);
    let taken = take(&rig, pack.build().into(), &[history.tip()]).await.unwrap();
    let checked = &taken.intake.checked;
    assert_eq!(checked.resolved.duplicates(), [4]);
    assert!(checked.strays.is_empty());
}
