//! Single objects read from the spool.

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectFormat, ObjectKind};

use super::support::{Outside, resolve};
use crate::pack::{Limits, NoBases, ReadFrom, Reader};
use crate::testing::{DeltaBuilder, PackBuilder, id_of};

const SHA1: ObjectFormat = ObjectFormat::Sha1;
const BLOB: ObjectKind = ObjectKind::Blob;

#[test]
fn objects_are_read_in_any_order_within_any_cache() {
    let outside: Vec<u8> = b"outside ".repeat(30);
    let mut contents: Vec<Vec<u8>> = vec![[&outside[..], b"0"].concat()];
    let base = id_of(SHA1, BLOB, &outside);
    let mut pack =
        PackBuilder::new(SHA1).ref_delta(base, &DeltaBuilder::between(&outside, &contents[0]));
    for number in 1..40_usize {
        let base = contents[number / 2].clone();
        let content = [&base[..], format!("{number}").as_bytes()].concat();
        pack = pack.ofs_delta(number / 2, &DeltaBuilder::between(&base, &content));
        contents.push(content);
    }
    let pack = Bytes::from(pack.build());
    let outside = Outside::default().with(SHA1, BLOB, &outside);
    for base_cache_bytes in [0, 1000, 1 << 20] {
        let limits = Limits { base_cache_bytes, ..Limits::default() };
        let (resolved, _) = resolve(SHA1, &pack, &limits, &outside).unwrap();
        let from = ReadFrom { pack: &pack, bases: &outside };
        let mut reader = Reader::new(&resolved, from, &limits);
        for ordinal in (0..40_u32).rev().chain(0..40) {
            assert_eq!(reader.read(ordinal).unwrap(), contents[ordinal as usize]);
        }
        let id = id_of(SHA1, BLOB, &contents[7]);
        assert_eq!(reader.find(&id).unwrap().unwrap().1, contents[7]);
        assert_eq!(reader.find(&base).unwrap(), None);
        let mut alone = Reader::new(&resolved, ReadFrom { pack: &pack, bases: &NoBases }, &limits);
        assert_eq!(alone.read(3).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
