//! The page on coverage says something of every rule, and names tests that are there.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::tidy::Findings;
use crate::tidy::lexer::{Token, tokens};
use crate::tidy::source::Source;
use crate::tidy::tree::Tree;

/// The page. A test stands there as `CRATE::NAME` in backquotes.
const PAGE: &str = "docs/coverage.md";
/// Numbers of the rules of storage.
const RULES: RangeInclusive<u32> = 1..=51;

/// Checks the page against the tests of the tree.
pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    let page = tree.texts.iter().find(|(path, _)| path == PAGE).map(|(_, text)| text.as_str());
    let tests: BTreeSet<String> = tree.sources.iter().flat_map(tests_of).collect();
    for problem in problems(page.unwrap_or_default(), &tests) {
        findings.refuse(format!("{PAGE}: {problem}"));
    }
}

/// The tests of a file, with their crate.
fn tests_of(source: &Source) -> Vec<String> {
    let krate = source.krate.strip_prefix("gitstratum-").unwrap_or(&source.krate);
    let tokens = tokens(&source.text);
    let named = tokens.windows(2).enumerate().filter(|(_, pair)| pair[0].is("fn"));
    let tests = named.filter(|(at, _)| is_test(&tokens[..*at]));
    tests.map(|(_, pair)| format!("{krate}::{}", pair[1].text)).collect()
}

/// Whether an attribute right before a function makes it a test: `test` or `tokio::test`.
fn is_test(before: &[Token<'_>]) -> bool {
    let ends = |token: &Token<'_>| token.is("{") || token.is("}") || token.is(";");
    let start = before.iter().rposition(ends).map_or(0, |end| end + 1);
    let mut pairs = before[start..].windows(2);
    pairs.any(|pair| (pair[0].is("[") || pair[0].is(":")) && pair[1].is("test"))
}

/// What is wrong with the page. Rows of rules begin with S and a number, of sequences with T.
fn problems(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let (mut told, mut rows) = (Vec::new(), BTreeSet::new());
    for line in page.lines() {
        let code = line.split('`').skip(1).step_by(2);
        let cited: Vec<&str> = code.filter(|code| code.contains("::")).collect();
        let gone = cited.iter().filter(|name| **name != "CRATE::TEST" && !tests.contains(**name));
        told.extend(gone.map(|name| format!("no test {name}")));
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [row, .., reason] = cells[..] else { continue };
        let Some(number) = row.strip_prefix(['S', 'T']) else { continue };
        if number.parse::<u32>().is_ok() && cited.is_empty() && reason.is_empty() {
            told.push(format!("{row} has neither a test nor a reason"));
        }
        rows.insert(row);
    }
    let rules = RULES.map(|number| format!("S{number}"));
    told.extend(rules.filter(|rule| !rows.contains(&**rule)).map(|rule| format!("no row {rule}")));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_other_functions() {
        let text = "#[test] fn one() {} fn two() {} #[cfg(test)] fn three() {} \
                    #[tokio::test(start_paused = true)] async fn four() {} \
                    proptest! { #![config(A { b: 1 })] #[test] fn five(a in b()) {} }";
        let (path, krate) = ("git/src/lib.rs".to_owned(), "gitstratum-git".to_owned());
        let source = Source { path, krate, text: text.to_owned(), is_test: false };
        assert_eq!(tests_of(&source), ["git::one", "git::four", "git::five"]);
    }

    #[test]
    fn rows_have_tests_that_are_there_or_a_reason() {
        let tests = BTreeSet::from(["git::one".to_owned()]);
        let whole: String =
            RULES.map(|number| format!("| S{number} | says | `git::one` | |\n")).collect();
        assert!(problems(&whole, &tests).is_empty());
        let seventh = |cells: &str| {
            let page = whole.replace("| S7 | says | `git::one` | |\n", cells);
            problems(&page, &tests)
        };
        assert!(seventh("| S7 | says | | not built |\n").is_empty());
        assert_eq!(seventh("| S7 | says | | |\n"), ["S7 has neither a test nor a reason"]);
        assert_eq!(seventh("| S7 | says | `git::gone` | |\n"), ["no test git::gone"]);
        assert_eq!(seventh(""), ["no row S7"]);
        let sequence = format!("{whole}| T1 | S7 | happens | | |\n");
        assert_eq!(problems(&sequence, &tests), ["T1 has neither a test nor a reason"]);
    }
}
