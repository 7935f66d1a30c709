//! The code map names every crate, with what always holds in it and what it must not know.

use std::fs;

use crate::metadata::Package;
use crate::tidy::Findings;
use crate::tidy::tree::Tree;

/// The code map.
const MAP: &str = "docs/ARCHITECTURE.md";

/// What each crate's paragraph must contain.
const LINES: &[&str] = &["**invariant**", "**absence**"];

/// Checks the code map, and that every crate takes the workspace's lints.
pub(crate) fn check(tree: &Tree, crates: &[&Package], findings: &mut Findings) {
    let map = tree.texts.iter().find(|(path, _)| path == MAP).map(|(_, text)| text.as_str());
    for krate in crates {
        let folder = krate.folder();
        let shown = folder.strip_prefix(&tree.root).unwrap_or(&folder).to_string_lossy();
        for problem in problems(map.unwrap_or_default(), &shown) {
            findings.refuse(format!("{MAP}: {problem}"));
        }
        let manifest = fs::read_to_string(&krate.manifest_path).unwrap_or_default();
        if !takes_lints(&manifest) {
            findings.refuse(format!("{shown}/Cargo.toml: [lints] workspace = true is missing"));
        }
    }
}

/// What the map lacks about the crate in `folder`. A crate's paragraph begins with a heading
/// that has the folder in backquotes and ends at the next heading.
fn problems(map: &str, folder: &str) -> Vec<String> {
    let title = format!("`{folder}`");
    let mut sections = map.split("\n#");
    let section =
        sections.find(|section| section.lines().next().is_some_and(|l| l.contains(&title)));
    let Some(section) = section else {
        return vec![format!("no heading for {title}")];
    };
    let section = section.to_lowercase();
    let missing = LINES.iter().filter(|line| !section.contains(**line));
    missing.map(|line| format!("no {line} line for {title}")).collect()
}

fn takes_lints(manifest: &str) -> bool {
    let manifest: Result<toml::Table, _> = manifest.parse();
    let lints = manifest.ok().and_then(|table| table.get("lints").cloned());
    let workspace = lints.and_then(|lints| lints.get("workspace").cloned());
    workspace.and_then(|value| value.as_bool()).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_has_both_lines_under_its_own_heading() {
        let map = "# Map\n\n### `dataplane/core`\nWords.\n**Invariant**: a.\n**Absence**: b.\n\n### `dataplane/git`\n**Invariant**: c.\n";
        assert!(problems(map, "dataplane/core").is_empty());
        assert_eq!(problems(map, "dataplane/git"), ["no **absence** line for `dataplane/git`"]);
        assert_eq!(problems(map, "dataplane/new"), ["no heading for `dataplane/new`"]);
    }

    #[test]
    fn lints_come_from_the_workspace() {
        assert!(takes_lints("[lints]\nworkspace = true\n"));
        assert!(!takes_lints("[lints]\nrust.x = \"warn\"\n"));
        assert!(!takes_lints("[package]\nname = \"a\"\n"));
    }
}
