use std::fmt;
use std::sync::Arc;

/// Most bytes in an owner or a name.
const PART_BYTES_MAX: usize = 100;

/// Owners that name routes of ours.
const RESERVED_OWNERS: &[&str] = &[
    "git",
    "api",
    "-",
    "_",
    "admin",
    "login",
    "logout",
    "assets",
    "static",
    "metrics",
    "healthz",
    "readyz",
    "livez",
    "lfs",
    "oauth",
    ".well-known",
    "gitstratum",
    "system",
];

/// A path that reads as a route of ours without a repository.
const RESERVED_PATH: &str = "info/refs";

/// Names that are the last part of a route of ours.
const RESERVED_NAMES: &[&str] = &["git-upload-pack", "git-receive-pack"];

/// The path of a repository: `OWNER/NAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath {
    text: Arc<str>,
    slash: usize,
}

/// Why text is not a repository path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepoPathError {
    /// Not two parts.
    #[error("repository path must be OWNER/NAME")]
    Parts,
    /// It would be taken for something else in an address.
    #[error("repository path is reserved")]
    Reserved,
    /// A part breaks a rule.
    #[error("repository {part} {rule}")]
    Part {
        /// `owner` or `name`.
        part: &'static str,
        /// What it breaks.
        rule: &'static str,
    },
}

impl RepoPath {
    /// The path in `text`, exactly `OWNER/NAME`.
    ///
    /// # Errors
    /// Names the part and the rule it breaks.
    pub fn parse(text: &str) -> Result<Self, RepoPathError> {
        let (owner, name) = text.split_once('/').ok_or(RepoPathError::Parts)?;
        if name.contains('/') {
            return Err(RepoPathError::Parts);
        }
        check_part("owner", owner)?;
        check_part("name", name)?;
        if RESERVED_OWNERS.contains(&owner.to_ascii_lowercase().as_str()) {
            return Err(RepoPathError::Part { part: "owner", rule: "is reserved" });
        }
        if RESERVED_NAMES.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(RepoPathError::Part { part: "name", rule: "is reserved" });
        }
        if text.eq_ignore_ascii_case(RESERVED_PATH) {
            return Err(RepoPathError::Reserved);
        }
        Ok(Self { text: text.into(), slash: owner.len() })
    }

    /// The part before the slash.
    pub fn owner(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// `OWNER/NAME`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn check_part(part: &'static str, text: &str) -> Result<(), RepoPathError> {
    let fail = |rule| Err(RepoPathError::Part { part, rule });
    if text.is_empty() {
        return fail("is empty");
    }
    if text.len() > PART_BYTES_MAX {
        return fail("is longer than 100 bytes");
    }
    if text.starts_with(['.', '-']) {
        return fail("starts with a dot or a dash");
    }
    if text.to_ascii_lowercase().ends_with(".git") || text.to_ascii_lowercase().ends_with(".lock") {
        return fail("ends with .git or .lock");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !text.bytes().all(allowed) {
        return fail("has a character other than A-Z a-z 0-9 . _ -");
    }
    Ok(())
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepoPath({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_105_paths_follow_exact_rules() {
        for good in ["a/b", "A.b_c-d/e..f", "demo/hello", "a/info", "info/x", "x/refs"] {
            assert!(RepoPath::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "a",
            "a/",
            "/b",
            "a/b/c",
            "a/b.git",
            "a/b.GIT",
            "a/b.lock",
            ".a/b",
            "-a/b",
            "a/.b",
            "git/x",
            "API/x",
            "a/b c",
            "a/é",
            "a/b\0",
            "info/refs",
            "Info/REFS",
            "a/git-upload-pack",
            "a/Git-Receive-Pack",
        ] {
            assert!(RepoPath::parse(bad).is_err(), "{bad}");
        }
        assert!(RepoPath::parse(&format!("a/{}", "x".repeat(100))).is_ok());
        assert!(RepoPath::parse(&format!("a/{}", "x".repeat(101))).is_err());
    }
}
