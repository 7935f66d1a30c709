//! Group commit: one thread writes the batches of many callers and makes them durable
//! with one sync (S4, S13; design §6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gitstratum_core::{Clock, ErrorKind};
use gitstratum_process::{Task, failpoint, is_in_line, spawn};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::engine::{self, Batch, Durability, Engine};

/// What is called, on the commit thread, once a batch is written or has failed. It must
/// not block: every other batch waits for it.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Batches of which none may be there without those before it, as the entries of a log:
/// after one that failed, the others that were queued behind it are refused, though the
/// engine may take writes again by then.
#[derive(Clone, Debug, Default)]
pub struct Lane(Arc<AtomicBool>);

impl Lane {
    fn has_failed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn fail(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Limits of a [`Committer`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Batches that may wait; more make their callers wait.
    pub queue_max: usize,
    /// Bytes after which a group takes no further batch.
    pub group_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { queue_max: 1_024, group_bytes_max: 16 << 20 }
    }
}

/// Why a batch is not known to be written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed. Whether the batch will be there after a restart is unknown.
    #[error("could not commit: {0}")]
    Engine(#[source] engine::Error),
    /// An earlier batch of the same lane failed; this one was not written.
    #[error("could not commit: an earlier batch of the same log failed")]
    Earlier,
    /// The committer has stopped; the batch was not written unless it was taken before.
    #[error("committer has stopped")]
    Stopped,
    /// The thread could not be started.
    #[error("could not start the commit thread: {0}")]
    Thread(#[source] Arc<std::io::Error>),
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Engine(error) => error.kind(),
            Self::Earlier | Self::Stopped | Self::Thread(_) => ErrorKind::Unavailable,
        }
    }
}

/// What the thread has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Syncs done: each is one fdatasync of the log.
    pub syncs_total: u64,
    /// Batches written.
    pub batches_total: u64,
    /// Bytes of their keys and values.
    pub bytes_total: u64,
    /// Time spent in syncs.
    pub sync_time_total: Duration,
    /// Time that the last sync took.
    pub sync_time_last: Duration,
    /// How long the sync that is running has been running.
    pub syncing_for: Option<Duration>,
    /// Batches in the queue.
    pub waiting: u64,
}

/// Writes batches in the order they were submitted and syncs once for all that wait.
pub struct Committer {
    sender: Mutex<Option<mpsc::Sender<Job>>>,
    counters: Arc<Counters>,
    writing: Mutex<Option<Writing>>,
}

/// Who writes.
enum Writing {
    Thread(JoinHandle<()>),
    /// Where one thread runs everything.
    Task(Task<()>),
}

impl Writing {
    /// Waits for a thread; a task ends by itself, once nothing waits any more.
    fn end(self) -> std::thread::Result<()> {
        match self {
            Self::Thread(thread) => thread.join(),
            Self::Task(task) => {
                task.detach();
                Ok(())
            }
        }
    }
}

struct Job {
    lane: Lane,
    batch: Batch,
    durability: Durability,
    done: Done,
}

struct Counters {
    clock: Arc<dyn Clock>,
    syncs: AtomicU64,
    batches: AtomicU64,
    bytes: AtomicU64,
    sync_nanos_total: AtomicU64,
    sync_nanos_last: AtomicU64,
    /// Monotonic nanoseconds at which the running sync began; 0 if none runs.
    sync_began: AtomicU64,
}

impl Committer {
    /// Starts the thread over `engine`. It ends when the committer is stopped or dropped.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub fn start(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Result<Arc<Self>, Error> {
        let (sender, receiver) = mpsc::channel(config.queue_max);
        let counters = Arc::new(Counters::new(clock));
        let writer = Writer {
            engine,
            receiver,
            counters: Arc::clone(&counters),
            group_bytes_max: config.group_bytes_max,
        };
        let writing = match is_in_line() {
            true => Writing::Task(spawn("commit", writer.run_in_line())),
            false => Writing::Thread(
                std::thread::Builder::new()
                    .name("commit".to_owned())
                    .spawn(move || writer.run())
                    .map_err(|error| Error::Thread(Arc::new(error)))?,
            ),
        };
        Ok(Arc::new(Self {
            sender: Mutex::new(Some(sender)),
            counters,
            writing: Mutex::new(Some(writing)),
        }))
    }

    /// Writes `batch`, which stands for itself, and returns once it is as durable as asked.
    ///
    /// # Errors
    /// [`Error::Engine`], [`Error::Stopped`].
    pub async fn commit(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        self.commit_in(&Lane::default(), batch, durability).await
    }

    /// The same for a batch of `lane`.
    ///
    /// # Errors
    /// As [`Committer::commit`], and [`Error::Earlier`].
    pub async fn commit_in(
        &self,
        lane: &Lane,
        batch: Batch,
        durability: Durability,
    ) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let done: Done = Box::new(move |result| drop(answer.send(result)));
        self.submit(lane, batch, durability, done).await?;
        answered.await.unwrap_or(Err(Error::Stopped))
    }

    /// Queues `batch` of `lane` behind all submitted before and returns; `done` is called once
    /// it is as durable as asked, or failed. Waits while the queue is full.
    ///
    /// # Errors
    /// [`Error::Stopped`]; then `done` is not called.
    pub async fn submit(
        &self,
        lane: &Lane,
        batch: Batch,
        durability: Durability,
        done: Done,
    ) -> Result<(), Error> {
        let sender = self.sender.lock().clone().ok_or(Error::Stopped)?;
        let job = Job { lane: lane.clone(), batch, durability, done };
        sender.send(job).await.map_err(|_| Error::Stopped)
    }

    /// What the thread has done so far.
    pub fn stats(&self) -> Stats {
        let waiting = self
            .sender
            .lock()
            .as_ref()
            .map_or(0, |sender| sender.max_capacity() - sender.capacity());
        Stats { waiting: waiting as u64, ..self.counters.stats() }
    }

    /// Takes no more batches, writes those that wait and ends the thread. Blocks.
    pub fn stop(&self) {
        drop(self.sender.lock().take());
        let writing = self.writing.lock().take();
        if let Some(writing) = writing
            && writing.end().is_err()
        {
            tracing::error!("commit thread panicked");
        }
    }
}

struct Writer {
    engine: Arc<dyn Engine>,
    receiver: mpsc::Receiver<Job>,
    counters: Arc<Counters>,
    group_bytes_max: usize,
}

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.receiver.blocking_recv() {
            let group = self.gather(first);
            if let Some(written) = self.write(group) {
                self.make_durable(written);
            }
        }
    }

    /// The same in a task, with the time that a sync is to take.
    async fn run_in_line(mut self) {
        while let Some(first) = self.receiver.recv().await {
            let group = self.gather(first);
            if let Some(written) = self.write(group) {
                tokio::time::sleep(self.engine.sync_takes()).await;
                self.make_durable(written);
            }
        }
    }

    /// `first` and what else waits, as far as the limit allows.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = first.batch.byte_count();
        let mut group = vec![first];
        while bytes < self.group_bytes_max {
            let Ok(job) = self.receiver.try_recv() else { break };
            bytes += job.batch.byte_count();
            group.push(job);
        }
        group
    }

    /// Writes them and answers those who wait for no sync; returns the others.
    fn write(&self, group: Vec<Job>) -> Option<Written> {
        let (refused, group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|job| job.lane.has_failed());
        refused.into_iter().for_each(|job| (job.done)(Err(Error::Earlier)));
        if group.is_empty() {
            return None;
        }
        let mut merged = Batch::new();
        let mut waiting = Vec::with_capacity(group.len());
        self.counters.batches.fetch_add(group.len() as u64, Ordering::Relaxed);
        for Job { lane, batch, durability, done } in group {
            merged.append(batch);
            waiting.push(Waiting { lane, durability, done });
        }
        self.counters.bytes.fetch_add(merged.byte_count() as u64, Ordering::Relaxed);
        let written = self.engine.write(merged, Durability::Buffered).map_err(Error::Engine);
        let (synced, buffered): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|each| each.durability == Durability::Synced);
        answer(buffered, &written);
        (!synced.is_empty()).then_some(Written { waiting: synced, result: written })
    }

    fn make_durable(&self, written: Written) {
        let result = written.result.and_then(|()| self.sync());
        answer(written.waiting, &result);
    }

    fn sync(&self) -> Result<(), Error> {
        failpoint!("store.commit.before_sync");
        self.counters.begin_sync();
        let result = self.engine.sync().map_err(Error::Engine);
        self.counters.end_sync();
        failpoint!("store.commit.after_sync");
        result
    }
}

/// Batches that are written and have to be durable.
struct Written {
    waiting: Vec<Waiting>,
    result: Result<(), Error>,
}

/// Who waits for a written batch.
struct Waiting {
    lane: Lane,
    durability: Durability,
    done: Done,
}

fn answer(waiting: Vec<Waiting>, result: &Result<(), Error>) {
    if result.is_err() {
        waiting.iter().for_each(|each| each.lane.fail());
    }
    for each in waiting {
        (each.done)(result.clone());
    }
}

impl Counters {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            syncs: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            sync_nanos_total: AtomicU64::new(0),
            sync_nanos_last: AtomicU64::new(0),
            sync_began: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    fn begin_sync(&self) {
        self.sync_began.store(self.now().max(1), Ordering::Relaxed);
    }

    fn end_sync(&self) {
        let took = self.now().saturating_sub(self.sync_began.swap(0, Ordering::Relaxed));
        self.sync_nanos_last.store(took, Ordering::Relaxed);
        self.sync_nanos_total.fetch_add(took, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    fn stats(&self) -> Stats {
        let began = self.sync_began.load(Ordering::Relaxed);
        let syncing = (began > 0).then(|| Duration::from_nanos(self.now().saturating_sub(began)));
        Stats {
            syncs_total: self.syncs.load(Ordering::Relaxed),
            batches_total: self.batches.load(Ordering::Relaxed),
            bytes_total: self.bytes.load(Ordering::Relaxed),
            sync_time_total: Duration::from_nanos(self.sync_nanos_total.load(Ordering::Relaxed)),
            sync_time_last: Duration::from_nanos(self.sync_nanos_last.load(Ordering::Relaxed)),
            syncing_for: syncing,
            waiting: 0,
        }
    }
}

#[cfg(test)]
mod tests;
