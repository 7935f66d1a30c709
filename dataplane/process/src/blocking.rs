//! Work that blocks: on threads of its own, or in line where one thread runs a whole
//! cluster under a seed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use futures::stream::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::TaskError;

/// Runs `work` on a thread that may block. It runs to its end, also when nobody waits for it.
#[expect(clippy::disallowed_methods, reason = "the replacement that the ban points to")]
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Blocking<T> {
    match is_in_line() {
        true => Blocking(State::Done(Some(work()))),
        false => Blocking(State::Runs(tokio::task::spawn_blocking(work))),
    }
}

/// The result of work that blocks.
#[must_use = "the work runs on, and its result is lost"]
#[derive(Debug)]
pub struct Blocking<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Runs(JoinHandle<T>),
    Done(Option<T>),
}

/// What is awaited is never pinned.
impl<T> Unpin for Blocking<T> {}

impl<T> Future for Blocking<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        const NAME: &str = "blocking work";
        match &mut self.0 {
            State::Done(result) => {
                Poll::Ready(Ok(result.take().expect("because a future ends once")))
            }
            State::Runs(handle) => {
                Poll::Ready(crate::task::joined(NAME, ready!(handle.poll_unpin(context))))
            }
        }
    }
}

/// Runs `work` on a thread that may block; what it puts out is taken as a stream, at most
/// `ahead` items of it before they are asked for.
pub fn produce<T: Send + 'static>(
    ahead: usize,
    work: impl FnOnce(&Outlet<T>) + Send + 'static,
) -> Produced<T> {
    if is_in_line() {
        // Nobody could take anything before all of it is there.
        let (sender, receiver) = mpsc::unbounded_channel();
        work(&Outlet(Way::Unbounded(sender)));
        return Produced { items: Items::Unbounded(receiver), _work: None };
    }
    let (sender, receiver) = mpsc::channel(ahead);
    let running = blocking(move || work(&Outlet(Way::Bounded(sender))));
    Produced { items: Items::Bounded(receiver), _work: Some(running) }
}

/// Where work puts out what it makes.
#[derive(Debug)]
pub struct Outlet<T>(Way<T>);

#[derive(Debug)]
enum Way<T> {
    Bounded(mpsc::Sender<T>),
    Unbounded(mpsc::UnboundedSender<T>),
}

/// Nobody takes items any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes what is made any more")]
pub struct Gone;

impl<T> Outlet<T> {
    /// Puts out `item`; blocks while as many wait as may.
    ///
    /// # Errors
    /// [`Gone`]: there is no point in going on.
    pub fn put(&self, item: T) -> Result<(), Gone> {
        match &self.0 {
            Way::Bounded(sender) => sender.blocking_send(item).map_err(|_| Gone),
            Way::Unbounded(sender) => sender.send(item).map_err(|_| Gone),
        }
    }
}

/// What work puts out, in order; it ends with the work. Dropping it tells the work.
#[derive(Debug)]
pub struct Produced<T> {
    items: Items<T>,
    _work: Option<Blocking<()>>,
}

#[derive(Debug)]
enum Items<T> {
    Bounded(mpsc::Receiver<T>),
    Unbounded(mpsc::UnboundedReceiver<T>),
}

impl<T> Produced<T> {
    /// The next item; `None` once the work has ended.
    pub async fn recv(&mut self) -> Option<T> {
        std::future::poll_fn(|context| self.items.poll_recv(context)).await
    }

    /// The same on a thread that may block.
    pub fn recv_blocking(&mut self) -> Option<T> {
        match &mut self.items {
            Items::Bounded(receiver) => receiver.blocking_recv(),
            Items::Unbounded(receiver) => receiver.try_recv().ok(),
        }
    }
}

impl<T> Items<T> {
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        match self {
            Self::Bounded(receiver) => receiver.poll_recv(context),
            Self::Unbounded(receiver) => receiver.poll_recv(context),
        }
    }
}

impl<T> Stream for Produced<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.items.poll_recv(context)
    }
}

/// Whether blocking work runs on the caller's thread: never outside of the simulation.
#[cfg(not(any(test, feature = "test-util")))]
pub const fn is_in_line() -> bool {
    false
}

/// Whether blocking work runs on the caller's thread.
#[cfg(any(test, feature = "test-util"))]
pub fn is_in_line() -> bool {
    IN_LINE.get()
}

#[cfg(any(test, feature = "test-util"))]
thread_local! {
    static IN_LINE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// From now on work that blocks runs on this thread, at once: with one thread there is one
/// order of everything.
#[cfg(any(test, feature = "test-util"))]
pub fn run_blocking_in_line() {
    IN_LINE.set(true);
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    async fn sums() {
        assert_eq!(blocking(|| 2 + 3).await, Ok(5));
        let made: Vec<u8> =
            produce(2, |outlet| (0..9).for_each(|n| outlet.put(n).unwrap())).collect().await;
        assert_eq!(made, (0..9).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn work_runs_on_threads_and_its_items_come_in_order() {
        let here = std::thread::current().id();
        let there = blocking(|| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
        sums().await;
    }

    #[test]
    fn work_in_line_is_done_when_it_is_asked_for() {
        std::thread::spawn(|| {
            run_blocking_in_line();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let here = std::thread::current().id();
                let work = blocking(|| std::thread::current().id());
                assert_eq!(work.now_or_never(), Some(Ok(here)));
                sums().await;
            });
        })
        .join()
        .unwrap();
    }

    #[tokio::test]
    async fn who_makes_learns_that_nobody_takes() {
        let (told, seen) = tokio::sync::oneshot::channel();
        let mut made = produce(1, move |outlet| {
            while outlet.put(0).is_ok() {}
            told.send(()).unwrap();
        });
        assert_eq!(made.next().await, Some(0));
        drop(made);
        assert_eq!(seen.await, Ok(()));
    }

    #[tokio::test]
    async fn a_panic_of_the_work_is_an_error() {
        let error = blocking(|| -> u8 { panic!("no {}", 7) }).await.unwrap_err();
        assert!(matches!(error, TaskError::Panicked { message, .. } if message == "no 7"));
    }
}
