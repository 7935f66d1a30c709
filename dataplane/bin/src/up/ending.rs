use anyhow::Result;
use gitstratum_process::Drain;
use rustix::process::{Signal, getpid, kill_process};

/// Ends this process at once: nothing more of it runs, nor what libraries do at an exit,
/// which would wait for threads that hang on a disk. Whoever watches starts it again.
pub(super) fn die() {
    if let Err(error) = kill_process(getpid(), Signal::KILL) {
        tracing::error!(%error, "this process could not be killed");
        std::process::abort();
    }
}

/// What `start` makes; `None` when a stop is asked for first. What was begun is let go of as at
/// a crash: the next start takes it up.
pub(super) async fn unless_stopped<T>(
    stopping: &Drain,
    start: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    tokio::select! {
        biased;
        () = stopping.started() => {
            tracing::info!("stopped before the start was done");
            Ok(None)
        }
        started = start => started.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_start_that_hangs_is_ended_by_a_stop() {
        let (stop, stopping) = Drain::new();
        let started = unless_stopped(&stopping, async { Ok(1) }).await.unwrap();
        assert_eq!(started, Some(1));
        let hanging = unless_stopped(&stopping, std::future::pending::<Result<u8>>());
        let stops = async { stop.start() };
        let (ended, ()) = tokio::join!(hanging, stops);
        assert_eq!(ended.unwrap(), None);
    }
}
