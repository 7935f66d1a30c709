use bstr::ByteSlice as _;
use gitstratum_core::{ObjectFormat, ObjectId};

/// The id in a line `WORD ID` at the start of `bytes`, and what follows the
/// line; `None` if there is no such line.
pub(super) fn parse_id_line<'a>(
    format: ObjectFormat,
    word: &str,
    bytes: &'a [u8],
) -> Option<(ObjectId, &'a [u8])> {
    let rest = after_word(word, bytes)?;
    let (id, rest) = rest.split_at_checked(format.id_len() * 2)?;
    let id = ObjectId::from_hex(format, id).ok()?;
    Some((id, rest.strip_prefix(b"\n")?))
}

/// What follows `WORD ` at the start of `bytes`.
pub(super) fn after_word<'a>(word: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
    bytes.strip_prefix(word.as_bytes())?.strip_prefix(b" ")
}

/// The first line of `bytes` without its line feed, and what follows it.
pub(super) fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.find_byte(b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// The value of the first header line `WORD VALUE`, searched up to the empty
/// line, and what follows that line.
pub(super) fn find_header<'a>(word: &str, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut rest = bytes;
    while !rest.is_empty() && !rest.starts_with(b"\n") {
        let (line, next) = split_line(rest);
        if let Some(value) = after_word(word, line) {
            return Some((value, next));
        }
        rest = next;
    }
    None
}

/// What follows the empty line that ends the headers.
pub(super) fn message(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (line, next) = split_line(rest);
        if line.is_empty() {
            return next;
        }
        rest = next;
    }
    &[]
}

/// Seconds since 1970 in an author, committer or tagger line; 0 when they
/// cannot be read, as git does.
pub(super) fn seconds(person: &[u8]) -> i64 {
    let after_mail = person.iter().rposition(|byte| *byte == b'>').map_or(0, |end| end + 1);
    let digits = person[after_mail..].trim_ascii_start();
    let len = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..len]).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
