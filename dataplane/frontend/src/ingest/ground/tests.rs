use bytes::Bytes;
use gitstratum_client::manifest::{Part, Segment};
use gitstratum_core::{Incarnation, NodeId, ObjectKind, SegmentId};
use gitstratum_git::index;
use gitstratum_git::part::{Kind, Piece, Portion};
use gitstratum_git::segment::Writer;
use gitstratum_git::testing::{commit, tree};

use super::*;
use crate::ingest::Storage as _;
use crate::ingest::testing::{History, Rig, Taken, view};
use crate::view::View;
use gitstratum_client::manifest::Pack;
use std::sync::Arc;

/// A repository with two commits, and one more on top of them.
async fn grown(rig: &Rig) -> (Arc<View>, History, usize) {
    let history = History::line(2);
    let stored = rig.put(&view(1, Vec::new()), history.pack(), &[history.tip()]).await.unwrap();
    (view(2, vec![stored]), History::line(3), history.objects.len())
}

async fn survey(rig: &Rig, taken: &Taken, copies: Copies) -> Result<Ground, Error> {
    taken.intake.survey(&rig.against(&taken.view), copies).await
}

#[tokio::test]
async fn s16_a_push_rests_on_what_it_refers_to_outside_its_pack() {
    let rig = Rig::new();
    let (view, next, held) = grown(&rig).await;
    let taken = rig.take(&view, next.pack_from(held), &[next.tip()]).await.unwrap();
    let ground = survey(&rig, &taken, Copies::Shadowed).await.unwrap();
    let mut expected = vec![
        next.commits[1],
        gitstratum_git::testing::id_of(
            gitstratum_core::ObjectFormat::Sha1,
            ObjectKind::Blob,
            b"kept\n",
        ),
    ];
    expected.sort_unstable();
    assert_eq!(ground.rests_on, expected);
    assert!(ground.shadowed.is_empty() && ground.overlaps.is_empty());
}

#[tokio::test]
async fn bad_input_075_and_079_what_is_not_there_is_missing() {
    let rig = Rig::new();
    let (_, next, held) = grown(&rig).await;
    let taken = rig.take(&view(1, Vec::new()), next.pack_from(held), &[next.tip()]).await.unwrap();
    let refused = survey(&rig, &taken, Copies::Shadowed).await;
    assert!(matches!(refused, Err(Error::Missing)));
}

#[tokio::test]
async fn bad_input_075_what_is_there_as_another_kind_is_missing() {
    let rig = Rig::new();
    let (view, held, _) = grown(&rig).await;
    let mut odd = History::default();
    let root = odd.add(ObjectKind::Tree, tree(&[]));
    let tip = odd.add(ObjectKind::Commit, commit(&root, &[held.blobs[0]], "odd\n"));
    let taken = rig.take(&view, odd.pack(), &[tip]).await.unwrap();
    assert!(matches!(survey(&rig, &taken, Copies::Shadowed).await, Err(Error::Missing)));
}

#[tokio::test]
async fn s8_an_object_that_is_stored_is_shadowed_and_proved_reachable() {
    let rig = Rig::new();
    let (view, next, _) = grown(&rig).await;
    let taken = rig.take(&view, next.pack(), &[next.tip()]).await.unwrap();
    let ground = survey(&rig, &taken, Copies::Shadowed).await.unwrap();
    assert_eq!(ground.shadowed.len(), 7);
    assert!(ground.overlaps.is_empty(), "no copy in the new pack answers");
    assert!(ground.rests_on.contains(&next.commits[0]));
    assert!(!ground.rests_on.contains(&next.tip()));
    let answering = survey(&rig, &taken, Copies::Answering).await.unwrap();
    assert!(answering.shadowed.is_empty() && answering.rests_on.is_empty());
    assert_eq!(answering.overlaps.into_iter().collect::<Vec<_>>(), [view.packs[0].id]);
}

#[tokio::test]
async fn bad_input_057_one_id_with_two_contents_is_refused_and_alarmed() {
    let rig = Rig::new();
    let (view_now, next, _) = grown(&rig).await;
    let other_content = |record: &mut index::Record| record.content.0[0] ^= 1;
    let forged = forge(&rig, &view_now.packs[0], (next.blobs[0], other_content)).await;
    let view = view(3, vec![forged]);
    let taken = rig.take(&view, next.pack(), &[next.tip()]).await.unwrap();
    let refused = survey(&rig, &taken, Copies::Shadowed).await.unwrap_err();
    assert!(matches!(refused, Error::Collision { id } if id == next.blobs[0]));
    assert!(refused.is_collision());
    assert_eq!(refused.words(), format!("object {} was refused", next.blobs[0]));
}

/// What lies in an older pack and is reached by nothing answers for nothing (T1): what is pushed again is
/// found in the new pack.
#[tokio::test]
async fn s8_a_stored_copy_that_is_stray_shadows_nothing() {
    let rig = Rig::new();
    let (view_now, next, _) = grown(&rig).await;
    let stray = |record: &mut index::Record| record.flags.stray = true;
    let forged = forge(&rig, &view_now.packs[0], (next.blobs[0], stray)).await;
    let view = view(3, vec![forged]);
    let taken = rig.take(&view, next.pack(), &[next.tip()]).await.unwrap();
    let ground = survey(&rig, &taken, Copies::Shadowed).await.unwrap();
    assert_eq!(ground.shadowed.len(), 6, "one of the seven has no copy that answers");
}

/// The pack with an index that says something else about `id`.
async fn forge(
    rig: &Rig,
    pack: &Arc<Pack>,
    (id, change): (ObjectId, impl Fn(&mut index::Record)),
) -> Pack {
    let index = rig.context.reader.index(pack).await.unwrap();
    let id_of_pack = gitstratum_core::PackId([0xee; 16]);
    let counts = index.counts();
    let mut builder = index::Builder::new(id_of_pack, pack.format, counts.entries);
    for mut record in index.by_id() {
        if record.id == id {
            change(&mut record);
        }
        builder.add(&record).unwrap();
    }
    let bytes = builder.finish().unwrap();
    let segment = SegmentId([0xdd; 16]);
    let mut header = rig.nodes.header(pack.segments[0].id);
    (header.segment, header.pack, header.pack_offset) = (segment, id_of_pack, 0);
    let (writer, first) = Writer::new(header);
    let portion = Portion { kind: Kind::Index, number: 0, of: 1, bytes: bytes.clone() };
    let sealed = writer.finish(vec![portion]).unwrap();
    let body: Vec<Bytes> = std::iter::once(first).chain(sealed.tail).collect();
    let body = futures::StreamExt::boxed(futures::stream::iter(body));
    rig.nodes.write(NodeId(1), segment, body).await.unwrap();
    let mut forged = pack.as_ref().clone();
    forged.id = id_of_pack;
    forged.segments.push(Segment {
        id: segment,
        pack_offset: 0,
        entries_length: 0,
        total_length: sealed.total_len,
        owners: vec![NodeId(1)],
        list_number: 1,
        incarnations: vec![Incarnation(1)],
    });
    forged.parts.retain(|part| part.kind != Kind::Index);
    let piece = Piece { segment, offset: 0, len: bytes.len() as u64 };
    forged.parts.push(Part { kind: Kind::Index, pieces: vec![piece] });
    forged
}

#[test]
fn one_request_names_a_bounded_number_of_ids() {
    let sha1 = RESTS_ON_BYTES_MAX / 22;
    assert!(check_count(ObjectFormat::Sha1, sha1).is_ok());
    assert!(check_count(ObjectFormat::Sha1, sha1 + 1).is_err());
    assert!(check_count(ObjectFormat::Sha256, sha1).is_err());
}
