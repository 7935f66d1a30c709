//! The files of the workspace, read once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::metadata::Metadata;
use crate::tidy::source::Source;

/// Kinds of text that rules about words look at, by how the name ends.
const TEXTS: &[&str] = &["md", "toml", "yaml", "yml", "sh", "proto", "txt"];

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] = &["target", "gitstratum-data", "node_modules"];

/// Everything tidy looks at.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) sources: Vec<Source>,
    /// Path and text of files that are not Rust.
    pub(crate) texts: Vec<(String, String)>,
}

impl Tree {
    /// Reads the whole tree; files are told apart by the crates of `metadata`.
    pub(crate) fn read(root: &Path, metadata: &Metadata) -> Result<Self> {
        let crates: Vec<(PathBuf, String)> =
            metadata.members().map(|krate| (krate.folder(), krate.name.clone())).collect();
        let owner = |path: &Path| {
            let owner = crates.iter().find(|(folder, _)| path.starts_with(folder));
            owner.map(|(_, name)| name.clone()).unwrap_or_default()
        };
        Self::read_with(root, owner)
    }

    /// Reads the tree without asking which crate a file belongs to.
    pub(crate) fn read_sources(root: &Path) -> Result<Self> {
        Self::read_with(root, |_| String::new())
    }

    fn read_with(root: &Path, owner: impl Fn(&Path) -> String) -> Result<Self> {
        let mut paths = Vec::new();
        walk(root, &mut paths)?;
        paths.sort();
        let mut tree = Self { root: root.to_path_buf(), sources: Vec::new(), texts: Vec::new() };
        for path in paths {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            let text = || fs::read_to_string(&path).with_context(|| format!("read {name}"));
            if extension == "rs" {
                let (krate, text) = (owner(&path), text()?);
                let is_test = is_test_path(&name);
                tree.sources.push(Source { path: name, krate, text, is_test });
            } else if TEXTS.contains(&extension.as_str()) {
                let text = text()?;
                tree.texts.push((name, text));
            }
        }
        mark_test_modules(&mut tree.sources);
        Ok(tree)
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().with_context(|| format!("look at {name}"))?;
        let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
        if kind.is_dir() && !hidden && !FOREIGN.contains(&name.as_str()) {
            walk(&entry.path(), found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Integration tests, `tests.rs` beside the code, and benches.
fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests" || part == "benches")
}

/// A file that its parent declares under `#[cfg(test)]` is test code with all below it.
fn mark_test_modules(sources: &mut [Source]) {
    let mut stems = BTreeSet::new();
    for source in sources.iter() {
        let names = source.read().regions.into_iter().filter_map(|region| region.file_module);
        stems.extend(names.map(|name| format!("{}/{name}", module_folder(&source.path))));
    }
    for source in sources {
        let stem = source.path.trim_end_matches(".rs");
        let below = |test: &String| stem == test || stem.starts_with(&format!("{test}/"));
        source.is_test = source.is_test || stems.iter().any(below);
    }
}

/// The folder in which the modules declared by the file at `path` lie.
pub(crate) fn module_folder(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            krate: String::new(),
            text: text.to_owned(),
            is_test: is_test_path(path),
        }
    }

    #[test]
    fn test_files_are_told_by_path_and_by_declaration() {
        let mut sources = [
            source("a/src/lib.rs", "#[cfg(test)] mod fixtures; mod plain;"),
            source("a/src/fixtures.rs", ""),
            source("a/src/fixtures/deep.rs", ""),
            source("a/src/plain.rs", ""),
            source("a/src/plain/tests.rs", ""),
            source("a/tests/it/main.rs", ""),
            source("a/src/fixtures_of.rs", ""),
        ];
        mark_test_modules(&mut sources);
        let marks: Vec<bool> = sources.iter().map(|source| source.is_test).collect();
        assert_eq!(marks, [false, true, true, false, true, true, false]);
    }

    #[test]
    fn foreign_folders_are_not_read() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["src", "target", ".git", ".ci"] {
            fs::create_dir(root.path().join(folder)).expect("made");
            fs::write(root.path().join(folder).join("x.rs"), "").expect("written");
        }
        let tree = Tree::read_sources(root.path()).expect("read");
        let paths: Vec<_> = tree.sources.iter().map(|source| source.path.as_str()).collect();
        assert_eq!(paths, [".ci/x.rs", "src/x.rs"]);
    }
}
