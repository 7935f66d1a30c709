use bytes::Bytes;
use gitstratum_core::PackId;
use gitstratum_git::index::{Base, Builder, ContentHash, Flags, Record};
use gitstratum_git::pack::BaseRef;
use gitstratum_git::part::{Kind, Ordinal};

use super::broken;
use crate::ingest::Error;
use crate::ingest::check::Checked;
use crate::ingest::ground::Ground;

/// The index of `pack`: every object but later copies inside the pack (S8).
pub(super) fn build(pack: PackId, checked: &Checked, ground: &Ground) -> Result<Bytes, Error> {
    let resolved = &checked.resolved;
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
                stray: checked.strays.contains(*ordinal),
                shadowed: ground.shadowed.contains_key(ordinal),
            },
            size: object.size,
            base,
            content: ContentHash(object.blake3),
        };
        builder.add(&record).map_err(broken(Kind::Index))?;
    }
    builder.finish().map_err(broken(Kind::Index))
}
