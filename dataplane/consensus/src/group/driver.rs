use std::sync::Arc;

use gitstratum_process::spawn;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::{oneshot, watch};

use super::failure::Failure;
use super::status::{Status, follow};
use super::voice::Voice;
use crate::applier::Applied;
use crate::error::Error;
use crate::id::GroupId;
use crate::log::LogStore;
use crate::machine::StateMachine;
use crate::raft::{Fatal, Metrics, Raft, Types};

/// The one way to openraft's task of a group, which lacks three things at its end:
///
/// - A message that reaches its queue while the task lets go of it stays there, neither
///   answered nor dropped, for as long as anybody holds the group.
/// - Whoever asks first how the task ended joins it for all others. Given up in that
///   moment, it makes the others panic. So every call runs on a task of its own, that no
///   caller can cut short.
/// - It leaves behind the batch that is being applied, and those that wait for the commit
///   thread.
pub(crate) struct Driver<M: StateMachine> {
    raft: Raft<M>,
    stage: Arc<watch::Sender<Stage>>,
    voice: Arc<Voice>,
}

impl<M: StateMachine> Clone for Driver<M> {
    fn clone(&self) -> Self {
        let (stage, voice) = (Arc::clone(&self.stage), Arc::clone(&self.voice));
        Self { raft: self.raft.clone(), stage, voice }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Runs,
    /// openraft's task is over: nothing that is asked now reaches it.
    Ended,
    /// Nothing is written any more.
    Closed,
}

impl<M: StateMachine> Driver<M> {
    /// Takes over a task that runs. `status` is told what becomes of it.
    pub(crate) fn new(
        raft: Raft<M>,
        (log, applied): (LogStore, Arc<Applied<M>>),
        status: watch::Sender<Status>,
        failure: Failure,
    ) -> Self {
        let stage = Arc::new(watch::Sender::new(Stage::Runs));
        let driver = Self { raft, stage, voice: Arc::default() };
        let (running, group) = (driver.clone(), applied.group);
        let running = async move {
            follow(running.metrics(), status).await;
            running.note_end(group, &failure);
            running.wind_up(log, applied).await;
        };
        spawn("consensus group", running).detach();
        driver
    }

    /// A task that panicked leaves no word in its metrics. The group is over on this node, so the
    /// process has to begin anew.
    fn note_end(&self, group: GroupId, failure: &Failure) {
        let what = match &self.metrics().borrow_watched().running_state {
            Err(Fatal::Stopped) => return,
            Err(error) => error.to_string(),
            Ok(()) => "panicked".to_owned(),
        };
        failure.record(Error::Task { group, what: format!("the task of the log: {what}") });
    }

    async fn wind_up(self, log: LogStore, applied: Arc<Applied<M>>) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, group = %applied.group, "consensus task failed");
        }
        self.stage.send_replace(Stage::Ended);
        applied.close().await;
        log.settle().await;
        self.stage.send_replace(Stage::Closed);
    }

    /// The result of `call`; `None` if the group ends before.
    pub(crate) async fn call<T, F>(&self, call: impl FnOnce(Raft<M>) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let (called, stage) = (call(self.raft.clone()), self.stage.subscribe());
        let calling = async move {
            // Whoever asked may have given up.
            drop(answer.send(unless_ended(stage, called).await));
        };
        spawn("consensus call", calling).detach();
        answered.await.ok().flatten()
    }

    /// Lets `work` run beside the group, until that ends.
    pub(crate) fn run_beside(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let stage = self.stage.subscribe();
        let working = async move { unless_ended(stage, work).await.unwrap_or_default() };
        spawn(name, working).detach();
    }

    /// Ends the group; once it returns, nothing more is written for it.
    pub(crate) async fn stop(&self) {
        let raft = self.raft.clone();
        let stopping = async move { raft.shutdown().await.map_err(drop) };
        spawn("consensus shutdown", stopping).detach();
        // The sender is this driver's own.
        drop(self.stage.subscribe().wait_for(|stage| *stage == Stage::Closed).await);
    }

    /// Whether the group has ended: nothing that is proposed now reaches its log.
    pub(crate) fn has_ended(&self) -> bool {
        *self.stage.borrow() >= Stage::Ended
    }

    pub(crate) fn metrics(&self) -> WatchReceiverOf<Types, Metrics> {
        self.raft.metrics()
    }

    /// From now on this replica sends heartbeats while it leads, and stands for election by
    /// itself.
    pub(crate) fn take_part(&self) {
        self.voice.note_working_disk();
        self.raft.runtime_config().elect(true);
    }

    /// From now on it leaves elections to others.
    pub(crate) fn stand_back(&self) {
        self.raft.runtime_config().elect(false);
    }

    /// From now on its disk is too slow: it sends no heartbeats.
    pub(crate) fn fall_silent(&self) {
        self.voice.note_slow_disk();
    }

    pub(crate) const fn voice(&self) -> &Arc<Voice> {
        &self.voice
    }

    /// A heartbeat to all followers, if this replica leads.
    pub(crate) async fn send_heartbeat(&self) {
        if self.is_leader() {
            // Whoever has ended sends none.
            drop(self.raft.trigger().heartbeat().await);
        }
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }
}

/// The result of `call`; `None` if the group ends before. Only then may a call be given up.
async fn unless_ended<T>(
    mut stage: watch::Receiver<Stage>,
    call: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = call => Some(done),
        _ = stage.wait_for(|stage| *stage >= Stage::Ended) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_is_never_answered_ends_with_the_group() {
        let stage = watch::Sender::new(Stage::Runs);
        assert_eq!(unless_ended(stage.subscribe(), std::future::ready(1)).await, Some(1));
        let pending = std::future::pending::<()>();
        let mut calls = tokio::task::JoinSet::new();
        calls.spawn(unless_ended(stage.subscribe(), pending));
        tokio::task::yield_now().await;
        stage.send_replace(Stage::Ended);
        assert_eq!(calls.join_next().await.unwrap().unwrap(), None);
        let answered = unless_ended(stage.subscribe(), std::future::ready(1)).await;
        assert_eq!(answered, Some(1), "an answer comes first");
    }
}
