use gitstratum_core::{ErrorKind, PackId};

use super::Kind;

/// Why bytes are not the part they should be, or a part cannot be made so. Every
/// variant names the part and its pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes do not match their checksum, or contradict themselves.
    #[error("{part} of pack {pack}: damaged, {what}")]
    Damaged {
        /// Which part.
        part: Kind,
        /// Of which pack.
        pack: PackId,
        /// What is wrong.
        what: &'static str,
    },
    /// One block of the part is damaged.
    #[error("{part} of pack {pack}: block {block} is damaged, {what}")]
    Block {
        /// Which part.
        part: Kind,
        /// Of which pack.
        pack: PackId,
        /// Number of the block, from 0.
        block: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// Sound bytes of the part of another pack.
    #[error("{part} of pack {pack}: these are the bytes of pack {found}")]
    OtherPack {
        /// Which part.
        part: Kind,
        /// The pack meant.
        pack: PackId,
        /// The one that the bytes name.
        found: PackId,
    },
    /// Sound bytes that a newer release wrote.
    #[error("{part} of pack {pack}: {what} {value} is not known to this release")]
    Unsupported {
        /// Which part.
        part: Kind,
        /// Of which pack.
        pack: PackId,
        /// The field.
        what: &'static str,
        /// Its value.
        value: u8,
    },
    /// More than the part can hold.
    #[error("{part} of pack {pack}: more than {limit} {what}")]
    TooLarge {
        /// Which part.
        part: Kind,
        /// Of which pack.
        pack: PackId,
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
    /// The caller handed in or asked for something that cannot be.
    #[error("{part} of pack {pack}: misused, {what}")]
    Misused {
        /// Which part.
        part: Kind,
        /// Of which pack.
        pack: PackId,
        /// What cannot be.
        what: &'static str,
    },
}

impl Error {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } | Self::Block { .. } | Self::OtherPack { .. } => {
                ErrorKind::Corrupt
            }
            Self::Unsupported { .. } => ErrorKind::Invalid,
            Self::TooLarge { .. } => ErrorKind::Busy,
            Self::Misused { .. } => ErrorKind::Bug,
        }
    }
}
