//! Absolute paths that exist on one machine only.

use crate::tidy::Findings;
use crate::tidy::tree::Tree;

/// First folders of paths that belong to a person or a machine.
const FOLDERS: &[&str] = &["root", "home", "tmp", "work", "Users"];

/// Looks for such paths in every text of the tree.
pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    let sources = tree.sources.iter().map(|source| (&source.path, &source.text));
    let texts = tree.texts.iter().map(|(path, text)| (path, text));
    for (path, text) in sources.chain(texts) {
        for (at, line) in text.lines().enumerate() {
            if let Some(found) = machine_path(line) {
                findings.refuse(format!("{path}:{}: path of one machine: {found}", at + 1));
            }
        }
    }
}

/// The first path of one machine in a line, up to where it stops.
fn machine_path(line: &str) -> Option<&str> {
    let starts = line.match_indices('/').map(|(at, _)| at);
    let paths = starts.filter(|at| begins_path(&line[..*at])).map(|at| &line[at..]);
    paths.filter_map(path_of_machine).next()
}

/// A slash begins a path unless it goes on from another part of one.
fn begins_path(before: &str) -> bool {
    before.chars().next_back().is_none_or(|c| c.is_whitespace() || "\"'`(=:[<,".contains(c))
}

fn path_of_machine(path: &str) -> Option<&str> {
    let (folder, rest) = path[1..].split_once('/')?;
    let names_more = rest.starts_with(|c: char| c.is_alphanumeric() || c == '.');
    let end = path.find(|c: char| c.is_whitespace() || "\"'`)>,".contains(c));
    (FOLDERS.contains(&folder) && names_more).then(|| &path[..end.unwrap_or(path.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_machine_are_found() {
        for folder in FOLDERS {
            let path = format!("/{folder}/someone/thing");
            assert_eq!(machine_path(&format!("open(\"{path}\")")), Some(path.as_str()));
            assert_eq!(machine_path(&path), Some(path.as_str()));
        }
    }

    #[test]
    fn other_paths_are_left_alone() {
        for line in
            ["/usr/lib/x", "a/tmp/x", "~/home/x", "refs/heads/root/x", "/tmp", "https://work/x"]
        {
            assert_eq!(machine_path(line), None, "{line}");
        }
    }
}
