use bytes::{BufMut, Bytes, BytesMut};
use gitstratum_git::pktline::{Band, SideBand, side_band, side_band_header};

use crate::conversation::{Output, OutputError};

/// Bytes gathered before they are sent where there are no side-bands.
const BARE_BYTES: usize = 64 * 1024;
/// Bytes in front of a frame's payload.
const FRAME_HEADER_BYTES: usize = 5;

/// A pack on its way to a client, in side-band frames where the client takes them.
pub(crate) struct Framed<'a> {
    output: &'a mut Output,
    framing: SideBand,
    /// A frame's header's place, then payload.
    gathered: BytesMut,
}

impl<'a> Framed<'a> {
    pub(crate) fn new(output: &'a mut Output, framing: SideBand) -> Self {
        let mut framed = Self { output, framing, gathered: BytesMut::new() };
        framed.begin();
        framed
    }

    /// Queues payload bytes.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), OutputError> {
        while !bytes.is_empty() {
            let room = self.payload_max() - self.payload_len();
            let taken = room.min(bytes.len());
            self.gathered.put_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.payload_len() == self.payload_max() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends what is gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), OutputError> {
        let length = self.payload_len();
        if length == 0 {
            return Ok(());
        }
        let mut frame = std::mem::take(&mut self.gathered);
        if self.has_frames() {
            let header = side_band_header(Band::Payload, length)
                .expect("because a frame is cut before it is too long");
            frame[..FRAME_HEADER_BYTES].copy_from_slice(&header);
        }
        self.begin();
        self.output.send(frame.freeze()).await
    }

    /// Tells the client something on a band of its own; nothing where there is none.
    pub(crate) async fn tell(&mut self, band: Band, text: &str) -> Result<(), OutputError> {
        self.flush().await?;
        let mut out = BytesMut::new();
        side_band(&mut out, self.framing, band, text.as_bytes());
        self.output.send(out.freeze()).await
    }

    /// Sends bytes that are no payload.
    pub(crate) async fn bare(&mut self, bytes: Bytes) -> Result<(), OutputError> {
        self.flush().await?;
        self.output.send(bytes).await
    }

    fn has_frames(&self) -> bool {
        self.framing.payload_bytes_max().is_some()
    }

    fn payload_max(&self) -> usize {
        self.framing.payload_bytes_max().unwrap_or(BARE_BYTES)
    }

    fn payload_len(&self) -> usize {
        match self.has_frames() {
            true => self.gathered.len() - FRAME_HEADER_BYTES,
            false => self.gathered.len(),
        }
    }

    fn begin(&mut self) {
        self.gathered.reserve(self.payload_max() + FRAME_HEADER_BYTES);
        if self.has_frames() {
            self.gathered.put_bytes(0, FRAME_HEADER_BYTES);
        }
    }
}
