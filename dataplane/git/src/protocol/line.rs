//! The parts of a line that all requests share.

use gitstratum_core::{ObjectFormat, ObjectId};

use super::{Error, Excerpt};

/// The text of a data packet: without its line feed, not empty, no band byte in front.
pub(super) fn chomp<'a>(payload: &'a [u8], place: &'static str) -> Result<&'a [u8], Error> {
    let line = payload.strip_suffix(b"\n").unwrap_or(payload);
    match line.first() {
        None => Err(Error::EmptyLine { place }),
        Some(1..=3) => Err(Error::SideBand),
        Some(_) => Ok(line),
    }
}

/// As [`chomp`], and without a NUL.
pub(super) fn text<'a>(payload: &'a [u8], place: &'static str) -> Result<&'a [u8], Error> {
    let line = chomp(payload, place)?;
    if line.contains(&0) { Err(Error::Nul { place }) } else { Ok(line) }
}

/// The parts of `line` before and after the first `separator`.
pub(super) fn split_once(line: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == separator)?;
    Some((&line[..at], &line[at + 1..]))
}

/// The words of a capability list.
pub(super) fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// The id written in `text`.
pub(super) fn object_id(format: ObjectFormat, text: &[u8]) -> Result<ObjectId, Error> {
    ObjectId::from_hex(format, text)
        .map_err(|source| Error::ObjectId { text: Excerpt::new(text), source })
}

/// The number written in `text`: decimal digits and nothing else, so no sign.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Checks the value of a client's `object-format` capability.
pub(super) fn check_format(server: ObjectFormat, client: &[u8]) -> Result<(), Error> {
    if client == server.as_str().as_bytes() {
        return Ok(());
    }
    Err(Error::ObjectFormat { server, client: Excerpt::new(client) })
}
