//! The state machine as a world drives it: `apply` of the product over rows in memory.

use bytes::Bytes;
use gitstratum_core::{RepoId, Version};
use gitstratum_proto::metadata::v1::{SegmentQuery, SegmentState};
use gitstratum_store::KeyRange;
use prost::Message;

use crate::partition::entry::{Change, Entry};
use crate::partition::record::{GroupRow, RepositoryRow};
use crate::partition::tests::rig::{MapRows, REPO, Rig};
use crate::partition::{Error, Rows, RowsMut, apply, keys, query, rows};

/// One replica. An entry that changes no row takes no index: what follows of it is the same, and
/// so is the state.
#[derive(Clone, Hash)]
pub(super) struct Replica {
    pub(super) rows: MapRows,
    pub(super) index: u64,
    pub(super) log_time: u64,
}

/// How `apply` is made to see a row, by its key: as it is, as another, or not at all.
pub(super) type View<'a> = &'a dyn Fn(&[u8], Bytes) -> Option<Bytes>;

impl Replica {
    pub(super) fn of(rig: &Rig) -> Self {
        let mut replica = Self { rows: rig.rows.clone(), index: rig.index, log_time: rig.log_time };
        replica.drop_audit();
        replica
    }

    pub(super) fn apply(&mut self, change: Change) -> Bytes {
        self.apply_through(change, &|_, row| Some(row))
    }

    /// The same with rows that are seen through `view`: a check whose row is not there is a check
    /// that is left out.
    pub(super) fn apply_through(&mut self, change: Change, view: View<'_>) -> Bytes {
        let entry = Entry { log_time: self.log_time, change: Some(change), ..Entry::default() };
        let before = self.rows.clone();
        let index = Version(self.index + 1);
        let mut seen = Seen { rows: &mut self.rows, view };
        let answer = apply(index, &entry.to_bytes(), &mut seen);
        self.drop_audit();
        if self.rows != before {
            self.index = index.0;
        }
        answer.expect("because rows and entry are good")
    }

    /// Audit lines decide nothing, and would tell states apart that are the same.
    fn drop_audit(&mut self) {
        let lines: Vec<Bytes> = self.rows.0.keys().filter(|key| key[0] == b'a').cloned().collect();
        if lines.is_empty() {
            return;
        }
        for line in lines {
            self.rows.0.remove(&line);
        }
        let group = query::group(&self.rows).expect("because rows are sound");
        rows::store(&mut self.rows, keys::group(), &GroupRow { audit_bytes: 0, ..group });
    }

    pub(super) fn repository(&self) -> RepositoryRow {
        query::repository(&self.rows, REPO).unwrap().expect("because it was put")
    }

    /// Ids of live packs, by their first byte.
    pub(super) fn listed(&self) -> Vec<u8> {
        let packs = query::packs_after(&self.rows, RepoId(REPO.0), Version(0));
        packs.expect("because rows are sound").iter().map(|pack| pack.pack_id[0]).collect()
    }

    /// What one linearizable reading says of the segment of pack `id`, asked for as its header
    /// says.
    pub(super) fn state(&self, id: u8, writer: Writer) -> SegmentState {
        let query = SegmentQuery { segment_id: vec![id; 16].into(), ..writer.query() };
        query::segment_states(&self.rows, &[query]).expect("because rows are sound").remove(0)
    }
}

/// Who wrote a segment, as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Writer {
    /// Session and number.
    Push(u64, u64),
    Claim(u64),
}

impl Writer {
    fn query(self) -> SegmentQuery {
        let query = SegmentQuery { repo_id: REPO.0, ..SegmentQuery::default() };
        match self {
            Self::Push(session, push_number) => SegmentQuery { session, push_number, ..query },
            Self::Claim(claim) => SegmentQuery { claim, ..query },
        }
    }
}

/// A row with one thing changed.
pub(super) fn changed<M: Message + Default>(row: &Bytes, change: impl FnOnce(&mut M)) -> Bytes {
    let mut message = rows::decode("row", row).expect("because rows are sound");
    change(&mut message);
    rows::encode(&message).into()
}

struct Seen<'a> {
    rows: &'a mut MapRows,
    view: View<'a>,
}

impl Rows for Seen<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.rows.get(key)?.and_then(|row| (self.view)(key, row)))
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let found = self.rows.scan(range, limit)?.into_iter();
        Ok(found.filter_map(|(key, row)| (self.view)(&key, row).map(|row| (key, row))).collect())
    }
}

impl RowsMut for Seen<'_> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.rows.put(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.rows.delete(key);
    }
}
