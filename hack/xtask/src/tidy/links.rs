//! Links between pages lead somewhere.

use std::path::Path;

use crate::tidy::Findings;
use crate::tidy::tree::Tree;

/// Checks every relative link of every page: the file is there, and the heading too.
pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    for (path, text) in tree.texts.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in links(text) {
            if let Some(problem) = problem(tree, path, text, target) {
                findings.refuse(format!("{path}:{line}: {target}: {problem}"));
            }
        }
    }
}

fn problem(tree: &Tree, page: &str, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let place = tree.root.join(folder).join(file);
    if !file.is_empty() && !place.exists() {
        return Some("no such file");
    }
    let other = if file.is_empty() { None } else { std::fs::read_to_string(place).ok() };
    let found = heading.is_empty() || slugs(other.as_deref().unwrap_or(text)).any(|s| s == heading);
    (!found).then_some("no such heading")
}

/// Targets of `[text](target)` with their line numbers; code is passed over.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, line) in prose(text) {
        for (opens, _) in line.match_indices("](") {
            let rest = &line[opens + 2..];
            let in_code = line[..opens].matches('`').count() % 2 == 1;
            if let (false, Some((target, _))) = (in_code, rest.split_once(')')) {
                found.push((at, target));
            }
        }
    }
    found
}

/// Lines outside of fenced code, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The anchors that headings get: lower case, spaces to dashes, other signs dropped.
fn slugs(text: &str) -> impl Iterator<Item = String> {
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then_some(title)
    });
    headings.map(|title| {
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(page: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("docs")).expect("made");
        std::fs::write(root.path().join("docs/b.md"), "# The `b` page\n").expect("written");
        let texts = vec![("docs/a.md".to_owned(), page.to_owned())];
        let tree = Tree { root: root.path().to_path_buf(), sources: Vec::new(), texts };
        let mut findings = Findings::default();
        check(&tree, &mut findings);
        findings.refused
    }

    #[test]
    fn links_lead_to_files_and_headings() {
        let good = "# Own part\n[a](b.md) [b](b.md#the-b-page) [c](#own-part) [d](https://x/y) [e](../docs)";
        assert!(refused(good).is_empty(), "{:?}", refused(good));
        assert_eq!(refused("[a](c.md)").len(), 1);
        assert_eq!(refused("[a](b.md#another)").len(), 1);
        assert_eq!(refused("[a](#nowhere)").len(), 1);
    }

    #[test]
    fn code_holds_no_links() {
        assert!(refused("```\n[a](c.md)\n```\n`[a](c.md)`").is_empty());
    }
}
