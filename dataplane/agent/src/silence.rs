//! How long the control plane has not been heard (S46). The count goes on across restarts:
//! an agent that is started again does not make old credentials young.

mod codec;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{Clock, UnixMillis};
use gitstratum_process::Drain;
use gitstratum_store::files::{Files, read_whole, write_atomically};
use gitstratum_store::{Permissions, files};
use parking_lot::Mutex;

use crate::Error;
use codec::{Damage, Record};

/// Name of the file.
const FILE: &str = "silence";
/// More than the file ever holds.
const BYTES_MAX: u64 = 64;
/// How often it is written. What a crash adds to the count is at most this.
const KEPT_EVERY: Duration = Duration::from_secs(30);

/// Counts the silence.
pub(crate) struct Silence {
    files: Arc<dyn Files>,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    since: Mutex<Since>,
}

/// The silence lasted `before` at monotonic time `at`.
#[derive(Clone, Copy)]
struct Since {
    before: Duration,
    at: Duration,
}

impl Silence {
    /// Takes the count up where it was left. The time in which no agent ran is part of it,
    /// as far as the wall clock tells; a clock that was set back takes nothing off. A file
    /// that does not read counts as longer than anything, until the control plane is heard.
    /// Blocking.
    pub(crate) fn open(
        files: Arc<dyn Files>,
        directory: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let before = match files.metadata(&path)? {
            None => Duration::ZERO,
            Some(_) => {
                let bytes = read_whole(files.as_ref(), &path, BYTES_MAX)?;
                lasted_until(&path, &bytes, clock.wall())?
            }
        };
        let since = Mutex::new(Since { before, at: clock.monotonic() });
        Ok(Self { files, path, clock, since })
    }

    /// The control plane was heard just now.
    pub(crate) fn heard(&self) {
        *self.since.lock() = Since { before: Duration::ZERO, at: self.clock.monotonic() };
    }

    /// How long it has not been heard.
    pub(crate) fn lasted(&self) -> Duration {
        let since = *self.since.lock();
        since.before.saturating_add(self.clock.monotonic().saturating_sub(since.at))
    }

    /// Makes the count durable. Blocking.
    pub(crate) fn keep(&self) -> Result<(), files::Error> {
        let record = Record { lasted: self.lasted(), wall: self.clock.wall() };
        let bytes = codec::encode(&record);
        write_atomically(self.files.as_ref(), &self.path, &bytes, Permissions::Private)
    }
}

fn lasted_until(path: &Path, bytes: &[u8], now: UnixMillis) -> Result<Duration, Error> {
    match codec::decode(bytes) {
        Ok(Record { lasted, wall }) => {
            let down = Duration::from_millis(now.0.saturating_sub(wall.0));
            Ok(lasted.saturating_add(down))
        }
        Err(Damage::Newer { found }) => Err(Error::NewerFormat { path: path.to_owned(), found }),
        Err(Damage::Content) => {
            let path = path.display();
            tracing::error!(%path, "the stored silence is damaged: it counts as past any grace");
            Ok(Duration::MAX)
        }
    }
}

/// Keeps the count until the drain starts; the last time is the caller's.
pub(crate) async fn run(silence: Arc<Silence>, drain: Drain) {
    loop {
        keep(&silence).await;
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(KEPT_EVERY) => {}
        }
    }
}

/// Keeps the count now.
pub(crate) async fn keep(silence: &Arc<Silence>) {
    let kept = Arc::clone(silence);
    match gitstratum_process::blocking(move || kept.keep()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the silence could not be kept"),
        Err(panic) => tracing::error!(%panic, "the silence could not be kept"),
    }
}

#[cfg(test)]
mod tests;
