use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that a client may spend on what is for no channel: keys, logging in, messages
/// that say nothing. Room for dozens of exchanges of keys.
const TALK_BYTES_MAX: u64 = 128 * 1024;
/// To which comes one in so many bytes of the connection, both ways: who moves much may
/// change keys often.
const TALK_SHARE: u64 = 64;
/// What encryption adds to a message at most, in bytes.
const ENVELOPE_BYTES: u64 = 96;

/// What a connection has carried, and what of it had a purpose. What is left is talk of the
/// protocol with itself, of which an honest client needs little and one that asks for new
/// keys without end needs ever more (bad input 117). It cannot be counted in messages: they
/// are sealed, and the library answers those for new keys by itself.
#[derive(Debug, Default)]
pub(super) struct Talk {
    heard: AtomicU64,
    told: AtomicU64,
    meant: AtomicU64,
}

impl Talk {
    /// A message for a channel came, with so many bytes besides its numbers.
    pub(super) fn note_purpose(&self, bytes: usize) {
        self.meant.fetch_add(bytes as u64 + ENVELOPE_BYTES, Ordering::Relaxed);
    }

    fn note_heard(&self, bytes: usize) {
        self.heard.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn note_told(&self, bytes: usize) {
        self.told.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn is_idle(&self) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        let carried = heard.saturating_add(self.told.load(Ordering::Relaxed));
        let talk = heard.saturating_sub(self.meant.load(Ordering::Relaxed));
        talk > TALK_BYTES_MAX + carried / TALK_SHARE
    }
}

/// A connection that ends when it carries too much idle talk.
pub(super) struct Audited<IO> {
    io: IO,
    talk: Arc<Talk>,
}

impl<IO> Audited<IO> {
    /// Counts the bytes of `io` in `talk`.
    pub(super) fn new(io: IO, talk: Arc<Talk>) -> Self {
        Self { io, talk }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Audited<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.talk.is_idle() {
            let words = "more talk about nothing than a connection may have";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, words)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        self.talk.note_heard(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Audited<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(context, bytes))?;
        self.talk.note_told(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(context, slices))?;
        self.talk.note_told(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Reads `pieces` of 1 KiB, each noted as `purpose` says; the first error.
    async fn read(pieces: usize, purpose: impl Fn(&Talk)) -> io::Result<()> {
        let talk = Arc::new(Talk::default());
        let (mut near, far) = duplex(1_024);
        let mut audited = Audited::new(far, Arc::clone(&talk));
        let mut piece = [0; 1_024];
        for _ in 0..pieces {
            near.write_all(&piece).await?;
            audited.read_exact(&mut piece).await?;
            purpose(&talk);
        }
        Ok(())
    }

    #[tokio::test]
    async fn bad_input_117_talk_that_is_for_nothing_has_an_end() {
        let error = read(1_000, |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(read(128, |_| {}).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_for_a_channel_has_none() {
        assert!(read(10_000, |talk| talk.note_purpose(1_000)).await.is_ok());
    }

    #[test]
    fn who_moves_much_may_change_keys_often() {
        let talk = Talk::default();
        // A clone with new keys at every mebibyte.
        for _ in 0..10_000 {
            talk.note_told(1 << 20);
            talk.note_heard(3_000);
        }
        assert!(!talk.is_idle());
    }
}
