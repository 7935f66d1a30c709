//! Each role of the node, built from its own settings.

pub(super) mod agent;
pub(super) mod control;
pub(super) mod feed;
pub(super) mod frontend;
pub(super) mod metadata;
pub(super) mod object;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use gitstratum_core::ProcessRole;
use gitstratum_store::{Family, RocksEngine, RocksMemory, RocksOptions, RoleDirectory};

use super::node::Common;
use super::plan::Plan;

/// Opens the folder of a role: makes it, or checks what it is, and locks it.
fn directory(plan: &Plan, common: &Common, role: ProcessRole) -> Result<RoleDirectory> {
    Ok(RoleDirectory::open(&common.files, &plan.role(role.as_str()), role)?)
}

/// Opens the engine in `path`, on a thread that may block.
async fn engine(
    path: &Path,
    families: Vec<Family>,
    memory: &RocksMemory,
) -> Result<Arc<RocksEngine>> {
    let options = RocksOptions { path: path.to_owned(), families, memory: memory.clone() };
    let opened = tokio::task::spawn_blocking(move || RocksEngine::open(options)).await;
    Ok(opened.context("opening an engine did not finish")??)
}
