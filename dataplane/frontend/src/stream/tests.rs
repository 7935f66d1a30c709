//! From a plan to the pack that a client gets: which entries, in which form, with how many
//! calls. Packs are taken in as pushes bring them; the answer is taken in again as proof.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{ObjectId, ObjectKind};
use gitstratum_git::pktline::SideBand;
use gitstratum_git::protocol::Filter;
use gitstratum_git::testing::{DeltaBuilder, PackBuilder, commit, tree};
use gitstratum_proto::metadata::v1::{FetchPlan, PackSelection};
use tokio::sync::mpsc;

use super::{Deltas, Framed, send};
use crate::Error;
use crate::conversation::Output;
use crate::ingest::Copies;
use crate::ingest::testing::{History, Rig, SHA1, view};
use crate::plan::expand;
use crate::view::View;

const BY_OFFSET: Deltas = Deltas { by_offset: true };

/// All commits of these packs.
fn everything_of(packs: &[&Pack]) -> FetchPlan {
    let selection = |pack: &&Pack| PackSelection {
        pack_id: Bytes::copy_from_slice(&pack.id.0),
        all: true,
        ..PackSelection::default()
    };
    FetchPlan { packs: packs.iter().map(selection).collect(), ..FetchPlan::default() }
}

/// What goes out, until `output` is closed or its reader has gone.
async fn answer(
    rig: &Rig,
    view: &View,
    plan: &FetchPlan,
    filter: Option<Filter>,
    (mut output, framing, deltas): (Output, SideBand, Deltas),
) -> Result<(), Error> {
    let reader = &rig.context.reader;
    let selection = expand(reader, &view.packs, plan, filter).await?;
    let mut framed = Framed::new(&mut output, framing);
    send(reader, &view.packs, SHA1, &selection, deltas, &mut framed).await?;
    framed.flush().await.map_err(|_| Error::new(gitstratum_core::ErrorKind::Bug, "gone"))
}

fn channel() -> (Output, mpsc::Receiver<Bytes>) {
    Output::channel(Duration::from_secs(60))
}

/// The whole pack.
async fn sent_as(
    rig: &Rig,
    view: &View,
    plan: &FetchPlan,
    filter: Option<Filter>,
    deltas: Deltas,
) -> Bytes {
    let (output, mut pieces) = channel();
    let gather = async {
        let mut pack = Vec::new();
        while let Some(piece) = pieces.recv().await {
            pack.extend_from_slice(&piece);
        }
        Bytes::from(pack)
    };
    let out = (output, SideBand::None, deltas);
    let (answered, pack) = tokio::join!(answer(rig, view, plan, filter, out), gather);
    answered.unwrap();
    pack
}

async fn sent(rig: &Rig, view: &View, plan: &FetchPlan, filter: Option<Filter>) -> Bytes {
    sent_as(rig, view, plan, filter, BY_OFFSET).await
}

/// What a client without any object makes of a pack: every delta has its base in it.
async fn ids_in(pack: &Bytes) -> BTreeSet<ObjectId> {
    let rig = Rig::new();
    let taken = rig.take(&view(1, Vec::new()), pack.clone(), &[]).await.unwrap();
    taken.ids_each_once()
}

fn set(ids: &[ObjectId]) -> BTreeSet<ObjectId> {
    ids.iter().copied().collect()
}

/// A history stored as one pack for each of its thirds.
async fn in_three_packs(rig: &Rig, history: &History) -> Arc<View> {
    let mut packs: Vec<Pack> = Vec::new();
    let count = history.commits.len();
    // The first third has the file that all trees keep.
    let ends = [count / 3, 2 * count / 3, count].map(|commits| 1 + 3 * commits);
    let mut begin = 0;
    for (number, end) in ends.into_iter().enumerate() {
        let objects = history.objects[begin..end].iter();
        let whole = |pack: PackBuilder, (kind, content): &(ObjectKind, Vec<u8>)| {
            pack.object(*kind, content)
        };
        let pack = objects.fold(PackBuilder::new(SHA1), whole).build();
        let now = view(number as u64 + 1, packs.clone());
        let tip = history.commits[(end - 1) / 3 - 1];
        packs.push(rig.put(&now, pack.into(), &[tip]).await.unwrap());
        begin = end;
    }
    view(9, packs)
}

#[tokio::test]
async fn s25_a_whole_pack_goes_out_byte_for_byte() {
    let (rig, history) = (Rig::new(), History::line(4));
    let stored = rig.put(&view(1, Vec::new()), history.pack(), &[history.tip()]).await.unwrap();
    let view = view(2, vec![stored.clone()]);
    assert_eq!(sent(&rig, &view, &everything_of(&[&stored]), None).await, history.pack());
}

#[tokio::test]
async fn s25_a_pack_with_a_stray_is_not_sent_as_it_is() {
    let (rig, mut history) = (Rig::new(), History::line(2));
    let tip = history.tip();
    let stray = history.add(ObjectKind::Blob, b"reached by no tip\n".to_vec());
    let stored = rig.put(&view(1, Vec::new()), history.pack(), &[tip]).await.unwrap();
    let view = view(2, vec![stored.clone()]);
    let ids = ids_in(&sent(&rig, &view, &everything_of(&[&stored]), None).await).await;
    assert!(ids.contains(&tip) && !ids.contains(&stray));
    assert_eq!(ids.len(), history.objects.len() - 1);
}

#[tokio::test]
async fn s7_s8_several_packs_become_one_with_each_object_once() {
    let (rig, history) = (Rig::new(), History::line(9));
    let view = in_three_packs(&rig, &history).await;
    let packs: Vec<&Pack> = view.packs.iter().map(Arc::as_ref).collect();
    let pack = sent(&rig, &view, &everything_of(&packs), None).await;
    assert_eq!(ids_in(&pack).await.len(), history.objects.len());
    let count = u32::from_be_bytes(pack[8..12].try_into().unwrap());
    assert_eq!(count as usize, history.objects.len());
}

#[tokio::test]
async fn s7_filters_leave_out_blobs_or_trees_and_never_commits() {
    let (rig, history) = (Rig::new(), History::line(9));
    let view = in_three_packs(&rig, &history).await;
    let packs: Vec<&Pack> = view.packs.iter().map(Arc::as_ref).collect();
    let plan = everything_of(&packs);
    let commits = set(&history.commits);
    let trees = set(&history.trees);
    let blobless = ids_in(&sent(&rig, &view, &plan, Some(Filter::BlobNone)).await).await;
    assert_eq!(blobless, &commits | &trees);
    let treeless = ids_in(&sent(&rig, &view, &plan, Some(Filter::TreeDepth(0))).await).await;
    assert_eq!(treeless, commits);
    // Versions have more than 100 bytes, the kept file has 5.
    let small = ids_in(&sent(&rig, &view, &plan, Some(Filter::BlobLimit(100))).await).await;
    assert_eq!(small.len(), commits.len() + trees.len() + 1);
}

/// A second version of a file, as a delta on the first one, which lies in another pack.
struct Thin {
    rig: Rig,
    view: Arc<View>,
    base: ObjectId,
    made: ObjectId,
    packs: [Pack; 2],
}

impl Thin {
    async fn new() -> Self {
        let (rig, mut history) = (Rig::new(), History::line(1));
        let (base, first) = (history.blobs[0], history.tip());
        let whole = history.pack();
        let stored = rig.put(&view(1, Vec::new()), whole, &[first]).await.unwrap();
        let old = history.content(&base).to_vec();
        let new = [&old[..], b"one more line\n"].concat();
        let delta = DeltaBuilder::between(&old, &new);
        let made = history.add(ObjectKind::Blob, new);
        let root_content = tree(&[("100644", b"file", made)]);
        let root = history.add(ObjectKind::Tree, root_content.clone());
        let commit_content = commit(&root, &[first], "second\n");
        let tip = history.add(ObjectKind::Commit, commit_content.clone());
        let thin = PackBuilder::new(SHA1)
            .ref_delta(base, &delta)
            .object(ObjectKind::Tree, &root_content)
            .object(ObjectKind::Commit, &commit_content);
        let before = view(1, vec![stored.clone()]);
        let second = rig.put(&before, thin.build().into(), &[tip]).await.unwrap();
        let view = view(2, vec![stored.clone(), second.clone()]);
        Self { rig, view, base, made, packs: [stored, second] }
    }
}

#[tokio::test]
async fn s26_a_delta_whose_base_is_not_sent_is_encoded_whole() {
    let Thin { rig, view, base, made, packs } = Thin::new().await;
    let ids = ids_in(&sent(&rig, &view, &everything_of(&[&packs[1]]), None).await).await;
    assert!(ids.contains(&made) && !ids.contains(&base));
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn s26_a_delta_whose_base_is_sent_is_copied_by_offset_or_by_id() {
    let Thin { rig, view, base, packs, .. } = Thin::new().await;
    let plan = everything_of(&[&packs[0], &packs[1]]);
    let by_offset = sent(&rig, &view, &plan, None).await;
    assert_eq!(ids_in(&by_offset).await.len(), 4 + 3);
    let names_base = |pack: &Bytes| pack.windows(20).any(|bytes| bytes == base.as_bytes());
    let by_id = sent_as(&rig, &view, &plan, None, Deltas { by_offset: false }).await;
    assert_eq!(ids_in(&by_id).await.len(), 4 + 3);
    // Inflated trees name it too, but not in clear.
    assert!(names_base(&by_id) && !names_base(&by_offset));
}

#[tokio::test]
async fn s26_deltas_of_two_packs_on_each_other_are_no_cycle_when_sent() {
    let Thin { rig, view, base, made, packs } = Thin::new().await;
    let (old, new) = (History::line(1).content(&base).to_vec(), made);
    let content = [&old[..], b"one more line\n"].concat();
    // The first version again, as a delta on the second: this copy is the one that answers.
    let root = tree(&[("100644", b"again", base)]);
    let root_id = gitstratum_git::testing::id_of(SHA1, ObjectKind::Tree, &root);
    let again = commit(&root_id, &[], "again\n");
    let tip = gitstratum_git::testing::id_of(SHA1, ObjectKind::Commit, &again);
    let pack = PackBuilder::new(SHA1)
        .ref_delta(new, &DeltaBuilder::between(&content, &old))
        .object(ObjectKind::Tree, &root)
        .object(ObjectKind::Commit, &again);
    let taken = rig.take(&view, pack.build().into(), &[tip]).await.unwrap();
    let third = rig.store(&taken, Copies::Answering).await.unwrap();
    let mut rows = packs.to_vec();
    rows.push(third.clone());
    let view = crate::ingest::testing::view(3, rows);
    let plan = everything_of(&[&packs[0], &packs[1], &third]);
    let ids = ids_in(&sent(&rig, &view, &plan, None).await).await;
    assert!(ids.contains(&base) && ids.contains(&made));
    assert_eq!(ids.len(), 4 + 3 + 2, "each object once");
}

#[tokio::test]
async fn gs_fe_24_s28_calls_of_a_clone_are_by_segment_and_never_by_object() {
    let mut calls = Vec::new();
    for commits in [9, 90] {
        let (rig, history) = (Rig::new(), History::line(commits));
        let view = in_three_packs(&rig, &history).await;
        let packs: Vec<&Pack> = view.packs.iter().map(Arc::as_ref).collect();
        let plan = everything_of(&packs);
        rig.nodes.forget_calls();
        let pack = sent(&rig, &view, &plan, None).await;
        assert_eq!(ids_in(&pack).await.len(), history.objects.len());
        calls.push(rig.nodes.calls().reads);
    }
    assert_eq!(calls[0], calls[1], "ten times the objects, as many calls");
    // Of each pack: index, graph, table, entries.
    assert!(calls[0] <= 3 * 4, "{calls:?}");
}

#[tokio::test]
async fn s28_a_batch_of_objects_is_one_call_for_each_segment_whatever_their_chains() {
    let (rig, mut history) = (Rig::new(), History::default());
    let mut pack = PackBuilder::new(SHA1);
    let mut content = b"a line\n".repeat(30);
    let mut entries = vec![(String::from("v00"), history.add(ObjectKind::Blob, content.clone()))];
    pack = pack.object(ObjectKind::Blob, &content);
    for number in 1..40 {
        let next = [&content[..], format!("line {number}\n").as_bytes()].concat();
        pack = pack.ofs_delta(number - 1, &DeltaBuilder::between(&content, &next));
        entries.push((format!("v{number:02}"), history.add(ObjectKind::Blob, next.clone())));
        content = next;
    }
    let rows: Vec<_> = entries.iter().map(|(n, id)| ("100644", n.as_bytes(), *id)).collect();
    let root_content = tree(&rows);
    let root = history.add(ObjectKind::Tree, root_content.clone());
    let top = commit(&root, &[], "chain\n");
    let tip = history.add(ObjectKind::Commit, top.clone());
    let pack = pack.object(ObjectKind::Tree, &root_content).object(ObjectKind::Commit, &top);
    let stored = rig.put(&view(1, Vec::new()), pack.build().into(), &[tip]).await.unwrap();
    let view = view(2, vec![stored]);
    let blobs: Vec<ObjectId> = entries.iter().map(|(_, id)| *id).collect();
    rig.nodes.forget_calls();
    let read = rig.context.reader.read(&view.packs, &blobs[39..]).await.unwrap();
    assert_eq!(&read[&blobs[39]].data[..], &content[..]);
    // The index, and one run with the whole chain.
    assert_eq!(rig.nodes.calls().reads, 2);
    let all = rig.context.reader.read(&view.packs, &blobs).await.unwrap();
    assert_eq!(all.len(), 40);
    assert!(rig.nodes.calls().reads <= 3, "{}", rig.nodes.calls().reads);
}

#[tokio::test]
async fn gs_fe_22_the_first_bytes_leave_before_the_last_pack_is_read() {
    // Each pack has several frames of a thousand bytes.
    let (rig, history) = (Rig::new(), History::line(90));
    let view = in_three_packs(&rig, &history).await;
    let packs: Vec<&Pack> = view.packs.iter().map(Arc::as_ref).collect();
    let plan = everything_of(&packs);
    sent(&rig, &view, &plan, None).await;
    rig.nodes.forget_calls();
    let (output, pieces) = channel();
    // A client that goes away at once: its first frame finds it gone.
    drop(pieces);
    let out = (output, SideBand::Small, BY_OFFSET);
    assert!(answer(&rig, &view, &plan, None, out).await.is_err());
    assert_eq!(rig.nodes.calls().reads, 1, "entries of the first pack alone");
}
