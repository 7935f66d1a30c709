use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use socket2::{Domain, Socket, Type};

use crate::moment::now;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A bare connection: any bytes, in any order, at any pace.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    opened: Instant,
}

/// How listening ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server closed or reset the connection.
    Closed,
    /// The server said nothing more and keeps the connection open.
    Open,
}

/// What was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: End,
    /// How long it took from the connection's start.
    pub took: Duration,
}

impl Heard {
    /// The bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Wire {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: &str) -> Result<Self> {
        let at: SocketAddr = address.parse().with_context(|| format!("address {address}"))?;
        let stream = TcpStream::connect_timeout(&at, CONNECT_WITHIN);
        Self::of(stream.with_context(|| format!("connecting to {address}"))?)
    }

    /// The same from another address of this machine: servers count by source.
    ///
    /// # Errors
    /// As [`Wire::open`], or when `source` is no address of this machine.
    pub fn open_from(source: IpAddr, address: &str) -> Result<Self> {
        let at: SocketAddr = address.parse().with_context(|| format!("address {address}"))?;
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&at.into(), CONNECT_WITHIN)?;
        Self::of(socket.into())
    }

    fn of(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, opened: now() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn stop_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The next bytes; none at the end of the stream or when it is reset.
    ///
    /// # Errors
    /// When nothing comes within `patience`, or this side's socket is at fault.
    pub fn receive(&mut self, patience: Duration) -> io::Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        let mut piece = vec![0; PIECE_BYTES];
        let read = loop {
            match self.stream.read(&mut piece) {
                // A read with a time limit is not taken up again by the system when a signal
                // comes, as one does when a child of any other test ends.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(length) => {
                piece.truncate(length);
                Ok(piece)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Listens until the server closes, at most `within` from now.
    ///
    /// # Errors
    /// When the socket takes no time limit.
    pub fn hear_out(&mut self, within: Duration) -> io::Result<Heard> {
        let began = now();
        let mut bytes = Vec::new();
        let end = loop {
            let left = within.saturating_sub(began.elapsed());
            if left.is_zero() {
                break End::Open;
            }
            match self.receive(left) {
                Ok(piece) if piece.is_empty() => break End::Closed,
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) if is_patience(&error) => break End::Open,
                Err(error) => return Err(error),
            }
        };
        Ok(Heard { bytes, end, took: self.opened.elapsed() })
    }

    /// Sends `bytes` while listening, so that neither side waits for the other.
    ///
    /// # Errors
    /// As [`Wire::hear_out`].
    pub fn talk(&mut self, bytes: &[u8], within: Duration) -> Result<Heard> {
        let mut speaking = self.stream.try_clone()?;
        std::thread::scope(|scope| {
            // A server that has heard enough closes: what it said until then counts.
            let said = scope.spawn(move || drop(speaking.write_all(bytes)));
            let heard = self.hear_out(within);
            drop(self.stream.shutdown(Shutdown::Both));
            drop(said.join());
            Ok(heard?)
        })
    }
}

fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Connects, says `bytes`, and listens until the server closes, at most `within`.
///
/// # Errors
/// When nobody listens there.
pub fn talk(address: &str, bytes: &[u8], within: Duration) -> Result<Heard> {
    Wire::open(address)?.talk(bytes, within)
}
