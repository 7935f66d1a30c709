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
use gitstratum_store::{Family, Files, RocksEngine, RocksOptions, RoleDirectory};

use super::inspection::ROLES;
use super::node::Common;
use super::plan::Plan;

/// Opens the folders of all roles, before anything is in them.
pub(super) fn directories(plan: &Plan, common: &Common) -> Result<Vec<RoleDirectory>> {
    ROLES.iter().map(|role| directory(plan, &common.files, *role)).collect()
}

/// Opens the folder of a role: makes it, or checks what it is, and locks it. Its name and
/// those above it are durable before anything in it is, else a power cut takes all at once.
pub(super) fn directory(
    plan: &Plan,
    files: &Arc<dyn Files>,
    role: ProcessRole,
) -> Result<RoleDirectory> {
    let opened = RoleDirectory::open(files, &plan.role(role.as_str()), role)?;
    let above = plan.data.parent();
    for folder in opened.path().ancestors() {
        files.sync_directory(folder)?;
        if Some(folder) == above {
            break;
        }
    }
    Ok(opened)
}

/// Opens the engine in `path`, on a thread that may block, and makes its name durable:
/// RocksDB syncs what is in its folder, not the folder's own name.
async fn engine(path: &Path, families: Vec<Family>, common: &Common) -> Result<Arc<RocksEngine>> {
    let memory = common.memory.clone();
    let options = RocksOptions { path: path.to_owned(), families, memory };
    let opened = tokio::task::spawn_blocking(move || RocksEngine::open(options)).await;
    let engine = opened.context("opening an engine did not finish")??;
    for folder in path.ancestors().take(2) {
        common.files.sync_directory(folder)?;
    }
    Ok(engine)
}
