use std::fmt;

use bytes::Bytes;

/// Most bytes in a ref name.
const NAME_BYTES_MAX: usize = 1_000;
/// Most bytes in one component of it.
const COMPONENT_BYTES_MAX: usize = 255;

/// A full ref name such as `refs/heads/main`, or `HEAD`. Bytes, not text: names
/// need not be UTF-8. Checked by git's rules (git-check-ref-format) and ours.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(Bytes);

/// Why bytes are not a ref name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("funny refname: {0}")]
pub struct RefNameError(pub &'static str);

impl RefName {
    /// The checked name in `bytes`: `HEAD` or a name under `refs/` of three or more components
    /// or two (`refs/stash` style names are legal to git).
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, RefNameError> {
        let name = bytes.into();
        if name.as_ref() == b"HEAD" {
            return Ok(Self(name));
        }
        check(&name)?;
        Ok(Self(name))
    }

    /// The name `HEAD`.
    pub const fn head() -> Self {
        Self(Bytes::from_static(b"HEAD"))
    }

    /// `refs/heads/` plus `branch`.
    ///
    /// # Errors
    /// As [`RefName::parse`].
    pub fn branch(branch: &str) -> Result<Self, RefNameError> {
        Self::parse(format!("refs/heads/{branch}"))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its bytes, shared.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Whether it is under `refs/heads/`.
    pub fn is_branch(&self) -> bool {
        self.0.starts_with(b"refs/heads/")
    }

    /// Whether it is in a namespace that only we write and nobody sees.
    pub fn is_internal(&self) -> bool {
        const INTERNAL: &[&[u8]] = &[b"refs/gs/", b"refs/replace/", b"refs/pull/"];
        INTERNAL.iter().any(|prefix| self.0.starts_with(prefix))
    }

    /// Whether one of the two names is a directory of the other (`a` and `a/b`).
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let (short, long) =
            if self.0.len() < other.0.len() { (&self.0, &other.0) } else { (&other.0, &self.0) };
        long.len() > short.len() && long.starts_with(short) && long[short.len()] == b'/'
    }
}

fn check(name: &[u8]) -> Result<(), RefNameError> {
    let fail = |rule| Err(RefNameError(rule));
    if name.len() > NAME_BYTES_MAX {
        return fail("longer than 1000 bytes");
    }
    let Some(rest) = name.strip_prefix(b"refs/") else { return fail("not under refs/") };
    if rest.is_empty() {
        return fail("nothing after refs/");
    }
    if name.ends_with(b".") {
        return fail("ends with a dot");
    }
    if name.windows(2).any(|pair| pair == b".." || pair == b"@{") {
        return fail("contains .. or @{");
    }
    let forbidden = |byte: &u8| *byte < 0x20 || *byte == 0x7f || b" ~^:?*[\\".contains(byte);
    if name.iter().any(forbidden) {
        return fail("contains a forbidden character");
    }
    name.split(|byte| *byte == b'/').try_for_each(check_component)?;
    if let Some(branch) = name.strip_prefix(b"refs/heads/") {
        check_branch(branch)?;
    }
    Ok(())
}

fn check_component(component: &[u8]) -> Result<(), RefNameError> {
    if component.is_empty() {
        return Err(RefNameError("has an empty component"));
    }
    if component.len() > COMPONENT_BYTES_MAX {
        return Err(RefNameError("has a component longer than 255 bytes"));
    }
    if component.starts_with(b".") || component.ends_with(b".lock") {
        return Err(RefNameError("has a component starting with a dot or ending with .lock"));
    }
    Ok(())
}

/// Names that git takes and that later confuse its own command line: refused.
fn check_branch(branch: &[u8]) -> Result<(), RefNameError> {
    let is_hex_id = matches!(branch.len(), 40 | 64) && branch.iter().all(u8::is_ascii_hexdigit);
    if branch.starts_with(b"-") || branch == b"HEAD" || is_hex_id {
        return Err(RefNameError("branch looks like an option, HEAD or an object id"));
    }
    Ok(())
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_081_to_085_names_follow_gits_rules_and_ours() {
        for good in [
            &b"refs/heads/main"[..],
            b"refs/tags/v1.0",
            b"refs/heads/a/b",
            b"refs/heads/\xff",
            b"HEAD",
            b"refs/stash",
        ] {
            assert!(RefName::parse(good.to_vec()).is_ok(), "{}", good.escape_ascii());
        }
        for bad in [
            &b"refs/heads/a..b"[..],
            b"refs/heads/a.lock",
            b"refs/heads/a@{b",
            b"refs/heads/a\\b",
            b"refs/heads/a b",
            b"refs/heads/a~",
            b"refs/heads/a\x01",
            b"refs/heads/a.",
            b"refs/heads/a/",
            b"refs/heads//a",
            b"heads/a",
            b"main",
            b"refs/",
            b"refs/heads/-x",
            b"refs/heads/HEAD",
            b"refs/heads/.a",
        ] {
            assert!(RefName::parse(bad.to_vec()).is_err(), "{}", bad.escape_ascii());
        }
        assert!(RefName::branch(&"a".repeat(40)).is_err());
        assert!(RefName::branch(&"x".repeat(255)).is_ok());
        assert!(RefName::branch(&"x".repeat(256)).is_err());
        assert!(RefName::branch(&"x/".repeat(600)).is_err());
    }

    #[test]
    fn bad_input_087_directory_and_file_conflict() {
        let name = |text: &str| RefName::parse(text.to_owned()).expect("because the name is good");
        assert!(name("refs/heads/a").conflicts_with(&name("refs/heads/a/b")));
        assert!(!name("refs/heads/a").conflicts_with(&name("refs/heads/ab")));
        assert!(!name("refs/heads/a").conflicts_with(&name("refs/heads/a")));
    }
}
