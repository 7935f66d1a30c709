//! Answers in FUSE's words.

use std::time::Duration;

use fuser::{Errno, FileAttr, FileType, Generation, INodeNo, ReplyAttr, ReplyEmpty, ReplyEntry};

use crate::content::PAGE_BYTES;
use crate::disk::Disk;
use crate::node::{FileKind, Ino, Node};

/// How long the kernel may remember names and attributes. Nothing changes behind its back.
pub(super) const REMEMBERED: Duration = Duration::from_secs(1);

/// Numbers of nodes are never used twice, so one generation is enough.
pub(super) const GENERATION: Generation = Generation(0);

/// Outcome of a call on the disk.
pub(super) type Outcome<T> = Result<T, rustix::io::Errno>;

pub(super) fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

pub(super) fn answer(outcome: Outcome<()>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

pub(super) fn answer_entry(outcome: Outcome<FileAttr>, reply: ReplyEntry) {
    match outcome {
        Ok(attributes) => reply.entry(&REMEMBERED, &attributes, GENERATION),
        Err(error) => reply.error(errno(error)),
    }
}

pub(super) fn answer_attributes(outcome: Outcome<FileAttr>, reply: ReplyAttr) {
    match outcome {
        Ok(attributes) => reply.attr(&REMEMBERED, &attributes),
        Err(error) => reply.error(errno(error)),
    }
}

pub(super) fn file_type(node: &Node) -> FileType {
    match node.file().map(|file| file.kind) {
        Some(FileKind::Plain) => FileType::RegularFile,
        Some(FileKind::Socket) => FileType::Socket,
        None => FileType::Directory,
    }
}

pub(super) fn attributes(disk: &Disk, ino: Ino) -> Outcome<FileAttr> {
    let node = disk.node(ino)?;
    let (size, links) = match node.file() {
        Some(file) => (file.live.len(), node.links),
        None => (PAGE_BYTES as u64, 2),
    };
    Ok(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: node.modified,
        mtime: node.modified,
        ctime: node.modified,
        crtime: node.modified,
        kind: file_type(node),
        perm: node.owner.mode,
        nlink: links,
        uid: node.owner.uid,
        gid: node.owner.gid,
        rdev: 0,
        blksize: PAGE_BYTES as u32,
        flags: 0,
    })
}
