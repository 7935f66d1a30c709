use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::ErrorKind;
use gitstratum_git::pktline::SideBand;
use tokio::sync::mpsc;

/// Pieces under way to a client at most (GS-FE-25); with pieces of at most 64 KiB a
/// slow client holds 4 MiB.
pub(crate) const PIECES_MAX: usize = 64;

/// Bytes to the client, through a bounded channel: a slow client slows its command
/// down, and one that stops reading is cut.
#[derive(Debug)]
pub(crate) struct Output {
    pieces: mpsc::Sender<Bytes>,
    idle: Duration,
    sent: Arc<AtomicU64>,
    reads: Reads,
}

/// What the client takes the next bytes for, and so how an error can be told to it. Kept with the
/// output, as whoever was sending may be dropped half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Packets: an error is an `ERR` line.
    Packets,
    /// Frames of this kind: an error goes on band 3.
    Bands(SideBand),
    /// Content of which nothing can be told apart: an error can only break it off.
    Content,
}

impl Reads {
    /// What is said of a push: frames, or packets where none were asked for.
    pub(crate) const fn verdict(framing: SideBand) -> Self {
        match framing {
            SideBand::None => Self::Packets,
            SideBand::Small | SideBand::Large => Self::Bands(framing),
        }
    }

    /// A pack, framed as was agreed.
    pub(crate) const fn pack(framing: SideBand) -> Self {
        match framing {
            SideBand::None => Self::Content,
            SideBand::Small | SideBand::Large => Self::Bands(framing),
        }
    }
}

/// Why bytes could not be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The client reads nothing for too long.
    #[error("client read nothing for {} s", idle.as_secs())]
    Idle {
        /// The limit.
        idle: Duration,
    },
    /// The client has gone.
    #[error("client has gone")]
    Gone,
}

impl OutputError {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

impl Output {
    /// An output, and the end that the transport drains.
    pub(crate) fn channel(idle: Duration) -> (Self, mpsc::Receiver<Bytes>) {
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        (Self { pieces, idle, sent: Arc::default(), reads: Reads::Packets }, receiver)
    }

    /// Queues `bytes`, waiting while the client is slow.
    ///
    /// # Errors
    /// When the client has gone or reads nothing for too long.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> Result<(), OutputError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        match self.pieces.send_timeout(bytes, self.idle).await {
            Ok(()) => {
                self.sent.fetch_add(length, Ordering::Relaxed);
                Ok(())
            }
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(OutputError::Idle { idle: self.idle })
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(OutputError::Gone),
        }
    }

    /// What the client reads from here on. To be said in the same breath as the send that made it
    /// so: between the two nobody may be dropped.
    pub(crate) fn set_reads(&mut self, reads: Reads) {
        self.reads = reads;
    }

    /// What the client reads now.
    pub(crate) fn reads(&self) -> Reads {
        self.reads
    }

    /// Bytes queued so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The count of bytes queued, which goes on counting: for the request log.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    /// Pends until the transport has gone: to stop work nobody waits for.
    pub(crate) async fn closed(&self) {
        self.pieces.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bad_input_035_a_client_that_stops_reading_is_cut() {
        let (mut output, receiver) = Output::channel(Duration::from_secs(60));
        for _ in 0..PIECES_MAX {
            output.send(Bytes::from_static(b"x")).await.unwrap();
        }
        let stuck = output.send(Bytes::from_static(b"x")).await;
        assert!(matches!(stuck, Err(OutputError::Idle { .. })));
        drop(receiver);
        assert!(matches!(output.send(Bytes::from_static(b"x")).await, Err(OutputError::Gone)));
    }
}
