use std::fmt;

use super::super::line::number;

/// Which objects a partial clone leaves out (git-rev-list, `--filter`). Its text form
/// is the canonical specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// `blob:none`: all blobs that are not wanted by id.
    BlobNone,
    /// `blob:limit=N`: blobs of at least N bytes.
    BlobLimit(u64),
    /// `tree:N`: trees and blobs at N or more steps from a wanted commit's root, which
    /// itself is at 0.
    TreeDepth(u64),
}

/// Why a filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A kind that git has and we do not serve, or none at all.
    #[error("only blob:none, blob:limit=N and tree:N are supported")]
    Kind,
    /// A number that is none, or above 2⁶⁴ − 1.
    #[error("its number is not one")]
    Number,
}

impl Filter {
    /// The filter specified by `text`; sizes may end with `k`, `m` or `g`.
    ///
    /// # Errors
    /// For every kind that is not served, and for numbers that do not fit.
    pub fn parse(text: &[u8]) -> Result<Self, FilterError> {
        if text == b"blob:none" {
            return Ok(Self::BlobNone);
        }
        if let Some(size) = text.strip_prefix(b"blob:limit=") {
            return size_in_bytes(size).map(Self::BlobLimit).ok_or(FilterError::Number);
        }
        if let Some(depth) = text.strip_prefix(b"tree:") {
            return number(depth).map(Self::TreeDepth).ok_or(FilterError::Number);
        }
        Err(FilterError::Kind)
    }
}

fn size_in_bytes(text: &[u8]) -> Option<u64> {
    let (last, digits) = text.split_last()?;
    let shift = match last.to_ascii_lowercase() {
        b'k' => 10,
        b'm' => 20,
        b'g' => 30,
        _ => return number(text),
    };
    number(digits)?.checked_mul(1 << shift)
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlobNone => f.write_str("blob:none"),
            Self::BlobLimit(bytes) => write!(f, "blob:limit={bytes}"),
            Self::TreeDepth(depth) => write!(f, "tree:{depth}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gs_fe_11_filters_of_three_kinds_are_read() {
        for (text, filter) in [
            ("blob:none", Filter::BlobNone),
            ("blob:limit=0", Filter::BlobLimit(0)),
            ("blob:limit=3k", Filter::BlobLimit(3 << 10)),
            ("blob:limit=3M", Filter::BlobLimit(3 << 20)),
            ("blob:limit=3g", Filter::BlobLimit(3 << 30)),
            ("blob:limit=18446744073709551615", Filter::BlobLimit(u64::MAX)),
            ("tree:0", Filter::TreeDepth(0)),
            ("tree:7", Filter::TreeDepth(7)),
        ] {
            assert_eq!(Filter::parse(text.as_bytes()), Ok(filter), "{text}");
            assert_eq!(Filter::parse(filter.to_string().as_bytes()), Ok(filter));
        }
    }

    #[test]
    fn bad_input_032_other_filters_are_refused() {
        let nested = "combine:".repeat(1_000);
        for (text, error) in [
            ("blob:limit=18446744073709551616", FilterError::Number),
            ("blob:limit=18014398509481984k", FilterError::Number),
            ("blob:limit=", FilterError::Number),
            ("blob:limit=k", FilterError::Number),
            ("blob:limit=+1", FilterError::Number),
            ("tree:-1", FilterError::Number),
            ("tree:", FilterError::Number),
            ("tree:1k", FilterError::Number),
            ("sparse:oid=main:x", FilterError::Kind),
            ("object:type=blob", FilterError::Kind),
            ("combine:blob:none+tree:0", FilterError::Kind),
            (nested.as_str(), FilterError::Kind),
            ("", FilterError::Kind),
            ("blob:none ", FilterError::Kind),
        ] {
            assert_eq!(Filter::parse(text.as_bytes()), Err(error), "{text}");
        }
    }
}
