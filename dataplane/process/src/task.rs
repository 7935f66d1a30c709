use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::Either;
use gitstratum_core::ErrorKind;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::{RequestId, pausable};

/// Why a task gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It panicked; that has been logged.
    #[error("task {name} panicked: {message}")]
    Panicked {
        /// The task.
        name: &'static str,
        /// What the panic said.
        message: String,
    },
    /// It was aborted, or its runtime ended.
    #[error("task {name} was aborted")]
    Aborted {
        /// The task.
        name: &'static str,
    },
}

impl TaskError {
    /// `Bug` for a panic, `Unavailable` for an abort.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Panicked { .. } => ErrorKind::Bug,
            Self::Aborted { .. } => ErrorKind::Unavailable,
        }
    }
}

type Supervised<T> = Result<T, TaskError>;

/// Runs `future` beside the caller, within a span `task{name}` below the caller's
/// and under the caller's request id. A panic is logged as ERROR and returned.
#[expect(clippy::disallowed_methods, reason = "the replacement that the ban points to")]
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Task { name, handle: tokio::spawn(pausable(supervise(name, future))), is_detached: false }
}

/// A running task: await it for its result. Dropping it aborts the task.
#[must_use = "dropping a task aborts it"]
#[derive(Debug)]
pub struct Task<T> {
    name: &'static str,
    handle: JoinHandle<Supervised<T>>,
    is_detached: bool,
}

impl<T> Task<T> {
    /// Stops it at its next await.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Lets it live on by itself until it or the runtime ends.
    pub fn detach(mut self) {
        self.is_detached = true;
    }
}

impl<T> Future for Task<T> {
    type Output = Supervised<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let name = self.name;
        self.handle.poll_unpin(context).map(|joined| flatten(name, joined))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if !self.is_detached {
            self.handle.abort();
        }
    }
}

/// Tasks that end together: those of one server, one request, one transfer.
/// Dropping the group aborts them.
#[derive(Debug)]
pub struct TaskGroup<T = ()> {
    name: &'static str,
    tasks: JoinSet<Supervised<T>>,
}

impl<T: Send + 'static> TaskGroup<T> {
    /// An empty group whose tasks are called `name`.
    pub fn new(name: &'static str) -> Self {
        Self { name, tasks: JoinSet::new() }
    }

    /// Adds a task; as [`spawn`].
    pub fn spawn(&mut self, future: impl Future<Output = T> + Send + 'static) {
        self.tasks.spawn(pausable(supervise(self.name, future)));
    }

    /// The result of whichever ends next; `None` when the group is empty.
    pub async fn next(&mut self) -> Option<Result<T, TaskError>> {
        let joined = self.tasks.join_next().await?;
        Some(flatten(self.name, joined))
    }

    /// Tasks that have not been taken by [`TaskGroup::next`].
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no task is left.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits up to `within` for all tasks, then aborts the rest and returns their number.
    pub async fn drain(mut self, within: Duration) -> usize {
        let all = async { while self.next().await.is_some() {} };
        if timeout(within, all).await.is_ok() {
            return 0;
        }
        let leftovers = self.tasks.len();
        self.tasks.shutdown().await;
        leftovers
    }
}

fn supervise<F: Future>(
    name: &'static str,
    future: F,
) -> impl Future<Output = Supervised<F::Output>> {
    let work = async move {
        let caught = AssertUnwindSafe(future).catch_unwind().await;
        caught.map_err(|panic| report(name, panic.as_ref()))
    };
    let work = work.instrument(tracing::info_span!("task", name));
    match RequestId::current() {
        Some(id) => Either::Left(id.scope(work)),
        None => Either::Right(work),
    }
}

fn report(name: &'static str, panic: &(dyn Any + Send)) -> TaskError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "no message".to_owned());
    tracing::error!(name, message, "task panicked");
    TaskError::Panicked { name, message }
}

fn flatten<T>(name: &'static str, ended: Result<Supervised<T>, JoinError>) -> Supervised<T> {
    joined(name, ended)?
}

/// What became of a task of the runtime's.
pub(crate) fn joined<T>(name: &'static str, ended: Result<T, JoinError>) -> Supervised<T> {
    match ended {
        Ok(result) => Ok(result),
        Err(error) if error.is_cancelled() => Err(TaskError::Aborted { name }),
        Err(error) => Err(report(name, error.into_panic().as_ref())),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_returned_with_its_message_and_kind() {
        let error = spawn("boom", async { panic!("no {}", 7) }).await.unwrap_err();
        assert_eq!(error, TaskError::Panicked { name: "boom", message: "no 7".to_owned() });
        assert_eq!(error.kind(), ErrorKind::Bug);
    }

    #[tokio::test]
    async fn a_dropped_task_is_aborted_and_a_detached_one_lives_on() {
        let (kept, dropped) = oneshot::channel::<()>();
        drop(spawn("held", async move {
            let _kept = kept;
            pending::<()>().await;
        }));
        assert!(dropped.await.is_err(), "the task's value goes with it");

        let (sender, answer) = oneshot::channel();
        spawn("free", async move { sender.send(7) }).detach();
        assert_eq!(answer.await, Ok(7));
    }

    #[tokio::test]
    async fn an_aborted_task_says_so() {
        let task = spawn("idle", pending::<()>());
        task.abort();
        assert_eq!(task.await, Err(TaskError::Aborted { name: "idle" }));
    }

    #[tokio::test]
    async fn the_request_id_follows_into_tasks() {
        let id = RequestId::parse("00000000000000ab").unwrap();
        let seen = id.scope(async { spawn("child", async { RequestId::current() }).await }).await;
        assert_eq!(seen, Ok(Some(id)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_drains_the_quick_and_counts_the_cut() {
        let mut group = TaskGroup::new("work");
        group.spawn(async {});
        group.spawn(tokio::time::sleep(Duration::from_secs(5)));
        group.spawn(pending());
        assert_eq!(group.len(), 3);
        assert_eq!(group.drain(Duration::from_secs(10)).await, 1);
    }

    #[tokio::test]
    async fn a_group_hands_results_and_panics_out() {
        let mut group = TaskGroup::new("sum");
        group.spawn(async { 1 });
        assert_eq!(group.next().await, Some(Ok(1)));
        group.spawn(async { panic!("bad") });
        assert!(matches!(group.next().await, Some(Err(TaskError::Panicked { .. }))));
        assert_eq!(group.next().await, None);
    }
}
