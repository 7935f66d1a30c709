use bstr::{BStr, ByteSlice as _};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use super::ParseError;

/// Bits of a mode that say what the entry is.
const TYPE_MASK: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const GITLINK: u32 = 0o160_000;

/// A tree entry's mode, as it stands in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryMode(pub u32);

impl EntryMode {
    /// Whether the entry is a directory.
    pub const fn is_tree(self) -> bool {
        self.0 & TYPE_MASK == DIRECTORY
    }

    /// Whether the entry is a symbolic link.
    pub const fn is_symlink(self) -> bool {
        self.0 & TYPE_MASK == SYMLINK
    }

    /// Whether the entry is another repository's commit.
    pub const fn is_gitlink(self) -> bool {
        self.0 & TYPE_MASK == GITLINK
    }

    /// Whether the entry is a file.
    pub const fn is_file(self) -> bool {
        self.0 & TYPE_MASK == FILE
    }

    /// The kind of object that the entry must name in this repository; `None`
    /// for a gitlink and for modes that git does not write.
    pub const fn object_kind(self) -> Option<ObjectKind> {
        if self.is_tree() {
            Some(ObjectKind::Tree)
        } else if self.is_file() || self.is_symlink() {
            Some(ObjectKind::Blob)
        } else {
            None
        }
    }
}

/// One entry of a tree, borrowed from its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    /// Its mode.
    pub mode: EntryMode,
    /// The mode's digits as written.
    pub mode_digits: &'a BStr,
    /// Its name.
    pub name: &'a BStr,
    /// The object that it names.
    pub id: ObjectId,
}

/// The entries of a tree. Ends after the first error.
#[derive(Clone, Debug)]
pub struct TreeEntries<'a> {
    format: ObjectFormat,
    content: &'a [u8],
    position: usize,
}

impl<'a> TreeEntries<'a> {
    /// The entries in `content`.
    pub const fn new(format: ObjectFormat, content: &'a [u8]) -> Self {
        Self { format, content, position: 0 }
    }

    fn parse_one(&self) -> Result<(TreeEntry<'a>, usize), &'static str> {
        let rest = &self.content[self.position..];
        let space = rest.find_byte(b' ').ok_or("no mode")?;
        let (digits, named) = (&rest[..space], &rest[space + 1..]);
        let mode = parse_mode(digits).ok_or("bad mode")?;
        let end = named.find_byte(0).ok_or("no end of its name")?;
        if end == 0 {
            return Err("no name");
        }
        let id = named.get(end + 1..end + 1 + self.format.id_len()).ok_or("no id")?;
        let id = ObjectId::from_bytes(self.format, id).map_err(|_wrong_len| "no id")?;
        let entry =
            TreeEntry { mode, mode_digits: BStr::new(digits), name: BStr::new(&named[..end]), id };
        Ok((entry, space + 1 + end + 1 + self.format.id_len()))
    }
}

impl<'a> Iterator for TreeEntries<'a> {
    type Item = Result<TreeEntry<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.content.len() {
            return None;
        }
        match self.parse_one() {
            Ok((entry, len)) => {
                self.position += len;
                Some(Ok(entry))
            }
            Err(reason) => {
                let position = std::mem::replace(&mut self.position, self.content.len());
                Some(Err(ParseError::TreeEntry { position, reason }))
            }
        }
    }
}

fn parse_mode(digits: &[u8]) -> Option<EntryMode> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u32, |mode, digit| match digit {
            b'0'..=b'7' if mode >> 29 == 0 => Some((mode << 3) | u32::from(digit - b'0')),
            _ => None,
        })
        .map(EntryMode)
}
