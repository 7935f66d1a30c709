//! Pkt-line framing (gitprotocol-common): four hex digits that count themselves
//! and the payload, then the payload.
//!
//! **Invariant**: a [`Packet`] has passed every length rule before a byte of its
//! payload was waited for. **Absence**: nothing here knows what a line means.

mod decoder;
mod encode;
mod error;
mod plain;
mod side_band;

pub use decoder::{Decoder, Limits};
pub(crate) use encode::frame;
pub use encode::{data, delim, error, flush, response_end, text};
pub use error::Error;
pub use plain::strip_controls;
pub(crate) use plain::truncate;
pub use side_band::{Band, KEEP_ALIVE, SideBand, side_band, side_band_header};

use bytes::Bytes;

/// Bytes of the length in front of every packet.
pub const HEADER_BYTES: usize = 4;
/// Most bytes in a packet, header included.
pub const PACKET_BYTES_MAX: usize = 65_520;
/// Most bytes in the payload of a packet.
pub const PAYLOAD_BYTES_MAX: usize = PACKET_BYTES_MAX - HEADER_BYTES;
/// Most payload bytes behind the band byte of a `side-band-64k` packet.
pub const SIDE_BAND_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - 1;
/// Most payload bytes behind the band byte of a plain `side-band` packet, which
/// may have 1,000 bytes in all.
pub const SMALL_SIDE_BAND_BYTES_MAX: usize = 1_000 - HEADER_BYTES - 1;
/// Most flush packets in a row before the peer is taken for a nuisance.
pub const FLUSHES_MAX: u32 = 1_000;

/// One packet of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Payload, at most [`PAYLOAD_BYTES_MAX`] bytes, possibly none (`0004`).
    Data(Bytes),
    /// `0000`: end of a message.
    Flush,
    /// `0001`: end of a section of a message.
    Delim,
    /// `0002`: end of a response on a stateless connection.
    ResponseEnd,
}

impl Packet {
    /// The word for it in error messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Flush => "flush",
            Self::Delim => "delimiter",
            Self::ResponseEnd => "response end",
        }
    }
}

#[cfg(test)]
mod tests;
