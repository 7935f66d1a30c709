//! One object node and a client of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use gitstratum_client::bulk::{BulkRead, Client, Error, Span, Written};
use gitstratum_client::copies::ObjectNodes;
use gitstratum_client::grpc;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{
    ClusterId, Incarnation, NodeId, ObjectFormat, PackId, PartitionId, ProcessRole, PushNumber,
    RepoId, SeededEntropy, SegmentId, SessionId, SystemClock,
};
use gitstratum_git::segment::{Cipher, Header, KeyId, Kind, Origin, Writer};
use gitstratum_identity::{LocalNetwork, Peer, Service as Port};
use gitstratum_object::{Config, Deps, FAMILIES, Service};
use gitstratum_process::{Drain, DrainTrigger, Metrics, Task, spawn};
use gitstratum_proto::object::v1::object_client::ObjectClient;
use gitstratum_proto::object::v1::{PullRequest, PullResponse};
use gitstratum_store::files::{read_whole, write_atomically};
use gitstratum_store::{
    Batch, Committer, Durability, Engine, Family, Files, MemoryEngine, MemoryFiles, Permissions,
    Reader as _, SpaceGuard, commit,
};
use tonic::Status;

use crate::partition as scripted;

pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);
pub(crate) const NODE: NodeId = NodeId(1);
/// What a node knows of its segments, as docs/formats/object-rows.md describes it.
pub(crate) const INLINE: Family = Family("segments_inline");
pub(crate) const RECORDS: Family = Family("segment_records");
/// Longest wait for something that goes on behind.
const PATIENCE: Duration = Duration::from_secs(20);

/// The disk of a node: survives its process.
pub(crate) struct Disk {
    pub(crate) files: Arc<MemoryFiles>,
    pub(crate) engine: Arc<MemoryEngine>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self { files: MemoryFiles::new(), engine: MemoryEngine::new(&FAMILIES) }
    }

    /// All power is lost: what was not synced is gone.
    pub(crate) fn crash(self) -> Self {
        self.files.crash();
        Self { files: self.files, engine: self.engine.crash() }
    }
}

/// A running node.
pub(crate) struct World {
    pub(crate) node: NodeId,
    pub(crate) network: LocalNetwork,
    partitions: scripted::Partitions,
    pub(crate) metrics: Metrics,
    stop: DrainTrigger,
    running: Task<Result<(), gitstratum_object::Error>>,
}

impl World {
    pub(crate) async fn start(disk: &Disk) -> Self {
        Self::start_on(Arc::clone(&disk.files) as _, Arc::clone(&disk.engine) as _).await
    }

    pub(crate) async fn start_on(files: Arc<dyn Files>, engine: Arc<dyn Engine>) -> Self {
        Self::start_before(&scripted::Partitions::default(), (files, engine), |config| config).await
    }

    /// A node before partitions whose answers a test writes, configured as it likes.
    pub(crate) async fn start_before(
        partitions: &scripted::Partitions,
        (files, engine): (Arc<dyn Files>, Arc<dyn Engine>),
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let network = LocalNetwork::new();
        partitions.serve(&network);
        Self::start_as((NODE, network, partitions), (files, engine), change).await
    }

    /// Another node beside this one.
    pub(crate) async fn start_beside(&self, node: NodeId, disk: &Disk) -> Self {
        let (files, engine) = (Arc::clone(&disk.files), Arc::clone(&disk.engine));
        self.start_beside_on(node, files, engine).await
    }

    pub(crate) async fn start_beside_on(
        &self,
        node: NodeId,
        files: Arc<dyn Files>,
        engine: Arc<dyn Engine>,
    ) -> Self {
        let beside = (node, self.network.clone(), &self.partitions);
        Self::start_as(beside, (files, engine), |config| config).await
    }

    /// The same, not waiting until the partitions have admitted it.
    pub(crate) async fn begin_before(
        partitions: &scripted::Partitions,
        (files, engine): (Arc<dyn Files>, Arc<dyn Engine>),
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let network = LocalNetwork::new();
        partitions.serve(&network);
        Self::begin_as((NODE, network, partitions), (files, engine), change).await
    }

    async fn start_as(
        (node, network, partitions): (NodeId, LocalNetwork, &scripted::Partitions),
        (files, engine): (Arc<dyn Files>, Arc<dyn Engine>),
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let begun = Self::begin_as((node, network, partitions), (files, engine), change).await;
        partitions.admitted(node).await;
        begun
    }

    async fn begin_as(
        (node, network, partitions): (NodeId, LocalNetwork, &scripted::Partitions),
        (files, engine): (Arc<dyn Files>, Arc<dyn Engine>),
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let (clock, metrics) = (SystemClock::new(), Metrics::new());
        let (stop, drain) = Drain::new();
        let directory = PathBuf::from("/segments");
        let parent = PathBuf::from("/");
        let space = SpaceGuard::new(Arc::clone(&files), parent, 0, Arc::clone(&clock) as _);
        let dialer = network.dialer(Peer { cluster: CLUSTER, role: ProcessRole::Object, node });
        let deps = Deps {
            node,
            cluster: CLUSTER,
            incarnation: Incarnation(3),
            files,
            committer: Committer::start(
                Arc::clone(&engine),
                Arc::clone(&clock) as _,
                commit::Config::default(),
            )
            .unwrap(),
            engine,
            clock,
            entropy: SeededEntropy::new(1),
            space: Arc::new(space),
            partitions: Partitions::new(Arc::clone(&dialer), scripted::Partitions::feed()),
            peers: Client::new(Arc::clone(&dialer)),
            others: ObjectNodes::new(dialer),
            feed: scripted::Partitions::feed(),
            metrics: metrics.clone(),
        };
        let config = change(Config::new(directory));
        let service = Service::open(config, deps).await.unwrap();
        let control = network.listen(node, Port::Object, 16, drain.clone()).unwrap();
        let bulk = network.listen(node, Port::Bulk, 64, drain.clone()).unwrap();
        let running = spawn("object node", service.run(control, bulk, drain));
        let partitions = partitions.clone();
        Self { node, network, partitions, metrics, stop, running }
    }

    pub(crate) async fn stop(self) {
        self.stop.start();
        self.running.await.unwrap().unwrap();
    }

    /// What the service ends with by itself.
    pub(crate) async fn ended(self) -> gitstratum_object::Error {
        self.running.await.unwrap().expect_err("because it was not stopped")
    }

    /// A figure of the node, as it is told.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let told = self.metrics.render();
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |figure| figure.parse().unwrap())
    }

    pub(crate) fn client(&self, role: ProcessRole) -> Client {
        Client::new(self.network.dialer(Peer { cluster: CLUSTER, role, node: NODE }))
    }

    pub(crate) async fn write(&self, segment: &Made) -> Result<Written, Error> {
        let pieces = segment.bytes.chunks(100_000).map(Bytes::copy_from_slice).collect::<Vec<_>>();
        let body = futures::stream::iter(pieces).boxed();
        self.client(ProcessRole::Frontend).write(self.node, segment.id, body).await
    }

    /// Calls of a process of `role` to this node.
    pub(crate) fn calls(&self, role: ProcessRole) -> ObjectClient<grpc::Channel> {
        let dialer = self.network.dialer(Peer { cluster: CLUSTER, role, node: NODE });
        ObjectClient::new(grpc::channel(dialer, self.node, Port::Object))
    }

    /// Asks this node to copy a segment from `from`, by the owner list with number `list`.
    pub(crate) async fn pull(
        &self,
        segment: SegmentId,
        from: &[NodeId],
        list: u64,
    ) -> Result<PullResponse, Status> {
        let request = PullRequest {
            partition: 0,
            term: 1,
            segment_id: segment.0.to_vec().into(),
            from: from.iter().map(|node| node.0).collect(),
            list_number: list,
        };
        self.calls(ProcessRole::Metadata).pull(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn read(&self, segment: SegmentId, span: Span) -> Result<Bytes, Error> {
        let client = self.client(ProcessRole::Frontend);
        let chunks = client.read(self.node, segment, vec![span]).await?;
        let pieces: Vec<_> = chunks.map_ok(|chunk| chunk.bytes).try_collect().await?;
        Ok(pieces.concat().into())
    }
}

/// A whole segment.
pub(crate) struct Made {
    pub(crate) id: SegmentId,
    pub(crate) entries: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// A segment of `length` bytes of entries.
pub(crate) fn segment(byte: u8, length: usize, cluster: ClusterId) -> Made {
    segment_by(
        byte,
        (length, cluster),
        Origin::Push { session: SessionId(4), number: PushNumber(6) },
    )
}

/// The same, made by whom `origin` says.
pub(crate) fn segment_by(byte: u8, (length, cluster): (usize, ClusterId), origin: Origin) -> Made {
    let id = SegmentId([byte; 16]);
    let entries: Vec<u8> = (0..length).map(|at| (at * 31 + usize::from(byte)) as u8).collect();
    let (mut writer, head) = Writer::new(Header {
        cluster,
        repo: RepoId(5),
        network: RepoId(5),
        pack: PackId([9; 16]),
        segment: id,
        partition: PartitionId(0),
        origin,
        cipher: Cipher::None,
        key: KeyId::default(),
        object_format: ObjectFormat::Sha1,
        kind: Kind::Pack,
        pack_offset: 12,
    });
    let mut bytes = head.to_vec();
    bytes.extend_from_slice(&writer.write(Bytes::from(entries.clone())).unwrap());
    for piece in writer.finish(Vec::new()).unwrap().tail {
        bytes.extend_from_slice(&piece);
    }
    Made { id, entries, bytes }
}

/// All of its entries.
pub(crate) fn whole(made: &Made) -> Span {
    Span { offset: 0, length: made.entries.len() as u64 }
}

/// Where a node keeps it.
pub(crate) fn path(made: &Made) -> PathBuf {
    let id = made.id.to_string();
    Path::new("/segments").join(&id[..2]).join(format!("{id}.seg"))
}

/// Flips a bit of its file.
pub(crate) fn flip(files: &Arc<MemoryFiles>, made: &Made, at: usize) {
    let mut bytes = read_whole(files.as_ref(), &path(made), u64::MAX).unwrap().to_vec();
    bytes[at] ^= 4;
    write_atomically(files.as_ref(), &path(made), &bytes, Permissions::Private).unwrap();
}

/// The same of a small one, whose bytes are a row.
pub(crate) fn flip_row(disk: &Disk, made: &Made, at: usize) {
    let mut bytes = disk.engine.get(INLINE, &made.id.0).unwrap().unwrap().to_vec();
    bytes[at] ^= 4;
    let mut batch = Batch::new();
    batch.put(INLINE, made.id.0.to_vec(), bytes);
    disk.engine.write(batch, Durability::Synced).unwrap();
}

/// Waits until `is_so`.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came: {what}");
}

/// Whether the disk's record of a segment says that it is listed.
pub(crate) fn is_known(disk: &Disk, made: &Made) -> bool {
    let row = disk.engine.get(RECORDS, &made.id.0).unwrap();
    row.is_some_and(|row| row[1] == 1)
}

/// The disk's record says from now on that the segment is listed.
pub(crate) fn mark_known(disk: &Disk, made: &Made) {
    let mut row = disk.engine.get(RECORDS, &made.id.0).unwrap().unwrap().to_vec();
    row[1] = 1;
    let mut batch = Batch::new();
    batch.put(RECORDS, made.id.0.to_vec(), row);
    disk.engine.write(batch, Durability::Synced).unwrap();
}
