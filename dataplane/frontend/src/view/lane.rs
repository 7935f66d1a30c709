use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use crate::Error;

/// Calls under way, by what they ask (GS-FE-21). Who asks while a call runs joins the
/// *next* one, which begins when that has ended: every answer is of a call that began
/// after its caller asked, so that sharing keeps reads linearizable.
pub(super) struct Lanes<K, V> {
    lanes: Mutex<BTreeMap<K, Lane<V>>>,
}

type Outcome<V> = Result<V, Arc<Error>>;

/// The last call of a lane; it holds those before it that have not ended.
struct Lane<V> {
    last: Call<V>,
    waiting: usize,
}

#[derive(Clone)]
struct Call<V> {
    answer: Shared<BoxFuture<'static, Outcome<V>>>,
    begun: Arc<AtomicBool>,
}

/// One caller of a call; the lane is cleared with the last of them.
struct Waiter<'a, K: Ord, V> {
    lanes: &'a Lanes<K, V>,
    key: K,
    call: Call<V>,
}

impl<K, V> Default for Lanes<K, V> {
    fn default() -> Self {
        Self { lanes: Mutex::default() }
    }
}

impl<K, V> Lanes<K, V>
where
    K: Ord + Clone,
    V: Clone + Send + Sync + 'static,
{
    /// The answer of a call with `key` that begins after now: `ask`, or one that another
    /// caller is about to make.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) async fn join<F>(&self, key: K, ask: F) -> Result<V, Error>
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let waiter = self.enter(key, ask);
        let answer = waiter.call.answer.clone().await;
        answer.map_err(|error| Error::shared(&error))
    }

    fn enter<F>(&self, key: K, ask: F) -> Waiter<'_, K, V>
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get_mut(&key)
            && !lane.last.begun.load(Ordering::SeqCst)
        {
            lane.waiting += 1;
            return Waiter { lanes: self, key, call: lane.last.clone() };
        }
        let before = lanes.remove(&key).map(|lane| lane.last);
        let begun = Arc::new(AtomicBool::new(false));
        let call = Call { answer: after(before, Arc::clone(&begun), ask), begun };
        lanes.insert(key.clone(), Lane { last: call.clone(), waiting: 1 });
        Waiter { lanes: self, key, call }
    }
}

impl<K: Ord, V> Drop for Waiter<'_, K, V> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.key) else { return };
        if !Arc::ptr_eq(&lane.last.begun, &self.call.begun) {
            return;
        }
        lane.waiting -= 1;
        if lane.waiting == 0 {
            lanes.remove(&self.key);
        }
    }
}

/// Asks once the call before has ended. Whoever waits for this one drives that one too,
/// so a caller that goes away stops nobody.
fn after<V, F>(
    before: Option<Call<V>>,
    begun: Arc<AtomicBool>,
    ask: F,
) -> Shared<BoxFuture<'static, Outcome<V>>>
where
    V: Clone + Send + Sync + 'static,
    F: Future<Output = Result<V, Error>> + Send + 'static,
{
    let answer = async move {
        if let Some(before) = before {
            // Its outcome is for those who joined it.
            drop(before.answer.await);
        }
        begun.store(true, Ordering::SeqCst);
        ask.await.map_err(Arc::new)
    };
    answer.boxed().shared()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use gitstratum_core::ErrorKind;
    use tokio::sync::Semaphore;

    use super::*;

    /// Counts calls; each waits for a permit and answers with its number.
    #[derive(Clone)]
    struct Backend {
        calls: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
    }

    impl Backend {
        fn new() -> Self {
            Self { calls: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
        }

        async fn ask(self) -> Result<usize, Error> {
            let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
            self.permits.acquire().await.unwrap().forget();
            Ok(number)
        }
    }

    fn join<'a>(
        lanes: &'a Lanes<u8, usize>,
        backend: &Backend,
    ) -> impl Future<Output = Result<usize, Error>> + 'a {
        lanes.join(1, backend.clone().ask())
    }

    #[tokio::test]
    async fn gs_fe_21_many_callers_at_once_make_two_calls_at_most() {
        let (lanes, backend) = (Lanes::default(), Backend::new());
        let mut first = Box::pin(join(&lanes, &backend));
        assert!(first.as_mut().now_or_never().is_none(), "the first call is under way");
        let mut others: Vec<_> = (0..100).map(|_| Box::pin(join(&lanes, &backend))).collect();
        for other in &mut others {
            assert!(other.as_mut().now_or_never().is_none());
        }
        backend.permits.add_permits(2);
        assert_eq!(first.await.unwrap(), 1);
        for other in others {
            assert_eq!(other.await.unwrap(), 2, "an answer older than the question");
        }
        assert_eq!(backend.calls.load(Ordering::SeqCst), 2);
        assert!(lanes.lanes.lock().is_empty(), "idle lanes cost nothing");
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_stops_nobody() {
        let (lanes, backend) = (Lanes::default(), Backend::new());
        let mut first = Box::pin(join(&lanes, &backend));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(join(&lanes, &backend));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        backend.permits.add_permits(2);
        assert_eq!(second.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_everyone_who_shares_it() {
        let lanes: Lanes<u8, usize> = Lanes::default();
        let fails = || async { Err(Error::new(ErrorKind::Busy, "busy")) };
        let (a, b) = tokio::join!(lanes.join(1, fails()), lanes.join(1, fails()));
        assert_eq!(a.unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(b.unwrap_err().to_string(), "busy");
        assert_eq!(lanes.join(1, async { Ok(7) }).await.unwrap(), 7, "the next one asks again");
    }
}
