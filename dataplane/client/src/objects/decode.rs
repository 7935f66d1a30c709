use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use gitstratum_core::ObjectId;
use gitstratum_git::pack::{EntryKind, Header};
use gitstratum_git::{delta, hash};
use gitstratum_process::sabotage;

use super::chain::{ChainPlan, Entry};
use super::{EntryKey, Error, Object};

/// A decoded entry.
pub(super) type Decoded = (EntryKey, ObjectId, Arc<Object>);

/// Inflates and resolves every entry of the plan, on a thread that may block, and
/// hashes each (S29).
pub(super) async fn decode(
    plan: ChainPlan,
    read: BTreeMap<EntryKey, Bytes>,
) -> Result<Vec<Decoded>, Error> {
    let decoding = gitstratum_process::blocking(move || Decoder::new(&plan, &read).run());
    decoding.await.map_err(|_| Error::Interrupted)?
}

struct Decoder<'a> {
    plan: &'a ChainPlan,
    read: &'a BTreeMap<EntryKey, Bytes>,
    done: BTreeMap<EntryKey, Arc<Object>>,
    zlib: Decompress,
}

impl<'a> Decoder<'a> {
    fn new(plan: &'a ChainPlan, read: &'a BTreeMap<EntryKey, Bytes>) -> Self {
        let done = plan.held.clone();
        Self { plan, read, done, zlib: Decompress::new(true) }
    }

    fn run(mut self) -> Result<Vec<Decoded>, Error> {
        for wanted in &self.plan.wanted {
            self.resolve(super::key(wanted))?;
        }
        let found = |(key, entry): (&EntryKey, &Entry)| {
            let object = self.done.get(key)?;
            Some((*key, entry.record.id, Arc::clone(object)))
        };
        let mut decoded: Vec<Decoded> = self.plan.entries.iter().filter_map(found).collect();
        let held = self.plan.wanted.iter().filter_map(|wanted| {
            let key = super::key(wanted);
            let object = self.plan.held.get(&key)?;
            Some((key, wanted.record.id, Arc::clone(object)))
        });
        decoded.extend(held);
        Ok(decoded)
    }

    /// Decodes from the bottom of the chain up: no recursion, whatever its depth.
    fn resolve(&mut self, top: EntryKey) -> Result<(), Error> {
        let mut stack = vec![top];
        while let Some(key) = stack.last().copied() {
            if self.done.contains_key(&key) {
                stack.pop();
                continue;
            }
            let Some(entry) = self.plan.entries.get(&key) else { return Err(Error::Interrupted) };
            match entry.base.filter(|base| !self.done.contains_key(base)) {
                Some(base) if stack.len() > self.plan.entries.len() => {
                    return Err(broken(entry, format!("delta chain {base:?} is a cycle")));
                }
                Some(base) => stack.push(base),
                None => {
                    let object = self.decode_one(key, entry)?;
                    self.done.insert(key, Arc::new(object));
                    stack.pop();
                }
            }
        }
        Ok(())
    }

    fn decode_one(&mut self, key: EntryKey, entry: &Entry) -> Result<Object, Error> {
        let fail = |problem: String| broken(entry, problem);
        let bytes = self.read.get(&key).ok_or_else(|| fail("was not read".to_owned()))?;
        let format = entry.record.id.format();
        let parsed = Header::parse(format, bytes).map_err(|error| fail(error.to_string()))?;
        let (header, length) = parsed.ok_or_else(|| fail("entry header is cut off".to_owned()))?;
        let inflated = self.inflate(&bytes[length..], header.size).map_err(fail)?;
        let kind = entry.record.kind;
        let data = match (header.kind, entry.base) {
            (EntryKind::Base(found), None) if found == kind => inflated,
            (EntryKind::OfsDelta { .. } | EntryKind::RefDelta { .. }, Some(base)) => {
                let base = self.done.get(&base).ok_or(Error::Interrupted)?;
                delta::apply(&base.data, &inflated, entry.record.size)
                    .map_err(|error| fail(error.to_string()))?
            }
            _ => return Err(fail("entry is not of the kind in the index".to_owned())),
        };
        let id = hash::object_id(format, kind, &data).map_err(|error| fail(error.to_string()))?;
        if id != entry.record.id && !sabotage!("skip-hash-check") {
            return Err(fail(format!("content hashes to {id}")));
        }
        Ok(Object { kind, data: data.into() })
    }

    /// Exactly `size` bytes, or an error; never allocates more.
    fn inflate(&mut self, packed: &[u8], size: u64) -> Result<Vec<u8>, String> {
        let size = usize::try_from(size).map_err(|_| "is larger than memory".to_owned())?;
        // One byte to spare, so that a stream which goes on shows itself.
        let mut out = Vec::with_capacity(size + 1);
        self.zlib.reset(true);
        let status = self.zlib.decompress_vec(packed, &mut out, FlushDecompress::Finish);
        match status {
            Ok(Status::StreamEnd) if out.len() == size => Ok(out),
            Ok(_) => Err(format!("inflates to other than {size} bytes")),
            Err(error) => Err(format!("does not inflate: {error}")),
        }
    }
}

fn broken(entry: &Entry, problem: String) -> Error {
    Error::Object { id: entry.record.id, pack: entry.pack.id, problem }
}
