//! What `cargo metadata` says about the workspace, as far as we ask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cargo::Cargo;

/// The resolved workspace.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) resolve: Resolve,
}

/// A crate, ours or foreign.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// A line of a manifest's dependency tables.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) features: Vec<String>,
}

/// The table a dependency stands in.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase", from = "Option<String>")]
pub(crate) enum Kind {
    /// `[dependencies]`
    #[default]
    Normal,
    /// `[dev-dependencies]`
    Dev,
    /// `[build-dependencies]`
    Build,
}

impl From<Option<String>> for Kind {
    fn from(word: Option<String>) -> Self {
        match word.as_deref() {
            Some("dev") => Self::Dev,
            Some("build") => Self::Build,
            _ => Self::Normal,
        }
    }
}

/// The graph that the lock file and the features give.
#[derive(Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

/// A crate in the graph.
#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Edge>,
}

/// An arrow in the graph.
#[derive(Deserialize)]
pub(crate) struct Edge {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<EdgeKind>,
}

/// Why the arrow is there.
#[derive(Deserialize)]
pub(crate) struct EdgeKind {
    #[serde(default)]
    pub(crate) kind: Kind,
}

impl Metadata {
    /// Asks cargo, for this machine's platform only.
    pub(crate) fn load_for_host(cargo: &Cargo<'_>) -> Result<Self> {
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let args = ["metadata", "--format-version", "1", "--locked", "--filter-platform", &host];
        let output =
            cargo.command(&args).stderr(Stdio::inherit()).output().context("run cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata failed");
        serde_json::from_slice(&output.stdout).context("read what cargo metadata printed")
    }

    /// The package called `name`.
    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        let mut packages = self.packages.iter();
        packages
            .find(|package| package.name == name)
            .with_context(|| format!("{name} is not among the dependencies"))
    }

    /// The workspace's own crates.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

impl Package {
    /// The folder of its manifest.
    pub(crate) fn folder(&self) -> PathBuf {
        self.manifest_path.parent().unwrap_or(Path::new(".")).to_path_buf()
    }
}
