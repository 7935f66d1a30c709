//! Rust source as a row of tokens, without comments. It knows just enough to never take a
//! brace or a word in a string, character or comment for code.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or name, raw ones with their `r#`.
    Word,
    /// One character of punctuation.
    Mark,
    /// A string, character, number or lifetime.
    Literal,
}

/// One token and the line it begins on, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    /// Whether this is exactly that word or mark.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text
    }
}

/// Cuts `source` into tokens. Source that does not parse gives some tokens, never a panic.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut cursor = Cursor { rest: source, line: 1 };
    std::iter::from_fn(|| cursor.next_token()).collect()
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn next_token(&mut self) -> Option<Token<'a>> {
        self.skip_unread();
        let first = self.rest.chars().next()?;
        let (kind, length) = measure(self.rest, first);
        let line = self.line;
        let text = self.take(length);
        Some(Token { kind, text, line })
    }

    /// Passes over white space and comments.
    fn skip_unread(&mut self) {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            let length = if blank > 0 { blank } else { comment_length(self.rest) };
            if length == 0 {
                return;
            }
            self.take(length);
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken
    }
}

/// Kind and length in bytes of the token that `rest` begins with.
fn measure(rest: &str, first: char) -> (Kind, usize) {
    if let Some(length) = string_length(rest) {
        return (Kind::Literal, length);
    }
    if first == '\'' {
        return (Kind::Literal, quote_length(rest));
    }
    if first.is_ascii_digit() {
        return (Kind::Literal, word_length(rest));
    }
    if is_word_start(first) {
        let raw = rest.strip_prefix("r#").filter(|name| name.starts_with(is_word_start));
        return (Kind::Word, raw.map_or_else(|| word_length(rest), |name| 2 + word_length(name)));
    }
    (Kind::Mark, first.len_utf8())
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len())
}

/// Length of the comment that `rest` begins with, 0 if none. Block comments nest.
fn comment_length(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if !rest.starts_with("/*") {
        return 0;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(found) = rest[at..].find("/*").into_iter().chain(rest[at..].find("*/")).min() {
        at += found + 2;
        depth = if rest[..at].ends_with("/*") { depth + 1 } else { depth - 1 };
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of the string that `rest` begins with, prefix included.
fn string_length(rest: &str) -> Option<usize> {
    let raw = ["br", "cr", "r"].into_iter().find_map(|prefix| {
        let tail = rest.strip_prefix(prefix)?;
        tail.trim_start_matches('#').starts_with('"').then(|| prefix.len() + raw_length(tail))
    });
    let plain = || {
        let tail = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
        let prefix = rest.len() - tail.len();
        tail.starts_with('"').then(|| prefix + escaped_length(tail, '"'))
    };
    raw.or_else(plain)
}

/// `#…#"…"#…#`: ends at a quote followed by as many hashes as it began with.
fn raw_length(tail: &str) -> usize {
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let body = hashes + 1;
    tail[body..].find(&end).map_or(tail.len(), |at| body + at + end.len())
}

/// A literal between two `quote`s with backslash escapes.
fn escaped_length(tail: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in tail.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    tail.len()
}

/// A character literal or a lifetime: both begin with a single quote.
fn quote_length(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    let (first, second) = (chars.next(), chars.next());
    let is_lifetime = first.is_some_and(is_word_start) && second != Some('\'');
    if is_lifetime { 1 + word_length(&rest[1..]) } else { escaped_length(rest, '\'') }
}

#[cfg(test)]
mod tests;
