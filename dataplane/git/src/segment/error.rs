use gitstratum_core::{ErrorKind, SegmentId};

/// Why bytes are not the segment they should be, or a segment cannot be made so.
/// Every variant names the segment that was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than the smallest sealed segment has.
    #[error("segment {segment}: cut short, {len} bytes are no sealed segment")]
    Truncated {
        /// The segment meant.
        segment: SegmentId,
        /// Bytes found.
        len: u64,
    },
    /// The header does not match its checksum or breaks a rule.
    #[error("segment {segment}: damaged header, {what}")]
    Header {
        /// The segment meant.
        segment: SegmentId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Sound bytes of another segment.
    #[error("segment {segment}: these are the bytes of segment {found}")]
    Other {
        /// The segment meant.
        segment: SegmentId,
        /// The one that the bytes name.
        found: SegmentId,
    },
    /// Sound bytes that a newer release wrote.
    #[error("segment {segment}: {what} {value} is not known to this release")]
    Unsupported {
        /// The segment meant.
        segment: SegmentId,
        /// The field.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// The footer is missing (cut short, or never sealed), or damaged.
    #[error("segment {segment}: damaged footer, {what}")]
    Footer {
        /// The segment meant.
        segment: SegmentId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A block of the body does not match its checksum.
    #[error("segment {segment}: block {block} is damaged")]
    Block {
        /// The segment meant.
        segment: SegmentId,
        /// Number of the block in the body, from 0.
        block: u32,
    },
    /// A read brought another number of bytes than was asked for.
    #[error("segment {segment}: a read of {expected} bytes brought {found}")]
    Read {
        /// The segment meant.
        segment: SegmentId,
        /// Bytes asked for.
        expected: u64,
        /// Bytes brought.
        found: u64,
    },
    /// The caller asks for bytes that the body does not have.
    #[error("segment {segment}: bytes {start}..{end} are not in a body of {body} bytes")]
    Range {
        /// The segment meant.
        segment: SegmentId,
        /// First byte asked for.
        start: u64,
        /// One past the last.
        end: u64,
        /// Bytes of the body.
        body: u64,
    },
    /// More than a segment may hold.
    #[error("segment {segment}: more than {limit} {what}")]
    TooLarge {
        /// The segment meant.
        segment: SegmentId,
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
}

impl Error {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. }
            | Self::Header { .. }
            | Self::Other { .. }
            | Self::Footer { .. }
            | Self::Block { .. }
            | Self::Read { .. } => ErrorKind::Corrupt,
            Self::Unsupported { .. } | Self::Range { .. } | Self::TooLarge { .. } => {
                ErrorKind::Invalid
            }
        }
    }
}
