use super::*;
use crate::pack::tests::support::{resolve, scan_in};
use crate::pack::{Limits, NoBases};
use crate::testing::{DeltaBuilder, PackBuilder, id_of};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

#[test]
fn copied_and_encoded_entries_make_a_pack() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let old = PackBuilder::new(format)
            .object(ObjectKind::Blob, b"dropped")
            .object(ObjectKind::Blob, b"base")
            .ofs_delta(1, &DeltaBuilder::between(b"base", b"based"))
            .build();
        let scanned = scan_in(format, &old, &Limits::default(), 100).unwrap();
        let entry = |ordinal| {
            let entry = scanned.entries.get(ordinal);
            let body = entry.offset as usize + usize::from(entry.header_len);
            (entry.size, &old[body..(entry.offset + entry.packed_len) as usize])
        };
        let (mut writer, header) = Writer::new(format, 3);
        let mut pack = header.to_vec();
        pack.extend(writer.encode(ObjectKind::Tag, b"new", Deflate::FAST).unwrap());
        let base_at = writer.position();
        let (size, body) = entry(1);
        let kind = EntryKind::Base(ObjectKind::Blob);
        pack.extend(writer.start_copy(Header { kind, size }).unwrap());
        for piece in body.chunks(3) {
            writer.copy(piece);
            pack.extend_from_slice(piece);
        }
        let (size, body) = entry(2);
        let kind = writer.delta_on(base_at).unwrap();
        pack.extend(writer.start_copy(Header { kind, size }).unwrap());
        writer.copy(body);
        pack.extend_from_slice(body);
        assert_eq!(writer.position(), pack.len() as u64);
        pack.extend(writer.finish().unwrap());
        let (resolved, _) = resolve(format, &pack, &Limits::default(), &NoBases).unwrap();
        let ids: Vec<_> = resolved.iter().map(|object| object.id).collect();
        let expected = [
            id_of(format, ObjectKind::Tag, b"new"),
            id_of(format, ObjectKind::Blob, b"base"),
            id_of(format, ObjectKind::Blob, b"based"),
        ];
        assert_eq!(ids, expected);
    }
}

#[test]
fn a_wrong_number_of_entries_is_a_bug() {
    let (mut writer, _) = Writer::new(SHA1, 1);
    let few = WriteError::Count { announced: 1, written: 0 };
    assert_eq!(writer.clone().finish(), Err(few));
    writer.encode(ObjectKind::Blob, b"", Deflate::level(6)).unwrap();
    let error = writer.encode(ObjectKind::Blob, b"", Deflate::level(99)).unwrap_err();
    assert_eq!(error, WriteError::Count { announced: 1, written: 2 });
    assert_eq!(error.kind(), ErrorKind::Bug);
    assert!(writer.finish().is_ok());
}

#[test]
fn a_delta_rests_on_an_earlier_entry_only() {
    let (writer, header) = Writer::new(SHA1, 1);
    assert_eq!(writer.position(), header.len() as u64);
    assert_eq!(writer.delta_on(header.len() as u64), None);
    assert_eq!(writer.delta_on(header.len() as u64 + 1), None);
}
