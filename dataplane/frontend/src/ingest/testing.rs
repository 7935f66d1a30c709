//! Doubles for taking in packs: object nodes in memory that check what they are sent and
//! count what they are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use gitstratum_client::bulk::{self, BulkRead, Chunk, Chunks, Span, Written};
use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::{Options, Reader};
use gitstratum_core::{
    ClusterId, ErrorKind, Incarnation, NodeId, ObjectFormat, ObjectId, ObjectKind, PartitionId,
    PushNumber, RefName, RepoId, SeededEntropy, SegmentId, SessionId, SystemClock, Version,
};
use gitstratum_git::segment::{Header, Layout, Verifier};
use gitstratum_git::testing::{PackBuilder, commit, id_of, tree};
use gitstratum_process::ByteBudget;
use gitstratum_proto::control::v1 as control;
use gitstratum_proto::object::v1::GiveUpRequest;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{Against, Arrived, Context, Copies, Error, Intake, Origins, Placement, Shelf, Storage};
use crate::Config;
use crate::conversation::{Input, Rounds};
use crate::view::{Refs, View};

pub(crate) const SHA1: ObjectFormat = ObjectFormat::Sha1;
const MIB: u64 = 1024 * 1024;

/// How a node behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It stores.
    #[default]
    Fine,
    /// It refuses writes.
    Refuses(ErrorKind),
    /// It takes nothing, and refuses in the end.
    RefusesAfter(Duration),
    /// Its connection breaks after so many bytes; the next one is fine.
    BreaksOnceAfter(usize),
    /// Every connection to it breaks.
    Breaks,
    /// It takes the connection and nothing else.
    Hangs,
    /// It takes every byte and never answers.
    NeverAcks,
    /// It takes every byte and answers so long after them.
    AcksAfter(Duration),
}

/// What the nodes were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) writes: usize,
    pub(crate) reads: usize,
    pub(crate) given_up: BTreeMap<NodeId, BTreeSet<SegmentId>>,
}

#[derive(Default)]
struct State {
    stored: BTreeMap<(NodeId, SegmentId), Bytes>,
    moods: BTreeMap<NodeId, Mood>,
    /// Those that failed lately.
    out: BTreeSet<NodeId>,
    calls: Calls,
}

/// Object nodes in memory.
#[derive(Clone, Default)]
pub(crate) struct MemoryNodes(Arc<Mutex<State>>);

impl MemoryNodes {
    pub(crate) fn set_mood(&self, node: u64, mood: Mood) {
        self.0.lock().moods.insert(NodeId(node), mood);
    }

    /// The node failed lately.
    pub(crate) fn set_out(&self, node: u64) {
        self.0.lock().out.insert(NodeId(node));
    }

    pub(crate) fn calls(&self) -> Calls {
        self.0.lock().calls.clone()
    }

    pub(crate) fn forget_calls(&self) {
        self.0.lock().calls = Calls::default();
    }

    /// The header of a stored segment.
    pub(crate) fn header(&self, segment: SegmentId) -> Header {
        let state = self.0.lock();
        let bytes = state.stored.iter().find(|((_, held), _)| *held == segment).unwrap().1;
        *Layout::open_whole(segment, bytes).unwrap().header()
    }

    /// The entry bytes of `pack`, put together from its segments.
    pub(crate) fn entries(&self, pack: &Pack) -> Bytes {
        let state = self.0.lock();
        let mut entries = BytesMut::new();
        for segment in pack.entry_segments() {
            let bytes = &state.stored[&(segment.owners[0], segment.id)];
            let layout = Layout::open_whole(segment.id, bytes).unwrap();
            assert_eq!(layout.header().pack_offset, segment.pack_offset);
            entries.extend_from_slice(&body(&layout, bytes, 0..segment.entries_length));
        }
        entries.freeze()
    }

    fn mood(&self, node: NodeId) -> Mood {
        self.0.lock().moods.get(&node).copied().unwrap_or_default()
    }

    fn read_one(&self, node: NodeId, segment: SegmentId, span: Span) -> Option<Bytes> {
        let state = self.0.lock();
        let bytes = state.stored.get(&(node, segment))?;
        let layout = Layout::open_whole(segment, bytes).unwrap();
        Some(body(&layout, bytes, span.offset..span.offset + span.length))
    }
}

fn body(layout: &Layout, bytes: &Bytes, range: std::ops::Range<u64>) -> Bytes {
    let cover = layout.cover(range.clone()).unwrap();
    let cover = bytes.slice(cover.start as usize..cover.end as usize);
    layout.verify_and_slice(range, cover).unwrap()
}

impl Storage for MemoryNodes {
    fn write(
        &self,
        node: NodeId,
        segment: SegmentId,
        mut body: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Written, bulk::Error>> {
        let nodes = self.clone();
        nodes.0.lock().calls.writes += 1;
        Box::pin(async move {
            let refused = |kind, message: &str| {
                Err(bulk::Error::Refused { node, kind, message: message.to_owned() })
            };
            let mut breaks_after = usize::MAX;
            match nodes.mood(node) {
                Mood::Fine | Mood::NeverAcks | Mood::AcksAfter(_) => {}
                Mood::BreaksOnceAfter(bytes) => {
                    breaks_after = bytes;
                    nodes.set_mood(node.0, Mood::Fine);
                }
                Mood::Breaks => breaks_after = 0,
                Mood::Refuses(kind) => return refused(kind, "not now"),
                Mood::RefusesAfter(pause) => {
                    tokio::time::sleep(pause).await;
                    return refused(ErrorKind::Unavailable, "not now");
                }
                Mood::Hangs => std::future::pending().await,
            }
            let (mut whole, mut verifier) = (BytesMut::new(), Verifier::new(segment));
            while let Some(bytes) = body.next().await {
                verifier.update(&bytes).unwrap();
                whole.extend_from_slice(&bytes);
                if whole.len() > breaks_after {
                    return Err(bulk::Error::Exchange { node, source: "reset by peer".into() });
                }
            }
            let Ok(layout) = verifier.finish() else {
                return refused(ErrorKind::Invalid, "cut short");
            };
            match nodes.mood(node) {
                Mood::NeverAcks => std::future::pending().await,
                Mood::AcksAfter(pause) => tokio::time::sleep(pause).await,
                _ => {}
            }
            nodes.0.lock().stored.insert((node, segment), whole.freeze());
            Ok(Written { node, incarnation: Incarnation(node.0 + 10), length: layout.total_len() })
        })
    }

    fn give_up(
        &self,
        node: NodeId,
        request: GiveUpRequest,
    ) -> BoxFuture<'static, Result<(), ErrorKind>> {
        let ids = request.segment_ids.iter().map(|id| SegmentId::from_slice(id).unwrap());
        self.0.lock().calls.given_up.entry(node).or_default().extend(ids);
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_out(&self, node: NodeId) -> bool {
        self.0.lock().out.contains(&node)
    }
}

impl BulkRead for MemoryNodes {
    fn read(
        &self,
        node: NodeId,
        segment: SegmentId,
        ranges: Vec<Span>,
    ) -> BoxFuture<'static, Result<Chunks, bulk::Error>> {
        let nodes = self.clone();
        nodes.0.lock().calls.reads += 1;
        Box::pin(async move {
            let read = |(range, span)| {
                let bytes = nodes.read_one(node, segment, span)?;
                Some(Ok(Chunk { range, bytes }))
            };
            let chunks: Option<Vec<_>> = ranges.into_iter().enumerate().map(read).collect();
            let kind = ErrorKind::NotFound;
            let missing = bulk::Error::Refused { node, kind, message: String::new() };
            Ok(futures::stream::iter(chunks.ok_or(missing)?).boxed())
        })
    }
}

/// Everything that taking in a pack works with, in memory and a folder of its own.
pub(crate) struct Rig {
    pub(crate) nodes: MemoryNodes,
    pub(crate) context: Context,
    pub(crate) folder: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With settings of its own.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path().to_owned());
        config.spool_bytes_max = 128 * MIB;
        change(&mut config);
        let nodes = MemoryNodes::default();
        let wait = config.budget_wait;
        let context = Context {
            reader: Reader::new(Arc::new(nodes.clone()), Options::default()),
            storage: Arc::new(nodes.clone()),
            cluster: ClusterId([9; 16]),
            entropy: SeededEntropy::new(7),
            clock: SystemClock::new(),
            spool_budget: ByteBudget::new("spool", config.spool_bytes_max, wait),
            memory_budget: ByteBudget::new("push memory", config.push_memory_bytes_max, wait),
            config,
        };
        Self { nodes, context, folder }
    }

    /// Whether disk and memory of all pushes are free again.
    pub(crate) fn is_free(&self) -> bool {
        let config = &self.context.config;
        self.context.spool_budget.available() == config.spool_bytes_max
            && self.context.memory_budget.available() == config.push_memory_bytes_max
    }
}

/// A layout of `count` object nodes, all up, with ids from 1.
pub(crate) fn layout(copies: u32, count: u64) -> control::Layout {
    let node = |id| control::Node {
        id,
        roles: vec!["object".to_owned()],
        weight: 1,
        state: 2,
        in_ring: true,
        ..control::Node::default()
    };
    let nodes = (1..=count).map(node).collect();
    control::Layout { epoch: 1, replication_factor: copies, nodes, partitions: Vec::new() }
}

/// A repository with these packs.
pub(crate) fn view(version: u64, packs: Vec<Pack>) -> Arc<View> {
    Arc::new(View {
        refs_version: Version(version),
        manifest_version: Version(version),
        drop_counter: 1,
        head: RefName::branch("main").unwrap(),
        refs: Arc::new(Refs::default()),
        packs: Arc::new(packs.into_iter().map(Arc::new).collect()),
    })
}

pub(crate) fn origins(number: u64) -> Origins {
    Origins {
        repo: RepoId(5),
        partition: PartitionId(3),
        session: SessionId(40),
        number: PushNumber(number),
    }
}

/// An input that gives `pieces` one by one and then ends.
pub(crate) fn input_of(pieces: Vec<Bytes>) -> Input {
    let pieces = futures::stream::iter(pieces.into_iter().map(io::Result::Ok));
    Input::new(pieces.boxed(), Duration::from_secs(60), u64::MAX)
}

/// An input that gives `pieces` and then nothing, as a client that waits.
pub(crate) fn waiting_input(pieces: Vec<Bytes>) -> Input {
    silent_input(pieces, Duration::from_secs(60))
}

/// The same, cut when it was silent for `idle`. Time that is paused would not pass: the
/// scanner's thread waits too.
pub(crate) fn silent_input(pieces: Vec<Bytes>, idle: Duration) -> Input {
    let pieces = futures::stream::iter(pieces.into_iter().map(io::Result::Ok));
    let waiting = pieces.chain(futures::stream::pending());
    Input::new(waiting.boxed(), idle, u64::MAX)
}

/// A small history: blobs, trees and commits on top of one another.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// All objects, parents before children.
    pub(crate) objects: Vec<(ObjectKind, Vec<u8>)>,
    pub(crate) commits: Vec<ObjectId>,
    pub(crate) trees: Vec<ObjectId>,
    pub(crate) blobs: Vec<ObjectId>,
}

impl History {
    /// `count` commits in a line; each changes the one file and keeps another.
    pub(crate) fn line(count: usize) -> Self {
        let mut history = Self::default();
        let kept = history.add(ObjectKind::Blob, b"kept\n".to_vec());
        for number in 0..count {
            let text = format!("version {number}\n{}", "same\n".repeat(20));
            let blob = history.add(ObjectKind::Blob, text.into_bytes());
            let content = tree(&[("100644", b"file", blob), ("100644", b"kept", kept)]);
            let root = history.add(ObjectKind::Tree, content);
            let parents: Vec<ObjectId> = history.commits.last().copied().into_iter().collect();
            let content = commit(&root, &parents, &format!("commit {number}\n"));
            let id = history.add(ObjectKind::Commit, content);
            history.blobs.push(blob);
            history.trees.push(root);
            history.commits.push(id);
        }
        history
    }

    pub(crate) fn add(&mut self, kind: ObjectKind, content: Vec<u8>) -> ObjectId {
        let id = id_of(SHA1, kind, &content);
        self.objects.push((kind, content));
        id
    }

    pub(crate) fn tip(&self) -> ObjectId {
        *self.commits.last().unwrap()
    }

    pub(crate) fn content(&self, id: &ObjectId) -> &[u8] {
        let found = self.objects.iter().find(|(kind, content)| id_of(SHA1, *kind, content) == *id);
        &found.unwrap().1
    }

    /// A pack of the objects from number `from` on, all whole.
    pub(crate) fn pack_from(&self, from: usize) -> Bytes {
        let whole = |pack: PackBuilder, (kind, content): &(ObjectKind, Vec<u8>)| {
            pack.object(*kind, content)
        };
        self.objects[from..].iter().fold(PackBuilder::new(SHA1), whole).build().into()
    }

    pub(crate) fn pack(&self) -> Bytes {
        self.pack_from(0)
    }
}

/// A pack taken in for a repository at some version.
pub(crate) struct Taken {
    pub(crate) intake: Intake,
    /// Holds its memory.
    _arrived: Arrived,
    pub(crate) view: Arc<View>,
}

impl Taken {
    /// Its objects.
    pub(crate) fn ids(&self) -> BTreeSet<ObjectId> {
        self.intake.checked.resolved.iter().map(|object| object.id).collect()
    }

    /// The same, of a pack that has none of them twice (S8).
    pub(crate) fn ids_each_once(&self) -> BTreeSet<ObjectId> {
        assert!(self.intake.checked.resolved.duplicates().is_empty(), "an object came twice");
        self.ids()
    }
}

impl Rig {
    pub(crate) fn against(&self, view: &Arc<View>) -> Against<'_> {
        Against { context: &self.context, format: SHA1, view: Arc::clone(view) }
    }

    /// Receives and checks `pack`, whose push moves refs to `tips`.
    pub(crate) async fn take(
        &self,
        view: &Arc<View>,
        pack: Bytes,
        tips: &[ObjectId],
    ) -> Result<Taken, Error> {
        let mut input = input_of(vec![pack]);
        let rounds = Rounds::Stateless;
        let mut arrived =
            super::receive(&self.context, SHA1, &mut input, Bytes::new(), rounds).await?;
        let intake = Intake::check(&self.against(view), &mut arrived, tips).await?;
        Ok(Taken { intake, _arrived: arrived, view: Arc::clone(view) })
    }

    /// Stores what was taken in on one node; the manifest row.
    pub(crate) async fn store(&self, taken: &Taken, copies: Copies) -> Result<Pack, Error> {
        let against = self.against(&taken.view);
        let ground = Arc::new(taken.intake.survey(&against, copies).await?);
        let placement = Placement::new(&layout(1, 1), 1)?;
        let origins = origins(1);
        let begun = origins.begin(&self.context.storage);
        let shelf = Shelf { placement: &placement, origins, begun: &begun };
        let stock = taken.intake.store(&against, &ground, &shelf).await?;
        begun.sent();
        Ok(stock.row().clone())
    }

    /// Takes in and stores a pack.
    pub(crate) async fn put(
        &self,
        view: &Arc<View>,
        pack: Bytes,
        tips: &[ObjectId],
    ) -> Result<Pack, Error> {
        let taken = self.take(view, pack, tips).await?;
        self.store(&taken, Copies::Shadowed).await
    }
}
