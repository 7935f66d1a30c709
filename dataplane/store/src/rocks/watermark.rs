//! A small file beside the engine's own that says how much was synced, so that a log or
//! manifest cut short cannot pass for a torn tail. It lags behind by up to
//! [`INTERVAL`]; no acknowledgement waits for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::{Attempt, Error};
use crate::files::{self, Permissions, SystemFiles};

/// The file's name. RocksDB leaves names that it does not know alone.
const NAME: &str = "SYNCED";
/// First word of the file: what it is, and the version of its format.
const MAGIC: &str = "gitstratum-synced 1";
/// Longest a synced batch goes without being covered by it.
const INTERVAL: Duration = Duration::from_secs(1);
/// More than the file ever holds.
const BYTES_MAX: u64 = 256;

/// Keeps the file up to date from a thread of its own.
pub(super) struct Watermark {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    synced: u64,
    stopping: bool,
}

impl Watermark {
    /// Writes down `synced` and follows it.
    pub(super) fn start(directory: &Path, synced: u64) -> Result<Self, Error> {
        let path = directory.join(NAME);
        write(&path, synced)?;
        let shared = Arc::new(Shared {
            path,
            state: Mutex::new(State { synced, stopping: false }),
            changed: Condvar::new(),
        });
        let follower = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("synced".to_owned())
            .spawn(move || follow(&follower, synced))
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

fn follow(shared: &Shared, mut written: u64) {
    loop {
        let (synced, stopping) = {
            let mut state = shared.state.lock();
            if !state.stopping {
                shared.changed.wait_for(&mut state, INTERVAL);
            }
            (state.synced, state.stopping)
        };
        if synced > written {
            match write(&shared.path, synced) {
                Ok(()) => written = synced,
                Err(error) => tracing::warn!(%error, "could not write down what was synced"),
            }
        }
        if stopping {
            return;
        }
    }
}

fn write(path: &Path, synced: u64) -> Result<(), Error> {
    files::write_atomically(&SystemFiles, path, render(synced).as_bytes(), Permissions::Shared)
        .map_err(|error| Error::Io {
            attempt: Attempt::Write,
            place: path.display().to_string(),
            source: Arc::new(error),
        })
}

/// The sequence number up to which the engine in `directory` is known to be durable; 0
/// if it is new.
pub(super) fn read(directory: &Path) -> Result<u64, Error> {
    let path = directory.join(NAME);
    let place = path.display().to_string();
    match files::read_whole(&SystemFiles, &path, BYTES_MAX) {
        Ok(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(parse)
            .ok_or_else(|| Error::damaged(place, "its checksum or form is wrong")),
        Err(error) if error.is_missing() && is_new(directory) => Ok(0),
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

fn render(synced: u64) -> String {
    let body = format!("{MAGIC}\nsequence {synced}\n");
    let sum = crc32c::crc32c(body.as_bytes());
    format!("{body}crc32c {sum:08x}\n")
}

fn parse(text: &str) -> Option<u64> {
    let synced: u64 =
        text.strip_prefix(MAGIC)?.strip_prefix("\nsequence ")?.lines().next()?.parse().ok()?;
    (render(synced) == text).then_some(synced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_formats_shows_a_watermark_as_it_is() {
        let page = include_str!("../../../../docs/formats/engine.md");
        let (_, example) = page.split_once("```synced\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        assert_eq!(example, render(1_234));
        assert_eq!(parse(example), Some(1_234));
    }

    #[test]
    fn any_changed_byte_of_the_watermark_is_seen() {
        let good = render(1_234);
        assert_eq!(parse(&good), Some(1_234));
        for place in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[place] ^= 1;
            assert_eq!(std::str::from_utf8(&bytes).ok().and_then(parse), None, "{place}");
        }
        assert_eq!(parse(&good[..good.len() - 1]), None);
    }
}
