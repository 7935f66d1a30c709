//! Stock git makes packs and says what is in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId};

use super::support::{Outside, resolve, take_whole};
use crate::pack::{
    BaseRef, BaseSource, Deflate, EntryKind, Header, Limits, NoBases, ReadFrom, Reader, Writer,
    mark_strays,
};
use crate::testing::stock_git::StockGit;

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];
const COMMITS: usize = 60;

/// What `verify-pack` says of an object: kind, size, bytes in the pack, offset, base.
type Line = (String, u64, u64, u64, Option<ObjectId>);

fn verify_pack(git: &StockGit, pack: &[u8]) -> BTreeMap<ObjectId, Line> {
    let path = git.path().join("under-test.pack");
    std::fs::write(&path, pack).unwrap();
    git.run(&["index-pack", "under-test.pack"], b"");
    let text = git.line(&["verify-pack", "-v", "under-test.pack"], b"");
    let id = |word: &str| ObjectId::from_hex(git.format, word.as_bytes()).unwrap();
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0].len() == git.format.id_len() * 2 {
            let number = |at: usize| words[at].parse().unwrap();
            let base = words.get(6).map(|base| id(base));
            lines.insert(id(words[0]), (words[1].into(), number(2), number(3), number(4), base));
        }
    }
    lines
}

#[test]
fn packs_of_stock_git_hold_what_it_says_they_hold() {
    for format in FORMATS {
        let git = StockGit::new(format);
        git.make_history(COMMITS);
        for options in [&["--delta-base-offset"][..], &[], &["--depth=4", "--window=30"]] {
            let pack = git.pack_all(options);
            let lines = verify_pack(&git, &pack);
            let (resolved, linked) = take_whole(format, &pack).unwrap();
            assert_eq!(resolved.len(), lines.len());
            let mut deltas = 0;
            for object in resolved.iter() {
                let (kind, size, packed_len, offset, base) = &lines[&object.id];
                assert_eq!((object.kind.as_str(), object.offset), (kind.as_str(), *offset));
                assert_eq!(object.packed_len, *packed_len);
                let found = match object.base {
                    BaseRef::InPack(base) => Some(resolved.id(base)),
                    BaseRef::None | BaseRef::External(_) => None,
                };
                assert_eq!(found, *base);
                // Of a delta, verify-pack tells the size of the instructions.
                deltas += usize::from(base.is_some());
                assert!(base.is_some() || object.size == *size);
            }
            assert!(deltas > COMMITS, "{deltas} deltas are too few to prove anything");
            assert!(linked.external.is_empty());
        }
    }
}

#[test]
fn objects_read_back_equal_those_of_stock_git() {
    for format in FORMATS {
        let git = StockGit::new(format);
        git.make_history(COMMITS);
        let pack = Bytes::from(git.pack_all(&["--delta-base-offset"]));
        let (resolved, seen) = resolve(format, &pack, &Limits::default(), &NoBases).unwrap();
        let from = ReadFrom { pack: &pack, bases: &NoBases };
        let mut reader = Reader::new(&resolved, from, &Limits::default());
        let wanted: String = resolved.iter().map(|object| format!("{}\n", object.id)).collect();
        let mut output = &git.run(&["cat-file", "--batch"], wanted.as_bytes())[..];
        for object in resolved.iter() {
            let header = format!("{} {} {}\n", object.id, object.kind, object.size);
            output = output.strip_prefix(header.as_bytes()).unwrap();
            let (content, rest) = output.split_at(object.size as usize);
            assert_eq!(reader.read(object.ordinal).unwrap(), content);
            if let Some(whole) = &seen[&object.ordinal].2 {
                assert_eq!(whole, content);
            }
            output = &rest[1..];
        }
    }
}

/// The objects of a repository as bases.
struct Stored<'a>(&'a StockGit);

impl BaseSource for Stored<'_> {
    fn base(&self, id: &ObjectId) -> std::io::Result<Option<(gitstratum_core::ObjectKind, Bytes)>> {
        let name = id.to_string();
        let kind = self.0.line(&["cat-file", "-t", &name], b"");
        let kind = gitstratum_core::ObjectKind::parse(kind.as_bytes()).unwrap();
        let content = self.0.run(&["cat-file", kind.as_str(), &name], b"");
        Ok(Some((kind, content.into())))
    }
}

#[test]
fn bad_input_055_a_thin_pack_of_stock_git_is_taken() {
    for format in FORMATS {
        let git = StockGit::new(format);
        let tip = git.make_history(COMMITS);
        let wanted = format!("{tip}\n^{tip}~5\n");
        let args = ["pack-objects", "-q", "--stdout", "--revs", "--thin", "--delta-base-offset"];
        let pack = git.run(&args, wanted.as_bytes());
        let (resolved, _) = resolve(format, &pack, &Limits::default(), &Stored(&git)).unwrap();
        assert!(!resolved.external_bases().is_empty());
        let error = resolve(format, &pack, &Limits::default(), &Outside::default()).unwrap_err();
        assert!(error.to_string().starts_with("missing delta base "));
        for object in resolved.iter() {
            git.run(&["cat-file", "-e", &object.id.to_string()], b"");
        }
    }
}

#[test]
fn what_a_tip_does_not_reach_is_what_rev_list_does_not_list() {
    let git = StockGit::new(ObjectFormat::Sha1);
    let tip = git.make_history(COMMITS);
    let pack = Bytes::from(git.pack_all(&["--delta-base-offset"]));
    let (resolved, _) = resolve(git.format, &pack, &Limits::default(), &NoBases).unwrap();
    let from = ReadFrom { pack: &pack, bases: &NoBases };
    let old = git.line(&["rev-parse", &format!("{tip}~20")], b"");
    let listed = git.line(&["rev-list", "--objects", "--no-object-names", &old], b"");
    let old = ObjectId::from_hex(git.format, old.as_bytes()).unwrap();
    let strays = mark_strays(&resolved, from, &[old], &Limits::default()).unwrap();
    let reached = resolved.len() as u64 - strays.len();
    assert_eq!(reached, listed.lines().count() as u64);
    for id in listed.lines() {
        let id = ObjectId::from_hex(git.format, id.as_bytes()).unwrap();
        assert!(!strays.contains(resolved.find(&id).unwrap()));
    }
}

#[test]
fn a_pack_written_of_copied_entries_is_accepted_by_stock_git() {
    for format in FORMATS {
        let git = StockGit::new(format);
        git.make_history(COMMITS);
        let pack = git.pack_all(&["--delta-base-offset"]);
        let copy = copy_entries(format, &pack);
        assert_ne!(copy, pack);
        let other = StockGit::new(format);
        other.accepts(&copy).unwrap();
        let (mut ours, theirs) = (verify_pack(&other, &copy), verify_pack(&git, &pack));
        ours.retain(|id, _| theirs.contains_key(id));
        assert_eq!(ours.len(), theirs.len());
    }
}

/// Every third whole object encoded anew, the rest copied; every second delta
/// names its base by id.
fn copy_entries(format: ObjectFormat, pack: &[u8]) -> Vec<u8> {
    let source = Bytes::copy_from_slice(pack);
    let (resolved, _) = resolve(format, pack, &Limits::default(), &NoBases).unwrap();
    let from = ReadFrom { pack: &source, bases: &NoBases };
    let mut reader = Reader::new(&resolved, from, &Limits::default());
    let (mut writer, header) = Writer::new(format, resolved.len() as u32);
    let mut out = header.to_vec();
    let mut positions = Vec::new();
    for object in resolved.iter() {
        positions.push(writer.position());
        let entry = &pack[object.offset as usize..(object.offset + object.packed_len) as usize];
        let (header, header_len) = Header::parse(format, entry).unwrap().unwrap();
        let kind = match object.base {
            BaseRef::InPack(base) if object.ordinal % 2 == 0 => {
                writer.delta_on(positions[base as usize]).unwrap()
            }
            BaseRef::InPack(base) => EntryKind::RefDelta { base: resolved.id(base) },
            BaseRef::None if object.ordinal % 3 == 0 => {
                let content = reader.read(object.ordinal).unwrap();
                out.extend(writer.encode(object.kind, &content, Deflate::FAST).unwrap());
                continue;
            }
            BaseRef::None | BaseRef::External(_) => EntryKind::Base(object.kind),
        };
        out.extend(writer.start_copy(Header { kind, size: header.size }).unwrap());
        writer.copy(&entry[header_len..]);
        out.extend_from_slice(&entry[header_len..]);
    }
    out.extend(writer.finish().unwrap());
    out
}
