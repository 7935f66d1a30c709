use std::fmt;
use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use gitstratum_process::Drain;
use tokio::sync::{Semaphore, mpsc};

use super::Guest;

/// Connections of those who showed no certificate, at a time. They come to ask for one.
pub(super) const GUESTS_MAX: usize = 64;

/// Where the guests of a port come in.
pub struct Guests {
    incoming: mpsc::Receiver<Guest>,
    places: Arc<Semaphore>,
    drain: Drain,
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.places.available_permits();
        f.debug_struct("Guests").field("places", &places).finish_non_exhaustive()
    }
}

impl Guests {
    pub(super) fn new(incoming: mpsc::Receiver<Guest>, drain: Drain) -> Self {
        Self { incoming, places: Arc::new(Semaphore::new(GUESTS_MAX)), drain }
    }

    /// Nobody ever comes: there is no port.
    pub fn none() -> Self {
        let (_, incoming) = mpsc::channel(1);
        Self::new(incoming, Drain::never())
    }

    /// The next one; waits for a place when the most are there. `None` once the drain has
    /// started or the port is closed.
    pub async fn accept(&mut self) -> Option<Guest> {
        let next = async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.expect("because the semaphore is never closed");
            Some(self.incoming.recv().await?.hold(place))
        };
        tokio::select! {
            biased;
            () = self.drain.started() => None,
            accepted = next => accepted,
        }
    }

    /// The connections as a stream without errors of its own, as servers take it.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Guest>> + Send + Unpin {
        stream::unfold(self, |mut guests| async move {
            let accepted = guests.accept().await?;
            Some((Ok(accepted), guests))
        })
        .boxed()
    }
}
