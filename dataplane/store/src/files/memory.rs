//! A file system in memory that can lose exactly what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use super::small::{directory_of, io_error};
use super::{Attempt, Entry, Error, File, Files, Kind, Lock, Metadata, Permissions, Space};

/// Free space of a file system that was not given any, in bytes.
const DEFAULT_SPACE: u64 = 1 << 40;

/// A [`Files`] without a disk. [`MemoryFiles::crash`] forgets bytes that were not synced
/// and names whose directory was not.
pub struct MemoryFiles {
    state: Arc<Mutex<State>>,
}

struct State {
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    locks: BTreeSet<PathBuf>,
    space: u64,
    /// Files that may hold bytes, named or not.
    inodes: Vec<Weak<Mutex<Inode>>>,
}

#[derive(Clone)]
enum Node {
    Directory,
    File(Arc<Mutex<Inode>>),
}

#[derive(Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

impl MemoryFiles {
    /// An empty file system with a root directory.
    pub fn new() -> Arc<Self> {
        Self::with_space(DEFAULT_SPACE)
    }

    /// The same with room for `space` bytes.
    pub fn with_space(space: u64) -> Arc<Self> {
        let names = BTreeMap::from([(PathBuf::from("/"), Node::Directory)]);
        Arc::new(Self {
            state: Arc::new(Mutex::new(State {
                durable_names: names.clone(),
                names,
                locks: BTreeSet::new(),
                space,
                inodes: Vec::new(),
            })),
        })
    }

    /// Cuts the power: bytes and names that were not synced are gone, locks are free.
    /// Files still open are those of a dead process: do not use them.
    pub fn crash(&self) {
        let mut state = self.state.lock();
        state.names = state.durable_names.clone();
        state.locks.clear();
        for node in state.names.values() {
            if let Node::File(inode) = node {
                let mut inode = inode.lock();
                inode.bytes = inode.durable.clone();
            }
        }
    }

    /// What a power cut now would leave of a file.
    pub fn durable(&self, path: &Path) -> Option<Vec<u8>> {
        match self.state.lock().durable_names.get(path)? {
            Node::File(inode) => Some(inode.lock().durable.clone()),
            Node::Directory => None,
        }
    }

    /// Kills the process: locks are free, all else stays.
    pub fn kill(&self) {
        self.state.lock().locks.clear();
    }

    fn file(&self, inode: Arc<Mutex<Inode>>, path: &Path) -> Box<dyn File> {
        Box::new(MemoryFile { inode, path: path.to_owned(), state: Arc::clone(&self.state) })
    }
}

impl State {
    fn used(&mut self) -> u64 {
        self.inodes.retain(|inode| inode.strong_count() > 0);
        self.inodes
            .iter()
            .filter_map(Weak::upgrade)
            .map(|inode| inode.lock().bytes.len() as u64)
            .sum()
    }

    fn new_inode(&mut self) -> Arc<Mutex<Inode>> {
        let inode = Arc::<Mutex<Inode>>::default();
        self.inodes.push(Arc::downgrade(&inode));
        inode
    }

    fn check_directory(&self, path: &Path) -> Result<(), Error> {
        match self.names.get(path) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io_error(Attempt::Open, path, "not a directory")),
            None => Err(Error::Missing { path: path.to_owned() }),
        }
    }

    fn find(&self, path: &Path) -> Result<Arc<Mutex<Inode>>, Error> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Ok(Arc::clone(inode)),
            Some(Node::Directory) => Err(io_error(Attempt::Open, path, "is a directory")),
            None => Err(Error::Missing { path: path.to_owned() }),
        }
    }
}

fn is_child(directory: &Path, path: &Path) -> bool {
    path != directory && path.parent() == Some(directory)
}

impl Files for MemoryFiles {
    fn create(&self, path: &Path, _: Permissions) -> Result<Box<dyn File>, Error> {
        let mut state = self.state.lock();
        state.check_directory(directory_of(path))?;
        if state.names.contains_key(path) {
            return Err(Error::Exists { path: path.to_owned() });
        }
        let inode = state.new_inode();
        state.names.insert(path.to_owned(), Node::File(Arc::clone(&inode)));
        Ok(self.file(inode, path))
    }

    fn create_unnamed(&self, directory: &Path) -> Result<Box<dyn File>, Error> {
        let mut state = self.state.lock();
        state.check_directory(directory)?;
        let inode = state.new_inode();
        Ok(self.file(inode, directory))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>, Error> {
        Ok(self.file(self.state.lock().find(path)?, path))
    }

    fn create_directory(&self, path: &Path) -> Result<(), Error> {
        let mut state = self.state.lock();
        for level in path.ancestors().filter(|level| !level.as_os_str().is_empty()) {
            match state.names.get(level) {
                Some(Node::File(_)) => {
                    return Err(io_error(Attempt::Create, level, "not a directory"));
                }
                Some(Node::Directory) => {}
                None => {
                    state.names.insert(level.to_owned(), Node::Directory);
                }
            }
            state.durable_names.insert(level.to_owned(), Node::Directory);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.check_directory(directory_of(to))?;
        let node =
            state.names.remove(from).ok_or_else(|| Error::Missing { path: from.to_owned() })?;
        state.names.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let mut state = self.state.lock();
        drop(state.find(path)?);
        state.names.remove(path);
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.check_directory(path)?;
        if state.names.keys().any(|name| is_child(path, name)) {
            return Err(io_error(Attempt::Remove, path, "directory not empty"));
        }
        state.names.remove(path);
        Ok(())
    }

    fn list(&self, directory: &Path) -> Result<Vec<Entry>, Error> {
        let state = self.state.lock();
        state.check_directory(directory)?;
        let children = state.names.iter().filter(|(name, _)| is_child(directory, name));
        Ok(children
            .filter_map(|(name, node)| {
                let name = name.file_name()?.to_str()?.to_owned();
                Some(Entry { name, is_directory: matches!(node, Node::Directory) })
            })
            .collect())
    }

    fn sync_directory(&self, directory: &Path) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.check_directory(directory)?;
        state.durable_names.retain(|name, _| !is_child(directory, name));
        let children: Vec<_> = state
            .names
            .iter()
            .filter(|(name, _)| is_child(directory, name))
            .map(|(name, node)| (name.clone(), node.clone()))
            .collect();
        state.durable_names.extend(children);
        Ok(())
    }

    fn space(&self, _: &Path) -> Result<Space, Error> {
        let mut state = self.state.lock();
        let used = state.used();
        Ok(Space { free: state.space.saturating_sub(used), total: state.space })
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        Ok(self.state.lock().names.get(path).map(|node| match node {
            Node::Directory => Metadata { kind: Kind::Directory, length: 0 },
            Node::File(inode) => {
                Metadata { kind: Kind::File, length: inode.lock().bytes.len() as u64 }
            }
        }))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, Error> {
        let mut state = self.state.lock();
        state.check_directory(directory_of(path))?;
        if !state.locks.insert(path.to_owned()) {
            return Err(Error::Locked { path: path.to_owned() });
        }
        if !state.names.contains_key(path) {
            let inode = state.new_inode();
            state.names.insert(path.to_owned(), Node::File(inode));
        }
        Ok(Box::new(MemoryLock { path: path.to_owned(), state: Arc::clone(&self.state) }))
    }
}

struct MemoryLock {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Lock for MemoryLock {
    fn is_in_place(&self) -> Result<bool, Error> {
        Ok(self.state.lock().names.contains_key(&self.path))
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.state.lock().locks.remove(&self.path);
    }
}

struct MemoryFile {
    inode: Arc<Mutex<Inode>>,
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl File for MemoryFile {
    fn append(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.used() + bytes.len() as u64 > state.space {
            return Err(Error::Full { attempt: Attempt::Write, path: self.path.clone() });
        }
        self.inode.lock().bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, Error> {
        let inode = self.inode.lock();
        let short = || Error::Short { path: self.path.clone(), end: offset + length as u64 };
        let start = usize::try_from(offset).map_err(|_| short())?;
        let end = start.checked_add(length).ok_or_else(short)?;
        inode.bytes.get(start..end).map(Bytes::copy_from_slice).ok_or_else(short)
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(self.inode.lock().bytes.len() as u64)
    }

    fn truncate(&self, length: u64) -> Result<(), Error> {
        let length = usize::try_from(length)
            .map_err(|_| io_error(Attempt::Truncate, &self.path, "too long"))?;
        self.inode.lock().bytes.resize(length, 0);
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        let mut inode = self.inode.lock();
        inode.durable = inode.bytes.clone();
        Ok(())
    }
}
