use bytes::{Buf, BytesMut};

use super::{Error, FLUSHES_MAX, HEADER_BYTES, PAYLOAD_BYTES_MAX, Packet};

/// What a [`Decoder`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most payload bytes in a packet.
    pub payload_bytes_max: usize,
    /// Most flush packets in a row.
    pub flushes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload_bytes_max: PAYLOAD_BYTES_MAX, flushes_max: FLUSHES_MAX }
    }
}

/// Cuts packets off the front of a buffer.
///
/// It never takes a byte beyond the packet it returns, so what follows a request
/// (a pack) stays in the buffer for its own reader.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    limits: Limits,
    flushes: u32,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, flushes: 0 }
    }

    /// The next packet in `buffer`, or `None` until more bytes have arrived; then
    /// `buffer` has room for the rest of the packet, at most 65,520 bytes.
    ///
    /// # Errors
    /// As soon as the length is known to be bad, before its payload arrives. The
    /// stream has no meaning from there on.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, Error> {
        let Some(length) = read_length(buffer)? else { return Ok(None) };
        if length >= HEADER_BYTES {
            return self.decode_payload(length, buffer);
        }
        let packet = match length {
            0 => Packet::Flush,
            1 => Packet::Delim,
            2 => Packet::ResponseEnd,
            _ => return Err(Error::Length { length }),
        };
        buffer.advance(HEADER_BYTES);
        self.count_flushes(&packet)?;
        Ok(Some(packet))
    }

    /// Says whether the stream may end with `rest` still unread.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `rest` is the beginning of a packet.
    pub fn finish(&self, rest: &[u8]) -> Result<(), Error> {
        if rest.is_empty() { Ok(()) } else { Err(Error::Truncated { left: rest.len() }) }
    }

    fn decode_payload(
        &mut self,
        length: usize,
        buffer: &mut BytesMut,
    ) -> Result<Option<Packet>, Error> {
        if length - HEADER_BYTES > self.limits.payload_bytes_max {
            return Err(Error::Length { length });
        }
        if buffer.len() < length {
            buffer.reserve(length - buffer.len());
            return Ok(None);
        }
        let mut packet = buffer.split_to(length).freeze();
        packet.advance(HEADER_BYTES);
        self.flushes = 0;
        Ok(Some(Packet::Data(packet)))
    }

    fn count_flushes(&mut self, packet: &Packet) -> Result<(), Error> {
        self.flushes = if *packet == Packet::Flush { self.flushes + 1 } else { 0 };
        let max = self.limits.flushes_max;
        if self.flushes > max { Err(Error::Flushes { max }) } else { Ok(()) }
    }
}

/// The length at the front of `buffer`, `None` while it is incomplete. A digit that
/// is not hex is refused at once: a peer that speaks TLS, HTTP or SSH to us must not
/// keep the connection by sending three bytes.
fn read_length(buffer: &[u8]) -> Result<Option<usize>, Error> {
    let mut length = 0;
    for byte in buffer.iter().take(HEADER_BYTES) {
        let digit = char::from(*byte).to_digit(16).ok_or(Error::LengthDigits)?;
        length = length * 16 + digit as usize;
    }
    Ok((buffer.len() >= HEADER_BYTES).then_some(length))
}
