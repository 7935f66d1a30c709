//! Each role of the node, built from its own settings.

pub(super) mod agent;
pub(super) mod control;
pub(super) mod feed;
pub(super) mod frontend;
pub(super) mod metadata;
pub(super) mod object;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gitstratum_consensus::Host;
use gitstratum_core::{ErrorKind, ProcessRole};
use gitstratum_process::Drain;
use gitstratum_store::{Family, Files, RocksEngine, RocksOptions, RoleDirectory};

use super::ending::die;
use super::inspection::ROLES;
use super::node::Common;
use super::plan::Plan;

/// How often it is looked whether the directories are in place.
const IN_PLACE_EVERY: Duration = Duration::from_millis(500);

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

/// Ends the process at once when one of its directories was deleted, or another put in its
/// place: what it writes to files that have no name is acknowledged, and gone with it (S4).
/// Whoever watches starts it again, on what is there.
pub(super) async fn watch_directories(
    directories: Arc<[RoleDirectory]>,
    drain: Drain,
) -> Result<()> {
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return Ok(()),
            () = tokio::time::sleep(IN_PLACE_EVERY) => {}
        }
        let looked = Arc::clone(&directories);
        let missing = gitstratum_process::blocking(move || {
            // One that cannot be looked at fails those who use it.
            let is_gone = |one: &&RoleDirectory| matches!(one.is_in_place(), Ok(false));
            looked.iter().find(is_gone).map(|one| one.path().display().to_string())
        });
        if let Ok(Some(path)) = missing.await {
            tracing::error!(path, "a directory was deleted or replaced, this process ends");
            die();
        }
    }
}

/// The same for a role whose other replicas can give back what it had (S23): a damaged one,
/// or one that a [`Condemner`] has marked, is set aside, and an empty one opened.
async fn replicated_engine(
    path: &Path,
    families: Vec<Family>,
    common: &Common,
) -> Result<Arc<RocksEngine>> {
    if common.cluster.nodes.len() == 1 {
        return engine(path, families, common).await;
    }
    let condemned = path.with_extension(CONDEMNED);
    if common.files.metadata(&condemned)?.is_some() {
        set_aside(path, common.files.as_ref())?;
        std::fs::remove_file(&condemned).context("forgetting a mark of damage")?;
        // Else the mark would be there again after a power cut, and the new store go too.
        sync_parent(path, common.files.as_ref())?;
    }
    match engine(path, families.clone(), common).await {
        Err(error) if is_damage(&error) => {
            tracing::error!(error = %format!("{error:#}"), "a store is damaged, it begins anew");
            set_aside(path, common.files.as_ref())?;
            engine(path, families, common).await
        }
        opened => opened,
    }
}

/// Ends the process at once when the disk of a log has stalled or failed: others lead
/// meanwhile, and whoever watches starts it again (S39, S23). Nothing could be closed on such
/// a disk. Of one that works, with damaged bytes on it, it is told as an error: what the node
/// does for people can end well.
async fn watch_disk(host: Arc<Host>, condemner: Condemner, drain: Drain) -> Result<()> {
    tokio::select! {
        biased;
        () = drain.started() => return Ok(()),
        took = host.stalled() => tracing::error!(?took, "the disk has stalled, this process ends"),
        cause = host.failed() => {
            tracing::error!(error = %cause, "a log has failed, this process ends");
            if cause.kind() == ErrorKind::Corrupt {
                return condemner.condemn(&cause.to_string());
            }
        }
    }
    die();
    Ok(())
}

/// Name behind the dot of the mark that a store was found damaged, and of one set aside.
const CONDEMNED: &str = "condemned";
const SET_ASIDE: &str = "set-aside";

/// Has a store set aside that was found damaged while the node ran, where the other nodes
/// can give back what it had.
struct Condemner {
    path: PathBuf,
    files: Arc<dyn Files>,
}

impl Condemner {
    fn new(path: &Path, common: &Common) -> Self {
        Self { path: path.to_owned(), files: Arc::clone(&common.files) }
    }

    /// Marks the store as damaged, so that the next start sets it aside; always an error, which
    /// ends this one.
    fn condemn(&self, what: &str) -> Result<()> {
        let path = self.path.display();
        tracing::error!(%path, what, "a store is damaged, it is set aside at the next start");
        let mark = self.path.with_extension(CONDEMNED);
        std::fs::File::create(&mark).and_then(|file| file.sync_all()).context("marking damage")?;
        sync_parent(&self.path, self.files.as_ref())?;
        bail!("{path} is damaged: {what}")
    }
}

/// Keeps the last one for whoever wants to look at it. Where there is no store, a start before
/// this one has set it aside, and ended then.
fn set_aside(path: &Path, files: &dyn Files) -> Result<()> {
    if files.metadata(path)?.is_none() {
        return sync_parent(path, files);
    }
    let aside = path.with_extension(SET_ASIDE);
    if files.metadata(&aside)?.is_some() {
        std::fs::remove_dir_all(&aside).context("removing an older damaged store")?;
    }
    files.rename(path, &aside)?;
    sync_parent(path, files)
}

fn sync_parent(path: &Path, files: &dyn Files) -> Result<()> {
    let parent = path.parent().context("a store lies in a folder")?;
    Ok(files.sync_directory(parent)?)
}

fn is_damage(error: &anyhow::Error) -> bool {
    let found = error.downcast_ref::<gitstratum_store::engine::Error>();
    found.is_some_and(|error| error.kind() == ErrorKind::Corrupt)
}

/// Opens the engine in `path`, on a thread that may block, and makes its name durable:
/// RocksDB syncs what is in its folder, not the folder's own name.
async fn engine(path: &Path, families: Vec<Family>, common: &Common) -> Result<Arc<RocksEngine>> {
    let memory = common.memory.clone();
    let options = RocksOptions { path: path.to_owned(), families, memory };
    let opened = gitstratum_process::blocking(move || RocksEngine::open(options)).await;
    let engine = opened.context("opening an engine did not finish")??;
    for folder in path.ancestors().take(2) {
        common.files.sync_directory(folder)?;
    }
    Ok(engine)
}

#[cfg(test)]
mod tests {
    use gitstratum_store::SystemFiles;

    use super::*;

    #[test]
    fn p_i5_a_store_that_was_set_aside_before_a_crash_stays_there_for_whoever_looks() {
        let folder = tempfile::tempdir().unwrap();
        let (path, files) = (folder.path().join("db"), SystemFiles::new());
        let store = |what: &str| {
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("block"), what).unwrap();
        };
        let aside = || std::fs::read_to_string(folder.path().join("db.set-aside/block")).unwrap();
        store("damaged");
        set_aside(&path, files.as_ref()).unwrap();
        // The mark was still there: the next start sets aside what there is.
        set_aside(&path, files.as_ref()).unwrap();
        assert_eq!((aside().as_str(), path.exists()), ("damaged", false));
        store("damaged later");
        set_aside(&path, files.as_ref()).unwrap();
        assert_eq!((aside().as_str(), path.exists()), ("damaged later", false));
    }
}
