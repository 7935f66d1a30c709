use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt as _, stream};
use gitstratum_process::Drain;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::BoxStream;

/// Connections of those who showed no certificate, at a time. They come to ask for one.
pub(super) const GUESTS_MAX: usize = 64;

/// A connection over TLS whose other end is nobody in particular.
pub struct Guest {
    client: SocketAddr,
    io: BoxStream,
    /// Its place among the guests, once accepted.
    place: Option<OwnedSemaphorePermit>,
}

impl Guest {
    pub(super) fn new(client: SocketAddr, io: BoxStream) -> Self {
        Self { client, io, place: None }
    }

    /// Where it comes from.
    pub const fn client(&self) -> SocketAddr {
        self.client
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, place, io: _ } = self;
        let placed = place.is_some();
        f.debug_struct("Guest").field("client", client).field("placed", &placed).finish()
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

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
            Some(Guest { place: Some(place), ..self.incoming.recv().await? })
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
