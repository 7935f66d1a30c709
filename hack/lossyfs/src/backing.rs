//! The folder of plain files that a disk is made of, and becomes again.

use std::ffi::OsStr;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::content::Content;
use crate::disk::{Disk, ROOT};
use crate::node::{File, Ino, Names, Node, NodeKind, Owner};

/// Makes a disk of what lies in `folder`; all of it counts as synced.
pub(crate) fn load(folder: &Path) -> Result<Disk> {
    let metadata = look_at(folder)?;
    let mut disk = Disk::new(owner(&metadata));
    load_directory(&mut disk, ROOT, folder)?;
    Ok(disk)
}

fn load_directory(disk: &mut Disk, ino: Ino, folder: &Path) -> Result<()> {
    let mut names = Names::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("list {}", folder.display()))?;
        let child = load_entry(disk, &entry.path())?;
        if let Ok(node) = disk.node_mut(child) {
            (node.links, node.durable_links) = (1, 1);
            node.place = Some((ino, entry.file_name()));
        }
        names.insert(entry.file_name(), child);
    }
    let directory = disk.directory_mut(ino).context("fill a directory")?;
    directory.live = names.clone();
    directory.durable = names;
    Ok(())
}

fn load_entry(disk: &mut Disk, path: &Path) -> Result<Ino> {
    let metadata = look_at(path)?;
    let kind = if metadata.is_file() {
        NodeKind::File(File::found(load_content(path)?))
    } else if metadata.is_dir() {
        NodeKind::Directory(Default::default())
    } else {
        bail!("{} is neither file nor directory", path.display());
    };
    let modified = metadata.modified().context("read a time")?;
    let is_directory = metadata.is_dir();
    let ino = disk.add(Node::new(kind, owner(&metadata), modified));
    if is_directory {
        load_directory(disk, ino, path)?;
    }
    Ok(ino)
}

fn load_content(path: &Path) -> Result<Content> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut content = Content::default();
    content.write(0, &bytes).with_context(|| format!("keep {}", path.display()))?;
    Ok(content)
}

fn look_at(path: &Path) -> Result<Metadata> {
    fs::symlink_metadata(path).with_context(|| format!("look at {}", path.display()))
}

fn owner(metadata: &Metadata) -> Owner {
    let mode = (metadata.mode() & 0o7777) as u16;
    Owner { mode, uid: metadata.uid(), gid: metadata.gid() }
}

/// Writes the synced state of `disk` to `folder`, and removes from there what it has not.
pub(crate) fn save(disk: &Disk, folder: &Path) -> Result<()> {
    match disk.nodes.get(&ROOT) {
        Some(root) => save_node(disk, root, folder),
        None => bail!("a disk without a root"),
    }
}

fn save_node(disk: &Disk, node: &Node, path: &Path) -> Result<()> {
    match &node.kind {
        NodeKind::File(file) => {
            let bytes = file.durable.read(0, usize::MAX);
            fs::write(path, bytes).with_context(|| format!("write {}", path.display()))?;
        }
        NodeKind::Directory(directory) => {
            fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
            remove_others(path, &directory.durable)?;
            for (name, child) in &directory.durable {
                // A socket is nothing without the process that listens there.
                if let Some(child) = disk.nodes.get(child).filter(|child| !child.is_socket()) {
                    save_child(disk, child, &path.join(name))?;
                }
            }
        }
    }
    chown(path, Some(node.owner.uid), Some(node.owner.gid))
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(node.owner.mode.into())))
        .with_context(|| format!("set the owner of {}", path.display()))
}

/// A name may have changed from file to directory or back since the disk was loaded.
fn save_child(disk: &Disk, child: &Node, path: &Path) -> Result<()> {
    let same_kind = fs::symlink_metadata(path)
        .map_or(true, |found| found.is_dir() == child.directory().is_some());
    if !same_kind {
        remove(path)?;
    }
    save_node(disk, child, path)
}

fn remove_others(folder: &Path, names: &Names) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("list {}", folder.display()))?;
        if !names.contains_key::<OsStr>(&entry.file_name()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let is_directory = look_at(path)?.is_dir();
    let removed = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("remove {}", path.display()))
}
