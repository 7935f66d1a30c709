//! Packs for tests: right ones without stock git, and every kind of wrong one.
//!
//! Nothing here is checked or optimised: what a test asks for is what it gets.

mod delta_builder;
mod pack_builder;
#[cfg(test)]
pub(crate) mod stock_git;

pub use delta_builder::DeltaBuilder;
pub use pack_builder::{EntrySpec, HeaderSpec, PackBuilder, Trailer};

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

/// The id of an object.
///
/// # Panics
/// For content made to collide.
pub fn id_of(format: ObjectFormat, kind: ObjectKind, content: &[u8]) -> ObjectId {
    crate::hash::object_id(format, kind, content).expect("because tests attack other parts")
}

/// A zlib stream of `content`.
///
/// # Panics
/// Never: memory is written to.
pub fn deflate(content: &[u8]) -> Vec<u8> {
    deflate_at(content, Compression::fast())
}

/// A zlib stream of `content` in stored blocks.
pub fn store(content: &[u8]) -> Vec<u8> {
    deflate_at(content, Compression::none())
}

fn deflate_at(content: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), level);
    encoder.write_all(content).expect("because a Vec takes everything");
    encoder.finish().expect("because a Vec takes everything")
}

/// A zlib stream of nothing in `blocks` stored blocks of length 0 (bad input 47).
pub fn empty_stored_blocks(blocks: usize) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    for block in 1..=blocks {
        let is_last = u8::from(block == blocks);
        stream.extend_from_slice(&[is_last, 0, 0, 0xff, 0xff]);
    }
    // Adler-32 of nothing.
    stream.extend_from_slice(&1_u32.to_be_bytes());
    stream
}

/// The content of a tree with these entries, in the order given: octal mode, name, id.
pub fn tree(entries: &[(&str, &[u8], ObjectId)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (mode, name, id) in entries {
        content.extend_from_slice(mode.as_bytes());
        content.push(b' ');
        content.extend_from_slice(name);
        content.push(0);
        content.extend_from_slice(id.as_bytes());
    }
    content
}

/// The content of a commit with fixed people and dates.
pub fn commit(tree: &ObjectId, parents: &[ObjectId], message: &str) -> Vec<u8> {
    let mut content = format!("tree {tree}\n");
    for parent in parents {
        content.push_str(&format!("parent {parent}\n"));
    }
    content.push_str("author A U Thor <author@example.org> 1700000000 +0000\n");
    content.push_str("committer C O Mitter <committer@example.org> 1700000000 +0000\n\n");
    content.push_str(message);
    content.into_bytes()
}

/// The content of a tag with a fixed tagger.
pub fn tag(target: &ObjectId, kind: ObjectKind, name: &str) -> Vec<u8> {
    format!(
        "object {target}\ntype {kind}\ntag {name}\n\
         tagger C O Mitter <committer@example.org> 1700000000 +0000\n\n{name}\n"
    )
    .into_bytes()
}
