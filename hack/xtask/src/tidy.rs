//! The house rules that no compiler checks: which crate may see which, how long things may
//! be, what may not be written. A rule lives here or it does not exist.

mod coverage;
mod direction;
mod heavy;
mod lexer;
mod links;
mod names;
mod pages;
mod phrases;
mod places;
mod recorded;
mod sizes;
mod source;
mod syntax;
mod tree;

use std::path::Path;

use anyhow::Result;

use crate::cargo::Cargo;
use crate::metadata::Metadata;
use crate::stage::Verdict;
use crate::tidy::recorded::Recorded;
use crate::tidy::tree::Tree;
use crate::workspace::Workspace;

/// What the rules found: things refused, and things a reviewer should ask about.
#[derive(Default)]
pub(crate) struct Findings {
    refused: Vec<String>,
    asked: Vec<String>,
}

impl Findings {
    /// Something that must be changed.
    fn refuse(&mut self, what: impl Into<String>) {
        self.refused.push(what.into());
    }

    /// Something allowed that wants a reason.
    fn ask(&mut self, what: impl Into<String>) {
        self.asked.push(what.into());
    }

    fn print(&mut self) {
        for (word, list) in [("ask", &mut self.asked), ("refused", &mut self.refused)] {
            list.sort();
            list.dedup();
            for line in list {
                eprintln!("{word}: {line}");
            }
        }
    }
}

/// Checks every rule; writes nothing.
pub(crate) fn run(workspace: &Workspace) -> Result<Verdict> {
    let metadata = Metadata::load_for_host(&Cargo::new(workspace, None))?;
    let tree = Tree::read(&workspace.root, &metadata)?;
    let mut findings = Findings::default();

    let crates: Vec<_> = metadata.members().collect();
    direction::check(&crates, &mut findings);
    heavy::check(&crates, &metadata, &mut findings);
    names::check(&tree, &mut findings);
    phrases::check(&tree, &mut findings);
    pages::check(&tree, &crates, &mut findings);
    links::check(&tree, &mut findings);
    coverage::check(&tree, &mut findings);

    let sizes = sizes::check(&tree, &mut findings);
    recorded::check(&Recorded::read(&workspace.root)?, &sizes, &mut findings);
    findings.print();
    eprintln!("{sizes}");
    eprintln!("{} refused, {} to ask about", findings.refused.len(), findings.asked.len());
    Ok(Verdict::from_complaints(findings.refused.len()))
}

/// Lowers the recorded sizes to what the tree has reached; they never rise here.
pub(crate) fn lower_recorded_sizes(root: &Path) -> Result<Verdict> {
    let tree = Tree::read_sources(root)?;
    let sizes = sizes::check(&tree, &mut Findings::default());
    recorded::lower(root, &sizes)?;
    Ok(Verdict::Passed)
}
