//! How long things are, and how long they may be.

use std::fmt;

use crate::tidy::Findings;
use crate::tidy::source::Reading;
use crate::tidy::syntax::Function;
use crate::tidy::tree::Tree;

/// Lines of a file, without its tests.
const FILE: Limit = Limit { ask: 300, refuse: 500 };
/// Lines of a function, from its word to its brace.
const FUNCTION: Limit = Limit { ask: 40, refuse: 70 };
/// Conditions and loops in one another.
const NESTING: Limit = Limit { ask: 3, refuse: 4 };
/// Lines of a `main.rs`.
const MAIN: Limit = Limit { ask: 40, refuse: 60 };
/// Lines of a test module inside another file.
const INLINE_TESTS: Limit = Limit { ask: 100, refuse: 200 };
/// Public items that a `lib.rs` shows.
const SHOWN: Limit = Limit { ask: 30, refuse: usize::MAX };

struct Limit {
    ask: usize,
    refuse: usize,
}

impl Limit {
    fn judge(&self, size: usize, what: impl FnOnce() -> String, findings: &mut Findings) {
        if size > self.refuse {
            findings.refuse(format!("{} ({size}, at most {})", what(), self.refuse));
        } else if size > self.ask {
            findings.ask(format!("{} ({size}, aim below {})", what(), self.ask));
        }
    }
}

/// Sizes of all files and functions outside tests and generated code, sorted.
#[derive(Default)]
pub(crate) struct Sizes {
    files: Vec<usize>,
    functions: Vec<usize>,
}

/// Measures everything and reports what is too large.
pub(crate) fn check(tree: &Tree, findings: &mut Findings) -> Sizes {
    let mut sizes = Sizes::default();
    for source in tree.sources.iter().filter(|source| !source.is_generated()) {
        let reading = source.read();
        check_inline_tests(&reading, findings);
        if source.is_test {
            continue;
        }
        sizes.files.push(reading.own_lines());
        check_file(&reading, findings);
        for function in reading.own_functions() {
            sizes.functions.push(function.lines);
            check_function(&reading, &function, findings);
        }
    }
    sizes.files.sort_unstable();
    sizes.functions.sort_unstable();
    sizes
}

fn check_file(reading: &Reading<'_>, findings: &mut Findings) {
    let (path, lines) = (&reading.source.path, reading.own_lines());
    FILE.judge(lines, || format!("{path}: long file"), findings);
    if path.ends_with("/main.rs") {
        MAIN.judge(lines, || format!("{path}: main does more than start"), findings);
    }
    if path.ends_with("/src/lib.rs") {
        SHOWN.judge(shown(reading), || format!("{path}: shows many items"), findings);
    }
}

fn check_function(reading: &Reading<'_>, function: &Function<'_>, findings: &mut Findings) {
    let place = reading.place(function.at);
    let name = function.name;
    FUNCTION.judge(function.lines, || format!("{place}: {name} is long"), findings);
    NESTING.judge(function.nesting, || format!("{place}: {name} nests deep"), findings);
}

fn check_inline_tests(reading: &Reading<'_>, findings: &mut Findings) {
    for region in reading.regions.iter().filter(|region| region.file_module.is_none()) {
        let place = reading.place(*region.tokens.start());
        INLINE_TESTS.judge(region.lines, || format!("{place}: long inline tests"), findings);
    }
}

/// Counts public items at the top level of a file; each name of a `pub use` list counts.
fn shown(reading: &Reading<'_>) -> usize {
    let (mut depth, mut in_list, mut count) = (0_usize, false, 0);
    for (at, token) in reading.tokens.iter().enumerate() {
        match token.text {
            "pub" if depth == 0 && !reading.is_test(at) => {
                let next = reading.tokens.get(at + 1);
                in_list = next.is_some_and(|next| next.is("use"));
                count += usize::from(!next.is_some_and(|next| next.is("(")));
            }
            "," if in_list => {
                let closes = reading.tokens.get(at + 1).is_some_and(|next| next.is("}"));
                count += usize::from(!closes);
            }
            ";" if depth == 0 => in_list = false,
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    count
}

impl Sizes {
    /// Nine files in ten have no more lines.
    pub(crate) fn files_p90(&self) -> usize {
        percentile(&self.files, 90)
    }

    /// Nine functions in ten have no more lines.
    pub(crate) fn functions_p90(&self) -> usize {
        percentile(&self.functions, 90)
    }
}

#[cfg(test)]
impl Sizes {
    /// Made-up sizes.
    pub(crate) fn of(files: &[usize], functions: &[usize]) -> Self {
        Self { files: files.to_vec(), functions: functions.to_vec() }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [("files", &self.files), ("functions", &self.functions)];
        for (name, sizes) in rows {
            let (count, longest) = (sizes.len(), sizes.last().copied().unwrap_or(0));
            let [median, p90] = [50, 90].map(|share| percentile(sizes, share));
            writeln!(
                f,
                "{count:>5} {name:<9} lines: median {median}, p90 {p90}, longest {longest}"
            )?;
        }
        Ok(())
    }
}

/// Nearest rank: the smallest size that `share` percent of `sorted` do not exceed.
fn percentile(sorted: &[usize], share: usize) -> usize {
    let rank = (sorted.len() * share).div_ceil(100);
    rank.checked_sub(1).and_then(|at| sorted.get(at)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::Source;

    fn measured(path: &str, text: String) -> (Sizes, Findings) {
        let source = Source { path: path.to_owned(), krate: String::new(), text, is_test: false };
        let tree = Tree { root: "/".into(), sources: vec![source], texts: Vec::new() };
        let mut findings = Findings::default();
        (check(&tree, &mut findings), findings)
    }

    fn lines(count: usize) -> String {
        "// line\n".repeat(count)
    }

    #[test]
    fn a_file_is_judged_without_its_tests() {
        let (_, findings) = measured("a/src/b.rs", lines(500));
        assert_eq!((findings.refused.len(), findings.asked.len()), (0, 1));
        let (_, findings) = measured("a/src/b.rs", lines(501));
        assert_eq!(findings.refused.len(), 1);
        let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(300), lines(90));
        let (sizes, findings) = measured("a/src/b.rs", tests);
        assert_eq!((findings.refused.len(), findings.asked.len()), (0, 0));
        assert_eq!(sizes.files, [300]);
    }

    #[test]
    fn functions_mains_and_inline_tests_have_limits() {
        let function = |count| format!("fn f() {{\n{}}}\n", lines(count));
        assert_eq!(measured("a/src/b.rs", function(68)).1.refused.len(), 0);
        assert_eq!(measured("a/src/b.rs", function(69)).1.refused.len(), 1);
        assert_eq!(measured("a/src/main.rs", lines(60)).1.refused.len(), 0);
        assert_eq!(measured("a/src/main.rs", lines(61)).1.refused.len(), 1);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(198));
        assert_eq!(measured("a/src/b.rs", tests).1.refused.len(), 1);
    }

    #[test]
    fn shown_items_are_counted_through_lists() {
        let text =
            "pub use a::{B, C, D};\npub fn f() { pub_g() }\npub(crate) fn h() {}\npub mod i;\n";
        let source = Source {
            path: "a/src/lib.rs".to_owned(),
            krate: String::new(),
            text: text.to_owned(),
            is_test: false,
        };
        assert_eq!(shown(&source.read()), 5);
    }

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let ten: Vec<usize> = (1..=10).collect();
        assert_eq!(percentile(&ten, 90), 9);
        assert_eq!(percentile(&ten, 50), 5);
        assert_eq!(percentile(&[7], 90), 7);
        assert_eq!(percentile(&[], 90), 0);
    }

    #[test]
    fn generated_code_is_exempt() {
        let (sizes, findings) = measured("a/generated/b.rs", lines(900));
        assert!(findings.refused.is_empty() && sizes.files.is_empty());
    }
}
