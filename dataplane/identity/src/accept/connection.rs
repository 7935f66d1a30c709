use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use gitstratum_process::Drain;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::{BoxStream, Peer};

/// A connection that passed the limits and, where there is TLS, its handshake.
#[derive(Debug)]
pub struct Conn {
    /// Its bytes.
    pub io: ConnStream,
    /// The client's address; an IPv4 one is never shown as IPv6.
    pub client: SocketAddr,
    /// The server's address that the client reached.
    pub local: SocketAddr,
    /// The protocol agreed on in the handshake.
    pub alpn: Option<Vec<u8>>,
    /// The node at the other end, proved: on internal ports only.
    pub peer: Option<Peer>,
    /// Starts when the server's port has closed: finish what is under way and end.
    pub drain: Drain,
}

/// Bytes of a connection, through TLS or not.
pub enum ConnStream {
    /// As they come.
    Plain(TcpStream),
    /// Decrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// Within the process.
    Inside(BoxStream),
}

impl fmt::Debug for ConnStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Tls(_) => "Tls",
            Self::Inside(_) => "Inside",
        })
    }
}

macro_rules! on_either {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream {
            ConnStream::Plain($io) => $call,
            ConnStream::Tls($io) => $call,
            ConnStream::Inside($io) => $call,
        }
    };
}

impl AsyncRead for ConnStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_read(context, buffer))
    }
}

impl AsyncWrite for ConnStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        on_either!(self, io => io.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_shutdown(context))
    }
}
