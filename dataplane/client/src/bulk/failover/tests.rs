use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::super::Distance;
use super::*;

const SEGMENT: SegmentId = SegmentId([7; 16]);
const LISTED_IN: PartitionId = PartitionId(3);
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// A node that holds what was moved there.
const NEW: NodeId = NodeId(4);
const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// How an owner behaves.
#[derive(Clone, Copy)]
enum Manner {
    /// It gives everything, some bytes at a time.
    Sound,
    /// It takes its time, and gives everything.
    Slow,
    /// It does not answer.
    Silent,
    /// It cannot be reached.
    Gone,
    /// It breaks off after so many bytes.
    Breaks(u64),
    /// It is silent after so many bytes.
    Stalls(u64),
    /// The same, but only the first time.
    StallsOnce(u64),
}

struct Owners {
    manners: BTreeMap<NodeId, Manner>,
    asked: Mutex<Vec<NodeId>>,
    out: Mutex<Vec<NodeId>>,
    /// The one that is near, and how near.
    near: Mutex<Option<(NodeId, Distance)>>,
    /// How long each is likely to take, in milliseconds.
    waits: Mutex<BTreeMap<NodeId, u128>>,
    /// Who holds the segment by now.
    listed: Mutex<Vec<NodeId>>,
}

impl Owners {
    fn new(manners: [Manner; 3]) -> Arc<Self> {
        let known = NODES.into_iter().zip(manners);
        let manners = known.chain([(NEW, Manner::Sound)]).collect();
        Arc::new(Self {
            manners,
            asked: Mutex::default(),
            out: Mutex::default(),
            near: Mutex::default(),
            waits: Mutex::default(),
            listed: Mutex::new(NODES.to_vec()),
        })
    }

    async fn read(self: &Arc<Self>, spans: &[Span]) -> Result<Vec<Vec<u8>>, Error> {
        let bulk: Arc<dyn BulkRead> = Arc::clone(self) as _;
        let mut chunks = read_any(bulk, &NODES, (SEGMENT, Some(LISTED_IN)), spans.to_vec());
        let mut got = vec![Vec::new(); spans.len()];
        while let Some(chunk) = chunks.next().await {
            let Chunk { range, bytes } = chunk?;
            got[range].extend_from_slice(&bytes);
        }
        Ok(got)
    }

    fn asked(&self) -> Vec<u64> {
        self.asked.lock().iter().map(|node| node.0).collect()
    }
}

impl BulkRead for Owners {
    fn read(
        &self,
        node: NodeId,
        _: SegmentId,
        ranges: Vec<Span>,
    ) -> BoxFuture<'static, Result<Chunks, Error>> {
        let manner = match self.manners[&node] {
            Manner::StallsOnce(_) if self.asked.lock().contains(&node) => Manner::Sound,
            manner => manner,
        };
        self.asked.lock().push(node);
        Box::pin(async move {
            let limit = match manner {
                Manner::Sound => u64::MAX,
                Manner::Slow => {
                    sleep(HEDGE_AFTER * 2).await;
                    u64::MAX
                }
                Manner::Silent => std::future::pending().await,
                Manner::Gone => return Err(Error::Busy { node }),
                Manner::Breaks(after) | Manner::Stalls(after) | Manner::StallsOnce(after) => after,
            };
            let mut left = limit;
            let mut chunks = Vec::new();
            for (range, span) in ranges.into_iter().enumerate() {
                for at in span.offset..span.offset + span.length {
                    if left == 0 {
                        break;
                    }
                    left -= 1;
                    let at = usize::try_from(at).unwrap();
                    let bytes = Bytes::from_static(&CONTENT[at..=at]);
                    chunks.push(Ok(Chunk { range, bytes }));
                }
            }
            let given = stream::iter(chunks);
            Ok(match manner {
                Manner::Breaks(_) => {
                    given.chain(stream::iter([Err(Error::Frame { node, problem: "torn" })])).boxed()
                }
                Manner::Stalls(_) | Manner::StallsOnce(_) => given.chain(stream::pending()).boxed(),
                Manner::Sound | Manner::Slow | Manner::Silent | Manner::Gone => given.boxed(),
            })
        })
    }

    fn is_out(&self, node: NodeId) -> bool {
        self.out.lock().contains(&node)
    }

    fn distance(&self, node: NodeId) -> Distance {
        let near = *self.near.lock();
        near.filter(|(near, _)| *near == node).map_or(Distance::Far, |(_, distance)| distance)
    }

    fn wait_millis(&self, node: NodeId) -> u128 {
        self.waits.lock().get(&node).copied().unwrap_or_default()
    }

    fn note_slow(&self, node: NodeId) {
        self.out.lock().push(node);
    }

    fn owners(
        &self,
        _: SegmentId,
        listed_in: Option<PartitionId>,
    ) -> BoxFuture<'static, Vec<NodeId>> {
        assert_eq!(listed_in, Some(LISTED_IN), "nobody else has the list (S9)");
        Box::pin(std::future::ready(self.listed.lock().clone()))
    }
}

fn spans() -> Vec<Span> {
    vec![
        Span { offset: 0, length: 5 },
        Span { offset: 10, length: 1 },
        Span { offset: 20, length: 16 },
    ]
}

fn expected() -> Vec<Vec<u8>> {
    vec![CONTENT[..5].to_vec(), CONTENT[10..11].to_vec(), CONTENT[20..].to_vec()]
}

/// RV-M5: a node that hangs costs a read no more than the time until the next one is asked.
#[tokio::test(start_paused = true)]
async fn gs_ob_29_a_silent_or_missing_owner_is_passed_over() {
    for first in [Manner::Silent, Manner::Gone] {
        let owners = Owners::new([first, Manner::Sound, Manner::Sound]);
        let began = tokio::time::Instant::now();
        assert_eq!(owners.read(&spans()).await.unwrap(), expected());
        assert_eq!(owners.asked(), [1, 2]);
        assert!(began.elapsed() <= HEDGE_AFTER);
    }
}

#[tokio::test(start_paused = true)]
async fn gs_ob_29_the_next_owner_goes_on_where_one_broke_off() {
    for after in 0..22 {
        for broken in [Manner::Breaks(after), Manner::Stalls(after)] {
            let owners = Owners::new([broken, broken, Manner::Sound]);
            assert_eq!(owners.read(&spans()).await.unwrap(), expected(), "after {after}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn gs_ob_29_an_owner_that_was_overtaken_goes_on_where_the_others_broke_off() {
    let owners = Owners::new([Manner::Slow, Manner::Breaks(7), Manner::Gone]);
    assert_eq!(owners.read(&spans()).await.unwrap(), expected());
    assert_eq!(owners.asked(), [1, 2, 3, 1]);
}

/// A stall of one disk is no reason to wait for a node that has never answered.
#[tokio::test(start_paused = true)]
async fn p_a3_an_owner_that_paused_is_asked_again_when_the_others_are_silent() {
    for after in 0..22 {
        let owners = Owners::new([Manner::Silent, Manner::StallsOnce(after), Manner::Gone]);
        let began = tokio::time::Instant::now();
        let asked = spans();
        let reading = tokio::time::timeout(10 * STALL_MAX, owners.read(&asked));
        let read = reading.await.expect("it waits for the silent one");
        assert_eq!(read.unwrap(), expected(), "after {after}");
        assert_eq!(owners.asked(), [1, 2, 3, 1, 2]);
        assert!(began.elapsed() <= STALL_MAX + 3 * HEDGE_AFTER, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_stalls_time_and_again_is_asked_no_third_time() {
    let owners = Owners::new([Manner::Stalls(3), Manner::Stalls(3), Manner::Breaks(3)]);
    let spans = spans();
    let reading = tokio::time::timeout(10 * STALL_MAX, owners.read(&spans));
    assert!(reading.await.is_err(), "the last one is waited for");
    assert_eq!(owners.asked(), [1, 2, 3, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_last_owner_is_waited_for() {
    let owners = Owners::new([Manner::Gone, Manner::Gone, Manner::Stalls(3)]);
    let spans = spans();
    let read = tokio::time::timeout(10 * STALL_MAX, owners.read(&spans)).await;
    assert!(read.is_err(), "nobody else could go on");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_slow_is_asked_last() {
    let owners = Owners::new([Manner::Silent, Manner::Sound, Manner::Sound]);
    owners.read(&spans()).await.unwrap();
    owners.asked.lock().clear();
    owners.read(&spans()).await.unwrap();
    assert_eq!(owners.asked(), [2]);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_last_failure_is_told() {
    let owners = Owners::new([Manner::Gone, Manner::Breaks(3), Manner::Breaks(2)]);
    let error = owners.read(&spans()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("answer of node {}: torn", NODES[2]));
    let owners = Owners::new([Manner::Gone; 3]);
    assert!(matches!(owners.read(&spans()).await, Err(Error::Busy { node: NodeId(3) })));
}

#[tokio::test(start_paused = true)]
async fn gs_ob_19_the_nearest_owner_is_asked_first_unless_it_failed_lately() {
    for distance in [Distance::Here, Distance::SameZone] {
        let owners = Owners::new([Manner::Sound; 3]);
        *owners.near.lock() = Some((NodeId(3), distance));
        assert_eq!(owners.read(&spans()).await.unwrap(), expected());
        assert_eq!(owners.asked(), [3]);
        owners.note_slow(NodeId(3));
        assert_eq!(owners.read(&spans()).await.unwrap(), expected());
        assert_eq!(owners.asked(), [3, 1]);
    }
}

/// The example of the proposal: nodes 2, 7 and 15 with scores of 7, 6 and 11; the second wins.
#[tokio::test(start_paused = true)]
async fn gs_fe_28_gs_cp_18_of_equally_near_owners_the_one_with_the_shortest_wait_is_asked_first() {
    let owners = Owners::new([Manner::Sound; 3]);
    *owners.waits.lock() = NODES.into_iter().zip([7, 6, 11]).collect();
    assert_eq!(owners.read(&spans()).await.unwrap(), expected());
    assert_eq!(owners.asked(), [2]);
    *owners.near.lock() = Some((NodeId(3), Distance::SameZone));
    assert_eq!(owners.read(&spans()).await.unwrap(), expected());
    assert_eq!(owners.asked(), [2, 3], "GS-OB-19: who is nearer is not passed over for that");
}

/// A long transfer outlives a move: the owners that its manifest names have removed their copies.
#[tokio::test(start_paused = true)]
async fn s19_a_reader_that_finds_no_owner_asks_for_the_list_again_and_goes_on_there() {
    for given in [Manner::Gone, Manner::Breaks(7)] {
        let owners = Owners::new([given; 3]);
        *owners.listed.lock() = vec![NODES[2], NEW];
        assert_eq!(owners.read(&spans()).await.unwrap(), expected());
        assert_eq!(owners.asked(), [1, 2, 3, 4]);
    }
    let owners = Owners::new([Manner::Gone; 3]);
    assert!(owners.read(&spans()).await.is_err(), "the list is what it was");
    assert_eq!(owners.asked(), [1, 2, 3], "nobody is asked twice");
}
