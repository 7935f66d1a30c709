//! What a machine needs before anything is built: programs, packages, and RocksDB.

mod compiler;
mod debian;
mod rocksdb;
mod toolchain;
mod unity;

use anyhow::Result;

use crate::cargo::Cargo;
use crate::stage::Verdict;
use crate::workspace::{RocksDb, Workspace};

/// What the machine is prepared for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building programs.
    Build,
    /// Checking and mending the sources.
    Check,
    /// Building and running tests, which also talk to stock git and ssh.
    Test,
}

/// `cargo xtask prepare`: everything that any command needs.
pub(crate) fn run(workspace: &Workspace) -> Result<Verdict> {
    cargo_for(workspace, Purpose::Check)?;
    cargo_for(workspace, Purpose::Test)?;
    eprintln!("ready; built things are kept in {}", workspace.environment.cache.display());
    Ok(Verdict::Passed)
}

/// Prepares the machine for `purpose` and gives the cargo to build with.
pub(crate) fn cargo_for(workspace: &Workspace, purpose: Purpose) -> Result<Cargo<'_>> {
    debian::ensure_packages(&workspace.environment, purpose)?;
    if purpose == Purpose::Check {
        toolchain::ensure_components(&Cargo::new(workspace, None))?;
    }
    Ok(Cargo::new(workspace, rocksdb_for(workspace)?))
}

/// The folder of a prebuilt RocksDB, unless cargo is to build it or the user brings one.
fn rocksdb_for(workspace: &Workspace) -> Result<Option<std::path::PathBuf>> {
    if workspace.rocksdb == RocksDb::Plain || workspace.environment.rocksdb.is_some() {
        return Ok(None);
    }
    rocksdb::ensure(workspace).map(Some)
}
