//! Git's binary deltas: a base size, a result size, then copy and insert
//! instructions (gitformat-pack, "deltified representation").
//!
//! Reading is exact: a delta that names another base size, another result size,
//! bytes outside its base or the reserved instruction is refused, and nothing
//! larger than the caller's limit is ever allocated (bad inputs 51, 52).

mod header;
mod instruction;

pub use header::Header;
pub use instruction::{Instruction, Instructions};

use gitstratum_core::ErrorKind;

/// Why a delta was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The delta ends inside its header or inside an instruction.
    #[error("delta ends in the middle of {0}")]
    Truncated(&'static str),
    /// A size in the header does not fit 64 bits.
    #[error("delta states a size beyond 64 bits")]
    SizeOverflow,
    /// The delta was made for a base of another size.
    #[error("delta is for a base of {stated} bytes, its base has {found}")]
    BaseSize {
        /// Bytes the delta states.
        stated: u64,
        /// Bytes the base has.
        found: u64,
    },
    /// The instructions make another number of bytes than stated.
    #[error("delta states a result of {stated} bytes and makes {found}")]
    ResultSize {
        /// Bytes the delta states.
        stated: u64,
        /// Bytes made when the difference was seen.
        found: u64,
    },
    /// A copy reaches beyond the end of the base.
    #[error("delta copies {len} bytes from {offset}, its base has {base}")]
    CopyOutOfBounds {
        /// First byte copied.
        offset: u64,
        /// Bytes copied.
        len: u64,
        /// Bytes of the base.
        base: u64,
    },
    /// The reserved instruction 0.
    #[error("delta has the reserved instruction 0")]
    Reserved,
    /// The result would be larger than allowed.
    #[error("delta makes {stated} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes the delta states.
        stated: u64,
        /// Bytes allowed.
        limit: u64,
    },
}

impl DeltaError {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The bytes that `delta` makes of `base`, at most `limit` of them.
///
/// # Errors
/// Any [`DeltaError`]; nothing is allocated before the sizes are checked.
pub fn apply(base: &[u8], delta: &[u8], limit: u64) -> Result<Vec<u8>, DeltaError> {
    let header = Header::parse(delta)?;
    let mut out = Vec::with_capacity(checked_size(header.result_size, limit)?);
    apply_to(base, delta, |piece| out.extend_from_slice(piece))?;
    Ok(out)
}

/// Hands the bytes that `delta` makes of `base` to `sink`, piece by piece and
/// in order, without holding them. At most the stated result size is handed on.
///
/// # Errors
/// Any [`DeltaError`] but `TooLarge`; the sink may have seen bytes by then.
pub fn apply_to(base: &[u8], delta: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), DeltaError> {
    let header = Header::parse(delta)?;
    if header.base_size != base.len() as u64 {
        return Err(DeltaError::BaseSize { stated: header.base_size, found: base.len() as u64 });
    }
    let stated = header.result_size;
    let mut made = 0_u64;
    for instruction in Instructions::new(&delta[header.len..]) {
        let piece = instruction?.bytes(base)?;
        made += piece.len() as u64;
        if made > stated {
            return Err(DeltaError::ResultSize { stated, found: made });
        }
        sink(piece);
    }
    if made != stated {
        return Err(DeltaError::ResultSize { stated, found: made });
    }
    Ok(())
}

fn checked_size(stated: u64, limit: u64) -> Result<usize, DeltaError> {
    let too_large = DeltaError::TooLarge { stated, limit };
    if stated > limit {
        return Err(too_large);
    }
    usize::try_from(stated).map_err(|_beyond_memory| too_large)
}

#[cfg(test)]
mod tests;
