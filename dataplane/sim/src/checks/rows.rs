//! What every replica of a partition is about to write, held against what is there and what
//! has been seen of it before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use gitstratum_core::{NodeId, SegmentId};
use gitstratum_metadata::partition::{Error, Rows};
use gitstratum_proto::metadata::v1::SessionRenewal;
use gitstratum_store::engine::Operation;
use gitstratum_store::{Batch, Family, KeyRange, Reader};
use parking_lot::Mutex;

use super::durability::{MANIFEST, UNLISTED};
use super::readers::Readers;
use super::{Broken, durability, incarnations, sessions};
use crate::disk::{Disk, STATE};

/// Records beside the logs; one of them says what was applied (docs/formats/raft-log.md).
const META: Family = Family("raft_meta");
const POSITION: u8 = b's';
/// Bytes of group and generation before the key of a row.
const PREFIX: usize = 16;

/// Looks at all that partitions write.
#[derive(Default)]
pub(crate) struct Watch {
    seen: Mutex<Seen>,
}

/// What was seen so far, over all replicas.
#[derive(Default)]
pub(crate) struct Seen {
    disks: BTreeMap<NodeId, Weak<Disk>>,
    /// Segments and the number of the last owner list of each.
    pub(super) lists: BTreeMap<SegmentId, u64>,
    /// Where packs and segments are listed, for ever.
    pub(super) listed: BTreeMap<Bytes, (u64, u64, Bytes)>,
    /// Segments of which a copy was damaged on purpose.
    pub(super) damaged: BTreeSet<SegmentId>,
    /// Whose disk was lost, and how often it had started by then.
    pub(super) wiped: Option<(NodeId, u64)>,
    pub(super) readers: Readers,
    broken: Option<Broken>,
}

impl Seen {
    /// What a power cut now would leave of `segment` on `node`.
    pub(super) fn durable(&self, node: NodeId, segment: SegmentId) -> Option<Bytes> {
        self.disks.get(&node)?.upgrade()?.durable(segment)
    }
}

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn add(&self, node: NodeId, disk: &Arc<Disk>) {
        self.seen.lock().disks.insert(node, Arc::downgrade(disk));
    }

    /// The first invariant that did not hold.
    pub(crate) fn broken(&self) -> Option<Broken> {
        self.seen.lock().broken.clone()
    }

    /// A frontend is about to tell what it uses.
    pub(crate) fn renewed(&self, renewals: &[SessionRenewal]) {
        let mut seen = self.seen.lock();
        renewals.iter().for_each(|renewal| seen.readers.told(renewal));
    }

    /// A listed segment, the `at`th of those that `node` and another have, to be damaged there.
    pub(crate) fn take_to_damage(&self, at: usize, node: NodeId) -> Option<SegmentId> {
        let mut seen = self.seen.lock();
        let is_held = |segment: SegmentId| {
            let here = seen.durable(node, segment).map(|bytes| bytes.len());
            let mut others = seen.disks.keys().filter(|other| **other != node);
            let is_there = |other| seen.durable(other, segment).map(|bytes| bytes.len()) == here;
            here.is_some() && others.any(|other| is_there(*other))
        };
        let all = seen.lists.keys().filter(|id| !seen.damaged.contains(id));
        let sound: Vec<SegmentId> = all.filter(|id| is_held(**id)).copied().collect();
        let segment = *sound.get(at.checked_rem(sound.len())?)?;
        seen.damaged.insert(segment);
        Some(segment)
    }

    /// Segments of which a copy was damaged.
    pub(crate) fn damaged(&self) -> BTreeSet<SegmentId> {
        self.seen.lock().damaged.clone()
    }

    /// The disk of `node` is lost, which has started so often.
    pub(crate) fn note_wiped(&self, node: NodeId, starts: u64) {
        self.seen.lock().wiped = Some((node, starts));
    }

    /// `node` is about to write `batch`, and has `before`.
    pub(crate) fn see(&self, node: NodeId, before: &dyn Reader, batch: &Batch) {
        let mut seen = self.seen.lock();
        for (prefix, changes) in applied(batch) {
            let before = Before { reader: before, prefix: &prefix };
            let change = Change { before: &before, after: After { before: &before, changes } };
            let group = number(&prefix, 0);
            if let Err(Broken { invariant, what }) = judge(&mut seen, group, &change) {
                let what = format!("{what} (by the replica of {node})");
                seen.broken.get_or_insert(Broken { invariant, what });
            }
        }
    }
}

type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// The rows that applying entries writes, by group and generation. Rows of a snapshot that is
/// being installed come without a position, and say nothing of entries.
fn applied(batch: &Batch) -> BTreeMap<Bytes, Changes> {
    let mut positions = BTreeSet::new();
    let mut all: BTreeMap<Bytes, Changes> = BTreeMap::new();
    for operation in batch.operations() {
        let (family, key, value) = match operation {
            Operation::Put { family, key, value } => (family, key, Some(value.clone())),
            Operation::Delete { family, key } => (family, key, None),
            Operation::DeleteRange { .. } => continue,
        };
        if *family == META && key.len() == 9 && key[8] == POSITION {
            positions.insert(key.slice(..8));
        } else if *family == STATE && key.len() > PREFIX {
            all.entry(key.slice(..PREFIX)).or_default().insert(key.slice(PREFIX..), value);
        }
    }
    all.retain(|prefix, _| positions.contains(&prefix[..8]));
    all
}

/// One write of one replica.
pub(super) struct Change<'a> {
    pub(super) before: &'a Before<'a>,
    pub(super) after: After<'a>,
}

fn judge(seen: &mut Seen, group: u64, change: &Change<'_>) -> Result<(), Broken> {
    for (key, value) in &change.after.changes {
        let Some(value) = value else {
            if key.first() == Some(&UNLISTED)
                && let Some(before) = change.before_row(key)
            {
                seen.readers.purged(group, &before)?;
            }
            continue;
        };
        match key.first() {
            Some(b'o') => sessions::outcome(change, key)?,
            Some(b'S') => {
                sessions::session(change, key)?;
                seen.readers.session(group, change, key);
            }
            Some(b'i') => incarnations::shown(change, key)?,
            Some(b'!') => incarnations::time(change)?,
            Some(b'R') => incarnations::versions(change, key)?,
            Some(b'p' | b's') => durability::listed(seen, change, (key, value))?,
            Some(&(MANIFEST | UNLISTED)) => durability::owners(seen, change, (key, value))?,
            _ => {}
        }
    }
    Ok(())
}

/// Rows of one group as they are.
pub(super) struct Before<'a> {
    reader: &'a dyn Reader,
    prefix: &'a Bytes,
}

impl Rows for Before<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let place = [self.prefix, key].concat();
        Ok(self.reader.get(STATE, &place).unwrap_or_default())
    }

    fn scan(&self, _: &KeyRange, _: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        Ok(Vec::new())
    }
}

/// The same as they will be.
pub(super) struct After<'a> {
    before: &'a Before<'a>,
    pub(super) changes: Changes,
}

impl Rows for After<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.before.get(key),
        }
    }

    fn scan(&self, _: &KeyRange, _: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        Ok(Vec::new())
    }
}

/// Eight bytes of a key, from `at` on.
pub(super) fn number(key: &[u8], at: usize) -> u64 {
    let bytes = key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_be_bytes).unwrap_or_default()
}

/// What a row holds, behind the version that it begins with (S49).
pub(super) fn row<M: prost::Message + Default>(value: &Bytes) -> Result<M, Broken> {
    let read = value.get(1..).map(|message| M::decode(message));
    let fail = || Broken::new("rows-can-be-read", value.escape_ascii().to_string());
    read.and_then(Result::ok).ok_or_else(fail)
}

/// One row alone.
pub(super) struct One<'a>(pub(super) &'a Bytes, pub(super) &'a Bytes);

impl Rows for One<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok((key == self.0).then(|| self.1.clone()))
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let is_there = range.contains(self.0) && limit > 0;
        Ok(is_there.then(|| (self.0.clone(), self.1.clone())).into_iter().collect())
    }
}
