//! The examples of `docs/formats/raft-log.md`, built and read back (S49).

use bytes::Bytes;
use gitstratum_core::encode_hex;
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;

use crate::command::Opaque;
use crate::id::GroupId;
use crate::meta::{self, Record};
use crate::raft::{Entry, LogId, Vote};
use crate::snapshot::Digest;
use crate::{seal, wire};

const PAGE: &str = include_str!("../../../../docs/formats/raft-log.md");
const GROUP: GroupId = GroupId(5);

fn check(name: &str, bytes: &[u8]) {
    let line = format!("- {name}: `{}`", encode_hex(bytes));
    assert!(PAGE.lines().any(|found| found == line), "the page lacks\n{line}");
}

#[test]
fn the_page_shows_entries_records_and_chunks_as_they_are() {
    let id: LogId = wire::LogId { term: 3, index: 7 }.into();
    let entry = Entry::new(id, EntryPayload::Normal(Opaque(Bytes::from_static(b"hello"))));
    let key = meta::entry_key(GROUP, 7);
    let sealed = seal::seal(&key, &wire::Entry::from(entry));
    check("entry key", &key);
    check("entry", &sealed);
    let read: wire::Entry = seal::open(&key, &sealed).unwrap();
    assert_eq!(read.command, Some(Bytes::from_static(b"hello")));

    let vote = wire::Vote::from(Vote::new_committed(3, 1));
    check("vote key", &Record::Vote.key(GROUP));
    check("vote", &seal::seal(&Record::Vote.key(GROUP), &vote));

    let mut digest = Digest::default();
    digest.add(b"k", b"v");
    let end = wire::Chunk { sequence: 2, end: Some(digest.finish()), ..Default::default() };
    check("last chunk", &seal::seal(&crate::snapshot::place(GROUP, 2), &end));
    assert_eq!(meta::state_prefix(GROUP, 1).len(), meta::STATE_PREFIX_BYTES);
}

#[test]
fn every_flipped_bit_of_a_sealed_entry_is_seen() {
    let key = meta::entry_key(GROUP, 7);
    let entry = wire::Entry {
        id: wire::LogId { term: 3, index: 7 },
        command: Some(Bytes::from_static(b"hello")),
        membership: None,
    };
    let sealed = seal::seal(&key, &entry);
    for bit in 0..sealed.len() * 8 {
        let mut bytes = sealed.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(seal::open::<wire::Entry>(&key, &bytes.into()).is_err(), "bit {bit}");
    }
    let elsewhere = meta::entry_key(GROUP, 8);
    assert_eq!(seal::open::<wire::Entry>(&elsewhere, &sealed), Err(seal::Broken::Checksum));
}
