//! Child cargos: one way to start them, so that all share one set of artifacts.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::stage::Verdict;
use crate::workspace::Workspace;

/// Starts cargo on the workspace with the settings that every build shares.
pub(crate) struct Cargo<'a> {
    workspace: &'a Workspace,
    rocksdb: Option<PathBuf>,
}

impl<'a> Cargo<'a> {
    /// A cargo that links the RocksDB in `rocksdb`, or builds its own.
    pub(crate) fn new(workspace: &'a Workspace, rocksdb: Option<PathBuf>) -> Self {
        Self { workspace, rocksdb }
    }

    /// A command ready to run: `cargo ARGS` at the root of the workspace.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let environment = &self.workspace.environment;
        let mut command = Command::new(&environment.cargo);
        command.args(args).current_dir(&self.workspace.root);
        command.env("CARGO_TARGET_DIR", &environment.target);
        if let Some(folder) = &self.rocksdb {
            command.env("ROCKSDB_LIB_DIR", folder).env("ROCKSDB_STATIC", "1");
        }
        command
    }

    /// Runs `cargo ARGS` to its end, its output going to the terminal.
    pub(crate) fn run(&self, args: &[&str]) -> Result<Verdict> {
        wait(&mut self.command(args))
    }

    /// Where a dev build leaves the program `name`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.workspace.environment.target.join("debug").join(name)
    }

    /// The workspace's root.
    pub(crate) fn root(&self) -> &Path {
        &self.workspace.root
    }
}

/// Runs a command to its end and says whether it succeeded.
pub(crate) fn wait(command: &mut Command) -> Result<Verdict> {
    let status = command
        .status()
        .with_context(|| format!("run {}", command.get_program().to_string_lossy()))?;
    Ok(if status.success() { Verdict::Passed } else { Verdict::Failed })
}
