//! The bulk port's words (S50): paths, headers and frames. HTTP/1.1; bodies are
//! segment bytes one way and frames the other.

use gitstratum_core::SegmentId;

/// `POST`: the body is a `ReadRequest`, the answer is frames.
pub const READ_PATH: &str = "/v1/read";
/// `PUT SEGMENTS_PATH + ID`: the body is a segment's bytes, the answer a `WriteResponse`
/// that is sent once they are durable. `GET`: the answer is the bytes of the whole segment.
pub const SEGMENTS_PATH: &str = "/v1/segments/";
/// Response header with the kind of a failure, as [`gitstratum_core::ErrorKind::as_str`] writes it.
pub const KIND_HEADER: &str = "x-gs-kind";
/// Response header of a read: how many reads the node has under way, this one among them, in
/// decimal (GS-CP-19).
pub const IN_FLIGHT_HEADER: &str = "x-gs-in-flight";
/// Most payload bytes in one frame.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Most ranges in one read (S28).
pub const RANGES_MAX: usize = 65_536;
/// Bytes of a frame's header: length and checksum.
pub const FRAME_HEADER_BYTES: usize = 8;

/// Set in the length of a frame that ends the answer with an error; its payload is
/// `KIND message` as text.
const ERROR_BIT: u32 = 0x8000_0000;

/// What stands before each frame: big-endian length and CRC32C of the payload.
/// A frame never crosses from one range into the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Payload bytes.
    pub length: u32,
    /// CRC32C of the payload.
    pub checksum: u32,
    /// Whether the payload is an error that ends the answer.
    pub is_error: bool,
}

impl FrameHeader {
    /// The header of a frame of data.
    pub const fn of_data(length: u32, checksum: u32) -> Self {
        Self { length, checksum, is_error: false }
    }

    /// The header of a frame that ends the answer with an error.
    pub const fn of_error(length: u32, checksum: u32) -> Self {
        Self { length, checksum, is_error: true }
    }

    /// Its eight bytes.
    pub fn encode(self) -> [u8; FRAME_HEADER_BYTES] {
        let word = self.length | if self.is_error { ERROR_BIT } else { 0 };
        let mut out = [0; FRAME_HEADER_BYTES];
        out[..4].copy_from_slice(&word.to_be_bytes());
        out[4..].copy_from_slice(&self.checksum.to_be_bytes());
        out
    }

    /// The header in `bytes`; `None` when it announces more than [`FRAME_BYTES_MAX`].
    pub fn decode(bytes: [u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let word = u32::from_be_bytes([a, b, c, d]);
        let length = word & !ERROR_BIT;
        let within = usize::try_from(length).is_ok_and(|length| length <= FRAME_BYTES_MAX);
        within.then(|| Self {
            length,
            checksum: u32::from_be_bytes([e, f, g, h]),
            is_error: word & ERROR_BIT != 0,
        })
    }
}

/// The path a segment is written to.
pub fn segment_path(segment: SegmentId) -> String {
    format!("{SEGMENTS_PATH}{segment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_headers_round_trip_and_refuse_long_frames() {
        for header in [FrameHeader::of_data(7, 9), FrameHeader::of_error(0, u32::MAX)] {
            assert_eq!(FrameHeader::decode(header.encode()), Some(header));
        }
        let long = u32::try_from(FRAME_BYTES_MAX).unwrap() + 1;
        assert_eq!(FrameHeader::decode(FrameHeader::of_data(long, 0).encode()), None);
    }
}
