use gitstratum_core::ErrorKind;

/// Why bytes are not pkt-lines, or cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The four bytes where a length should stand are not hex digits.
    #[error("bad line length characters")]
    LengthDigits,
    /// A length that no packet has: 3, or above the limit.
    #[error("bad line length {length}")]
    Length {
        /// The length as sent, header included, in bytes.
        length: usize,
    },
    /// More flush packets in a row than the limit.
    #[error("more than {max} flush packets in a row")]
    Flushes {
        /// The limit.
        max: u32,
    },
    /// The stream ended inside a packet.
    #[error("stream ended {left} bytes into a packet")]
    Truncated {
        /// Bytes of the unfinished packet.
        left: usize,
    },
    /// A payload to be sent does not fit a packet.
    #[error("payload of {length} bytes does not fit a packet")]
    Payload {
        /// Its length in bytes.
        length: usize,
    },
}

impl Error {
    /// What kind of failure this is: the peer's, except for a payload of our own.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::LengthDigits
            | Self::Length { .. }
            | Self::Flushes { .. }
            | Self::Truncated { .. } => ErrorKind::Invalid,
            Self::Payload { .. } => ErrorKind::Bug,
        }
    }
}
