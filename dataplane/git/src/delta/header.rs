use super::DeltaError;

/// Most bytes of one size: ten groups of seven bits.
const SIZE_LEN_MAX: usize = 10;

/// The two sizes at the start of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the base that the delta applies to.
    pub base_size: u64,
    /// Bytes that it makes.
    pub result_size: u64,
    /// Bytes of this header.
    pub len: usize,
}

impl Header {
    /// Most bytes a header has.
    pub const LEN_MAX: usize = 2 * SIZE_LEN_MAX;

    /// The header at the start of `delta`.
    ///
    /// # Errors
    /// `Truncated` if more bytes are needed, `SizeOverflow` for a size that
    /// cannot be.
    pub fn parse(delta: &[u8]) -> Result<Self, DeltaError> {
        let (base_size, first) = parse_size(delta)?;
        let (result_size, second) = parse_size(&delta[first..])?;
        Ok(Self { base_size, result_size, len: first + second })
    }
}

fn parse_size(bytes: &[u8]) -> Result<(u64, usize), DeltaError> {
    let mut size = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(SIZE_LEN_MAX) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * index;
        if (bits << shift) >> shift != bits {
            return Err(DeltaError::SizeOverflow);
        }
        size |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok((size, index + 1));
        }
    }
    if bytes.len() < SIZE_LEN_MAX {
        return Err(DeltaError::Truncated("its header"));
    }
    Err(DeltaError::SizeOverflow)
}
