//! The pack comes in: spooled and scanned at once, at the pace of whichever is slowest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{Clock, ObjectFormat};
use gitstratum_git::pack::{self, ByteSource as _, Limits, Scanned, Scanner};
use gitstratum_process::{Task, TaskError, failpoint, spawn};
use tokio::sync::mpsc;

use super::cancel::blocking;
use super::memory::{FIXED_BYTES, Memory, OBJECT_BYTES};
use super::{Context, Error, Spool};
use crate::conversation::{BYTES_PER_SECOND, Input, InputError, Rounds};

/// Pieces of a pack between the connection and the scanner at most.
const PIECES_WAITING_MAX: usize = 4;
/// Most bytes of one piece: a transport may hand over more.
const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Over this span a client in the middle of its pack has to keep its pace (promises §6).
const PACE_SPAN: Duration = Duration::from_secs(30);
/// How long a client may be silent between its commands and its pack: git compresses then,
/// minutes long for a large history.
const BEGINS_WITHIN: Duration = Duration::from_secs(600);

/// A pack on its way in.
pub(super) struct Incoming<'a> {
    /// Where it comes from.
    pub(super) input: &'a mut Input,
    /// Its bytes that came along with the commands.
    pub(super) first: Bytes,
    /// Whether the input ends with the pack.
    pub(super) rounds: Rounds,
}

/// A pack that is here, whole and well-formed.
pub(super) struct Received {
    pub(super) spool: Arc<Spool>,
    pub(super) scanned: Scanned,
}

/// Takes in a pack of `format`.
///
/// # Errors
/// As soon as its bytes cannot be accepted, the client is too slow or the spool too small.
/// Nothing of it is left then; what the client still sends is not read.
pub(super) async fn receive(
    context: &Context,
    incoming: Incoming<'_>,
    format: ObjectFormat,
    memory: &mut Memory,
) -> Result<Received, Error> {
    let Incoming { input, mut first, rounds } = incoming;
    if first.is_empty() {
        first = begin(input, context.clock.as_ref()).await?;
    }
    memory.ensure(FIXED_BYTES).await?;
    let spool = create_spool(context).await?;
    let (pieces, waiting) = mpsc::channel(PIECES_WAITING_MAX);
    let entries = Arc::new(AtomicU64::new(0));
    let worker = Worker {
        spool: Arc::clone(&spool),
        scanner: Scanner::new(format, context.limits()),
        pieces: waiting,
        entries: Arc::clone(&entries),
    };
    let scanning = spawn("pack scan", worker.run());
    let mut feeder = Feeder {
        spool: &spool,
        pieces,
        entries,
        memory,
        pace: Pace::new(Arc::clone(&context.clock)),
        sent: 0,
    };
    let scanned = feeder.feed(input, first, scanning).await?;
    if feeder.sent > scanned.pack_len {
        return Err(Error::pack(pack::Error::TrailingBytes));
    }
    if rounds == Rounds::Stateless {
        expect_end(input).await?;
    }
    spool.shrink_to(scanned.pack_len);
    failpoint!("frontend.ingest.after_spool");
    Ok(Received { spool, scanned })
}

async fn create_spool(context: &Context) -> Result<Arc<Spool>, Error> {
    let (folder, budget) = (context.config.spool.clone(), context.spool_budget.clone());
    let budget_bytes = context.config.spool_bytes_max;
    let made = blocking(move || Spool::create(&folder, budget, budget_bytes)).await?;
    made.map(Arc::new)
}

/// A request that goes on behind its pack is no push (bad input 58).
async fn expect_end(input: &mut Input) -> Result<(), Error> {
    match input.next().await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(Error::pack(pack::Error::TrailingBytes)),
        Err(source) => Err(Error::Input { source }),
    }
}

/// The scanner, which checks what it is given, then writes it.
struct Worker {
    spool: Arc<Spool>,
    scanner: Scanner,
    pieces: mpsc::Receiver<Bytes>,
    /// Entries seen so far, for whoever accounts for their memory.
    entries: Arc<AtomicU64>,
}

impl Worker {
    /// Ends with the pack, with the stream or with the first bad byte.
    async fn run(mut self) -> Result<Scanned, Error> {
        while !self.scanner.is_complete() {
            let mut pieces = Vec::with_capacity(PIECES_WAITING_MAX);
            if self.pieces.recv_many(&mut pieces, PIECES_WAITING_MAX).await == 0 {
                break;
            }
            let (worker, taken) = blocking(move || {
                let taken = self.take(&pieces);
                (self, taken)
            })
            .await?;
            taken?;
            self = worker;
        }
        self.scanner.finish().map_err(Error::pack)
    }

    /// Pieces behind the pack's end are left: whoever sent them sees that.
    fn take(&mut self, pieces: &[Bytes]) -> Result<(), Error> {
        for piece in pieces {
            if self.scanner.is_complete() {
                break;
            }
            let offset = self.scanner.position();
            self.scanner.push(piece).map_err(Error::pack)?;
            self.entries.store(self.scanner.entries().len() as u64, Ordering::Relaxed);
            self.spool.write_at(offset, piece)?;
        }
        Ok(())
    }
}

/// The first bytes of a pack, none at the end of the input. Nothing is held meanwhile.
async fn begin(input: &mut Input, clock: &dyn Clock) -> Result<Bytes, Error> {
    let until = clock.monotonic() + BEGINS_WITHIN;
    loop {
        match input.next().await {
            Ok(bytes) => return Ok(bytes.unwrap_or_default()),
            Err(InputError::Idle { .. }) if clock.monotonic() < until => {}
            Err(source) => return Err(Error::Input { source }),
        }
    }
}

type Scanning = Task<Result<Scanned, Error>>;

/// Hands the connection's bytes to the scanner.
struct Feeder<'a> {
    spool: &'a Spool,
    pieces: mpsc::Sender<Bytes>,
    entries: Arc<AtomicU64>,
    memory: &'a mut Memory,
    pace: Pace,
    sent: u64,
}

impl Feeder<'_> {
    async fn feed(
        &mut self,
        input: &mut Input,
        first: Bytes,
        mut scanning: Scanning,
    ) -> Result<Scanned, Error> {
        let mut next = Some(first).filter(|first| !first.is_empty());
        loop {
            if let Some(bytes) = next.take() {
                self.pace.note(bytes.len() as u64)?;
                if let Some(done) = self.hand_over(bytes, &mut scanning).await? {
                    return Ok(done);
                }
            }
            let read = tokio::select! {
                biased;
                done = &mut scanning => return finished(done),
                read = input.next() => read,
            };
            match read.map_err(|source| Error::Input { source })? {
                Some(bytes) => next = Some(bytes),
                None => return self.end(scanning).await,
            }
        }
    }

    /// Gives `bytes` to the scanner; its result if it has come to an end.
    async fn hand_over(
        &mut self,
        mut bytes: Bytes,
        scanning: &mut Scanning,
    ) -> Result<Option<Scanned>, Error> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX));
            self.sent += piece.len() as u64;
            self.spool.reserve_to(self.sent).await?;
            let records = self.entries.load(Ordering::Relaxed) * OBJECT_BYTES;
            self.memory.ensure(FIXED_BYTES + records).await?;
            if self.pieces.send(piece).await.is_err() {
                // The scanner has seen the end or a fault before this piece.
                return finished(scanning.await).map(Some);
            }
        }
        Ok(None)
    }

    /// The connection has nothing more: what the scanner makes of it.
    async fn end(&mut self, scanning: Scanning) -> Result<Scanned, Error> {
        let (closed, _) = mpsc::channel(1);
        self.pieces = closed;
        finished(scanning.await)
    }
}

fn finished(done: Result<Result<Scanned, Error>, TaskError>) -> Result<Scanned, Error> {
    done.map_err(|_| Error::Interrupted)?
}

/// Whether a client sends fast enough to be worth its place (bad input 61). The clock starts
/// with the pack's first byte.
struct Pace {
    clock: Arc<dyn Clock>,
    since: Option<Duration>,
    bytes: u64,
}

impl Pace {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, since: None, bytes: 0 }
    }

    fn note(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes += bytes;
        let now = self.clock.monotonic();
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < PACE_SPAN {
            return Ok(());
        }
        if self.bytes < BYTES_PER_SECOND * PACE_SPAN.as_secs() {
            return Err(Error::TooSlow { bytes_per_second: BYTES_PER_SECOND });
        }
        (self.since, self.bytes) = (Some(now), 0);
        Ok(())
    }
}

/// Scans a spooled pack again: what was seen before is not kept, as it is rarely needed.
pub(super) fn rescan(
    spool: &Spool,
    pack_len: u64,
    format: ObjectFormat,
    limits: Limits,
) -> Result<Scanned, Error> {
    let mut scanner = Scanner::new(format, limits);
    let mut piece = vec![0; PIECE_BYTES_MAX];
    while scanner.position() < pack_len {
        let left = usize::try_from(pack_len - scanner.position()).unwrap_or(usize::MAX);
        let piece = &mut piece[..left.min(PIECE_BYTES_MAX)];
        spool
            .read_at(scanner.position(), piece)
            .map_err(|source| Error::Spool { action: "reading", source })?;
        scanner.push(piece).map_err(Error::pack)?;
    }
    scanner.finish().map_err(Error::pack)
}

#[cfg(test)]
mod tests;
