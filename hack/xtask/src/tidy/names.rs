//! Names of files and modules: nouns that say what is inside.

use std::collections::BTreeSet;

use crate::tidy::Findings;
use crate::tidy::source::Source;
use crate::tidy::tree::{Tree, module_folder};

/// Drawers: names under which anything can be put.
const DRAWERS: &[&str] = &[
    "util", "utils", "common", "misc", "manager", "managers", "helper", "helpers", "data", "info",
];

/// Checks names, the layout `foo.rs` + `foo/`, and that no file is forgotten.
pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    let declared = declared_modules(&tree.sources);
    for source in &tree.sources {
        check_drawers(source, findings);
        check_declared_drawers(source, findings);
        if source.file_name() == "mod.rs" {
            findings.refuse(format!("{}: write foo.rs beside foo/", source.path));
        }
        if !is_root(&source.path) && !declared.contains(source.path.trim_end_matches(".rs")) {
            findings.refuse(format!("{}: no module declares this file", source.path));
        }
    }
}

fn check_drawers(source: &Source, findings: &mut Findings) {
    let stem = source.path.trim_end_matches(".rs");
    if let Some(drawer) = stem.split('/').find(|part| DRAWERS.contains(part)) {
        findings.refuse(format!("{}: `{drawer}` says nothing about what is inside", source.path));
    }
}

fn check_declared_drawers(source: &Source, findings: &mut Findings) {
    let reading = source.read();
    for (at, pair) in reading.tokens.windows(2).enumerate() {
        if pair[0].is("mod") && DRAWERS.contains(&pair[1].text) {
            let place = reading.place(at);
            findings
                .refuse(format!("{place}: `{}` says nothing about what is inside", pair[1].text));
        }
    }
}

/// Paths, without ending, of all files that some `mod name;` asks for.
fn declared_modules(sources: &[Source]) -> BTreeSet<String> {
    let mut declared = BTreeSet::new();
    for source in sources {
        let folder = if is_root(&source.path) {
            source.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()
        } else {
            module_folder(&source.path)
        };
        let reading = source.read();
        let modules =
            reading.tokens.windows(3).filter(|three| three[0].is("mod") && three[2].is(";"));
        declared.extend(modules.map(|three| format!("{folder}/{}", three[1].text)));
    }
    declared
}

/// A file that cargo finds by itself: of a library, a program, a test, a build script.
fn is_root(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let last = folder.rsplit('/').next().unwrap_or(folder);
    let beside_sources =
        matches!(last, "tests" | "benches" | "examples") && !path.contains("/src/");
    matches!(name, "lib.rs" | "main.rs" | "build.rs")
        || beside_sources
        || folder.ends_with("/src/bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            krate: String::new(),
            text: (*text).to_owned(),
            is_test: false,
        };
        let sources = files.iter().map(source).collect();
        let tree = Tree { root: "/".into(), sources, texts: Vec::new() };
        let mut findings = Findings::default();
        check(&tree, &mut findings);
        findings.refused
    }

    #[test]
    fn drawers_are_refused_as_files_folders_and_modules() {
        assert_eq!(refused(&[("a/src/lib.rs", "mod helpers { }")]).len(), 1);
        let file = [("a/src/lib.rs", "mod utils;"), ("a/src/utils.rs", "")];
        assert_eq!(refused(&file).len(), 2);
        let folder =
            [("a/src/lib.rs", "mod x;"), ("a/src/x.rs", "mod info;"), ("a/src/x/info.rs", "")];
        assert_eq!(refused(&folder).len(), 2);
        let fine = [("a/src/lib.rs", "mod database;"), ("a/src/database.rs", "// mod data;")];
        assert!(refused(&fine).is_empty());
    }

    #[test]
    fn a_forgotten_file_is_refused() {
        assert_eq!(
            refused(&[("a/src/lib.rs", "mod b;"), ("a/src/b.rs", ""), ("a/src/c.rs", "")]).len(),
            1
        );
        let tests = [("a/tests/it/main.rs", "mod push;"), ("a/tests/it/push.rs", "")];
        assert!(refused(&tests).is_empty());
        assert_eq!(refused(&[("a/tests/it/main.rs", ""), ("a/tests/it/push.rs", "")]).len(), 1);
        let loose = [("a/tests/push.rs", "mod part;"), ("a/tests/part.rs", "")];
        assert!(refused(&loose).is_empty());
    }

    #[test]
    fn mod_rs_is_refused() {
        let files = [("a/src/lib.rs", "mod b;"), ("a/src/b/mod.rs", "")];
        assert_eq!(refused(&files).iter().filter(|line| line.contains("foo.rs")).count(), 1);
    }
}
