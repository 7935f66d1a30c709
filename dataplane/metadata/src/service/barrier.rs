use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;

/// One confirmation shared by all who ask while the one before it is under way: reads
/// that come together cost one round with the quorum, not one each (GS-MD-27).
pub(super) struct SharedBarrier<T: Clone> {
    confirm: Box<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>,
    /// The round that has not begun yet; whoever joins is served by it.
    waiting: Mutex<Option<Round<T>>>,
    /// Held while a round is under way.
    turn: tokio::sync::Mutex<()>,
}

type Round<T> = Shared<BoxFuture<'static, T>>;

impl<T: Clone + Send + Sync + 'static> SharedBarrier<T> {
    /// A barrier whose rounds run `confirm`.
    pub(super) fn new<F>(confirm: impl Fn() -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let confirm = Box::new(move || confirm().boxed());
        Arc::new(Self { confirm, waiting: Mutex::new(None), turn: tokio::sync::Mutex::new(()) })
    }

    /// The result of a round that begins after this call.
    pub(super) fn pass(self: &Arc<Self>) -> impl Future<Output = T> + Send + use<T> {
        let mut waiting = self.waiting.lock();
        waiting.get_or_insert_with(|| Arc::clone(self).round().boxed().shared()).clone()
    }

    async fn round(self: Arc<Self>) -> T {
        let _turn = self.turn.lock().await;
        // From here on a caller may have seen something newer than this round confirms.
        *self.waiting.lock() = None;
        (self.confirm)().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn gs_md_27_reads_that_come_together_share_a_round_that_began_after_them() {
        let rounds = Arc::new(AtomicU32::new(0));
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let barrier = {
            let (rounds, gate) = (Arc::clone(&rounds), Arc::clone(&gate));
            SharedBarrier::new(move || {
                let (rounds, gate) = (Arc::clone(&rounds), Arc::clone(&gate));
                async move {
                    let number = rounds.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.expect("because it is never closed").forget();
                    number
                }
            })
        };
        let first = barrier.pass();
        let mut first = Box::pin(first);
        assert!(first.as_mut().now_or_never().is_none());
        // The first round has begun: the next hundred share a second one.
        let others: Vec<_> = (0..100).map(|_| barrier.pass()).collect();
        gate.add_permits(2);
        assert_eq!(first.await, 1);
        assert!(join_all(others).await.iter().all(|round| *round == 2));
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_does_not_hold_up_the_others() {
        let barrier = SharedBarrier::new(|| async { 7 });
        drop(barrier.pass());
        let gone = Box::pin(barrier.pass());
        drop(gone);
        assert_eq!(barrier.pass().await, 7);
    }
}
