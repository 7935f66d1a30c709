//! The one stream from the control plane: versions come in, are made durable, and go on
//! to the processes of this node.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::cluster::Snapshot;
use gitstratum_client::fleet::{self, Voter};
use gitstratum_core::Clock;
use gitstratum_process::Drain;
use gitstratum_proto::control::v1::{Node, SnapshotUpdate};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use crate::snapshot::Store;

/// First and longest pause between two tries to reach the control plane.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LONGEST: Duration = Duration::from_secs(2);
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
    clock: Arc<dyn Clock>,
}

/// When the control plane was last heard.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    connected: bool,
    last: Duration,
}

impl Known {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        let (current, _) = watch::channel(Arc::new(store.current().clone()));
        let (versions, _) = broadcast::channel(VERSIONS_KEPT);
        let last = clock.monotonic();
        let news = Mutex::new(News { connected: false, last });
        Self { store: Arc::new(Mutex::new(store)), current, versions, news, clock }
    }

    /// The newest durable snapshot.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// The newest snapshot and the versions after it, without a gap between them.
    pub(crate) fn subscribe(&self) -> (Arc<Snapshot>, broadcast::Receiver<Version>) {
        // Subscribed first: a version that comes between is then seen twice, never missed,
        // and applying one twice changes nothing.
        let versions = self.versions.subscribe();
        (self.current(), versions)
    }

    /// Whether the control plane is in reach, and how long it has been silent.
    pub(crate) fn silence(&self) -> (bool, Duration) {
        let news = *self.news.lock();
        let silent = self.clock.monotonic().saturating_sub(news.last);
        (news.connected, if news.connected { Duration::ZERO } else { silent })
    }

    fn heard(&self) {
        *self.news.lock() = News { connected: true, last: self.clock.monotonic() };
    }

    fn lost_touch(&self) {
        self.news.lock().connected = false;
    }

    async fn advance(&self, version: Vec<SnapshotUpdate>) -> Result<(), String> {
        let store = Arc::clone(&self.store);
        let version = Arc::new(version);
        let durable = Arc::clone(&version);
        let advanced = tokio::task::spawn_blocking(move || {
            let mut store = store.lock();
            store.advance(&durable).map(|()| store.current().clone())
        });
        let snapshot = advanced.await.map_err(|error| error.to_string())?;
        let snapshot = snapshot.map_err(|error| error.to_string())?;
        self.current.send_replace(Arc::new(snapshot));
        // No process may be listening yet: each begins with the current snapshot.
        let listeners = self.versions.send(version).unwrap_or(0);
        tracing::trace!(listeners, "a version went on");
        Ok(())
    }
}

/// Follows the control plane until the drain starts, one voter after the other.
pub(crate) async fn run(known: Arc<Known>, record: Node, voters: Vec<Voter>, drain: Drain) {
    let mut pause = RETRY_FIRST;
    for voter in voters.iter().cycle() {
        let before = known.current().version();
        tokio::select! {
            biased;
            () = drain.started() => return,
            ended = follow(&known, &record, voter) => {
                let reason = ended.err().map_or_else(|| "closed".to_owned(), |e| e.to_string());
                tracing::debug!(control = %voter.node(), reason, "the watch stream ended");
            }
        }
        known.lost_touch();
        let progressed = known.current().version() > before;
        pause = if progressed { RETRY_FIRST } else { (pause * 2).min(RETRY_LONGEST) };
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(pause) => {}
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
    #[error("keeping the snapshot: {0}")]
    Keep(String),
}

async fn follow(known: &Known, record: &Node, voter: &Voter) -> Result<(), FollowError> {
    let from = known.current().version().0;
    let mut updates = voter.follow(record.clone(), from).await?;
    let mut version = Vec::new();
    while let Some(update) = updates.next().await? {
        known.heard();
        let more = update.more;
        version.push(update);
        if version.len() > MESSAGES_MAX {
            return Err(FollowError::TooLong);
        }
        if !more {
            known.advance(std::mem::take(&mut version)).await.map_err(FollowError::Keep)?;
        }
    }
    Ok(())
}
