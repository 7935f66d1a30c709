//! The state machine as openraft drives it: applies entries, hands out and installs
//! snapshots.

mod drive;
mod position;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use gitstratum_process::failpoint;
use gitstratum_store::{Batch, Durability, Engine, KeyRange};
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::command::Opaque;
use crate::error::{Error, MachineError};
use crate::group::Failure;
use crate::id::{GroupId, LogIndex};
use crate::machine::{Changes, State, StateMachine, StateWriter, write_changes};
use crate::meta::{self, META, Record, STATE};
use crate::raft::{Entry, LogId, SnapshotMeta, StoredMembership, Types};
use crate::snapshot::{self, Received, Receiver, Snapshot, Source};
use crate::wire;
use position::{Position, put_position, read_position};

pub(crate) use drive::Applier;

pub(crate) type OpenraftSnapshot = openraft::alias::SnapshotOf<Types, Snapshot>;

/// The state machine of a group and its place in the log.
pub(crate) struct Applied<M> {
    pub(crate) group: GroupId,
    pub(crate) engine: Arc<dyn Engine>,
    failure: Failure,
    snapshot_chunk_bytes: usize,
    inner: RwLock<Inner<M>>,
    /// The generation given to a snapshot last, so that no two share one.
    generation_given: AtomicU64,
    /// The index applied last, for those who wait for it.
    index: watch::Sender<Option<LogIndex>>,
}

struct Inner<M> {
    machine: M,
    position: Position,
    /// Set once the group has stopped: a later batch could overwrite what the group wrote
    /// after it was opened again.
    closed: bool,
}

impl<M: StateMachine> Applied<M> {
    /// Reads the group's position and lets `machine` load its state. Blocks.
    pub(crate) fn open(
        group: GroupId,
        engine: Arc<dyn Engine>,
        failure: Failure,
        snapshot_chunk_bytes: usize,
        machine: M,
    ) -> Result<Self, Error> {
        let record = Record::Position;
        let sealed = engine
            .get(META, &record.key(group))
            .map_err(|source| Error::Engine { group, source })?;
        let position = match sealed {
            Some(sealed) => read_position(group, record.open(group, &sealed)?)?,
            None => Position::default(),
        };
        let index = watch::Sender::new(position.applied.map(|id| LogIndex(id.index)));
        let generation_given = AtomicU64::new(position.generation);
        let own = position.generation;
        let inner = RwLock::new(Inner { machine, position, closed: false });
        let applied =
            Self { group, engine, failure, snapshot_chunk_bytes, inner, generation_given, index };
        applied.remove_generations_below(own)?;
        applied.remove_rows(meta::generations_from(group, own + 1))?;
        applied.load(&mut applied.inner.write())?;
        Ok(applied)
    }

    /// Whether the disk has room for new work.
    pub(crate) fn admit(&self) -> Result<(), gitstratum_store::engine::Error> {
        self.engine.admit()
    }

    /// The index applied last; changes are told.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<LogIndex>> {
        self.index.subscribe()
    }

    /// Runs `read` on the machine and the rows that belong to it. Blocks while entries
    /// are applied.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&M, &State<'_>) -> R) -> R {
        let inner = self.inner.read();
        read(&inner.machine, &self.state(&inner.position))
    }

    /// A hash of all rows, and the index they belong to. Blocks, but holds up no writer.
    pub(crate) fn hash(&self) -> Result<(LogIndex, Bytes), Error> {
        let group = self.group;
        let mut found = Ok((LogIndex(0), Bytes::new()));
        let viewed = self.engine.view(&mut |view| {
            let Some(sealed) = view.get(META, &Record::Position.key(group))? else {
                return Ok(());
            };
            found = match Record::Position.open::<wire::Position>(group, &sealed) {
                Ok(position) => {
                    let index = position.applied.map_or(0, |id| id.index);
                    let end = snapshot::digest(view, group, position.generation)?;
                    Ok((LogIndex(index), end.digest))
                }
                Err(error) => Err(error),
            };
            Ok(())
        });
        viewed.map_err(|source| Error::Engine { group, source })?;
        found
    }

    /// Waits for the batch under way, if any, and takes no more.
    pub(crate) async fn close(self: &Arc<Self>) {
        let applied = Arc::clone(self);
        let closed = gitstratum_process::blocking(move || applied.inner.write().closed = true);
        if let Err(panic) = closed.await {
            tracing::error!(%panic, group = %self.group, "state machine could not be closed");
        }
    }

    fn check_open(&self, inner: &Inner<M>) -> Result<(), Error> {
        if inner.closed {
            return Err(Error::Stopped { group: self.group, cause: self.failure.cause() });
        }
        Ok(())
    }

    /// What was applied last, and the membership then.
    fn position(&self) -> (Option<LogId>, StoredMembership) {
        let position = self.inner.read().position.clone();
        (position.applied, position.membership)
    }

    /// Begins to take a snapshot from a peer.
    pub(crate) fn receive(&self) -> Receiver {
        let generation = self.generation_given.fetch_add(1, Ordering::SeqCst) + 1;
        Receiver::new(self.group, Arc::clone(&self.engine), generation)
    }

    /// Whether the rows of `generation` are the state.
    pub(crate) fn is_generation(&self, generation: u64) -> bool {
        self.inner.read().position.generation == generation
    }

    /// A received snapshot as openraft wants it.
    pub(crate) fn offer(&self, received: Received) -> Result<OpenraftSnapshot, Error> {
        let position = read_position(self.group, received.position.clone())?;
        let meta =
            SnapshotMeta { last_log_id: position.applied, last_membership: position.membership };
        Ok(OpenraftSnapshot { meta, snapshot: Snapshot::Received(received) })
    }

    fn state(&self, position: &Position) -> State<'_> {
        State::new(&*self.engine, meta::state_prefix(self.group, position.generation))
    }

    fn load(&self, inner: &mut Inner<M>) -> Result<(), Error> {
        let state = self.state(&inner.position);
        let loaded = inner.machine.load(&state);
        loaded.map_err(|source| self.machine_error(inner.position.applied, source))
    }

    fn machine_error(&self, at: Option<LogId>, source: MachineError) -> Error {
        let index = LogIndex(at.map_or(0, |id| id.index));
        Error::Machine { group: self.group, index, source }
    }

    /// Removes the rows of states that a snapshot has replaced, and of snapshots that
    /// never became the state.
    fn remove_generations_below(&self, generation: u64) -> Result<(), Error> {
        let first = meta::state_prefix(self.group, 0);
        let own = meta::state_prefix(self.group, generation);
        self.remove_rows(KeyRange::between(first, own))
    }

    fn remove_rows(&self, range: KeyRange) -> Result<(), Error> {
        let found = self.engine.scan(STATE, &range, 1);
        let found = found.map_err(|source| Error::Engine { group: self.group, source })?;
        if found.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.delete_range(STATE, range);
        self.write(batch, Durability::Buffered)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let written = self.engine.write(batch, durability);
        written.map_err(|source| Error::Engine { group: self.group, source })
    }

    /// Applies `entries` and writes their changes, the index and the membership in one
    /// batch (S40). The machine is locked until the batch is visible, so that readers see
    /// machine and rows of one index.
    fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Bytes>, Error> {
        let mut inner = self.inner.write();
        self.check_open(&inner)?;
        let mut changes = Changes::default();
        let mut replies = Vec::with_capacity(entries.len());
        let mut position = inner.position.clone();
        for entry in entries {
            let id = entry.log_id();
            let reply = match entry.payload {
                EntryPayload::Blank => Bytes::new(),
                EntryPayload::Normal(Opaque(command)) => {
                    let mut writer = StateWriter::new(self.state(&position), &mut changes);
                    let applied = inner.machine.apply(LogIndex(id.index), &command, &mut writer);
                    applied.map_err(|source| self.machine_error(Some(id), source))?
                }
                EntryPayload::Membership(membership) => {
                    position.membership = StoredMembership::new(Some(id), membership);
                    Bytes::new()
                }
            };
            position.applied = Some(id);
            replies.push(reply);
        }
        failpoint!("consensus.apply.before_write");
        let mut batch = Batch::new();
        write_changes(changes, &meta::state_prefix(self.group, position.generation), &mut batch);
        put_position(self.group, &position, &mut batch);
        self.write(batch, Durability::Buffered)?;
        self.publish(&mut inner, position);
        Ok(replies)
    }

    fn publish(&self, inner: &mut Inner<M>, position: Position) {
        inner.position = position;
        self.index.send_replace(inner.position.applied.map(|id| LogIndex(id.index)));
    }

    /// Makes a received snapshot the state: one synced batch points to its generation,
    /// then the old rows go (S40).
    fn install(&self, received: Received) -> Result<(), Error> {
        let mut position = read_position(self.group, received.position)?;
        position.generation = received.generation;
        let mut inner = self.inner.write();
        self.check_open(&inner)?;
        let mut batch = Batch::new();
        put_position(self.group, &position, &mut batch);
        failpoint!("consensus.snapshot.before_flip");
        self.write(batch, Durability::Synced)?;
        failpoint!("consensus.snapshot.after_flip");
        self.publish(&mut inner, position);
        self.load(&mut inner)?;
        drop(inner);
        failpoint!("consensus.snapshot.before_old_go");
        self.remove_generations_below(received.generation)
    }

    /// Copies a live snapshot of another engine and installs it.
    fn install_from(&self, source: Source) -> Result<(), Error> {
        let mut receiver = self.receive();
        let mut chunks = snapshot::stream(source);
        while let Some(chunk) = chunks.recv_blocking() {
            if let Some(received) = receiver.take(&chunk?)? {
                return self.install(received);
            }
        }
        Err(Error::Snapshot { group: self.group, what: "it ends too early".to_owned() })
    }

    fn snapshot(&self) -> OpenraftSnapshot {
        let position = self.inner.read().position.clone();
        let meta =
            SnapshotMeta { last_log_id: position.applied, last_membership: position.membership };
        let source = Source {
            group: self.group,
            engine: Arc::clone(&self.engine),
            chunk_bytes: self.snapshot_chunk_bytes,
        };
        OpenraftSnapshot { meta, snapshot: Snapshot::Live(source) }
    }
}
