use gitstratum_core::RepoPath;

use crate::commands::Program;

/// Longest command line that is looked at, in bytes.
const LINE_BYTES_MAX: usize = 1_024;

/// What a client orders: `git-upload-pack 'OWNER/NAME.git'` and its like, and nothing
/// else. There is no shell: what does not fit this grammar has no meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The program.
    pub program: Program,
    /// The repository.
    pub path: RepoPath,
}

/// Why a command line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    /// Not one of the two programs.
    #[error("only git-upload-pack and git-receive-pack are served here")]
    Program,
    /// Not a repository path, or more than one argument.
    #[error("expected one repository path, OWNER/NAME")]
    Path,
}

impl Line {
    /// Reads `PROGRAM PATH`: the program with a dash or as `git PROGRAM`, one space, the
    /// path bare or in single quotes, with or without a leading slash and `.git` (bad
    /// input 120).
    pub(super) fn parse(line: &[u8]) -> Result<Self, LineError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(LineError::Program);
        }
        let line = std::str::from_utf8(line).map_err(|_| LineError::Program)?;
        let (program, argument) = program(line)?;
        let path = unquoted(argument).ok_or(LineError::Path)?;
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix(".git").unwrap_or(path);
        let path = RepoPath::parse(path).map_err(|_| LineError::Path)?;
        Ok(Self { program, path })
    }
}

fn program(line: &str) -> Result<(Program, &str), LineError> {
    let (first, rest) = line.split_once(' ').ok_or(LineError::Program)?;
    if first != "git" {
        return Ok((Program::parse(first).ok_or(LineError::Program)?, rest));
    }
    let (second, rest) = rest.split_once(' ').ok_or(LineError::Program)?;
    let program = Program::parse(&format!("git-{second}")).ok_or(LineError::Program)?;
    Ok((program, rest))
}

/// The argument without its quotes. A quote inside has no meaning in a path of ours, so
/// escapes need not be understood.
fn unquoted(argument: &str) -> Option<&str> {
    let Some(rest) = argument.strip_prefix('\'') else { return Some(argument) };
    rest.strip_suffix('\'').filter(|inner| !inner.contains('\''))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<(Program, String), LineError> {
        Line::parse(line.as_bytes()).map(|line| (line.program, line.path.as_str().to_owned()))
    }

    #[test]
    fn gs_fe_01_all_spellings_of_a_repository_are_one() {
        for path in ["'/ann/x.git'", "'ann/x'", "ann/x.git", "/ann/x", "'/ann/x'"] {
            let expected = "ann/x".to_owned();
            let line = format!("git-upload-pack {path}");
            assert_eq!(parse(&line), Ok((Program::UploadPack, expected.clone())), "{line}");
            let line = format!("git receive-pack {path}");
            assert_eq!(parse(&line), Ok((Program::ReceivePack, expected)), "{line}");
        }
    }

    #[test]
    fn bad_input_120_what_does_not_fit_the_grammar_is_refused() {
        for line in [
            "git-upload-pack '/a/b.git'; id",
            "git-upload-pack '/a/b.git' id",
            "git-upload-pack '/a/b.git'\n",
            "git-upload-pack '/a/b'\nid",
            "git-upload-pack $(id)",
            "git-upload-pack '/a/$(id)'",
            "git-upload-pack `id`",
            "git-upload-pack '/a/b'\\''c'",
            "git-upload-pack '/a/b",
            "git-upload-pack /a/b'",
            "git-upload-pack \"/a/b\"",
            "git-upload-pack --strict '/a/b'",
            "git-upload-pack --upload-pack=x",
            "git-upload-pack -oProxyCommand=id",
            "git-upload-pack '../b'",
            "git-upload-pack '/a/../b'",
            "git-upload-pack '//a/b'",
            "git-upload-pack  '/a/b'",
            "git-upload-pack '/a/b/'",
            "git-upload-pack",
            "git-upload-pack ",
            "git-upload-archive '/a/b'",
            "git-shell",
            "git  upload-pack '/a/b'",
            "git git-upload-pack '/a/b'",
            "/usr/bin/git-upload-pack '/a/b'",
            "GIT-UPLOAD-PACK '/a/b'",
            "scp -t /a/b",
            "",
            " ",
        ] {
            assert!(parse(line).is_err(), "{line:?}");
        }
        assert!(Line::parse(b"git-upload-pack '/a/\xff'").is_err());
        assert!(Line::parse(b"git-upload-pack '/a/b\0'").is_err());
        let long = format!("git-upload-pack '/a/{}'", "b".repeat(5 * 1024 * 1024));
        assert!(parse(&long).is_err());
    }

    proptest! {
        #[test]
        fn bad_input_120_any_line_is_refused_or_names_a_checked_path(line in ".{0,60}") {
            if let Ok((_, path)) = parse(&line) {
                prop_assert!(RepoPath::parse(&path).is_ok());
                prop_assert!(line.contains(&path));
            }
        }
    }
}
