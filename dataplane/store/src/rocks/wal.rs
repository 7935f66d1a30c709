//! Reads RocksDB's write-ahead log before RocksDB does, to tell a torn tail (bytes that
//! were never synced: drop them) from damage (bytes that were: refuse to open).
//!
//! RocksDB's own recovery modes either take every damaged log for a torn tail or refuse
//! every torn tail whose blocks reached the disk in part. The proof that bytes were synced
//! comes from two places: the watermark file, and marks that the engine puts first into a
//! batch, each naming a sequence number up to which all was synced before that batch. Each
//! mark names its engine, too: RocksDB would replay the log of another one as its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::watermark::Kept;
use crate::engine::{Attempt, Error};

/// The key of marks, in the default column family.
pub(super) const MARK_KEY: &[u8] = b"synced";

/// RocksDB's log block: no record crosses its end.
const BLOCK_BYTES: usize = 32 << 10;
/// Checksum (4), length (2), type (1).
const HEADER_BYTES: usize = 7;
/// Sequence number (8), count (4) before the operations of a batch.
const BATCH_HEADER_BYTES: usize = 12;
/// Sequence number (8), engine (8).
const MARK_BYTES: usize = 16;
/// Tag of a put into the default column family.
const PUT_TAG: u8 = 1;

/// What the logs of a directory are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every record is whole.
    Sound,
    /// Records that were never synced are incomplete; all before them are whole.
    Torn,
}

/// The mark that all up to `synced` is durable in `engine`.
pub(super) fn render_mark(synced: u64, engine: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark[..8].copy_from_slice(&synced.to_be_bytes());
    mark[8..].copy_from_slice(&engine.to_be_bytes());
    mark
}

/// Reads all logs of the engine in `directory`, of which `kept` is known to be durable.
///
/// # Errors
/// [`Error::Corrupt`] naming the log in which synced bytes are damaged, or that is not
/// this engine's or not where it belongs.
pub(super) fn examine(directory: &Path, kept: Option<&Kept>) -> Result<Verdict, Error> {
    let mut examination = Examination {
        kept: kept.map_or(0, |kept| kept.sequence),
        engine: kept.map(|kept| kept.engine),
        next: None,
        tear: None,
        newest: PathBuf::new(),
    };
    for path in logs(directory)? {
        let bytes = std::fs::read(&path).map_err(|error| failed(&path, error))?;
        examination.read(&path, &bytes)?;
        examination.newest = path;
    }
    examination.end()?;
    Ok(if examination.tear.is_some() { Verdict::Torn } else { Verdict::Sound })
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::Io { attempt: Attempt::Open, place: path.display().to_string(), source: Arc::new(error) }
}

/// The logs, oldest first.
fn logs(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(directory, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(directory, error))?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (true, Some(number)) = (is_log, number) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

struct Tear {
    path: PathBuf,
    offset: usize,
}

struct Examination {
    kept: u64,
    engine: Option<u64>,
    /// The sequence number after the last whole batch before the tear.
    next: Option<u64>,
    tear: Option<Tear>,
    newest: PathBuf,
}

impl Examination {
    fn read(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut fragments: Option<Vec<u8>> = None;
        for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let mut at = 0;
            while at < block.len() {
                let place = number * BLOCK_BYTES + at;
                match record(&block[at..]) {
                    Record::Trailer => break,
                    Record::Bad => {
                        self.tear_at(path, place)?;
                        fragments = None;
                        at = resume(block, at);
                    }
                    Record::Good { kind, payload } => {
                        at += HEADER_BYTES + payload.len();
                        match assemble(&mut fragments, kind, payload) {
                            Some(Ok(batch)) => self.batch(path, &batch)?,
                            Some(Err(())) => self.tear_at(path, place)?,
                            None => {}
                        }
                    }
                }
            }
        }
        if fragments.is_some() {
            self.tear_at(path, bytes.len())?;
        }
        Ok(())
    }

    fn tear_at(&mut self, path: &Path, offset: usize) -> Result<(), Error> {
        if self.tear.is_none() {
            self.tear = Some(Tear { path: path.to_owned(), offset });
            if self.next.is_some_and(|next| next <= self.kept) {
                return Err(self.damage());
            }
        }
        Ok(())
    }

    /// The newest log ends where the newest batch ends, for logs are dropped oldest first.
    fn end(&self) -> Result<(), Error> {
        match self.next {
            Some(next) if next <= self.kept => {
                let what = format!("it ends before sequence {next}, but {} was synced", self.kept);
                Err(Error::damaged(self.newest.display().to_string(), what))
            }
            _ => Ok(()),
        }
    }

    fn damage(&self) -> Error {
        let (path, offset) =
            self.tear.as_ref().map_or((Path::new(""), 0), |tear| (&tear.path, tear.offset));
        let what = format!("synced records at or behind byte {offset} are damaged");
        Error::damaged(path.display().to_string(), what)
    }

    fn batch(&mut self, path: &Path, batch: &[u8]) -> Result<(), Error> {
        let Some((sequence, count, operations)) = split_batch(batch) else { return Ok(()) };
        let mark = mark(operations);
        let strange = |what| Err(Error::damaged(path.display().to_string(), what));
        if let (Some(own), Some(mark)) = (self.engine, mark)
            && own != mark.engine
        {
            return strange("it is the log of another engine");
        }
        if self.tear.is_none() {
            if self.next.is_some_and(|next| sequence < next) {
                return strange("it is older than the log before it");
            }
            self.next = Some(sequence + count);
            return Ok(());
        }
        // A whole batch behind the tear: was the tear synced before it was written?
        let torn = self.next.unwrap_or_else(|| sequence.saturating_sub(1));
        match mark {
            Some(Mark { synced, .. }) if synced >= torn => Err(self.damage()),
            _ => Ok(()),
        }
    }
}

enum Record<'a> {
    Good {
        kind: u8,
        payload: &'a [u8],
    },
    Bad,
    /// The few zero bytes that fill a block when no header fits.
    Trailer,
}

fn record(block: &[u8]) -> Record<'_> {
    if block.len() < HEADER_BYTES {
        return if block.iter().all(|byte| *byte == 0) { Record::Trailer } else { Record::Bad };
    }
    let (header, rest) = block.split_at(HEADER_BYTES);
    let stored = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let kind = header[6];
    let Some(payload) = rest.get(..length) else { return Record::Bad };
    let sum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), payload);
    if kind == 0 || stored != masked(sum) {
        return Record::Bad;
    }
    Record::Good { kind, payload }
}

/// Where the next whole batch, or the first part of one, begins behind a bad record.
fn resume(block: &[u8], bad: usize) -> usize {
    let begins = |at: &usize| matches!(record(&block[*at..]), Record::Good { kind: 1 | 2, .. });
    (bad + 1..block.len()).find(begins).unwrap_or(block.len())
}

/// RocksDB stores checksums rotated and offset.
fn masked(sum: u32) -> u32 {
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Puts fragments together: `Some(Ok)` is a whole batch, `Some(Err)` a fragment out of
/// place. Kinds: 1 full, 2 first, 3 middle, 4 last; others hold no batch.
fn assemble(
    fragments: &mut Option<Vec<u8>>,
    kind: u8,
    payload: &[u8],
) -> Option<Result<Vec<u8>, ()>> {
    match (kind, fragments.take()) {
        (1, None) => Some(Ok(payload.to_vec())),
        (2, None) => {
            *fragments = Some(payload.to_vec());
            None
        }
        (3, Some(mut begun)) => {
            begun.extend_from_slice(payload);
            *fragments = Some(begun);
            None
        }
        (4, Some(mut begun)) => {
            begun.extend_from_slice(payload);
            Some(Ok(begun))
        }
        (1..=4, _) => Some(Err(())),
        (_, begun) => {
            *fragments = begun;
            None
        }
    }
}

/// First sequence number, count of operations, operations.
fn split_batch(batch: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (header, operations) = batch.split_at_checked(BATCH_HEADER_BYTES)?;
    let sequence = u64::from_le_bytes(header[..8].try_into().ok()?);
    let count = u32::from_le_bytes(header[8..].try_into().ok()?);
    Some((sequence, u64::from(count), operations))
}

#[derive(Clone, Copy)]
struct Mark {
    synced: u64,
    engine: u64,
}

/// The mark that `operations` begin with, if any. Key and value are so short that each
/// length is one byte.
fn mark(operations: &[u8]) -> Option<Mark> {
    let rest = operations.strip_prefix(&[PUT_TAG])?;
    let (length, rest) = rest.split_first()?;
    if usize::from(*length) != MARK_KEY.len() {
        return None;
    }
    let (length, rest) = rest.strip_prefix(MARK_KEY)?.split_first()?;
    if usize::from(*length) != MARK_BYTES {
        return None;
    }
    let (synced, engine) = (rest.get(..8)?, rest.get(8..MARK_BYTES)?);
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    Some(Mark { synced: number(synced)?, engine: number(engine)? })
}
