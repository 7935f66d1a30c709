//! From FUSE's calls to the disk and back.

mod listing;
mod reply;

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    FileAttr, FileHandle, Filesystem, FopenFlags, INodeNo, LockOwner, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, FileType};

use crate::bridge::listing::Listings;
use crate::bridge::reply::{
    GENERATION, Outcome, REMEMBERED, answer, answer_attributes, answer_entry, attributes, errno,
};
use crate::content::PAGE_BYTES;
use crate::control::Space;
use crate::disk::names::{Entry, Make, NAME_BYTES_MAX};
use crate::disk::{DISK_BYTES, Disk, Extent, now};
use crate::node::{Ino, Owner};

/// Files are known by their node; a handle says nothing more.
const HANDLE: FileHandle = FileHandle(0);

/// Answers the kernel.
pub(crate) struct Bridge {
    disk: Arc<Mutex<Disk>>,
    listings: Mutex<Listings>,
}

impl Bridge {
    pub(crate) fn new(disk: Arc<Mutex<Disk>>) -> Self {
        Self { disk, listings: Mutex::default() }
    }

    fn make(&self, entry: Entry<'_>, make: Make, owner: Owner) -> Outcome<FileAttr> {
        let mut disk = self.disk.lock();
        let ino = disk.create(entry, make, owner)?;
        attributes(&disk, ino)
    }

    fn create_and_open(&self, entry: Entry<'_>, owner: Owner) -> Outcome<FileAttr> {
        let mut disk = self.disk.lock();
        let ino = disk.create(entry, Make::File, owner)?;
        disk.open(ino)?;
        attributes(&disk, ino)
    }

    fn change(&self, ino: Ino, change: Change) -> Outcome<FileAttr> {
        let mut disk = self.disk.lock();
        disk.node(ino)?;
        if let Some(len) = change.len {
            disk.set_len(ino, len)?;
        }
        let node = disk.node_mut(ino)?;
        node.owner.mode = change.mode.map_or(node.owner.mode, permissions);
        node.owner.uid = change.uid.unwrap_or(node.owner.uid);
        node.owner.gid = change.gid.unwrap_or(node.owner.gid);
        node.modified = change.modified.unwrap_or(node.modified);
        attributes(&disk, ino)
    }

    fn allocate(&self, ino: Ino, offset: u64, length: u64, mode: i32) -> Outcome<()> {
        let flags = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        let mut disk = self.disk.lock();
        let len = disk.node(ino)?.file().map_or(0, |file| file.live.len());
        if flags == FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE {
            disk.clear(ino, offset, length)
        } else if flags == FallocateFlags::KEEP_SIZE {
            // Space is not reserved here; a full disk refuses all the same.
            disk.set_len(ino, len)
        } else if flags.is_empty() {
            disk.set_len(ino, len.max(offset.saturating_add(length)))
        } else {
            Err(rustix::io::Errno::OPNOTSUPP)
        }
    }
}

/// What `setattr` changes.
struct Change {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    len: Option<u64>,
    modified: Option<SystemTime>,
}

impl Filesystem for Bridge {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.disk.lock();
        let found = disk.lookup(entry(parent, name)).and_then(|ino| attributes(&disk, ino));
        answer_entry(found, reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer_attributes(attributes(&self.disk.lock(), ino.0), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        len: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let modified = modified.map(|time| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => now(),
        });
        answer_attributes(self.change(ino.0, Change { mode, uid, gid, len, modified }), reply);
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let made = self.make(entry(parent, name), made_by(mode), owner(request, mode & !umask));
        answer_entry(made, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.make(entry(parent, name), Make::Directory, owner(request, mode & !umask));
        answer_entry(made, reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.create_and_open(entry(parent, name), owner(request, mode & !umask)) {
            Ok(attributes) => {
                reply.created(&REMEMBERED, &attributes, GENERATION, HANDLE, FopenFlags::empty());
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.disk.lock().remove(entry(parent, name), Make::File), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.disk.lock().remove(entry(parent, name), Make::Directory), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (from, to) = (entry(parent, name), entry(to_parent, to_name));
        let mut disk = self.disk.lock();
        let renamed = if flags.is_empty() {
            disk.rename(from, to)
        } else if flags == RenameFlags::RENAME_NOREPLACE {
            match disk.lookup(to) {
                Ok(_) => Err(rustix::io::Errno::EXIST),
                Err(_) => disk.rename(from, to),
            }
        } else {
            Err(rustix::io::Errno::INVAL)
        };
        answer(renamed, reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut disk = self.disk.lock();
        let linked = disk.link(ino.0, entry(parent, name));
        answer_entry(linked.and_then(|()| attributes(&disk, ino.0)), reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.disk.lock().open(ino.0) {
            Ok(()) => reply.opened(HANDLE, FopenFlags::empty()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.disk.lock().close(ino.0);
        reply.ok();
    }

    /// Comes with every close; nothing waits to be written here.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk.lock().read(ino.0, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.disk.lock().write(ino.0, offset, bytes) {
            // The kernel sends at most 16 MiB at once.
            Ok(()) => reply.written(bytes.len() as u32),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer(self.allocate(ino.0, offset, length, mode), reply);
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let extent = if datasync { Extent::Bytes } else { Extent::Everything };
        answer(self.disk.lock().sync(ino.0, extent), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(self.disk.lock().sync_directory(ino.0), reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.listings.lock().open(&self.disk.lock(), ino.0);
        match opened {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        for (at, listed) in self.listings.lock().from(handle.0, offset) {
            if reply.add(INodeNo(listed.ino), at + 1, listed.kind, &listed.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.lock().close(handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let disk = self.disk.lock();
        let block = PAGE_BYTES as u32;
        let blocks = DISK_BYTES / u64::from(block);
        let free = match disk.space {
            Space::Full => 0,
            Space::Free => blocks.saturating_sub(disk.bytes_used() / u64::from(block)),
        };
        let (files, files_free) = (disk.nodes.len() as u64, u64::from(u32::MAX));
        reply.statfs(blocks, free, free, files, files_free, block, NAME_BYTES_MAX as u32, block);
    }
}

fn entry(parent: INodeNo, name: &OsStr) -> Entry<'_> {
    Entry { parent: parent.0, name }
}

/// What a mode with its type bits asks for.
fn made_by(mode: u32) -> Make {
    if FileType::from_raw_mode(mode) == FileType::Socket { Make::Socket } else { Make::File }
}

fn owner(request: &Request, mode: u32) -> Owner {
    Owner { mode: permissions(mode), uid: request.uid(), gid: request.gid() }
}

fn permissions(mode: u32) -> u16 {
    (mode & 0o7777) as u16
}
