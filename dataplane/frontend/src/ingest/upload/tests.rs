use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use gitstratum_client::bulk;
use gitstratum_client::cluster::Draw;
use gitstratum_core::{ErrorKind, NodeId, ObjectKind, SegmentId};
use gitstratum_git::testing::PackBuilder;
use gitstratum_process::spawn;
use gitstratum_proto::control::v1 as wire;

use super::*;
use crate::ingest::testing::{History, Mood, Rig, SHA1, Taken, layout, origins, view};
use crate::ingest::{Copies, Shelf, Stock};

async fn take(rig: &Rig) -> Taken {
    let history = History::line(3);
    rig.take(&view(1, Vec::new()), history.pack(), &[history.tip()]).await.unwrap()
}

/// More than an owner may be behind.
async fn take_large(rig: &Rig) -> Taken {
    let noise: Vec<u8> = (0..6 * 1024 * 1024_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    let body = gitstratum_git::testing::store(&noise);
    let size = noise.len() as u64;
    let pack = PackBuilder::new(SHA1).object_claiming(ObjectKind::Blob, size, body).build();
    let tip = gitstratum_git::testing::id_of(SHA1, ObjectKind::Blob, &noise);
    rig.take(&view(1, Vec::new()), pack.into(), &[tip]).await.unwrap()
}

/// Stores on nodes of which `copies` get a copy; what was begun lives as long as the caller
/// lets it.
async fn store(rig: &Rig, taken: &Taken, begun: &Begun, copies: u32) -> Result<Stock, Error> {
    store_where(rig, taken, begun, &layout(copies, 3)).await
}

/// Three nodes, of which one is down as the control plane says.
fn with_down(node: u64) -> wire::Layout {
    let mut layout = layout(3, 3);
    layout.nodes.iter_mut().filter(|each| each.id == node).for_each(|each| each.state = 4);
    layout
}

async fn store_where(
    rig: &Rig,
    taken: &Taken,
    begun: &Begun,
    layout: &wire::Layout,
) -> Result<Stock, Error> {
    let against = rig.against(&taken.view);
    let ground = Arc::new(taken.intake.survey(&against, Copies::Shadowed).await.unwrap());
    let placement = Placement::new(layout, 3).unwrap();
    let shelf = Shelf { placement: &placement, origins: origins(8), begun };
    taken.intake.store(&against, &ground, &shelf).await
}

fn begin(rig: &Rig) -> Begun {
    origins(8).begin(&rig.context.storage)
}

fn nodes(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

#[tokio::test]
async fn s1_to_s3_entries_are_stored_verbatim_under_the_pushs_number() {
    let rig = Rig::new();
    let history = History::line(3);
    let pack = history.pack();
    let taken = rig.take(&view(1, Vec::new()), pack.clone(), &[history.tip()]).await.unwrap();
    let begun = begin(&rig);
    let stock = store(&rig, &taken, &begun, 3).await.unwrap();
    let row = stock.row();
    let entries = rig.nodes.entries(row);
    assert_eq!(entries, pack.slice(12..pack.len() - 20));
    assert_eq!((row.length, &row.trailer[..]), (pack.len() as u64, &pack[pack.len() - 20..]));
    assert_eq!(row.segments.len(), 1, "small parts ride with the entries");
    assert_eq!(row.parts.len(), 3);
    let segment = &row.segments[0];
    assert_eq!(segment.owners, nodes(&[1, 2, 3]));
    assert_eq!(segment.incarnations.iter().map(|i| i.0).collect::<Vec<_>>(), [11, 12, 13]);
    let header = rig.nodes.header(segment.id);
    assert_eq!(header.origin, Origin::Push { session: row.session, number: PushNumber(8) });
    assert_eq!((header.pack, header.repo, header.network), (row.id, RepoId(5), RepoId(5)));
    assert_eq!(rig.nodes.calls().writes, 3, "owners per segment and no more");
    assert_eq!((row.session, row.push_number), (SessionId(40), PushNumber(8)));
}

#[tokio::test]
async fn s13_w_owners_suffice_when_one_refuses() {
    let rig = Rig::new();
    rig.nodes.set_mood(2, Mood::Refuses(ErrorKind::Unavailable));
    let taken = take(&rig).await;
    let begun = begin(&rig);
    let stock = store(&rig, &taken, &begun, 3).await.unwrap();
    assert_eq!(stock.row().segments[0].owners, nodes(&[1, 3]));
}

/// P-A8: an idle connection whose other end is gone looks well until it is used. The third owner
/// is away, so this one cannot be spared, and the client does not wait for the third.
/// GS-FE-37: retry, once.
#[tokio::test(start_paused = true)]
async fn p_a8_an_owner_whose_connection_breaks_is_tried_once_more() {
    for breaks_after in [0, 200] {
        let rig = Rig::new();
        rig.nodes.set_mood(1, Mood::BreaksOnceAfter(breaks_after));
        rig.nodes.set_mood(3, Mood::Hangs);
        let taken = take(&rig).await;
        let begun = begin(&rig);
        let stock = store(&rig, &taken, &begun, 3).await.unwrap();
        assert_eq!(stock.row().segments[0].owners, nodes(&[1, 2]), "after {breaks_after}");
        let history = History::line(3);
        assert_eq!(
            rig.nodes.entries(stock.row()),
            history.pack().slice(12..history.pack().len() - 20)
        );
    }
}

/// P-A8: a cut has healed and the control plane has not heard of the first owner yet, when the
/// third is cut off.
#[tokio::test(start_paused = true)]
async fn p_a8_an_owner_that_is_said_to_be_down_may_make_the_quorum() {
    let rig = Rig::new();
    rig.nodes.set_mood(3, Mood::Hangs);
    let taken = take(&rig).await;
    let begun = begin(&rig);
    let stock = store_where(&rig, &taken, &begun, &with_down(1)).await.unwrap();
    assert_eq!(stock.row().segments[0].owners, nodes(&[1, 2]));
}

/// It is not waited for, and left alone while it is known to fail.
/// GS-FE-37: an owner whose circuit is open gets no call.
#[tokio::test(start_paused = true)]
async fn s18_an_owner_that_is_down_costs_nothing() {
    let rig = Rig::new();
    rig.nodes.set_mood(1, Mood::Hangs);
    let taken = take(&rig).await;
    for (is_out, writes) in [(false, 3), (true, 2)] {
        if is_out {
            rig.nodes.set_out(1);
        }
        let begun = begin(&rig);
        rig.nodes.forget_calls();
        let before = tokio::time::Instant::now();
        let stock = store_where(&rig, &taken, &begun, &with_down(1)).await.unwrap();
        assert_eq!(stock.row().segments[0].owners, nodes(&[2, 3]));
        assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
        assert_eq!(rig.nodes.calls().writes, writes);
    }
}

/// More than is kept was sent: the owner is left behind, and the push goes on with the others.
#[tokio::test(start_paused = true)]
async fn s18_an_owner_that_breaks_late_in_a_large_segment_is_left_behind() {
    let rig = Rig::with(|config| config.spool_bytes_max = 64 * 1024 * 1024);
    rig.nodes.set_mood(1, Mood::BreaksOnceAfter(5 * 1024 * 1024));
    let taken = take_large(&rig).await;
    let begun = begin(&rig);
    let stock = store(&rig, &taken, &begun, 3).await.unwrap();
    assert_eq!(stock.row().segments[0].owners, nodes(&[2, 3]));
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_connections_all_break_is_tried_twice_and_no_more() {
    let rig = Rig::new();
    rig.nodes.set_mood(1, Mood::Breaks);
    let taken = take(&rig).await;
    let begun = begin(&rig);
    let stock = store(&rig, &taken, &begun, 3).await.unwrap();
    assert_eq!(stock.row().segments[0].owners, nodes(&[2, 3]));
    assert_eq!(rig.nodes.calls().writes, 4);
}

/// RV-M5: an owner that hangs costs a push its limit and no more.
#[tokio::test(start_paused = true)]
async fn s18_an_owner_that_hangs_is_dropped_and_the_push_goes_on() {
    for mood in [Mood::Hangs, Mood::NeverAcks] {
        let rig = Rig::new();
        rig.nodes.set_mood(1, mood);
        let taken = take(&rig).await;
        let begun = begin(&rig);
        let stock = store(&rig, &taken, &begun, 3).await.unwrap();
        assert_eq!(stock.row().segments[0].owners, nodes(&[2, 3]), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s18_an_owner_four_mebibytes_behind_is_dropped_within_two_seconds() {
    let rig = Rig::with(|config| config.spool_bytes_max = 64 * 1024 * 1024);
    rig.nodes.set_mood(3, Mood::Hangs);
    let taken = take_large(&rig).await;
    let begun = begin(&rig);
    let before = tokio::time::Instant::now();
    let stock = store(&rig, &taken, &begun, 3).await.unwrap();
    assert_eq!(stock.row().segments[0].owners, nodes(&[1, 2]));
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

/// Owners that take all and say nothing, but for the third, which takes nothing.
struct Takers;

impl Storage for Takers {
    fn write(
        &self,
        node: NodeId,
        _: SegmentId,
        mut body: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Written, bulk::Error>> {
        Box::pin(async move {
            while node != NodeId(3) && body.next().await.is_some() {}
            std::future::pending().await
        })
    }

    fn give_up(&self, _: NodeId, _: GiveUpRequest) -> BoxFuture<'static, Result<(), ErrorKind>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Who takes nothing gets 4 MiB ahead of it for nothing; from then on the others wait for it, 2 s.
#[tokio::test(start_paused = true)]
async fn s18_four_mebibytes_wait_for_an_owner_before_anybody_waits() {
    let storage: Arc<dyn Storage> = Arc::new(Takers);
    let begun = begin(&Rig::new());
    let draw = Draw { segment: SegmentId([9; 16]), owners: nodes(&[1, 2, 3]), down: Vec::new() };
    let mut lanes = Lanes::begin(&storage, &begun, &draw, 2);
    let before = tokio::time::Instant::now();
    for _ in 0..4 * 1024 * 1024 / PIECE_BYTES {
        lanes.send(vec![0; PIECE_BYTES].into()).await.unwrap();
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
    lanes.send(vec![0; PIECE_BYTES].into()).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(2), "the piece that is too much");
    lanes.send(vec![0; PIECE_BYTES].into()).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(2), "it was dropped");
}

/// GS-OB-05, RV-C1: acknowledged only at quorum.
#[tokio::test(start_paused = true)]
async fn below_write_quorum_a_push_fails_and_says_so() {
    let rig = Rig::new();
    rig.nodes.set_mood(1, Mood::Refuses(ErrorKind::Unavailable));
    rig.nodes.set_mood(2, Mood::Hangs);
    let taken = take(&rig).await;
    let begun = begin(&rig);
    let error = store(&rig, &taken, &begun, 3).await.err().unwrap();
    assert!(matches!(error, Error::UnderQuorum { durable: 0 | 1, quorum: 2, .. }), "{error:?}");
    assert!(error.words().contains("enough copies"), "{}", error.words());
}

/// P-A7: nobody is to spare, and the client is not to wait for half a minute.
#[tokio::test(start_paused = true)]
async fn p_a7_an_owner_that_failed_lately_and_cannot_be_spared_is_waited_for_shortly() {
    for (is_out, longest) in [(false, 12), (true, 4)] {
        for mood in [Mood::Hangs, Mood::NeverAcks] {
            let rig = Rig::new();
            rig.nodes.set_mood(1, Mood::Refuses(ErrorKind::Unavailable));
            rig.nodes.set_mood(2, mood);
            if is_out {
                rig.nodes.set_out(2);
            }
            let taken = take(&rig).await;
            let begun = begin(&rig);
            let before = tokio::time::Instant::now();
            assert!(store(&rig, &taken, &begun, 3).await.is_err());
            let took = before.elapsed();
            assert!(took < Duration::from_secs(longest), "{mood:?}, out {is_out}: {took:?}");
        }
    }
}

/// Nobody waits for who has failed: only the one that failed lately is behind then.
#[tokio::test(start_paused = true)]
async fn p_a7_an_owner_that_fails_meanwhile_makes_nobody_wait_longer() {
    let rig = Rig::with(|config| config.spool_bytes_max = 64 * 1024 * 1024);
    rig.nodes.set_mood(1, Mood::RefusesAfter(Duration::from_secs(1)));
    rig.nodes.set_mood(2, Mood::Hangs);
    rig.nodes.set_out(2);
    let taken = take_large(&rig).await;
    let begun = begin(&rig);
    let before = tokio::time::Instant::now();
    assert!(store(&rig, &taken, &begun, 3).await.is_err());
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

/// It may just have started: a partition admits it within 5 s.
#[tokio::test(start_paused = true)]
async fn s23_an_owner_that_waits_to_be_admitted_is_waited_for() {
    let rig = Rig::new();
    rig.nodes.set_mood(1, Mood::Refuses(ErrorKind::Unavailable));
    rig.nodes.set_mood(2, Mood::AcksAfter(Duration::from_secs(5)));
    let taken = take(&rig).await;
    let begun = begin(&rig);
    let stock = store(&rig, &taken, &begun, 3).await.unwrap();
    assert_eq!(stock.row().segments[0].owners, nodes(&[2, 3]));
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    let rig = Rig::new();
    for node in 1..=3 {
        rig.nodes.set_mood(node, Mood::Refuses(ErrorKind::Busy));
    }
    let taken = take(&rig).await;
    let begun = begin(&rig);
    let error = store(&rig, &taken, &begun, 1).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.words().contains("full or busy"));
}

#[tokio::test]
async fn s12_a_push_that_ends_before_it_is_sent_is_given_up_at_every_owner() {
    let rig = Rig::new();
    let taken = take(&rig).await;
    let begun = begin(&rig);
    let stock = store(&rig, &taken, &begun, 3).await.unwrap();
    drop(begun);
    let given_up = wait_for_give_up(&rig).await;
    let ids: BTreeSet<SegmentId> = stock.row().segments.iter().map(|s| s.id).collect();
    let expected = nodes(&[1, 2, 3]).into_iter().map(|node| (node, ids.clone())).collect();
    assert_eq!(given_up, expected);
}

async fn wait_for_give_up(rig: &Rig) -> std::collections::BTreeMap<NodeId, BTreeSet<SegmentId>> {
    for _ in 0..1_000 {
        let given_up = rig.nodes.calls().given_up;
        if !given_up.is_empty() {
            return given_up;
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody was told");
}

#[tokio::test]
async fn s12_once_it_is_sent_a_push_is_never_given_up() {
    let rig = Rig::new();
    let taken = take(&rig).await;
    let begun = begin(&rig);
    store(&rig, &taken, &begun, 3).await.unwrap();
    begun.sent();
    store(&rig, &taken, &begun, 3).await.unwrap();
    drop(begun);
    spawn("others", async {}).await.unwrap();
    tokio::task::yield_now().await;
    assert!(rig.nodes.calls().given_up.is_empty());
}

#[tokio::test]
async fn s15_on_moved_ground_only_the_parts_are_written_anew() {
    let rig = Rig::new();
    let first = History::line(1);
    let stored = rig.put(&view(1, Vec::new()), first.pack(), &[first.tip()]).await.unwrap();
    let next = History::line(2);
    let with = view(2, vec![stored]);
    let taken = rig.take(&with, next.pack(), &[next.tip()]).await.unwrap();
    let begun = begin(&rig);
    let stock = store(&rig, &taken, &begun, 1).await.unwrap();
    assert_eq!(stock.row().shadowed_count, 4);
    let entries = stock.row().segments[0].clone();
    let moved = rig.against(&view(9, Vec::new()));
    let ground = Arc::new(taken.intake.survey(&moved, Copies::Shadowed).await.unwrap());
    let placement = Placement::new(&layout(1, 1), 1).unwrap();
    let shelf = Shelf { placement: &placement, origins: origins(8), begun: &begun };
    rig.nodes.forget_calls();
    let again = taken.intake.store_again(&moved, stock, &ground, &shelf).await.unwrap();
    let row = again.row();
    assert_eq!((row.checked_version.0, row.shadowed_count), (9, 0));
    assert_eq!(row.segments[0], entries);
    assert_eq!((row.segments.len(), rig.nodes.calls().writes), (2, 1));
    let index = rig.context.reader.index(&Arc::new(row.clone())).await.unwrap();
    assert!(index.find(&next.commits[0]).unwrap().flags.answers());
    let same = taken.intake.store_again(&moved, again, &ground, &shelf).await.unwrap();
    assert_eq!((same.row().segments.len(), rig.nodes.calls().writes), (2, 1));
}
