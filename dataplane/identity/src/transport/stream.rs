use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::{BoxStream, Peer};

/// An accepted connection together with who is at its other end.
pub struct Accepted<W> {
    who: W,
    io: BoxStream,
    /// Its place among the listener's connections, once it has one.
    place: Option<OwnedSemaphorePermit>,
}

/// A connection of a node.
pub type PeerStream = Accepted<Peer>;

/// A connection over TLS whose other end is nobody in particular: known is where it comes from.
pub type Guest = Accepted<SocketAddr>;

impl<W: Copy> Accepted<W> {
    /// `io`, at whose other end is `who`: whoever says so has proved it.
    pub fn new(who: W, io: BoxStream) -> Self {
        Self { who, io, place: None }
    }

    pub(super) fn hold(mut self, place: OwnedSemaphorePermit) -> Self {
        self.place = Some(place);
        self
    }

    /// Who is at the other end.
    pub const fn who(&self) -> W {
        self.who
    }
}

impl<W: fmt::Debug> fmt::Debug for Accepted<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, place, io: _ } = self;
        let has_place = place.is_some();
        f.debug_struct("Accepted").field("who", who).field("has_place", &has_place).finish()
    }
}

impl<W: Unpin> AsyncRead for Accepted<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<W: Unpin> AsyncWrite for Accepted<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
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
