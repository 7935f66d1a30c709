use std::time::Duration;

use gitstratum_core::{GrantsVersion, ProcessRole};
use gitstratum_process::Drain;
use gitstratum_proto::agent::v1::{StatusRequest, WatchRequest};
use gitstratum_proto::control::v1::{ProcessReport, SnapshotUpdate};
use tokio::sync::watch;

use super::{News, Publisher, Snapshot};
use crate::agent::{self, Door, RETRY_FIRST, RETRY_LONGEST};

/// How often a process tells the agent that it is alive, when nothing else is told.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What a process says that it has made its own.
#[derive(Clone, Debug)]
pub enum Applied {
    /// Whatever it has published.
    Published,
    /// What another part of it says, e.g. the partitions once they hold the rows (S43).
    Told(watch::Receiver<GrantsVersion>),
}

/// Follows the agent of this node for one process.
#[derive(Debug)]
pub struct Follow {
    /// Where the agent is found.
    pub agent: Door,
    /// The process that follows.
    pub role: ProcessRole,
    /// Where snapshots go.
    pub publisher: Publisher,
    /// What is reported back.
    pub applied: Applied,
    /// What an object store holds, reported beside it.
    pub store: Option<watch::Receiver<StoreUse>>,
}

/// What an object store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUse {
    /// Segments.
    pub segments: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Bytes free on its disk.
    pub free_bytes: u64,
}

/// Keeps the publisher's snapshot up to date until `drain` starts. The agent may come
/// and go; the last snapshot stays.
pub async fn follow(mut following: Follow, drain: Drain) {
    let mut pause = RETRY_FIRST;
    while !drain.is_started() {
        let before = following.publisher.current().version();
        tokio::select! {
            biased;
            () = drain.started() => return,
            outcome = session(&mut following) => {
                if let Err(status) = outcome {
                    tracing::debug!(role = %following.role, %status, "the agent's stream ended");
                }
            }
        }
        let progressed = following.publisher.current().version() > before;
        pause = if progressed { RETRY_FIRST } else { (pause * 2).min(RETRY_LONGEST) };
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One connection: the stream of snapshots one way, reports the other.
async fn session(following: &mut Follow) -> Result<(), tonic::Status> {
    let mut agent = agent::connect(following.agent.clone());
    let role = following.role.as_str().to_owned();
    let from_version = following.publisher.current().version().0;
    // Before anything can be decided by the snapshot: it may be too old for that (S46).
    let status = agent::in_time(agent.status(StatusRequest {})).await?.into_inner();
    following.publisher.tell(news(status.silent_millis, status.grace_millis));
    let begun = agent.watch(WatchRequest { role, from_version });
    let mut updates = agent::in_time(begun).await?.into_inner();
    let mut gathered: Option<Snapshot> = None;
    let mut told = None;
    let mut tick = tokio::time::interval(REPORT_EVERY);
    loop {
        tokio::select! {
            biased;
            update = updates.message() => {
                let Some(update) = update? else { return Ok(()) };
                gather(&following.publisher, &mut gathered, &update);
            }
            () = changed(&mut following.applied) => {}
            _ = tick.tick() => told = None,
        }
        let applied = applied(following);
        if told != Some(applied) {
            let answer = agent.report(report(following, applied));
            let answer = agent::in_time(answer).await?.into_inner();
            following.publisher.tell(news(answer.silent_millis, answer.grace_millis));
            told = Some(applied);
        }
    }
}

/// Publishes when the last message of a version has come.
fn gather(publisher: &Publisher, gathered: &mut Option<Snapshot>, update: &SnapshotUpdate) {
    let base = gathered.take().unwrap_or_else(|| publisher.current().as_ref().clone());
    let next = base.apply(update);
    if update.more {
        *gathered = Some(next);
    } else {
        publisher.publish(next);
    }
}

fn news(silent_millis: u64, grace_millis: u64) -> News {
    let (silent, grace) =
        (Duration::from_millis(silent_millis), Duration::from_millis(grace_millis));
    News { silent, grace }
}

async fn changed(applied: &mut Applied) {
    match applied {
        Applied::Published => std::future::pending().await,
        Applied::Told(receiver) => {
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn applied(following: &Follow) -> GrantsVersion {
    match &following.applied {
        Applied::Published => following.publisher.current().version(),
        Applied::Told(receiver) => *receiver.borrow(),
    }
}

fn report(following: &Follow, applied: GrantsVersion) -> ProcessReport {
    let store = following.store.as_ref().map(|store| *store.borrow()).unwrap_or_default();
    ProcessReport {
        role: following.role.as_str().to_owned(),
        applied_version: applied.0,
        ready: true,
        segments: store.segments,
        stored_bytes: store.stored_bytes,
        free_bytes: store.free_bytes,
        ..ProcessReport::default()
    }
}
