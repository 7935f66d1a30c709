use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A client's bytes under guard: a peer that takes nothing is cut, one that does not
/// greet in our protocol is cut at its first wrong byte (bad input 11), and whoever holds
/// the token can cut it at any time, whatever the protocol's code is waiting for.
pub(super) struct Guarded<IO> {
    io: IO,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    stall_max: Duration,
    stall: Pin<Box<Sleep>>,
    stalled: bool,
    greeting: &'static [u8],
}

impl<IO> Guarded<IO> {
    /// Guards `io`; a write that makes no progress for `stall_max` fails.
    pub(super) fn new(io: IO, cut: CancellationToken, stall_max: Duration) -> Self {
        Self {
            io,
            cut: Box::pin(cut.cancelled_owned()),
            stall_max,
            stall: Box::pin(sleep(stall_max)),
            stalled: false,
            greeting: b"",
        }
    }

    /// What the peer must say first, to the byte.
    pub(super) fn expect(self, greeting: &'static [u8]) -> Self {
        Self { greeting, ..self }
    }

    fn check_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut")),
            Poll::Pending => Ok(()),
        }
    }

    fn check_greeting(&mut self, heard: &[u8]) -> io::Result<()> {
        let known = heard.len().min(self.greeting.len());
        let (expected, rest) = self.greeting.split_at(known);
        if heard[..known] != *expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not our protocol"));
        }
        self.greeting = rest;
        Ok(())
    }

    /// Passes `written` on, unless nothing could be written for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.stall.as_mut().reset(Instant::now() + self.stall_max);
        }
        ready!(self.stall.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "peer takes no bytes")))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_cut(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if !self.greeting.is_empty() {
            self.check_greeting(&buffer.filled()[before..])?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_cut(context)?;
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_cut(context)?;
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut(context)?;
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut(context)?;
        let shut = Pin::new(&mut self.io).poll_shutdown(context);
        self.watch(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    fn pair() -> (DuplexStream, Guarded<DuplexStream>, CancellationToken) {
        let (near, far) = duplex(16);
        let cut = CancellationToken::new();
        (near, Guarded::new(far, cut.clone(), STALL), cut)
    }

    #[tokio::test(start_paused = true)]
    async fn bad_input_102_a_peer_that_takes_nothing_is_cut() {
        let (_near, mut guarded, _cut) = pair();
        let began = Instant::now();
        let error = guarded.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_slow_but_takes_bytes_is_not() {
        let (mut near, mut guarded, _cut) = pair();
        let taking = async {
            let mut taken = [0; 1];
            for _ in 0..64 {
                tokio::time::sleep(STALL / 2).await;
                near.read_exact(&mut taken).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(guarded.write_all(&[0; 64]), taking);
        assert!(written.is_ok());
    }

    #[tokio::test]
    async fn bad_input_011_another_protocol_is_cut_at_its_first_wrong_byte() {
        for wrong in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"SSX"] {
            let (mut near, guarded, _cut) = pair();
            let mut guarded = guarded.expect(b"SSH-");
            near.write_all(wrong).await.unwrap();
            let error = guarded.read(&mut [0; 64]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let (mut near, guarded, _cut) = pair();
        let mut guarded = guarded.expect(b"SSH-");
        near.write_all(b"SSH-2.0-x").await.unwrap();
        let mut heard = [0; 9];
        guarded.read_exact(&mut heard[..2]).await.unwrap();
        guarded.read_exact(&mut heard[2..]).await.unwrap();
        assert_eq!(&heard, b"SSH-2.0-x");
    }

    #[tokio::test]
    async fn whoever_holds_the_token_ends_a_read_that_waits() {
        let (_near, mut guarded, cut) = pair();
        let mut byte = [0];
        let (read, ()) = tokio::join!(guarded.read(&mut byte), async { cut.cancel() });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
