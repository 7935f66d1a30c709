//! Objects of a batch lie in several segments: these are read from several nodes at once (GS-FE-23).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use gitstratum_client::bulk::{self, BulkRead, Chunk, Chunks, Span};
use gitstratum_client::manifest::{Pack, Segment};
use gitstratum_client::objects::{Options, PackSpan, Reader};
use gitstratum_core::{
    Incarnation, NodeId, ObjectFormat, PackId, PushNumber, SegmentId, SessionId, Version,
};
use tokio::sync::watch;

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

/// Nodes that begin to give only once so many of them are asked.
struct Nodes {
    together: usize,
    asked: watch::Sender<BTreeSet<NodeId>>,
}

impl Nodes {
    fn new(together: usize) -> Arc<Self> {
        let asked = watch::Sender::new(BTreeSet::new());
        Arc::new(Self { together, asked })
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
        Box::pin(async move {
            let are_enough = asked.wait_for(|asked| asked.len() >= together).await;
            are_enough.expect("because the nodes outlive their answers");
            let begin = HEADER_BYTES + (node.0 - 1) * SEGMENT_BYTES;
            let ranges = ranges.into_iter().enumerate();
            let bytes = ranges.flat_map(move |(range, span)| {
                (span.offset..span.offset + span.length).map(move |at| (range, begin + at))
            });
            let chunks = stream::iter(bytes)
                .map(|(range, offset)| Ok(Chunk { range, bytes: Bytes::from(vec![byte(offset)]) }));
            Ok(chunks.boxed())
        })
    }
}

/// Two entries of each segment, and one that crosses a border.
fn entries() -> Vec<PackSpan> {
    let of = |number| {
        let begin = HEADER_BYTES + number * SEGMENT_BYTES;
        [(begin, 10), (begin + 45, 10)].map(|(offset, length)| PackSpan { offset, length })
    };
    (0..SEGMENTS - 1).flat_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn gs_fe_23_several_nodes_are_read_at_once_and_each_once() {
    let options = Options::default();
    assert!(options.segments_at_once >= 2);
    let nodes = Nodes::new(options.segments_at_once);
    let bulk: Arc<dyn BulkRead> = Arc::clone(&nodes) as _;
    let (reader, pack, asked) = (Reader::new(bulk, options), pack(), entries());
    let read = tokio::time::timeout(PATIENCE, reader.read_pack(&pack, &asked)).await;
    let read = read.expect("they are read one by one").unwrap();
    let content = |span: &PackSpan| (span.offset..span.offset + span.length).map(byte).collect();
    let expected: Vec<Vec<u8>> = asked.iter().map(content).collect();
    assert_eq!(read, expected);
    assert_eq!(nodes.asked.borrow().len() as u64, SEGMENTS);
}
