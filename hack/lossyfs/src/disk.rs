//! The file system itself, without FUSE: a tree of nodes, its faults and its events.

pub(crate) mod names;
mod power;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::SystemTime;

use rustix::io::Errno;

use crate::control::Space;
use crate::event::{EventKind, Events};
use crate::fault::{Faults, Operation};
use crate::node::{Directory, File, Ino, Node, NodeKind, Owner};

pub use power::Loss;

/// Number of the root directory, fixed by FUSE.
pub(crate) const ROOT: Ino = 1;

/// Bytes that `statfs` claims the disk has.
pub(crate) const DISK_BYTES: u64 = 64 << 30;

/// Whether the disk answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// Every call gives EIO until the tree is mounted again.
    Off,
}

/// A disk: nodes, and what is wrong with it.
pub(crate) struct Disk {
    pub(crate) nodes: BTreeMap<Ino, Node>,
    next: Ino,
    pub(crate) power: Power,
    pub(crate) space: Space,
    pub(crate) faults: Faults,
    pub(crate) events: Events,
}

/// How much of a file a sync is asked to carry over. Here both are the same, but a log of
/// calls tells them apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Everything,
    Bytes,
}

impl Disk {
    /// A disk with an empty root directory.
    pub(crate) fn new(owner: Owner) -> Self {
        let mut root = Node::new(NodeKind::Directory(Directory::default()), owner, now());
        (root.links, root.durable_links) = (1, 1);
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            power: Power::On,
            space: Space::Free,
            faults: Faults::default(),
            events: Events::default(),
        }
    }

    /// A node that programs can see or hold open.
    pub(crate) fn node(&self, ino: Ino) -> Result<&Node, Errno> {
        if self.power == Power::Off {
            return Err(Errno::IO);
        }
        self.nodes.get(&ino).ok_or(Errno::NOENT)
    }

    /// One more, or one fewer, has the node open.
    pub(crate) fn open(&mut self, ino: Ino) -> Result<(), Errno> {
        self.node(ino)?;
        self.node_mut(ino)?.open += 1;
        Ok(())
    }

    /// The other end of [`Disk::open`].
    pub(crate) fn close(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.open = node.open.saturating_sub(1);
            self.drop_if_forgotten(ino);
        }
    }

    /// Bytes of a file.
    pub(crate) fn read(&mut self, ino: Ino, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        self.admit(Operation::Read, ino)?;
        Ok(self.file_mut(ino)?.live.read(offset, size))
    }

    /// Writes bytes of a file.
    pub(crate) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.change(ino, |file| file.live.write(offset, bytes))
    }

    /// Cuts or extends a file.
    pub(crate) fn set_len(&mut self, ino: Ino, len: u64) -> Result<(), Errno> {
        self.change(ino, |file| file.live.set_len(len))
    }

    /// Zeros a stretch of a file.
    pub(crate) fn clear(&mut self, ino: Ino, offset: u64, length: u64) -> Result<(), Errno> {
        self.change(ino, |file| Ok(file.live.clear(offset, length)))
    }

    /// Makes the bytes of a file durable.
    pub(crate) fn sync(&mut self, ino: Ino, extent: Extent) -> Result<(), Errno> {
        let result = self.try_sync(ino);
        let kind = match extent {
            Extent::Everything => EventKind::Sync,
            Extent::Bytes => EventKind::DataSync,
        };
        let path = self.path(ino);
        self.events.note(kind, path, &result);
        result
    }

    fn try_sync(&mut self, ino: Ino) -> Result<(), Errno> {
        let admitted = self.admit(Operation::Sync, ino);
        if self.power == Power::Off {
            return admitted;
        }
        let file = self.file_mut(ino)?;
        match admitted {
            Ok(()) => file.sync(),
            Err(_) => file.fail_sync(),
        }
        admitted
    }

    fn change<T>(
        &mut self,
        ino: Ino,
        change: impl FnOnce(&mut File) -> Result<T, Errno>,
    ) -> Result<(), Errno>
    where
        T: IntoIterator<Item = usize>,
    {
        self.admit(Operation::Write, ino)?;
        let file = self.file_mut(ino)?;
        let pages = change(file)?;
        file.dirty.extend(pages);
        self.node_mut(ino)?.modified = now();
        Ok(())
    }

    /// Whether an operation on a node may go on: power, space, planned faults.
    pub(crate) fn admit(&mut self, operation: Operation, ino: Ino) -> Result<(), Errno> {
        if self.power == Power::Off {
            return Err(Errno::IO);
        }
        let needs_space = matches!(operation, Operation::Write | Operation::Create);
        if needs_space && self.space == Space::Full {
            return Err(Errno::NOSPC);
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        let path = self.path(ino);
        self.faults.strike(operation, &path).map_or(Ok(()), Err)
    }

    /// A path of the node, relative to the root.
    pub(crate) fn path(&self, ino: Ino) -> String {
        let mut names = Vec::new();
        let mut place = self.nodes.get(&ino).and_then(|node| node.place.as_ref());
        while let Some((parent, name)) = place {
            names.push(name.to_string_lossy());
            place = self.nodes.get(parent).and_then(|node| node.place.as_ref());
        }
        names.reverse();
        names.join("/")
    }

    /// Bytes that all files hold.
    pub(crate) fn bytes_used(&self) -> u64 {
        let files = self.nodes.values().filter_map(Node::file);
        let pages: usize = files.map(|file| file.live.pages_used()).sum();
        pages as u64 * crate::content::PAGE_BYTES as u64
    }

    /// Adds a node; its names follow.
    pub(crate) fn add(&mut self, node: Node) -> Ino {
        let ino = self.next;
        self.next += 1;
        self.nodes.insert(ino, node);
        ino
    }

    pub(crate) fn node_mut(&mut self, ino: Ino) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).ok_or(Errno::NOENT)
    }

    pub(crate) fn file_mut(&mut self, ino: Ino) -> Result<&mut File, Errno> {
        match &mut self.node_mut(ino)?.kind {
            NodeKind::File(file) => Ok(file),
            NodeKind::Directory(_) => Err(Errno::ISDIR),
        }
    }

    pub(crate) fn directory_mut(&mut self, ino: Ino) -> Result<&mut Directory, Errno> {
        match &mut self.node_mut(ino)?.kind {
            NodeKind::Directory(directory) => Ok(directory),
            NodeKind::File(_) => Err(Errno::NOTDIR),
        }
    }
}

/// The wall clock, which only shows in the times of files.
#[expect(clippy::disallowed_methods, reason = "a file system stamps its files by the wall clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
