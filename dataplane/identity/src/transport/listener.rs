use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{self, Stream};
use gitstratum_process::Drain;
use tokio::sync::{Semaphore, mpsc};

use super::PeerStream;

/// Accepts the connections to one service of one node, at most so many at a time,
/// until its drain starts. Dropping it closes the service.
pub struct Listener {
    incoming: mpsc::Receiver<PeerStream>,
    places: Arc<Semaphore>,
    drain: Drain,
    /// What feeds `incoming`, ended with this.
    _source: Box<dyn Any + Send>,
}

impl Listener {
    /// Accepts what comes through `incoming`, at most `connections_max` at a time, until `drain`
    /// starts; `source`, which feeds it, ends with this.
    pub fn new(
        incoming: mpsc::Receiver<PeerStream>,
        connections_max: usize,
        drain: Drain,
        source: impl Any + Send,
    ) -> Self {
        let places = Arc::new(Semaphore::new(connections_max));
        Self { incoming, places, drain, _source: Box::new(source) }
    }

    /// The next connection; waits for a place when the most are open. `None` once the
    /// drain has started. May be cancelled without losing a connection.
    pub async fn accept(&mut self) -> Option<PeerStream> {
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

    /// The connections as a stream without end or error of its own, as servers take it.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<PeerStream>> + Send + Unpin {
        stream::unfold(self, |mut listener| async move {
            let accepted = listener.accept().await?;
            Some((Ok(accepted), listener))
        })
        .boxed()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("places", &self.places.available_permits())
            .finish_non_exhaustive()
    }
}
