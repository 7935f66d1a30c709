//! tokio for openraft, with random numbers that a simulation can seed. All that openraft
//! draws is how long a voter waits before it stands for election.

use std::future::Future;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft::impls::TokioRuntime;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

type Tokio = TokioRuntime;

/// What openraft runs on.
#[derive(Debug)]
pub(crate) struct Runtime(Tokio);

impl AsyncRuntime for Runtime {
    type JoinError = <Tokio as AsyncRuntime>::JoinError;
    type JoinHandle<T: Send + 'static> = <Tokio as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Tokio as AsyncRuntime>::Sleep;
    type Instant = <Tokio as AsyncRuntime>::Instant;
    type TimeoutError = <Tokio as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + Send> = <Tokio as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = <Tokio as AsyncRuntime>::Watch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: Send + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        Tokio::spawn(gitstratum_process::pausable(future))
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Tokio::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Tokio::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + Send>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout_at(deadline, future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        Tokio::is_panic(error)
    }

    fn thread_rng() -> SmallRng {
        draws::next().map_or_else(system, SmallRng::seed_from_u64)
    }

    fn new(threads: usize) -> Self {
        Self(Tokio::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[expect(clippy::disallowed_methods, reason = "openraft asks without an argument")]
fn system() -> SmallRng {
    SmallRng::from_rng(&mut rand::rng())
}

/// Seeds that a simulation gives.
pub(crate) mod draws {
    #[cfg(not(any(test, feature = "test-util")))]
    pub(super) const fn next() -> Option<u64> {
        None
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn next() -> Option<u64> {
        LAST.get().inspect(|last| LAST.set(Some(last.wrapping_add(STEP))))
    }

    #[cfg(any(test, feature = "test-util"))]
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    #[cfg(any(test, feature = "test-util"))]
    thread_local! {
        static LAST: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
    }

    /// From now on elections on this thread follow from `seed`.
    #[cfg(any(test, feature = "test-util"))]
    pub fn seed(seed: u64) {
        LAST.set(Some(seed));
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::*;

    #[test]
    fn elections_follow_from_the_seed_once_there_is_one() {
        let drawn = || Runtime::thread_rng().next_u64();
        assert_ne!(drawn(), drawn());
        draws::seed(7);
        let first = [drawn(), drawn()];
        assert_ne!(first[0], first[1]);
        draws::seed(7);
        assert_eq!([drawn(), drawn()], first);
    }
}
