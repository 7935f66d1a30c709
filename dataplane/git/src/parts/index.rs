use bytes::Bytes;
use gitstratum_core::PackId;

use super::{Error, Source, broken};
use crate::index::{Base, Builder, ContentHash, Flags, Record};
use crate::pack::BaseRef;
use crate::part::{Kind, Ordinal};

/// The index of `pack`: every object but later copies inside the pack (S8).
pub(super) fn build(pack: PackId, source: &Source<'_>) -> Result<Bytes, Error> {
    let resolved = source.resolved;
    let entries = u32::try_from(resolved.len()).expect("because a pack's count has 32 bits");
    let mut builder = Builder::new(pack, resolved.format(), entries);
    for ordinal in resolved.by_id() {
        let object = resolved.get(*ordinal);
        let base = match object.base {
            BaseRef::None => Base::None,
            BaseRef::InPack(base) => Base::Entry(Ordinal(base)),
            BaseRef::External(id) => builder.external_base(id),
        };
        let record = Record {
            id: object.id,
            ordinal: Ordinal(*ordinal),
            offset: object.offset,
            packed_len: object.packed_len,
            kind: object.kind,
            flags: Flags {
                stray: source.strays.contains(*ordinal),
                shadowed: source.shadowed.contains_key(ordinal),
            },
            size: object.size,
            base,
            content: ContentHash(object.blake3),
        };
        builder.add(&record).map_err(broken(Kind::Index))?;
    }
    builder.finish().map_err(broken(Kind::Index))
}
