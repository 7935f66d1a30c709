/// Writes delta instructions by hand.
#[derive(Clone, Debug)]
pub struct DeltaBuilder {
    bytes: Vec<u8>,
}

impl DeltaBuilder {
    /// A delta that states these sizes, true or not.
    pub fn new(base_size: u64, result_size: u64) -> Self {
        let mut bytes = Vec::new();
        push_size(&mut bytes, base_size);
        push_size(&mut bytes, result_size);
        Self { bytes }
    }

    /// A delta that makes `result`, which is `base` with `result`'s own tail:
    /// copies the common start, inserts the rest.
    pub fn between(base: &[u8], result: &[u8]) -> Vec<u8> {
        let common = base.iter().zip(result).take_while(|(one, other)| one == other).count();
        let mut builder = Self::new(base.len() as u64, result.len() as u64);
        let mut copied = 0;
        while copied < common {
            let len = (common - copied).min(0xff_ffff);
            builder = builder.copy(copied as u64, len as u64);
            copied += len;
        }
        builder.insert(&result[common..]).build()
    }

    /// Copies `len` bytes (below 2^24; 0x10000 is written as 0) from `offset` (below 2^32).
    #[must_use]
    pub fn copy(mut self, offset: u64, len: u64) -> Self {
        let len = if len == 0x1_0000 { 0 } else { len };
        let place = self.bytes.len();
        self.bytes.push(0x80);
        let fields = offset.to_le_bytes().into_iter().take(4);
        for (bit, byte) in fields.chain(len.to_le_bytes().into_iter().take(3)).enumerate() {
            if byte != 0 {
                self.bytes[place] |= 1 << bit;
                self.bytes.push(byte);
            }
        }
        self
    }

    /// Inserts `content`, in as many instructions as it takes.
    #[must_use]
    pub fn insert(mut self, content: &[u8]) -> Self {
        for piece in content.chunks(127) {
            self.bytes.push(u8::try_from(piece.len()).unwrap_or(127));
            self.bytes.extend_from_slice(piece);
        }
        self
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The delta.
    pub fn build(self) -> Vec<u8> {
        self.bytes
    }
}

fn push_size(bytes: &mut Vec<u8>, size: u64) {
    let mut rest = size;
    while rest > 0x7f {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
}
