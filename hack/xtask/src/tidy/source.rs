//! One Rust file, as the rules look at it.

use crate::tidy::lexer::{Token, tokens};
use crate::tidy::syntax::{Function, TestRegion, functions, test_regions};

/// A Rust file of the workspace.
pub(crate) struct Source {
    /// Relative to the workspace's root, with `/`.
    pub(crate) path: String,
    /// Name of the crate it belongs to.
    pub(crate) krate: String,
    pub(crate) text: String,
    /// Whether all of it is test code.
    pub(crate) is_test: bool,
}

/// A file cut into tokens, with its test code marked.
pub(crate) struct Reading<'a> {
    pub(crate) source: &'a Source,
    pub(crate) tokens: Vec<Token<'a>>,
    pub(crate) regions: Vec<TestRegion<'a>>,
}

impl Source {
    /// Reads the file's tokens.
    pub(crate) fn read(&self) -> Reading<'_> {
        let tokens = tokens(&self.text);
        let regions = test_regions(&tokens);
        Reading { source: self, tokens, regions }
    }

    /// Written by a program: sizes do not apply.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.split('/').any(|part| part == "generated")
    }

    /// The last part of the path.
    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl<'a> Reading<'a> {
    /// Whether the token at this index is test code.
    pub(crate) fn is_test(&self, at: usize) -> bool {
        self.source.is_test || self.regions.iter().any(|region| region.tokens.contains(&at))
    }

    /// Lines that are not test code.
    pub(crate) fn own_lines(&self) -> usize {
        let tests: usize = self.regions.iter().map(|region| region.lines).sum();
        self.source.text.lines().count() - tests
    }

    /// Functions that are not test code.
    pub(crate) fn own_functions(&self) -> Vec<Function<'a>> {
        let mut functions = functions(&self.tokens);
        functions.retain(|function| !self.is_test(function.at));
        functions
    }

    /// `path:line` of the token at this index.
    pub(crate) fn place(&self, at: usize) -> String {
        format!("{}:{}", self.source.path, self.tokens[at].line)
    }
}
