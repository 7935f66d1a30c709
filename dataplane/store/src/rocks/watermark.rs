//! A small file beside the engine's own that says how much was synced, so that a log or
//! manifest cut short cannot pass for a torn tail, and which engine it is, so that a log
//! of another one cannot pass for its own. It lags behind by up to [`INTERVAL`]; no
//! acknowledgement waits for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::manifest::{self, Manifest};
use crate::engine::{Attempt, Error};
use crate::files::{self, Permissions, SystemFiles};

/// The file's name. RocksDB leaves names that it does not know alone.
const NAME: &str = "SYNCED";
/// First word of the file: what it is, and the version of its format.
const MAGIC: &str = "gitstratum-synced 2";
/// Longest a synced batch goes without being covered by it.
const INTERVAL: Duration = Duration::from_secs(1);
/// More than the file ever holds.
const BYTES_MAX: u64 = 256;

/// RocksDB's own name for the engine, drawn at random when it was made.
const IDENTITY: &str = "IDENTITY";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Which engine.
    pub(super) engine: u64,
    /// Every batch up to this sequence number is durable.
    pub(super) sequence: u64,
    /// And so is this much of the manifest.
    pub(super) manifest: Manifest,
}

/// Keeps the file up to date from a thread of its own.
pub(super) struct Watermark {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    directory: PathBuf,
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    synced: u64,
    stopping: bool,
}

impl Watermark {
    /// Writes down that `engine` is durable up to `synced` and follows it.
    pub(super) fn start(directory: &Path, engine: u64, synced: u64) -> Result<Self, Error> {
        let path = directory.join(NAME);
        let kept = Kept { engine, sequence: synced, manifest: manifest::settle(directory, None)? };
        write(&path, &kept)?;
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            path,
            state: Mutex::new(State { synced, stopping: false }),
            changed: Condvar::new(),
        });
        let follower = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("synced".to_owned())
            .spawn(move || follow(&follower, kept))
            .map_err(|error| Error::Io {
                attempt: Attempt::Open,
                place: directory.display().to_string(),
                source: Arc::new(error),
            })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Everything up to `synced` is durable now.
    pub(super) fn raise(&self, synced: u64) {
        self.shared.state.lock().synced = synced;
    }

    /// Writes down `synced` a last time and ends the thread.
    pub(super) fn stop(&self, synced: u64) {
        {
            let mut state = self.shared.state.lock();
            state.synced = synced;
            state.stopping = true;
        }
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.shared.path.display(), "watermark thread panicked");
        }
    }
}

impl Drop for Watermark {
    fn drop(&mut self) {
        let synced = self.shared.state.lock().synced;
        self.stop(synced);
    }
}

fn follow(shared: &Shared, mut written: Kept) {
    loop {
        let (synced, stopping) = {
            let mut state = shared.state.lock();
            if !state.stopping {
                shared.changed.wait_for(&mut state, INTERVAL);
            }
            (state.synced, state.stopping)
        };
        match keep(shared, &written, synced) {
            Ok(kept) => written = kept,
            Err(error) => tracing::warn!(%error, "could not write down what was synced"),
        }
        if stopping {
            return;
        }
    }
}

/// Writes down what has changed.
fn keep(shared: &Shared, written: &Kept, synced: u64) -> Result<Kept, Error> {
    let manifest = manifest::settle(&shared.directory, Some(&written.manifest))?;
    let kept = Kept { sequence: synced.max(written.sequence), manifest, ..written.clone() };
    if kept != *written {
        write(&shared.path, &kept)?;
    }
    Ok(kept)
}

fn write(path: &Path, kept: &Kept) -> Result<(), Error> {
    files::write_atomically(&SystemFiles, path, render(kept).as_bytes(), Permissions::Shared)
        .map_err(|error| Error::Io {
            attempt: Attempt::Write,
            place: path.display().to_string(),
            source: Arc::new(error),
        })
}

/// What of the engine in `directory` is known to be durable; `None` if it is new.
pub(super) fn read(directory: &Path) -> Result<Option<Kept>, Error> {
    let path = directory.join(NAME);
    let place = path.display().to_string();
    match files::read_whole(&SystemFiles, &path, BYTES_MAX) {
        Ok(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(parse)
            .map(Some)
            .ok_or_else(|| Error::damaged(place, "its checksum or form is wrong")),
        Err(error) if error.is_missing() && is_new(directory) => Ok(None),
        Err(error) if error.is_missing() => Err(Error::damaged(place, "it is missing")),
        Err(error) => Err(Error::Io { attempt: Attempt::Open, place, source: Arc::new(error) }),
    }
}

/// Whether no engine was ever opened in `directory`: the watermark is written right after
/// the first open, so an engine that crashed in between has nothing synced.
fn is_new(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return true };
    !entries.flatten().any(|entry| {
        let path = entry.path();
        let is_table = path.extension().is_some_and(|extension| extension == "sst");
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        is_table || (is_log && entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
    })
}

/// Which engine lies in `directory`, as RocksDB has named it: the first 64 bits of its
/// random name.
pub(super) fn identify(directory: &Path) -> Result<u64, Error> {
    let path = directory.join(IDENTITY);
    let place = path.display().to_string();
    let bytes = files::read_whole(&SystemFiles, &path, BYTES_MAX).map_err(|error| Error::Io {
        attempt: Attempt::Open,
        place: place.clone(),
        source: Arc::new(error),
    })?;
    let digits: String = std::str::from_utf8(&bytes)
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(16)
        .collect();
    u64::from_str_radix(&digits, 16).map_err(|_| Error::damaged(place, "it holds no name"))
}

fn render(kept: &Kept) -> String {
    let Kept { engine, sequence, manifest: Manifest { number, length } } = kept;
    let name = Manifest::name(*number);
    let body =
        format!("{MAGIC}\nengine {engine:016x}\nsequence {sequence}\nmanifest {name} {length}\n");
    let sum = crc32c::crc32c(body.as_bytes());
    format!("{body}crc32c {sum:08x}\n")
}

fn parse(text: &str) -> Option<Kept> {
    let mut lines = text.strip_prefix(MAGIC)?.strip_prefix('\n')?.lines();
    let engine = u64::from_str_radix(lines.next()?.strip_prefix("engine ")?, 16).ok()?;
    let sequence = lines.next()?.strip_prefix("sequence ")?.parse().ok()?;
    let (name, length) = lines.next()?.strip_prefix("manifest ")?.split_once(' ')?;
    let manifest = Manifest { number: Manifest::parse(name)?, length: length.parse().ok()? };
    let kept = Kept { engine, sequence, manifest };
    (render(&kept) == text).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let manifest = Manifest { number: 5, length: 4_096 };
        Kept { engine: 0x0123_4567_89ab_cdef, sequence: 1_234, manifest }
    }

    #[test]
    fn the_page_on_formats_shows_a_watermark_as_it_is() {
        let page = include_str!("../../../../docs/formats/engine.md");
        let (_, example) = page.split_once("```synced\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        assert_eq!(example, render(&kept()));
        assert_eq!(parse(example), Some(kept()));
    }

    #[test]
    fn any_changed_byte_of_the_watermark_is_seen() {
        let good = render(&kept());
        assert_eq!(parse(&good), Some(kept()));
        for place in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[place] ^= 1;
            assert_eq!(std::str::from_utf8(&bytes).ok().and_then(parse), None, "{place}");
        }
        assert_eq!(parse(&good[..good.len() - 1]), None);
    }
}
