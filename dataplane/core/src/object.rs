use std::fmt;
use std::hash::{Hash, Hasher};

use crate::hex::{decode_hex, encode_hex};

/// The hash a repository names its objects by (git's `extensions.objectFormat`).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// 20-byte ids.
    #[default]
    Sha1,
    /// 32-byte ids.
    Sha256,
}

impl ObjectFormat {
    /// Bytes in an id.
    pub const fn id_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Git's name: `sha1` or `sha256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Git's name, read back.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            _ => None,
        }
    }
}

impl fmt::Display for ObjectFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The four kinds of Git object, numbered as in pack entries (gitformat-pack).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[repr(u8)]
pub enum ObjectKind {
    /// A commit.
    Commit = 1,
    /// A tree.
    Tree = 2,
    /// A blob.
    Blob = 3,
    /// An annotated tag.
    Tag = 4,
}

impl ObjectKind {
    /// Git's word for it, as in the object header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    /// The kind of pack-entry type `number`; `None` for the two delta types and the unused ones.
    pub const fn from_pack_type(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Commit),
            2 => Some(Self::Tree),
            3 => Some(Self::Blob),
            4 => Some(Self::Tag),
            _ => None,
        }
    }

    /// Git's word, read back.
    pub fn parse(word: &[u8]) -> Option<Self> {
        match word {
            b"commit" => Some(Self::Commit),
            b"tree" => Some(Self::Tree),
            b"blob" => Some(Self::Blob),
            b"tag" => Some(Self::Tag),
            _ => None,
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An object id of either format. Ordered and compared by its bytes; ids of
/// different formats are never equal.
#[derive(Clone, Copy)]
pub struct ObjectId {
    format: ObjectFormat,
    bytes: [u8; 32],
}

/// Why bytes or text are not an object id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectIdError {
    /// Wrong number of bytes or digits.
    #[error("object id has {found} bytes, {format} ids have {expected}")]
    Length {
        /// Format expected.
        format: ObjectFormat,
        /// Bytes it needs.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A digit is not hex.
    #[error("object id is not hexadecimal")]
    NotHex,
}

impl ObjectId {
    /// The all-zero id: "no object" in ref commands.
    pub const fn null(format: ObjectFormat) -> Self {
        Self { format, bytes: [0; 32] }
    }

    /// The id in `bytes`, which must be exactly as long as `format` says.
    ///
    /// # Errors
    /// [`ObjectIdError::Length`] otherwise.
    pub fn from_bytes(format: ObjectFormat, bytes: &[u8]) -> Result<Self, ObjectIdError> {
        let expected = format.id_len();
        if bytes.len() != expected {
            return Err(ObjectIdError::Length { format, expected, found: bytes.len() });
        }
        let mut all = [0; 32];
        all[..expected].copy_from_slice(bytes);
        Ok(Self { format, bytes: all })
    }

    /// The id of 20 or 32 bytes, the format told by the length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let format = match bytes.len() {
            20 => ObjectFormat::Sha1,
            32 => ObjectFormat::Sha256,
            _ => return None,
        };
        Self::from_bytes(format, bytes).ok()
    }

    /// The id written as hex digits of either case.
    ///
    /// # Errors
    /// When the length is wrong for `format` or a digit is not hex.
    pub fn from_hex(format: ObjectFormat, text: &[u8]) -> Result<Self, ObjectIdError> {
        if text.len() != format.id_len() * 2 {
            return Err(ObjectIdError::Length {
                format,
                expected: format.id_len(),
                found: text.len() / 2,
            });
        }
        let bytes = decode_hex(text).ok_or(ObjectIdError::NotHex)?;
        Self::from_bytes(format, &bytes)
    }

    /// Its format.
    pub const fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Its 20 or 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.format.id_len()]
    }

    /// Whether it is the all-zero id.
    pub fn is_null(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }
}

impl PartialEq for ObjectId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ObjectId {}

impl PartialOrd for ObjectId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ObjectId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for ObjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(self.as_bytes()))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_both_formats_round_trip_through_hex() {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let text = "ab".repeat(format.id_len());
            let id = ObjectId::from_hex(format, text.as_bytes()).expect("because the text is hex");
            assert_eq!(id.to_string(), text);
            assert_eq!(ObjectId::from_slice(id.as_bytes()), Some(id));
        }
    }

    #[test]
    fn a_short_or_foreign_id_is_refused() {
        assert!(ObjectId::from_hex(ObjectFormat::Sha1, b"ab").is_err());
        assert_eq!(
            ObjectId::from_hex(ObjectFormat::Sha1, "zz".repeat(20).as_bytes()),
            Err(ObjectIdError::NotHex)
        );
    }
}
