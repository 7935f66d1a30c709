use bytes::{BufMut, BytesMut};

use super::encode::length_digits;
use super::{Error, HEADER_BYTES, SIDE_BAND_BYTES_MAX, SMALL_SIDE_BAND_BYTES_MAX};

/// An empty packet on band 1, which tells a waiting client that we still work.
pub const KEEP_ALIVE: &[u8] = b"0005\x01";

/// Which of the streams multiplexed in a response a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Band {
    /// The pack, or the report of a push.
    Payload = 1,
    /// Text for the user.
    Progress = 2,
    /// The last words before we give up.
    Fatal = 3,
}

/// How a response is multiplexed, as negotiated; always [`SideBand::Large`] in
/// protocol v2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SideBand {
    /// Not at all: the payload goes out bare and nothing else can be said.
    #[default]
    None,
    /// `side-band`: packets of at most 1,000 bytes.
    Small,
    /// `side-band-64k`.
    Large,
}

impl SideBand {
    /// Most payload bytes in one frame; `None` where there are no frames.
    pub const fn payload_bytes_max(self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Small => Some(SMALL_SIDE_BAND_BYTES_MAX),
            Self::Large => Some(SIDE_BAND_BYTES_MAX),
        }
    }
}

/// The five bytes in front of `length` payload bytes of one frame, for writers that
/// do not copy the payload.
///
/// # Errors
/// [`Error::Payload`] when `length` is above [`SIDE_BAND_BYTES_MAX`].
pub fn side_band_header(band: Band, length: usize) -> Result<[u8; HEADER_BYTES + 1], Error> {
    let [a, b, c, d] =
        length_digits(length.saturating_add(HEADER_BYTES + 1)).ok_or(Error::Payload { length })?;
    Ok([a, b, c, d, band as u8])
}

/// Appends `bytes` in as many frames as `framing` needs. Without frames a payload
/// goes out bare, and progress or last words not at all, as nothing could tell them
/// from it.
pub fn side_band(out: &mut BytesMut, framing: SideBand, band: Band, bytes: &[u8]) {
    let Some(bytes_max) = framing.payload_bytes_max() else {
        if band == Band::Payload {
            out.put_slice(bytes);
        }
        return;
    };
    for chunk in bytes.chunks(bytes_max) {
        let header = side_band_header(band, chunk.len())
            .expect("because a chunk is no longer than a frame may be");
        out.put_slice(&header);
        out.put_slice(chunk);
    }
}
