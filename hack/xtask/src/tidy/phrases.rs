//! Things that may not be written.

mod paths;

use crate::tidy::Findings;
use crate::tidy::lexer::Token;
use crate::tidy::source::{Reading, Source};
use crate::tidy::syntax::{attribute_end, functions};
use crate::tidy::tree::Tree;

/// Crates whose files may all speak tonic; elsewhere it stays in `rpc.rs` and `rpc/`.
const SPEAK_TONIC: &[&str] = &["gitstratum-proto", "gitstratum-client"];

/// Checks every file for what may not be written in it.
pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    for source in &tree.sources {
        let reading = source.read();
        check_stubs(&reading, findings);
        check_attributes(&reading, findings);
        check_globs(&reading, findings);
        check_tonic(&reading, findings);
        check_numbers(&reading, findings);
        check_bools(&reading, findings);
    }
    paths::check(tree, findings);
}

fn check_stubs(reading: &Reading<'_>, findings: &mut Findings) {
    for (at, pair) in reading.tokens.windows(2).enumerate() {
        if (pair[0].is("todo") || pair[0].is("unimplemented")) && pair[1].is("!") {
            findings.refuse(format!("{}: {}! is a stub", reading.place(at), pair[0].text));
        }
    }
}

fn check_attributes(reading: &Reading<'_>, findings: &mut Findings) {
    for at in 0..reading.tokens.len() {
        let Some(attribute) = attribute(&reading.tokens, at) else { continue };
        let has = |word: &str| attribute.iter().any(|token| token.is(word));
        let place = reading.place(at);
        if attribute.first().is_some_and(|token| token.is("ignore")) {
            findings.refuse(format!("{place}: an ignored test is no test"));
        }
        if (has("allow") || has("expect")) && !has("reason") {
            findings.refuse(format!("{place}: write #[expect(lint, reason = \"…\")]"));
        }
    }
}

/// The tokens inside `#[…]` or `#![…]` beginning at `at`.
fn attribute<'s, 'a>(tokens: &'s [Token<'a>], at: usize) -> Option<&'s [Token<'a>]> {
    if !tokens[at].is("#") {
        return None;
    }
    let inner = tokens.get(at + 1)?.is("!");
    if inner {
        let rest = &tokens[at + 2..];
        let length = rest.iter().position(|token| token.is("]"))?;
        return Some(&rest[1.min(length)..length]);
    }
    attribute_end(tokens, at).map(|end| &tokens[at + 2..end])
}

fn check_globs(reading: &Reading<'_>, findings: &mut Findings) {
    if reading.source.file_name() == "prelude.rs" {
        return;
    }
    for (at, token) in reading.tokens.iter().enumerate() {
        if !token.is("use") || reading.is_test(at) {
            continue;
        }
        let path = reading.tokens[at..].iter().take_while(|token| !token.is(";"));
        if path.into_iter().any(|token| token.is("*")) {
            findings.refuse(format!("{}: glob import", reading.place(at)));
        }
    }
}

fn check_tonic(reading: &Reading<'_>, findings: &mut Findings) {
    let Source { path, krate, .. } = reading.source;
    let is_edge =
        path.ends_with("/rpc.rs") || path.contains("/rpc/") || path.ends_with("/build.rs");
    if is_edge || SPEAK_TONIC.contains(&krate.as_str()) {
        return;
    }
    for (at, pair) in reading.tokens.windows(2).enumerate() {
        if pair[0].is("tonic") && pair[1].is(":") && !reading.is_test(at) {
            findings.refuse(format!("{}: tonic stops in rpc.rs", reading.place(at)));
        }
    }
}

/// Tests of bad inputs carry the number of their row, three digits.
fn check_numbers(reading: &Reading<'_>, findings: &mut Findings) {
    for pair in reading.tokens.windows(2).enumerate() {
        let (at, [word, name]) = pair else { continue };
        let Some(rest) = name.text.strip_prefix("bad_input").filter(|_| word.is("fn")) else {
            continue;
        };
        let number = rest.strip_prefix('_').and_then(|rest| rest.split('_').next());
        let is_number = |n: &str| n.len() == 3 && n.bytes().all(|digit| digit.is_ascii_digit());
        if !number.is_some_and(is_number) {
            findings.refuse(format!("{}: {} is not bad_input_NNN", reading.place(at), name.text));
        }
    }
}

fn check_bools(reading: &Reading<'_>, findings: &mut Findings) {
    for function in functions(&reading.tokens) {
        if function.takes_bool && !reading.is_test(function.at) {
            let place = reading.place(function.at);
            findings.refuse(format!("{place}: {} takes a bare bool", function.name));
        }
    }
}

#[cfg(test)]
mod tests;
