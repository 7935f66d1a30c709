use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::stream::{BoxStream, StreamExt as _};
use gitstratum_process::Task;
use http_body_util::BodyDataStream;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

use super::broken;
use super::exchange::Ended;
use super::gunzip::gunzip;
use super::route::Coding;

/// The bytes of a request's body, unpacked. Nothing is read before the first poll, so
/// that `100-continue` is said only to who is authorised (bad input 108).
pub(super) fn incoming(body: Incoming, coding: Coding) -> BoxStream<'static, io::Result<Bytes>> {
    let pieces = BodyDataStream::new(body).map(|piece| piece.map_err(io::Error::other));
    match coding {
        Coding::Plain => pieces.boxed(),
        Coding::Gzip => gunzip(pieces.boxed()).boxed(),
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// Known at once.
    Whole(Bytes),
    /// What a command sends, while it runs.
    Streamed(Streamed),
}

/// A running command and what it has sent. Dropped, it stops the command.
#[derive(Debug)]
pub(super) struct Streamed {
    /// The first piece, which decided the status.
    pub first: Bytes,
    /// Those that follow.
    pub pieces: mpsc::Receiver<Bytes>,
    /// The command; its end decides whether the body ends well.
    pub command: Task<Ended>,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(take(bytes).map(Ok)),
            Self::Streamed(streamed) => streamed.poll_piece(context),
        };
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(_) => SizeHint::new(),
        }
    }
}

impl Streamed {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(first) = take(&mut self.first) {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(piece) = ready!(self.pieces.poll_recv(context)) {
            return Poll::Ready(Some(Ok(piece)));
        }
        // A client that counts on the end of the body must not take a cut answer for a
        // whole one.
        match ready!(self.command.poll_unpin(context)) {
            Ok(Ended::Told) => Poll::Ready(None),
            Ok(Ended::Untold(_) | Ended::Cut) | Err(_) => {
                Poll::Ready(Some(Err(broken("the answer broke off"))))
            }
        }
    }
}

fn take(bytes: &mut Bytes) -> Option<Bytes> {
    let taken = std::mem::take(bytes);
    (!taken.is_empty()).then_some(taken)
}
