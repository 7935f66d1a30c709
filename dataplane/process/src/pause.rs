//! Tasks of one runtime that stand still for a while, as those of a stopped process: for a
//! simulation of many processes on one thread. Time goes on meanwhile.

/// `future`, which stands still while its runtime is paused.
#[cfg(not(any(test, feature = "test-util")))]
pub const fn pausable<F: Future>(future: F) -> F {
    future
}

#[cfg(any(test, feature = "test-util"))]
pub use enabled::{pausable, pause, resume};

#[cfg(any(test, feature = "test-util"))]
mod enabled {
    use std::cell::RefCell;
    use std::task::{Poll, Waker};

    use tokio::runtime::{Handle, Id};

    thread_local! {
        static PAUSED: RefCell<Vec<(Id, Vec<Waker>)>> = const { RefCell::new(Vec::new()) };
    }

    /// Tasks of `runtime` stand still from now on.
    pub fn pause(runtime: Id) {
        resume(runtime);
        PAUSED.with_borrow_mut(|paused| paused.push((runtime, Vec::new())));
    }

    /// They go on.
    pub fn resume(runtime: Id) {
        let taken = PAUSED.with_borrow_mut(|paused| {
            let at = paused.iter().position(|(id, _)| *id == runtime)?;
            Some(paused.swap_remove(at).1)
        });
        taken.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whether the task that `waker` wakes has to stand still; it is woken once it need not.
    fn holds(waker: &Waker) -> bool {
        PAUSED.with_borrow_mut(|paused| {
            if paused.is_empty() {
                return false;
            }
            let Ok(here) = Handle::try_current() else { return false };
            let Some((_, waiting)) = paused.iter_mut().find(|(id, _)| *id == here.id()) else {
                return false;
            };
            if !waiting.iter().any(|held| held.will_wake(waker)) {
                waiting.push(waker.clone());
            }
            true
        })
    }

    /// `future`, which stands still while its runtime is paused.
    pub fn pausable<F: Future>(future: F) -> impl Future<Output = F::Output> {
        let mut future = Box::pin(future);
        std::future::poll_fn(move |context| match holds(context.waker()) {
            true => Poll::Pending,
            false => future.as_mut().poll(context),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Handle;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tasks_of_a_paused_runtime_go_on_where_they_stood() {
        let task = crate::spawn("paused", async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            7
        });
        pause(Handle::current().id());
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!task.is_finished());
        resume(Handle::current().id());
        assert_eq!(task.await, Ok(7));
    }
}
