use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_git::index::{Base, Record};

use super::ranges::PackSpan;
use super::{EntryKey, Error, Location, Object, Reader, key};
use crate::manifest::Pack;

/// Everything that has to be read and in hand to decode the wanted objects.
pub(super) struct ChainPlan {
    /// What was asked for.
    pub(super) wanted: Vec<Location>,
    /// Entries to read, by place.
    pub(super) entries: BTreeMap<EntryKey, Entry>,
    /// Bases that were in hand already.
    pub(super) held: BTreeMap<EntryKey, Arc<Object>>,
}

/// An entry of a chain.
pub(super) struct Entry {
    pub(super) pack: Arc<Pack>,
    pub(super) record: Record,
    /// The entry that it is a delta against.
    pub(super) base: Option<EntryKey>,
}

/// The entries to read of one pack.
type PackEntries = (Arc<Pack>, Vec<(PackSpan, EntryKey)>);

impl Reader {
    /// Follows the chains of `wanted` through the indexes, without reading a byte of an entry.
    pub(super) async fn plan_chains(
        &self,
        packs: &[Arc<Pack>],
        wanted: Vec<Location>,
    ) -> Result<ChainPlan, Error> {
        let mut work = wanted.clone();
        let mut plan = ChainPlan { wanted, entries: BTreeMap::new(), held: BTreeMap::new() };
        let mut bytes = 0;
        while let Some(location) = work.pop() {
            let entry = key(&location);
            if plan.entries.contains_key(&entry) || plan.held.contains_key(&entry) {
                continue;
            }
            if let Some(object) = self.objects.get(&entry) {
                plan.held.insert(entry, object);
                continue;
            }
            bytes += location.record.size;
            if bytes > self.options.read_bytes_max {
                return Err(Error::TooLarge { bytes });
            }
            let base = self.base_of(packs, &location).await?;
            let Location { pack, record } = location;
            plan.entries.insert(entry, Entry { pack, record, base: base.as_ref().map(key) });
            work.extend(base);
        }
        Ok(plan)
    }

    /// The entry that `location`'s is a delta against: in its pack by place, in another by id.
    async fn base_of(
        &self,
        packs: &[Arc<Pack>],
        location: &Location,
    ) -> Result<Option<Location>, Error> {
        let broken = |problem: &str| Error::Object {
            id: location.record.id,
            pack: location.pack.id,
            problem: problem.to_owned(),
        };
        if location.record.base == Base::None {
            return Ok(None);
        }
        let index = self.index(&location.pack).await?;
        match location.record.base {
            Base::None => Ok(None),
            Base::Entry(ordinal) => {
                let record = index.by_ordinal(ordinal);
                let record = record.ok_or_else(|| broken("its delta base has no record"))?;
                Ok(Some(Location { pack: Arc::clone(&location.pack), record }))
            }
            Base::External(external) => {
                let id = index.external(external);
                let id = id.ok_or_else(|| broken("its delta base has no id"))?;
                let found = self.locate(packs, &[id]).await?.into_iter().flatten().next();
                found.map(Some).ok_or_else(|| broken("its delta base is in no live pack"))
            }
        }
    }

    /// The bytes of every entry of the plan, pack by pack.
    pub(super) async fn read_entries(
        &self,
        plan: &ChainPlan,
    ) -> Result<BTreeMap<EntryKey, Bytes>, Error> {
        let mut by_pack: BTreeMap<_, PackEntries> = BTreeMap::new();
        for (key, entry) in &plan.entries {
            let span = PackSpan { offset: entry.record.offset, length: entry.record.packed_len };
            let slot = by_pack.entry(key.0);
            slot.or_insert_with(|| (Arc::clone(&entry.pack), Vec::new())).1.push((span, *key));
        }
        let mut read = BTreeMap::new();
        for (pack, mut asked) in by_pack.into_values() {
            asked.sort_unstable();
            let spans: Vec<PackSpan> = asked.iter().map(|(span, _)| *span).collect();
            let bytes = self.read_pack(&pack, &spans).await?;
            read.extend(asked.into_iter().map(|(_, key)| key).zip(bytes));
        }
        Ok(read)
    }
}
