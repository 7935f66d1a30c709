use bstr::BStr;
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use super::ParseError;
use super::lines::{after_word, find_header, message, parse_id_line, split_line};

/// A tag, borrowed from its content.
#[derive(Clone, Copy, Debug)]
pub struct TagRef<'a> {
    /// What it names.
    pub target: ObjectId,
    /// The kind of what it names.
    pub target_kind: ObjectKind,
    /// Its own name.
    pub name: &'a BStr,
    /// What follows the name.
    rest: &'a [u8],
}

impl<'a> TagRef<'a> {
    /// The tag in `content`.
    ///
    /// # Errors
    /// Without a valid object, type or tag line.
    pub fn parse(format: ObjectFormat, content: &'a [u8]) -> Result<Self, ParseError> {
        let malformed = |line| ParseError::Line { kind: ObjectKind::Tag, line };
        let (target, rest) =
            parse_id_line(format, "object", content).ok_or_else(|| malformed("object"))?;
        let (kind, rest) = split_line(rest);
        let target_kind = after_word("type", kind)
            .and_then(ObjectKind::parse)
            .ok_or_else(|| malformed("type"))?;
        let (name, rest) = split_line(rest);
        let name = after_word("tag", name).ok_or_else(|| malformed("tag"))?;
        Ok(Self { target, target_kind, name: BStr::new(name), rest })
    }

    /// Name, mail address and date of its tagger; `None` in early tags.
    pub fn tagger(&self) -> Option<&'a BStr> {
        find_header("tagger", self.rest).map(|(value, _)| BStr::new(value))
    }

    /// Its message.
    pub fn message(&self) -> &'a BStr {
        BStr::new(message(self.rest))
    }
}
