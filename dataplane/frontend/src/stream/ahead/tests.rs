use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use gitstratum_client::bulk::{self, BulkRead, Chunk, Chunks, Span};
use gitstratum_client::manifest::Segment;
use gitstratum_client::objects::Options;
use gitstratum_core::{
    Incarnation, NodeId, ObjectFormat, PackId, PushNumber, SegmentId, SessionId, Version,
};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::sync::watch;

use super::*;

const SEGMENTS: u64 = 6;
/// Bytes of a segment, which come one by one.
const SEGMENT_BYTES: u64 = 50;
const HEADER_BYTES: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(60);

fn byte(offset: u64) -> u8 {
    u8::try_from(offset % 251).unwrap()
}

fn segment(number: u64) -> Segment {
    Segment {
        id: SegmentId([u8::try_from(number).unwrap(); 16]),
        pack_offset: HEADER_BYTES + number * SEGMENT_BYTES,
        entries_length: SEGMENT_BYTES,
        total_length: SEGMENT_BYTES + 100,
        owners: vec![NodeId(number + 1)],
        list_number: 1,
        incarnations: vec![Incarnation(1)],
    }
}

/// A pack whose segments lie on a node each.
fn pack() -> Arc<Pack> {
    Arc::new(Pack {
        id: PackId([3; 16]),
        format: ObjectFormat::Sha1,
        object_count: 1,
        pack_version: 2,
        trailer: Bytes::new(),
        length: HEADER_BYTES + SEGMENTS * SEGMENT_BYTES,
        segments: (0..SEGMENTS).map(segment).collect(),
        parts: Vec::new(),
        checked_version: Version(0),
        overlaps: Vec::new(),
        stray_count: 0,
        shadowed_count: 0,
        duplicate_count: 0,
        session: SessionId(1),
        push_number: PushNumber(1),
        inline_graph: Bytes::new(),
        listed_version: Version(1),
        thin: false,
        claim: 0,
        listed_in: None,
    })
}

fn everything() -> Vec<PackSpan> {
    vec![PackSpan { offset: HEADER_BYTES, length: SEGMENTS * SEGMENT_BYTES }]
}

/// Nodes that begin to give only once so many of them are asked.
struct Nodes {
    together: usize,
    asked: watch::Sender<BTreeSet<NodeId>>,
    given: Arc<Mutex<u64>>,
}

impl Nodes {
    fn new(together: usize) -> Arc<Self> {
        let asked = watch::Sender::new(BTreeSet::new());
        Arc::new(Self { together, asked, given: Arc::default() })
    }
}

impl BulkRead for Nodes {
    fn read(
        &self,
        node: NodeId,
        _: SegmentId,
        ranges: Vec<Span>,
    ) -> BoxFuture<'static, Result<Chunks, bulk::Error>> {
        self.asked.send_modify(|asked| asked.extend([node]));
        let (mut asked, together) = (self.asked.subscribe(), self.together);
        let given = Arc::clone(&self.given);
        Box::pin(async move {
            let are_enough = asked.wait_for(|asked| asked.len() >= together).await;
            are_enough.expect("because the nodes outlive their answers");
            let begin = HEADER_BYTES + (node.0 - 1) * SEGMENT_BYTES;
            let ranges = ranges.into_iter().enumerate();
            let bytes = ranges.flat_map(move |(range, span)| {
                (span.offset..span.offset + span.length).map(move |at| (range, begin + at))
            });
            let chunks = stream::iter(bytes).map(move |(range, offset)| {
                *given.lock() += 1;
                Ok(Chunk { range, bytes: Bytes::from(vec![byte(offset)]) })
            });
            Ok(chunks.boxed())
        })
    }
}

fn reading(nodes: &Arc<Nodes>, asked: Vec<PackSpan>) -> Pieces {
    let bulk: Arc<dyn BulkRead> = Arc::clone(nodes) as _;
    read_ahead(&Reader::new(bulk, Options::default()), &pack(), asked)
}

async fn gather(nodes: &Arc<Nodes>, asked: &[PackSpan]) -> Vec<Vec<u8>> {
    let (mut pieces, mut gathered) =
        (reading(nodes, asked.to_vec()), vec![Vec::new(); asked.len()]);
    let mut last = 0;
    while let Some(piece) = pieces.next().await {
        let (number, bytes) = piece.unwrap();
        assert!(number >= last, "in the order asked for");
        last = number;
        gathered[number].extend_from_slice(&bytes);
    }
    gathered
}

fn contents(asked: &[PackSpan]) -> Vec<Vec<u8>> {
    let content = |span: &PackSpan| (span.offset..span.offset + span.length).map(byte).collect();
    asked.iter().map(content).collect()
}

#[tokio::test(start_paused = true)]
async fn gs_fe_23_several_nodes_are_read_at_once() {
    let nodes = Nodes::new(SEGMENTS_AT_ONCE);
    let gathered = tokio::time::timeout(PATIENCE, gather(&nodes, &everything())).await;
    assert_eq!(gathered.expect("they are read one by one"), contents(&everything()));
    assert_eq!(nodes.asked.borrow().len() as u64, SEGMENTS, "and no node twice");
}

/// GS-FE-25: the queue between object nodes and a client that takes nothing.
#[tokio::test(start_paused = true)]
async fn gs_fe_23_a_client_that_takes_nothing_holds_the_reads_back() {
    let nodes = Nodes::new(1);
    let mut pieces = reading(&nodes, everything());
    assert_eq!(pieces.next().await.unwrap().unwrap().0, 0);
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(nodes.asked.borrow().len(), SEGMENTS_AT_ONCE, "segments");
    // Of each those that wait and one that would; the one that was taken.
    let limit = SEGMENTS_AT_ONCE * (PIECES_WAITING_MAX + 1) + 1;
    assert_eq!(*nodes.given.lock(), limit as u64);
    drop(pieces);
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(*nodes.given.lock(), limit as u64, "nobody reads on for who has gone");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_no_segment_has_end_in_an_error() {
    let beyond = PackSpan { offset: HEADER_BYTES, length: SEGMENTS * SEGMENT_BYTES + 1 };
    let pieces: Vec<_> = reading(&Nodes::new(1), vec![beyond]).collect().await;
    assert!(pieces.iter().any(|piece| matches!(piece, Err(Error::Manifest { .. }))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn s28_what_is_asked_comes_whole_and_in_order(
        runs in proptest::collection::vec((0u64..40, 0u64..130), 1..8)
    ) {
        let (mut at, mut asked) = (HEADER_BYTES, Vec::new());
        for (gap, length) in runs {
            let offset = at + gap;
            let left = (HEADER_BYTES + SEGMENTS * SEGMENT_BYTES).saturating_sub(offset);
            asked.push(PackSpan { offset, length: length.min(left) });
            at = offset + length.min(left);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let gathered = runtime.block_on(gather(&Nodes::new(1), &asked));
        prop_assert_eq!(gathered, contents(&asked));
    }
}
