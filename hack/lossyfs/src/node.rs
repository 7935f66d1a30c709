//! Files and directories, each as programs see it and as it would be found after a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::SystemTime;

use crate::content::Content;

/// Number of a node; never used for another one within a mount.
pub(crate) type Ino = u64;

/// Names of a directory.
pub(crate) type Names = BTreeMap<OsString, Ino>;

/// A file or a directory.
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// Mode, owner and time are no part of the loss: they are durable at once.
    pub(crate) owner: Owner,
    pub(crate) modified: SystemTime,
    /// A name it has, for the event log.
    pub(crate) place: Option<(Ino, OsString)>,
    /// Names that programs see.
    pub(crate) links: u32,
    /// Names that a power cut leaves.
    pub(crate) durable_links: u32,
    /// Times it is open.
    pub(crate) open: u32,
}

/// Permission bits and ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What a node is.
pub(crate) enum NodeKind {
    File(File),
    Directory(Directory),
}

/// A file: bytes seen, bytes synced, and which pages differ.
#[derive(Default)]
pub(crate) struct File {
    pub(crate) kind: FileKind,
    pub(crate) live: Content,
    pub(crate) durable: Content,
    pub(crate) dirty: BTreeSet<usize>,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Bytes.
    #[default]
    Plain,
    /// A place where a process listens; without bytes, and gone with the mount.
    Socket,
}

/// A directory: names seen and names synced.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) live: Names,
    pub(crate) durable: Names,
}

impl Node {
    /// A node without a name yet.
    pub(crate) fn new(kind: NodeKind, owner: Owner, modified: SystemTime) -> Self {
        Self { kind, owner, modified, place: None, links: 0, durable_links: 0, open: 0 }
    }

    /// Whether nothing can reach it any more.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.links == 0 && self.durable_links == 0 && self.open == 0
    }

    /// The file in it, if it is one.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.kind {
            NodeKind::File(file) => Some(file),
            NodeKind::Directory(_) => None,
        }
    }

    /// Whether it is a socket.
    pub(crate) fn is_socket(&self) -> bool {
        self.file().is_some_and(|file| file.kind == FileKind::Socket)
    }

    /// The directory in it, if it is one.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        match &self.kind {
            NodeKind::Directory(directory) => Some(directory),
            NodeKind::File(_) => None,
        }
    }
}

impl File {
    /// A file that was found on the disk.
    pub(crate) fn found(content: Content) -> Self {
        let kind = FileKind::Plain;
        Self { kind, live: content.clone(), durable: content, dirty: BTreeSet::new() }
    }

    /// Carries the bytes seen over to the bytes synced.
    pub(crate) fn sync(&mut self) {
        let pages = std::mem::take(&mut self.dirty);
        self.carry(pages);
    }

    /// A failed sync, as kernels have it: the pages count as clean, though they never reached
    /// the disk, and no later sync writes them.
    pub(crate) fn fail_sync(&mut self) {
        self.dirty.clear();
    }

    /// Carries some pages over, and the length.
    pub(crate) fn carry(&mut self, pages: impl IntoIterator<Item = usize>) {
        // Both lengths were accepted before, by the same limit.
        if self.durable.set_len(self.live.len()).is_ok() {
            for at in pages {
                self.durable.set_page(at, self.live.page(at));
            }
        }
    }

    /// What a power cut leaves.
    pub(crate) fn revive(&mut self) {
        let kind = self.kind;
        *self = Self { kind, ..Self::found(std::mem::take(&mut self.durable)) };
    }
}
