use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::manifest::Pack as Row;
use gitstratum_core::{ObjectId, ObjectKind};
use gitstratum_git::part::{CommitRow, Ordinal};
use gitstratum_git::testing::{PackBuilder, commit, tag, tree};
use gitstratum_git::{graph, index, table};

use super::*;
use crate::ingest::Copies;
use crate::ingest::testing::{History, Rig, SHA1, Taken, view};
use crate::view::View;

const PACK: PackId = PackId([1; 16]);

async fn parts_of(rig: &Rig, taken: &Taken) -> Parts {
    let ground = taken.intake.survey(&rig.against(&taken.view), Copies::Shadowed).await.unwrap();
    build(PACK, &taken.intake.checked, &ground, &patience(rig)).unwrap()
}

fn patience(rig: &Rig) -> Patience {
    let deadline = rig.context.deadline(Duration::from_secs(60));
    Patience { deadline, cancel: Cancel::default() }
}

async fn take(rig: &Rig, history: &History, tips: &[ObjectId]) -> Taken {
    rig.take(&view(1, Vec::new()), history.pack(), tips).await.unwrap()
}

fn readers(parts: &Parts) -> (index::Reader, graph::Reader, table::Reader) {
    (
        index::Reader::open(PACK, parts.index.clone()).unwrap(),
        graph::Reader::open(PACK, parts.graph.clone()).unwrap(),
        table::Reader::open(PACK, parts.table.clone()).unwrap(),
    )
}

/// Ids that a row lists, all of the pack itself.
fn row_ids(index: &index::Reader, table: &table::Reader, row: CommitRow) -> Vec<ObjectId> {
    let row = table.row(row).unwrap().unwrap();
    let places = row.trees.iter().chain(&row.blobs);
    let mut ids: Vec<ObjectId> =
        places.map(|place| index.by_ordinal(place.ordinal).unwrap().id).collect();
    ids.sort_unstable();
    ids
}

fn sorted(mut ids: Vec<ObjectId>) -> Vec<ObjectId> {
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn s5_to_s7_a_first_push_has_every_row() {
    let rig = Rig::new();
    let mut history = History::line(3);
    let name = history.add(ObjectKind::Tag, tag(&history.tip(), ObjectKind::Commit, "v1"));
    let taken = take(&rig, &history, &[name]).await;
    let parts = parts_of(&rig, &taken).await;
    let (index, graph, table) = readers(&parts);
    assert_eq!(index.counts().objects, 11);
    for (kind, content) in &history.objects {
        let record = index.find(&gitstratum_git::testing::id_of(SHA1, *kind, content)).unwrap();
        assert_eq!((record.kind, record.size), (*kind, content.len() as u64));
        assert!(record.flags.answers());
    }
    assert_eq!((graph.len(), graph.tags().count(), table.present()), (3, 1, 3));
    let row = |number: usize| graph.row_of(&history.commits[number]).unwrap();
    let kept = gitstratum_git::testing::id_of(SHA1, ObjectKind::Blob, b"kept\n");
    let first = sorted(vec![history.trees[0], history.blobs[0], kept]);
    assert_eq!(row_ids(&index, &table, row(0)), first);
    let later = sorted(vec![history.trees[2], history.blobs[2]]);
    assert_eq!(row_ids(&index, &table, row(2)), later);
    let kept = index.find(&kept).unwrap().ordinal;
    assert_eq!(table.first_row(kept), Some(row(0)));
    assert_eq!((parts.stray_count, parts.shadowed_count, parts.duplicate_count), (0, 0, 0));
    assert_eq!(parts.inline_graph(), parts.graph);
}

#[tokio::test]
async fn s7_a_row_that_needs_a_tree_outside_the_pack_is_absent_not_empty() {
    let rig = Rig::new();
    let first = History::line(2);
    let stored = rig.put(&view(1, Vec::new()), first.pack(), &[first.tip()]).await.unwrap();
    let next = History::line(4);
    let pack = next.pack_from(first.objects.len());
    let taken = rig.take(&view(2, vec![stored]), pack, &[next.tip()]).await.unwrap();
    let (index, graph, table) = readers(&parts_of(&rig, &taken).await);
    let row = |number: usize| graph.row_of(&next.commits[number]).unwrap();
    assert!(!table.has(row(2)), "its parent's tree is in the other pack");
    let expected = sorted(vec![next.trees[3], next.blobs[3]]);
    assert_eq!(row_ids(&index, &table, row(3)), expected);
}

#[tokio::test]
async fn s8_flags_and_places_follow_the_stored_copies() {
    let rig = Rig::new();
    let first = History::line(1);
    let stored = rig.put(&view(1, Vec::new()), first.pack(), &[first.tip()]).await.unwrap();
    let other = stored.id;
    let mut next = History::line(2);
    let stray = next.add(ObjectKind::Blob, b"stray".to_vec());
    let taken = rig.take(&view(2, vec![stored]), next.pack(), &[next.tip()]).await.unwrap();
    let parts = parts_of(&rig, &taken).await;
    let (index, graph, table) = readers(&parts);
    let flags = |id: &ObjectId| index.find(id).unwrap().flags;
    assert!(flags(&stray).stray && !flags(&stray).shadowed);
    assert!(flags(&next.commits[0]).shadowed && flags(&next.blobs[0]).shadowed);
    assert!(flags(&next.commits[1]).answers());
    assert_eq!((parts.stray_count, parts.shadowed_count), (1, 4));
    let row = table.row(graph.row_of(&next.commits[0]).unwrap()).unwrap().unwrap();
    assert_eq!(table.pack_of(row.trees[0].slot), Some(other), "where it answers");
    let row = table.row(graph.row_of(&next.commits[1]).unwrap()).unwrap().unwrap();
    assert_eq!(table.pack_of(row.trees[0].slot), Some(PACK));
}

#[tokio::test]
async fn bad_input_056_a_delta_on_a_duplicate_rests_on_the_first_copy() {
    let rig = Rig::new();
    let mut history = History::line(1);
    let base = history.content(&history.blobs[0]).to_vec();
    let result = [base.as_slice(), b"more\n"].concat();
    let delta = gitstratum_git::testing::DeltaBuilder::between(&base, &result);
    let blob = gitstratum_git::testing::id_of(SHA1, ObjectKind::Blob, &result);
    let root = history.add(ObjectKind::Tree, tree(&[("100644", b"file", blob)]));
    let tip = history.add(ObjectKind::Commit, commit(&root, &[history.tip()], "delta\n"));
    let pack = history
        .objects
        .iter()
        .fold(PackBuilder::new(SHA1), |pack, (kind, content)| pack.object(*kind, content));
    let copy = pack.len();
    let pack = pack.object(ObjectKind::Blob, &base).ofs_delta(copy, &delta);
    let pack = Bytes::from(pack.build());
    let taken = rig.take(&view(1, Vec::new()), pack, &[tip]).await.unwrap();
    let parts = parts_of(&rig, &taken).await;
    let (index, _, _) = readers(&parts);
    assert_eq!(parts.duplicate_count, 1);
    let first = index.find(&history.blobs[0]).unwrap().ordinal;
    assert_eq!(first, Ordinal(1));
    assert_eq!(index.find(&blob).unwrap().base, index::Base::Entry(first));
}

#[tokio::test]
async fn s29_everything_stored_is_read_back_by_id() {
    let rig = Rig::new();
    let history = History::line(5);
    let empty: Arc<View> = view(1, Vec::new());
    let row: Row = rig.put(&empty, history.pack(), &[history.tip()]).await.unwrap();
    let packs = [Arc::new(row)];
    for (kind, content) in &history.objects {
        let id = gitstratum_git::testing::id_of(SHA1, *kind, content);
        let found = rig.context.reader.read(&packs, &[id]).await.unwrap();
        assert_eq!(found[&id].data, content);
    }
}

#[tokio::test]
async fn rows_are_left_out_when_there_is_no_time_for_them() {
    let rig = Rig::new();
    let history = History::line(3);
    let taken = take(&rig, &history, &[history.tip()]).await;
    let ground = taken.intake.survey(&rig.against(&taken.view), Copies::Shadowed).await.unwrap();
    let hurried = Patience { deadline: rig.context.deadline(Duration::ZERO), ..patience(&rig) };
    let parts = build(PACK, &taken.intake.checked, &ground, &hurried).unwrap();
    let (_, graph, table) = readers(&parts);
    assert_eq!((graph.len(), table.present()), (3, 0));
}
