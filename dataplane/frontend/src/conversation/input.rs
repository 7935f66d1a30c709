use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt};
use gitstratum_core::ErrorKind;

/// Bytes from the client, read on demand; a silent client is cut.
pub(crate) struct Input {
    source: BoxStream<'static, io::Result<Bytes>>,
    idle: Duration,
    ended: bool,
    received: Arc<AtomicU64>,
    received_max: u64,
}

/// Why no more bytes came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// The client sent nothing for too long.
    #[error("nothing received for {} s", idle.as_secs())]
    Idle {
        /// The limit.
        idle: Duration,
    },
    /// The client began to say something and did not get to its end.
    #[error("fewer than {bytes_per_second} bytes/s received over {} s", span.as_secs())]
    Slow {
        /// The least that would have been fast enough.
        bytes_per_second: u64,
        /// How long it was watched.
        span: Duration,
    },
    /// More bytes than the request may have.
    #[error("request is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The connection broke.
    #[error("connection broke")]
    Broken {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl InputError {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Idle { .. } | Self::Slow { .. } | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Broken { .. } => ErrorKind::Unavailable,
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("received", &self.received).finish_non_exhaustive()
    }
}

impl Input {
    /// Reads from `source`, cut after `idle` of silence and after `received_max` bytes.
    pub(crate) fn new(
        source: BoxStream<'static, io::Result<Bytes>>,
        idle: Duration,
        received_max: u64,
    ) -> Self {
        Self { source, idle, ended: false, received: Arc::default(), received_max }
    }

    /// An input of the given bytes.
    #[cfg(test)]
    pub(crate) fn of(bytes: Bytes) -> Self {
        let once = futures::stream::once(async move { Ok(bytes) });
        Self::new(once.boxed(), Duration::from_secs(60), u64::MAX)
    }

    /// The next bytes, never empty; `None` at the end.
    ///
    /// # Errors
    /// When the client is silent too long, sends too much, or breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, InputError> {
        while !self.ended {
            let read = tokio::time::timeout(self.idle, self.source.next()).await;
            match read.map_err(|_| InputError::Idle { idle: self.idle })? {
                None => self.ended = true,
                Some(Err(source)) => {
                    self.ended = true;
                    return Err(InputError::Broken { source });
                }
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => return self.count(bytes).map(Some),
            }
        }
        Ok(None)
    }

    /// Appends the next bytes to `buffer`; false at the end.
    ///
    /// # Errors
    /// As [`Input::next`].
    pub(crate) async fn fill(&mut self, buffer: &mut BytesMut) -> Result<bool, InputError> {
        match self.next().await? {
            Some(bytes) => {
                buffer.extend_from_slice(&bytes);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// How long the client may be silent.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The count of bytes received, which goes on counting: for the request log.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received)
    }

    fn count(&mut self, bytes: Bytes) -> Result<Bytes, InputError> {
        let length = bytes.len() as u64;
        let received = self.received.fetch_add(length, Ordering::Relaxed) + length;
        if received > self.received_max {
            self.ended = true;
            return Err(InputError::TooLarge { limit: self.received_max });
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bad_input_005_a_silent_client_is_cut() {
        let mut input = Input::new(futures::stream::pending().boxed(), Duration::from_secs(60), 10);
        assert!(matches!(input.next().await, Err(InputError::Idle { .. })));
    }

    #[tokio::test]
    async fn bad_input_012_a_request_over_the_limit_is_cut() {
        let chunks = futures::stream::repeat_with(|| Ok(Bytes::from_static(b"0004")));
        let mut input = Input::new(chunks.boxed(), Duration::from_secs(60), 10);
        assert!(input.next().await.unwrap().is_some());
        assert!(input.next().await.unwrap().is_some());
        assert!(matches!(input.next().await, Err(InputError::TooLarge { limit: 10 })));
        assert!(input.next().await.unwrap().is_none());
    }
}
