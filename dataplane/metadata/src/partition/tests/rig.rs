//! One replica over rows in memory, driven entry by entry.

use std::collections::BTreeMap;

use bytes::Bytes;
use gitstratum_core::{PackId, PushNumber, RepoId, SegmentId, SessionId, Version};
use gitstratum_proto::common::v1::{Pack, Segment};
use gitstratum_proto::metadata::v1::{
    OpenSessionResponse, Refusal, SegmentQuery, SegmentState, UpdateRefsResponse,
};
use gitstratum_store::KeyRange;
use prost::Message;

use crate::partition::entry::{
    Change, CloseSession, Command, Entry, Floor, OpenSession, PushKey, PutRepositories,
    PutRepository, RaiseFloors, Refuse, Tick, UpdateRefs,
};
use crate::partition::record::Who;
use crate::partition::{Error, Rows, RowsMut, apply, query};

pub(super) const REPO: RepoId = RepoId(9);
pub(super) const NODE: u64 = 31;
pub(super) const MAIN: &str = "refs/heads/main";

/// Rows in a map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct MapRows(pub(super) BTreeMap<Bytes, Bytes>);

impl Rows for MapRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let from = Bytes::copy_from_slice(range.start());
        let rows = self.0.range(from..).take_while(|(key, _)| range.contains(key)).take(limit);
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl RowsMut for MapRows {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert(key.into(), value.into());
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.0.remove(&key[..]);
    }
}

#[derive(Clone, Default)]
pub(super) struct Rig {
    pub(super) rows: MapRows,
    pub(super) index: u64,
    pub(super) log_time: u64,
    /// Every entry so far.
    pub(super) log: Vec<Bytes>,
}

impl Rig {
    /// A partition with one live sha1 repository.
    pub(super) fn new() -> Self {
        let mut rig = Self::default();
        rig.put_repository(repository());
        rig
    }

    pub(super) fn apply(&mut self, change: Change) -> Bytes {
        let entry = Entry {
            log_time: self.log_time,
            wall_millis: 1_000 + self.index,
            change: Some(change),
            ..Entry::default()
        };
        self.apply_entry(&entry)
    }

    pub(super) fn apply_entry(&mut self, entry: &Entry) -> Bytes {
        self.index += 1;
        let bytes = entry.to_bytes();
        self.log.push(bytes.clone());
        apply(Version(self.index), &bytes, &mut self.rows).expect("because the entry is good")
    }

    pub(super) fn put_repository(&mut self, record: PutRepository) {
        self.apply(Change::PutRepositories(PutRepositories { repositories: vec![record] }));
    }

    pub(super) fn open(&mut self) -> u64 {
        let open = OpenSession { node: NODE, incarnation: 1 };
        let answer = self.apply(Change::OpenSession(open));
        OpenSessionResponse::decode(answer).expect("because it answers").session
    }

    pub(super) fn close(&mut self, session: u64) {
        self.apply(Change::CloseSession(CloseSession { session }));
    }

    pub(super) fn raise_floor(&mut self, session: u64, floor: u64) {
        let floors = vec![Floor { session, floor }];
        self.apply(Change::RaiseFloors(RaiseFloors { floors }));
    }

    pub(super) fn tick(&mut self, log_time: u64) {
        self.log_time = log_time;
        self.apply(Change::Tick(Tick {}));
    }

    pub(super) fn push(&mut self, update: UpdateRefs) -> UpdateRefsResponse {
        let answer = self.apply(Change::UpdateRefs(update));
        UpdateRefsResponse::decode(answer).expect("because it answers")
    }

    pub(super) fn refuse(&mut self, push: PushKey) -> UpdateRefsResponse {
        let refuse = Refuse {
            push,
            refusal: Refusal::Denied.into(),
            message: "no".to_owned(),
            who: Who::default(),
        };
        let answer = self.apply(Change::Refuse(refuse));
        UpdateRefsResponse::decode(answer).expect("because it answers")
    }

    /// The first byte of what a ref points at.
    pub(super) fn target(&self, name: &str) -> Option<u8> {
        query::reference(&self.rows, REPO, name.as_bytes())
            .expect("because rows are sound")
            .map(|row| row.target[0])
    }

    pub(super) fn state(&self, segment: u8, session: u64, push_number: u64) -> SegmentState {
        let query = SegmentQuery {
            segment_id: vec![segment; 16].into(),
            session,
            push_number,
            ..SegmentQuery::default()
        };
        let states = query::segment_states(&self.rows, &[query]);
        states.expect("because rows are sound").remove(0)
    }

    pub(super) fn has_outcome(&self, session: u64, number: u64) -> bool {
        query::outcome(&self.rows, SessionId(session), PushNumber(number))
            .expect("because rows are sound")
            .is_some()
    }

    pub(super) fn repository(&self) -> crate::partition::record::RepositoryRow {
        query::repository(&self.rows, REPO).unwrap().expect("because it was put")
    }
}

pub(super) fn repository() -> PutRepository {
    PutRepository {
        repo_id: REPO.0,
        path: "ann/x".to_owned(),
        object_format: 1,
        default_branch: "main".to_owned(),
        state: 1,
        name_version: 5,
        directory_version: 5,
        ..PutRepository::default()
    }
}

pub(super) fn key(session: u64, push_number: u64, attempt: u32) -> PushKey {
    PushKey { session, push_number, attempt, floor: 0, repo_id: REPO.0 }
}

/// `old` and `new` are the byte that ids are made of; 0 is none.
pub(super) fn command(name: &str, old: u8, new: u8) -> Command {
    let id = |byte: u8| if byte == 0 { Bytes::new() } else { vec![byte; 20].into() };
    Command { name: name.to_owned().into(), old: id(old), new: id(new), ..Command::default() }
}

pub(super) fn update(push: PushKey, commands: Vec<Command>) -> UpdateRefs {
    UpdateRefs {
        push,
        name_version: 5,
        commands,
        replication_factor: 1,
        live_packs_max: 1_000,
        ..UpdateRefs::default()
    }
}

/// A pack of one segment, both with ids made of `id`, stored by node [`NODE`].
pub(super) fn pack(id: u8) -> Pack {
    pack_on(id, &[(NODE, 1)])
}

/// The same with the nodes and incarnations that stored it.
pub(super) fn pack_on(id: u8, owners: &[(u64, u64)]) -> Pack {
    Pack {
        pack_id: PackId([id; 16]).0.to_vec().into(),
        object_format: 1,
        length: 100,
        segments: vec![Segment {
            segment_id: SegmentId([id; 16]).0.to_vec().into(),
            owners: owners.iter().map(|(node, _)| *node).collect(),
            incarnations: owners.iter().map(|(_, number)| *number).collect(),
            ..Segment::default()
        }],
        ..Pack::default()
    }
}

pub(super) fn with_pack(update: UpdateRefs, pack: Pack) -> UpdateRefs {
    UpdateRefs { pack: Some(pack), ..update }
}

pub(super) fn atomic(update: UpdateRefs) -> UpdateRefs {
    UpdateRefs { atomic: true, ..update }
}

/// Refusals per command, in order.
pub(super) fn verdicts(response: &UpdateRefsResponse) -> Vec<Refusal> {
    assert_eq!(response.refusal(), Refusal::None, "{}", response.message);
    response.results.iter().map(|result| result.refusal()).collect()
}
