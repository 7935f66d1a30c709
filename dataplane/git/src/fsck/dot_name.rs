//! Names that some file system takes for one of git's own.
//!
//! HFS+ ignores a set of invisible code points and case; NTFS ignores case,
//! trailing dots and spaces, and whatever follows a colon (a stream of the
//! file), and gives every file a short name of eight characters besides.

/// A file name with a meaning to git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DotName {
    /// `.git`
    Git,
    /// `.gitmodules`
    Gitmodules,
    /// `.gitattributes`
    Gitattributes,
    /// `.gitignore`
    Gitignore,
    /// `.mailmap`
    Mailmap,
}

/// How a name may be spelt.
struct Spelling {
    meaning: DotName,
    /// Without the leading dot.
    name: &'static [u8],
    /// The short name's letters when Windows has to make them up by hashing.
    hashed: &'static [u8; 6],
}

const SPELLINGS: [Spelling; 4] = [
    Spelling { meaning: DotName::Gitmodules, name: b"gitmodules", hashed: b"gi7eba" },
    Spelling { meaning: DotName::Gitattributes, name: b"gitattributes", hashed: b"gi7d29" },
    Spelling { meaning: DotName::Gitignore, name: b"gitignore", hashed: b"gi250a" },
    Spelling { meaning: DotName::Mailmap, name: b"mailmap", hashed: b"maba30" },
];

/// Bytes of an NTFS short name without its extension.
const SHORT_NAME_LEN: usize = 8;

/// What a tree entry's name means on any file system. A backslash parts names
/// on Windows, so what follows one is looked at as well.
pub fn dot_names(name: &[u8]) -> Vec<DotName> {
    if !is_suspect(name) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut add = |meaning| {
        if !found.contains(&meaning) {
            found.push(meaning);
        }
    };
    if is_hfs(name, b"git") {
        add(DotName::Git);
    }
    for spelling in SPELLINGS {
        if is_hfs(name, spelling.name) || is_ntfs(name, &spelling) {
            add(spelling.meaning);
        }
    }
    for part in parts(name) {
        if is_ntfs_git(part) {
            add(DotName::Git);
        }
        if is_ntfs(part, &SPELLINGS[0]) {
            add(DotName::Gitmodules);
        }
    }
    found
}

/// Whether a name can be any of these at all: most names are told by their
/// first letter.
fn is_suspect(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'.' | b'~' | b'g' | b'G' | b'm' | b'M' | 0x80..))
        || name.contains(&b'\\')
}

/// The name, and what follows each of its backslashes.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let after = name.iter().enumerate().filter(|(_, byte)| **byte == b'\\');
    std::iter::once(name).chain(after.map(|(at, _)| &name[at + 1..]))
}

/// Whether HFS+ takes `name` for a dot and `wanted`, which is lower-case ASCII.
/// What is no UTF-8 ends the name: better too careful.
fn is_hfs(name: &[u8], wanted: &[u8]) -> bool {
    let valid = match std::str::from_utf8(name) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&name[..error.valid_up_to()]).unwrap_or_default(),
    };
    let mut visible = valid.chars().filter(|letter| !is_ignored_by_hfs(*letter));
    let expected = std::iter::once(b'.').chain(wanted.iter().copied());
    for letter in expected {
        let found = visible.next().map(|found| found.to_ascii_lowercase());
        if found != Some(char::from(letter)) {
            return false;
        }
    }
    matches!(visible.next(), None | Some('/'))
}

const fn is_ignored_by_hfs(letter: char) -> bool {
    matches!(
        letter,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}

/// Whether NTFS takes `name` for `.git`, or for its short name `git~1`.
fn is_ntfs_git(name: &[u8]) -> bool {
    let rest = without_prefix(name, b".git").or_else(|| without_prefix(name, b"git~1"));
    rest.is_some_and(|rest| {
        let visible = rest.iter().find(|byte| !matches!(byte, b'.' | b' '));
        matches!(visible, None | Some(b'\\' | b'/' | b':'))
    })
}

/// Whether NTFS takes `name` for this one, or for a short name that it may have.
fn is_ntfs(name: &[u8], spelling: &Spelling) -> bool {
    if let Some(rest) = name.strip_prefix(b".")
        && let Some(rest) = without_prefix(rest, spelling.name)
    {
        return ends_on_ntfs(rest);
    }
    let Some((short, rest)) = name.split_at_checked(SHORT_NAME_LEN) else {
        return false;
    };
    (is_counted(short, spelling) || is_hashed(short, spelling)) && ends_on_ntfs(rest)
}

/// Six letters of the name, a tilde, and 1 to 4: the first short names given.
fn is_counted(short: &[u8], spelling: &Spelling) -> bool {
    matches!(short, [letters @ .., b'~', b'1'..=b'4'] if letters.eq_ignore_ascii_case(&spelling.name[..6]))
}

/// The letters made up by hashing, cut short by a tilde and a number.
fn is_hashed(short: &[u8], spelling: &Spelling) -> bool {
    let Some(tilde) = short.iter().position(|byte| *byte == b'~') else {
        return false;
    };
    let (letters, number) = (&short[..tilde], &short[tilde + 1..]);
    tilde <= spelling.hashed.len()
        && letters.eq_ignore_ascii_case(&spelling.hashed[..tilde])
        && matches!(number, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit))
}

/// Whether nothing that NTFS sees follows.
fn ends_on_ntfs(rest: &[u8]) -> bool {
    let visible = rest.iter().find(|byte| !matches!(byte, b'.' | b' '));
    matches!(visible, None | Some(b':'))
}

fn without_prefix<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests;
