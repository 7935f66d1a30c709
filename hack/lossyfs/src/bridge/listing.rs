//! Directories while they are being listed: what was in them when they were opened, so that
//! who removes entries while listing misses none.

use std::collections::BTreeMap;
use std::ffi::OsString;

use fuser::FileType;
use rustix::io::Errno;

use crate::bridge::reply::file_type;
use crate::disk::Disk;
use crate::node::Ino;

/// One line of a listing.
pub(super) struct Listed {
    pub(super) ino: Ino,
    pub(super) kind: FileType,
    pub(super) name: OsString,
}

/// The directories that are open.
#[derive(Default)]
pub(super) struct Listings {
    open: BTreeMap<u64, Vec<Listed>>,
    next: u64,
}

impl Listings {
    /// Notes what is in a directory; gives a handle.
    pub(super) fn open(&mut self, disk: &Disk, ino: Ino) -> Result<u64, Errno> {
        let node = disk.node(ino)?;
        let directory = node.directory().ok_or(Errno::NOTDIR)?;
        let parent = node.place.as_ref().map_or(ino, |(parent, _)| *parent);
        let dots = [(ino, "."), (parent, "..")].map(|(ino, name)| Listed {
            ino,
            kind: FileType::Directory,
            name: name.into(),
        });
        let mut listing = Vec::from(dots);
        for (name, child) in &directory.live {
            let kind = file_type(disk.node(*child)?);
            listing.push(Listed { ino: *child, kind, name: name.clone() });
        }
        let handle = self.next;
        self.next += 1;
        self.open.insert(handle, listing);
        Ok(handle)
    }

    /// The rest of a listing, with the place of each line in it.
    pub(super) fn from(&self, handle: u64, start: u64) -> impl Iterator<Item = (u64, &Listed)> {
        let listing = self.open.get(&handle).map(Vec::as_slice).unwrap_or_default();
        (0..).zip(listing).skip_while(move |(at, _)| *at < start)
    }

    /// Forgets a listing.
    pub(super) fn close(&mut self, handle: u64) {
        self.open.remove(&handle);
    }
}
