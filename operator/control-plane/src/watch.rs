use std::sync::Arc;

use gitstratum_core::GrantsVersion;
use gitstratum_process::Drain;
use gitstratum_proto::control::v1::SnapshotUpdate;
use gitstratum_proto::{SNAPSHOT_CHUNK_BYTES, split_snapshot};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::plane::Plane;
use crate::wire;

/// Messages that wait for a slow watcher. What it misses in the meantime reaches it as one
/// difference, so it costs no more memory than this.
pub(crate) const QUEUE_MESSAGES: usize = 4;

/// Sends what changed since `held`, then every change, until the watcher goes or `drain`
/// starts (GS-CP-30). A watcher that is further behind than differences are kept gets
/// everything.
pub(crate) async fn run(
    plane: Arc<Plane>,
    mut held: GrantsVersion,
    watcher: mpsc::Sender<SnapshotUpdate>,
    drain: Drain,
) -> Result<(), Error> {
    let mut applied = plane.applied();
    loop {
        applied.borrow_and_update();
        if let Some(update) = next(&plane, held).await? {
            held = GrantsVersion(update.version);
            if send(&watcher, update, &drain).await == Flow::Ended {
                return Ok(());
            }
        }
        let news = tokio::select! {
            biased;
            () = drain.started() => return Ok(()),
            () = watcher.closed() => return Ok(()),
            news = applied.changed() => news,
        };
        if news.is_err() {
            return Ok(());
        }
    }
}

/// Whether a stream goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    Open,
    Ended,
}

async fn send(
    watcher: &mpsc::Sender<SnapshotUpdate>,
    update: SnapshotUpdate,
    drain: &Drain,
) -> Flow {
    for message in split_snapshot(update, SNAPSHOT_CHUNK_BYTES) {
        let sent = tokio::select! {
            biased;
            () = drain.started() => return Flow::Ended,
            sent = watcher.send(message) => sent,
        };
        if sent.is_err() {
            return Flow::Ended;
        }
    }
    Flow::Open
}

async fn next(plane: &Plane, held: GrantsVersion) -> Result<Option<SnapshotUpdate>, Error> {
    plane
        .read(move |state| {
            let is_new = state.cluster().is_some() && state.version() != held;
            is_new.then(|| wire::update(state, held))
        })
        .await
}
