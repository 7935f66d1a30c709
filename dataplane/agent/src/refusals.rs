//! Logins that this node's frontend refused, on disk until the control plane has their
//! lines (S41): it may be away for long, and a crash loses none that was taken.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use gitstratum_client::fleet::Voter;
use gitstratum_core::NodeId;
use gitstratum_process::{Drain, failpoint};
use gitstratum_proto::control::v1::{FailedLogin, LogAuditRequest};
use gitstratum_store::files::{File, Files, read_whole, write_atomically};
use gitstratum_store::{Permissions, files};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Error;
use crate::records::{self, Next, Reader};

/// Name of the file.
const FILE: &str = "refusals";
const MAGIC: &[u8; 7] = b"GSREFUS";
const VERSION: u8 = 1;
/// Before the first record.
const HEADER_BYTES: u64 = MAGIC.len() as u64 + 1;
/// Largest file: some ten thousand lines. What does not fit is counted as lost.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of lines that were shipped from which on the file is written anew.
const SLACK_BYTES: u64 = 1024 * 1024;
/// Lines shipped at a time.
const SHIPPED_MAX: usize = 64;
/// Pause after a round in which no voter took them.
const PAUSE: Duration = Duration::from_secs(1);

/// What waits, and its file.
pub(crate) struct Spool {
    held: Mutex<Held>,
    taken: Notify,
}

struct Held {
    files: Arc<dyn Files>,
    path: PathBuf,
    /// `None` when the file has to be written anew before anything is appended.
    file: Option<Box<dyn File>>,
    waiting: VecDeque<FailedLogin>,
    /// Bytes of the file, and those of them that were shipped.
    bytes: u64,
    shipped_bytes: u64,
    /// Lines that could not be kept, and are yet to be told.
    lost: u64,
}

impl Spool {
    /// Reads what is there. An end that a crash tore off, or damage, is one lost line, at
    /// least: whoever sent it had no answer. Blocking.
    pub(crate) fn open(files: Arc<dyn Files>, directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let (mut waiting, mut lost) = (VecDeque::new(), 0);
        if files.metadata(&path)?.is_some() {
            let bytes = read_whole(files.as_ref(), &path, 2 * BYTES_MAX)?;
            let is_ours = bytes.starts_with(MAGIC) && bytes.len() as u64 >= HEADER_BYTES;
            if let Some(found) =
                bytes.get(MAGIC.len()).filter(|found| is_ours && **found != VERSION)
            {
                return Err(Error::NewerFormat { path, found: *found });
            }
            let is_whole = is_ours && read(&bytes, &mut waiting);
            if !is_whole {
                tracing::warn!(path = %path.display(), "a line of refused logins was torn or damaged");
                lost = 1;
            }
        }
        let held = Held { files, path, file: None, waiting, bytes: 0, shipped_bytes: 0, lost };
        Ok(Self { held: Mutex::new(held), taken: Notify::new() })
    }

    /// Makes lines durable, and counts what was lost. Blocking.
    pub(crate) fn keep(&self, request: LogAuditRequest) -> Result<(), files::Error> {
        self.held.lock().keep(request)?;
        self.taken.notify_one();
        Ok(())
    }

    /// The oldest lines and the number of lost ones, as they are told to the control plane.
    fn next(&self) -> LogAuditRequest {
        let held = self.held.lock();
        let failed_logins = held.waiting.iter().take(SHIPPED_MAX).cloned().collect();
        LogAuditRequest { node: 0, failed_logins, lost: held.lost }
    }

    /// The lines of what [`Spool::next`] gave will be told as a number only. A number that is
    /// refused by itself is forgotten.
    fn lose(&self, request: &LogAuditRequest) {
        if !request.failed_logins.is_empty() {
            let lines: u64 = request.failed_logins.iter().map(|line| 1 + line.suppressed).sum();
            self.held.lock().lost += lines + request.lost;
        }
    }

    /// What [`Spool::next`] gave has its lines. Blocking.
    fn shipped(&self, request: &LogAuditRequest) -> Result<(), files::Error> {
        self.held.lock().forget(request)
    }
}

impl Held {
    fn keep(&mut self, request: LogAuditRequest) -> Result<(), files::Error> {
        let LogAuditRequest { failed_logins: logins, mut lost, .. } = request;
        let mut kept = Vec::new();
        let mut lines = BytesMut::new();
        for login in logins {
            let before = lines.len();
            records::put(&mut lines, &login);
            if self.bytes + lines.len() as u64 > BYTES_MAX {
                lines.truncate(before);
                lost += 1 + login.suppressed;
            } else {
                kept.push(login);
            }
        }
        if !kept.is_empty() {
            self.write(&kept, &lines)?;
        }
        self.waiting.extend(kept);
        self.lost += lost;
        Ok(())
    }

    /// Makes `more` durable, whose records are `lines`.
    fn write(&mut self, more: &[FailedLogin], lines: &[u8]) -> Result<(), files::Error> {
        // Put back when all went well: what is behind a torn line would not be read.
        let Some(file) = self.file.take() else { return self.rewrite(more) };
        file.append(lines)?;
        failpoint!("agent.refusals.before_sync");
        file.sync()?;
        self.bytes += lines.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    /// Writes what waits, and `more`, as a new file.
    fn rewrite(&mut self, more: &[FailedLogin]) -> Result<(), files::Error> {
        let bytes = encode(self.waiting.iter().chain(more));
        write_atomically(self.files.as_ref(), &self.path, &bytes, Permissions::Private)?;
        self.file = Some(self.files.open(&self.path)?);
        (self.bytes, self.shipped_bytes) = (bytes.len() as u64, 0);
        Ok(())
    }

    fn forget(&mut self, request: &LogAuditRequest) -> Result<(), files::Error> {
        let shipped: Vec<_> = self.waiting.drain(..request.failed_logins.len()).collect();
        self.shipped_bytes += encode(shipped.iter()).len() as u64;
        self.lost -= request.lost;
        match &self.file {
            // Not synced: should a crash bring the lines back, they are told twice.
            Some(file) if self.waiting.is_empty() => {
                file.truncate(HEADER_BYTES)?;
                (self.bytes, self.shipped_bytes) = (HEADER_BYTES, 0);
                Ok(())
            }
            _ if !self.waiting.is_empty() && self.shipped_bytes <= SLACK_BYTES => Ok(()),
            _ => self.rewrite(&[]),
        }
    }
}

/// A whole file.
fn encode<'a>(logins: impl Iterator<Item = &'a FailedLogin>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(MAGIC);
    out.put_u8(VERSION);
    logins.for_each(|login| records::put(&mut out, login));
    out.freeze()
}

/// Takes in the lines of a file up to its end or the first damage; false if that is not its end.
fn read(bytes: &[u8], waiting: &mut VecDeque<FailedLogin>) -> bool {
    let mut reader = Reader::new(bytes, MAGIC.len() + 1);
    loop {
        match reader.next() {
            Next::Message(login) => waiting.push_back(login),
            Next::End { torn } => return !torn,
            Next::Damaged { .. } => return false,
        }
    }
}

/// Tells the control plane what waits, oldest first, until the drain starts.
pub(crate) async fn ship(spool: Arc<Spool>, node: NodeId, voters: Vec<Voter>, drain: Drain) {
    let shipping = async {
        loop {
            let request = spool.next();
            if request.failed_logins.is_empty() && request.lost == 0 {
                spool.taken.notified().await;
                continue;
            }
            match tell(&voters, LogAuditRequest { node: node.0, ..request.clone() }).await {
                Told::Taken => {}
                Told::Never => {
                    let lines = request.failed_logins.len();
                    tracing::error!(lines, "refused logins have no line: see above");
                    spool.lose(&request);
                    tokio::time::sleep(PAUSE).await;
                }
                Told::Later => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            let forgetting = Arc::clone(&spool);
            let forgotten = gitstratum_process::blocking(move || forgetting.shipped(&request));
            match forgotten.await {
                Ok(Ok(())) => {}
                // They are told again after a restart: a line twice, never none.
                Ok(Err(error)) => tracing::warn!(%error, "shipped refusals stay on disk"),
                Err(panic) => tracing::error!(%panic, "shipped refusals stay on disk"),
            }
        }
    };
    tokio::select! {
        biased;
        () = drain.started() => {}
        () = shipping => {}
    }
}

/// What became of lines that were told.
enum Told {
    Taken,
    /// No voter took them now.
    Later,
    /// One called them nonsense: what comes behind them must not wait for ever.
    Never,
}

async fn tell(voters: &[Voter], request: LogAuditRequest) -> Told {
    for voter in voters {
        match voter.log_audit(request.clone()).await {
            Ok(()) => return Told::Taken,
            Err(error) if error.is_final() => {
                tracing::error!(%error, "refused logins were not understood");
                return Told::Never;
            }
            Err(error) => tracing::debug!(%error, "refused logins were not taken"),
        }
    }
    Told::Later
}

#[cfg(test)]
mod tests;
