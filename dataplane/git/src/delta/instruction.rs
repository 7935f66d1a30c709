use super::DeltaError;

/// What a copy of length 0 means.
const COPY_LEN_ZERO: u64 = 0x1_0000;

/// One step of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction<'a> {
    /// Take bytes of the base.
    Copy {
        /// First byte.
        offset: u64,
        /// Bytes, 1 to 2^24.
        len: u64,
    },
    /// Take these bytes, 1 to 127.
    Insert(&'a [u8]),
}

impl<'a> Instruction<'a> {
    /// The bytes that it adds to the result.
    ///
    /// # Errors
    /// `CopyOutOfBounds` for a copy from beyond the end of `base`.
    pub fn bytes(self, base: &'a [u8]) -> Result<&'a [u8], DeltaError> {
        match self {
            Self::Insert(bytes) => Ok(bytes),
            Self::Copy { offset, len } => slice(base, offset, len)
                .ok_or(DeltaError::CopyOutOfBounds { offset, len, base: base.len() as u64 }),
        }
    }
}

fn slice(base: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    base.get(start..end)
}

/// The steps of a delta behind its header. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Instructions<'a> {
    rest: &'a [u8],
}

impl<'a> Instructions<'a> {
    /// The steps in `rest`, the delta without its header.
    pub const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DeltaError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DeltaError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn parse_one(&mut self, code: u8) -> Result<Instruction<'a>, DeltaError> {
        match code {
            0 => Err(DeltaError::Reserved),
            1..=0x7f => Ok(Instruction::Insert(self.take(usize::from(code), "an insert")?)),
            0x80..=0xff => self.parse_copy(code),
        }
    }

    /// A copy: bits 0 to 3 of its code say which bytes of the offset follow,
    /// bits 4 to 6 which of the length, lowest first.
    fn parse_copy(&mut self, code: u8) -> Result<Instruction<'a>, DeltaError> {
        let fields = self.take((code & 0x7f).count_ones() as usize, "a copy")?;
        let mut fields = fields.iter();
        let mut parts = [0_u64; 7];
        for (bit, part) in parts.iter_mut().enumerate() {
            if code & (1 << bit) != 0 {
                *part = fields.next().copied().map_or(0, u64::from);
            }
        }
        let offset = parts[0] | parts[1] << 8 | parts[2] << 16 | parts[3] << 24;
        let len = parts[4] | parts[5] << 8 | parts[6] << 16;
        Ok(Instruction::Copy { offset, len: if len == 0 { COPY_LEN_ZERO } else { len } })
    }
}

impl<'a> Iterator for Instructions<'a> {
    type Item = Result<Instruction<'a>, DeltaError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (code, rest) = self.rest.split_first()?;
        self.rest = rest;
        let parsed = self.parse_one(*code);
        if parsed.is_err() {
            self.rest = &[];
        }
        Some(parsed)
    }
}
