//! Names: made, changed and removed in what programs see; made durable by syncing a directory.

use std::ffi::OsStr;

use rustix::io::Errno;

use crate::disk::{Disk, Power, now};
use crate::event::EventKind;
use crate::fault::Operation;
use crate::node::{Directory, File, FileKind, Ino, Node, NodeKind, Owner};

/// Longest name, bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// What to make under a new name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    File,
    Socket,
    Directory,
}

/// A name in a directory.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) parent: Ino,
    pub(crate) name: &'a OsStr,
}

impl Disk {
    /// The node that a name means.
    pub(crate) fn lookup(&self, entry: Entry<'_>) -> Result<Ino, Errno> {
        let directory = self.node(entry.parent)?.directory().ok_or(Errno::NOTDIR)?;
        directory.live.get(entry.name).copied().ok_or(Errno::NOENT)
    }

    /// Makes a file or directory.
    pub(crate) fn create(
        &mut self,
        entry: Entry<'_>,
        make: Make,
        owner: Owner,
    ) -> Result<Ino, Errno> {
        self.admit(Operation::Create, entry.parent)?;
        self.check_new(entry)?;
        let (kind, event) = match make {
            Make::File => (NodeKind::File(File::default()), EventKind::Create),
            Make::Socket => {
                let socket = File { kind: FileKind::Socket, ..File::default() };
                (NodeKind::File(socket), EventKind::Create)
            }
            Make::Directory => {
                (NodeKind::Directory(Directory::default()), EventKind::MakeDirectory)
            }
        };
        let ino = self.add(Node::new(kind, owner, now()));
        self.attach(entry, ino)?;
        let path = self.path(ino);
        self.events.note(event, path, &Ok(()));
        Ok(ino)
    }

    /// Gives a file one more name.
    pub(crate) fn link(&mut self, ino: Ino, entry: Entry<'_>) -> Result<(), Errno> {
        self.admit(Operation::Create, entry.parent)?;
        self.check_new(entry)?;
        if self.node(ino)?.file().is_none() {
            return Err(Errno::PERM);
        }
        self.attach(entry, ino)?;
        let path = self.path(ino);
        self.events.note(EventKind::Create, path, &Ok(()));
        Ok(())
    }

    /// Removes the name of a file, or of an empty directory.
    pub(crate) fn remove(&mut self, entry: Entry<'_>, what: Make) -> Result<(), Errno> {
        let ino = self.lookup(entry)?;
        self.admit(Operation::Remove, ino)?;
        match (self.node(ino)?.directory(), what) {
            (None, Make::Directory) => return Err(Errno::NOTDIR),
            (Some(_), Make::File | Make::Socket) => return Err(Errno::ISDIR),
            (Some(directory), Make::Directory) if !directory.live.is_empty() => {
                return Err(Errno::NOTEMPTY);
            }
            (None, Make::File | Make::Socket) | (Some(_), Make::Directory) => {}
        }
        let path = self.path(ino);
        self.detach(entry)?;
        self.events.note(EventKind::Remove, path, &Ok(()));
        Ok(())
    }

    /// Moves a name, over another one if there is one.
    pub(crate) fn rename(&mut self, from: Entry<'_>, to: Entry<'_>) -> Result<(), Errno> {
        let ino = self.lookup(from)?;
        self.admit(Operation::Rename, ino)?;
        check_name(to.name)?;
        self.directory_mut(to.parent)?;
        if let Ok(replaced) = self.lookup(to) {
            if replaced == ino {
                return Ok(());
            }
            self.check_replaceable(ino, replaced)?;
            self.detach(to)?;
        }
        // The new name first: a node with no name at all would be dropped.
        self.attach(to, ino)?;
        self.detach(from)?;
        let path = self.path(ino);
        self.events.note(EventKind::Rename, path, &Ok(()));
        Ok(())
    }

    /// Makes the names of a directory durable.
    pub(crate) fn sync_directory(&mut self, ino: Ino) -> Result<(), Errno> {
        let result = self.try_sync_directory(ino);
        let path = self.path(ino);
        self.events.note(EventKind::DirectorySync, path, &result);
        result
    }

    fn try_sync_directory(&mut self, ino: Ino) -> Result<(), Errno> {
        self.admit(Operation::SyncDirectory, ino)?;
        self.carry_names(ino)
    }

    /// Carries the names seen over to the names synced.
    pub(crate) fn carry_names(&mut self, ino: Ino) -> Result<(), Errno> {
        let directory = self.directory_mut(ino)?;
        let synced = directory.live.clone();
        let before = std::mem::replace(&mut directory.durable, synced.clone());
        for child in synced.values() {
            self.node_mut(*child)?.durable_links += 1;
        }
        for child in before.values() {
            self.drop_durable_link(*child);
        }
        Ok(())
    }

    fn check_new(&self, entry: Entry<'_>) -> Result<(), Errno> {
        check_name(entry.name)?;
        match self.lookup(entry) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) if self.node(entry.parent)?.links > 0 => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn check_replaceable(&self, ino: Ino, replaced: Ino) -> Result<(), Errno> {
        let is_directory = self.node(ino)?.directory().is_some();
        match (is_directory, self.node(replaced)?.directory()) {
            (true, None) => Err(Errno::NOTDIR),
            (false, Some(_)) => Err(Errno::ISDIR),
            (true, Some(directory)) if !directory.live.is_empty() => Err(Errno::NOTEMPTY),
            (true, Some(_)) | (false, None) => Ok(()),
        }
    }

    fn attach(&mut self, entry: Entry<'_>, ino: Ino) -> Result<(), Errno> {
        self.directory_mut(entry.parent)?.live.insert(entry.name.to_owned(), ino);
        self.node_mut(entry.parent)?.modified = now();
        let node = self.node_mut(ino)?;
        node.links += 1;
        node.place = Some((entry.parent, entry.name.to_owned()));
        Ok(())
    }

    fn detach(&mut self, entry: Entry<'_>) -> Result<(), Errno> {
        let removed = self.directory_mut(entry.parent)?.live.remove(entry.name);
        let ino = removed.ok_or(Errno::NOENT)?;
        self.node_mut(entry.parent)?.modified = now();
        self.node_mut(ino)?.links -= 1;
        self.drop_if_forgotten(ino);
        Ok(())
    }

    fn drop_durable_link(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.durable_links = node.durable_links.saturating_sub(1);
        }
        self.drop_if_forgotten(ino);
    }

    /// Drops a node that nothing can reach, and what only it could.
    pub(crate) fn drop_if_forgotten(&mut self, ino: Ino) {
        let forgotten = self.nodes.get(&ino).is_some_and(Node::is_forgotten);
        if !forgotten || self.power == Power::Off {
            return;
        }
        let node = self.nodes.remove(&ino);
        if let Some(NodeKind::Directory(directory)) = node.map(|node| node.kind) {
            for child in directory.durable.values() {
                self.drop_durable_link(*child);
            }
        }
    }
}

fn check_name(name: &OsStr) -> Result<(), Errno> {
    if name.len() > NAME_BYTES_MAX { Err(Errno::NAMETOOLONG) } else { Ok(()) }
}
