//! The one stream from the control plane: versions come in, are made durable, and go on
//! to the processes of this node.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::cluster::{self, OFFLINE_GRACE, Snapshot};
use gitstratum_client::fleet::{self, Updates, Voter};
use gitstratum_core::{Clock, GrantsVersion};
use gitstratum_process::Drain;
use gitstratum_proto::control::v1::{Node, SnapshotUpdate};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use crate::silence::Silence;
use crate::snapshot::{AdvanceError, Store};

/// First and longest pause after all voters were tried in vain.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// How often an idle stream is judged.
const JUDGED_EVERY: Duration = Duration::from_secs(1);
/// Longest that a stream stays open while nothing is heard, neither on it nor in answer to
/// a report: the connection may be dead without saying so.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// Longest that a stream may keep back a version that an answer to a report told of.
const BEHIND_MAX: Duration = Duration::from_secs(10);
/// Longest that making a version durable may take.
const ADVANCE_DEADLINE: Duration = Duration::from_secs(60);
/// Versions kept for a slow process; behind that it gets everything anew.
const VERSIONS_KEPT: usize = 256;
/// Most messages of one version.
const MESSAGES_MAX: usize = 65_536;

/// A version's messages, shared by all processes.
pub(crate) type Version = Arc<Vec<SnapshotUpdate>>;

/// What the agent knows, for the processes of its node.
pub(crate) struct Known {
    store: Arc<Mutex<Store>>,
    current: watch::Sender<Arc<Snapshot>>,
    versions: broadcast::Sender<Version>,
    news: Mutex<News>,
    silence: Arc<Silence>,
    grace: Duration,
    clock: Arc<dyn Clock>,
}

/// What is known of the control plane beside the snapshot.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    /// Whether a stream is open.
    connected: bool,
    /// A version that was told of and has not come, and since when (monotonic).
    awaited: Option<(GrantsVersion, Duration)>,
}

impl Known {
    pub(crate) fn new(store: Store, silence: Arc<Silence>, clock: Arc<dyn Clock>) -> Self {
        let (current, _) = watch::channel(Arc::new(store.current().clone()));
        let (versions, _) = broadcast::channel(VERSIONS_KEPT);
        let (store, news) = (Arc::new(Mutex::new(store)), Mutex::default());
        Self { store, current, versions, news, silence, grace: OFFLINE_GRACE, clock }
    }

    /// The same, with how long credentials are good without news where the cluster does not
    /// say.
    pub(crate) fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// How long credentials are good without news (S46).
    pub(crate) fn offline_grace(&self) -> Duration {
        cluster::offline_grace(&self.current()).unwrap_or(self.grace)
    }

    /// The newest durable snapshot.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// The newest durable snapshot, with changes told.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.subscribe()
    }

    /// The newest snapshot and the versions after it, without a gap between them.
    pub(crate) fn subscribe(&self) -> (Arc<Snapshot>, broadcast::Receiver<Version>) {
        // Subscribed first: a version that comes between is then seen twice, never missed,
        // and applying one twice changes nothing.
        let versions = self.versions.subscribe();
        (self.current(), versions)
    }

    /// The agent's monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Whether a stream is open, and how long the control plane has not been heard (S46).
    pub(crate) fn silence(&self) -> (bool, Duration) {
        (self.news.lock().connected, self.silence.lasted())
    }

    /// A report was answered by a voter that is at `version`. That is news, unless it is
    /// behind what is held: such a control plane is not followed (S45).
    pub(crate) fn told(&self, version: GrantsVersion) {
        let held = self.current().version();
        let mut news = self.news.lock();
        if version >= held && news.connected {
            self.silence.heard();
        }
        news.awaited = news.awaited.filter(|(awaited, _)| *awaited > held);
        if version > held && news.awaited.is_none() {
            news.awaited = Some((version, self.clock.monotonic()));
        }
    }

    fn connected(&self) {
        *self.news.lock() = News { connected: true, awaited: None };
    }

    fn lost_touch(&self) {
        self.news.lock().connected = false;
    }

    /// Whether the stream that was opened at `opened` (monotonic) still tells the news.
    fn judge_stream(&self, opened: Duration) -> Result<(), FollowError> {
        let now = self.clock.monotonic();
        let open_for = now.saturating_sub(opened);
        if open_for.min(self.silence.lasted()) > QUIET_MAX {
            return Err(FollowError::Quiet);
        }
        let held = self.current().version();
        match self.news.lock().awaited {
            Some((version, since)) if version > held && now.saturating_sub(since) > BEHIND_MAX => {
                Err(FollowError::Behind)
            }
            _ => Ok(()),
        }
    }

    async fn advance(&self, version: Vec<SnapshotUpdate>) -> Result<(), FollowError> {
        let store = Arc::clone(&self.store);
        let version = Arc::new(version);
        let durable = Arc::clone(&version);
        let advanced = gitstratum_process::blocking(move || {
            let mut store = store.lock();
            store.advance(&durable).map(|()| store.current().clone())
        });
        let advanced = tokio::time::timeout(ADVANCE_DEADLINE, advanced).await;
        let advanced = advanced.map_err(|_| FollowError::Slow)?;
        let snapshot = advanced.map_err(|panic| FollowError::Panicked(panic.to_string()))??;
        self.silence.heard();
        self.current.send_replace(Arc::new(snapshot));
        // No process may be listening yet: each begins with the current snapshot.
        let listeners = self.versions.send(version).unwrap_or(0);
        tracing::trace!(listeners, "a version went on");
        Ok(())
    }
}

/// Follows the control plane until the drain starts, one voter after the other: only the leader
/// lets itself be followed, and the next one may be it. There is a pause only between two rounds,
/// so that a node that was cut off hears the news within seconds (P-A8).
pub(crate) async fn run(known: Arc<Known>, record: Node, voters: Vec<Voter>, drain: Drain) {
    let mut pause = RETRY_FIRST;
    let mut refused = None;
    let mut in_vain = 0;
    for voter in voters.iter().cycle() {
        let before = known.current().version();
        tokio::select! {
            biased;
            () = drain.started() => return,
            ended = follow(&known, &record, voter) => refused = explain(voter, ended, refused),
        }
        known.lost_touch();
        if known.current().version() > before {
            (in_vain, pause) = (0, RETRY_FIRST);
        }
        in_vain += 1;
        if in_vain < voters.len() {
            continue;
        }
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(pause) => {}
        }
        (in_vain, pause) = (0, (pause * 2).min(RETRY_LONGEST));
    }
}

/// Logs why a stream ended. What a person must look at is told once, until it changes;
/// returns it.
fn explain(voter: &Voter, ended: Result<(), FollowError>, told: Option<String>) -> Option<String> {
    let control = voter.node();
    match ended {
        Err(FollowError::Advance(AdvanceError::Refused(refusal))) => {
            let refusal = refusal.to_string();
            if told.as_ref() != Some(&refusal) {
                tracing::error!(%control, refusal, "the control plane's state is refused");
            }
            Some(refusal)
        }
        Err(error) => {
            tracing::debug!(%control, %error, "the watch stream ended");
            told
        }
        Ok(()) => {
            tracing::debug!(%control, "the watch stream was closed");
            told
        }
    }
}

/// Why a stream was given up.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Stream(#[from] fleet::Error),
    #[error("a version has too many messages")]
    TooLong,
    #[error("nothing was heard for {QUIET_MAX:?}")]
    Quiet,
    #[error("a version that is there did not come within {BEHIND_MAX:?}")]
    Behind,
    #[error("a version: {0}")]
    Advance(#[from] AdvanceError),
    #[error("a version was not kept within {ADVANCE_DEADLINE:?}")]
    Slow,
    #[error("keeping a version: {0}")]
    Panicked(String),
}

async fn follow(known: &Known, record: &Node, voter: &Voter) -> Result<(), FollowError> {
    let from = known.current().version().0;
    let mut updates = voter.follow(record.clone(), from).await?;
    known.connected();
    let mut version = Vec::new();
    while let Some(update) = next(known, &mut updates).await? {
        let more = update.more;
        version.push(update);
        if version.len() > MESSAGES_MAX {
            return Err(FollowError::TooLong);
        }
        if !more {
            known.advance(std::mem::take(&mut version)).await?;
        }
    }
    Ok(())
}

/// The next message of a stream, for as long as it is worth waiting for.
async fn next(known: &Known, updates: &mut Updates) -> Result<Option<SnapshotUpdate>, FollowError> {
    let begun = known.clock.monotonic();
    loop {
        match tokio::time::timeout(JUDGED_EVERY, updates.next()).await {
            Ok(next) => return Ok(next?),
            Err(_) => known.judge_stream(begun)?,
        }
    }
}

#[cfg(test)]
mod tests;
