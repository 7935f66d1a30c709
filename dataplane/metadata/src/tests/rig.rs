//! One node, two partitions, two repositories, a few users; pushes as a frontend sends
//! them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::cluster::{Feed, Publisher};
use gitstratum_consensus::families;
use gitstratum_core::{
    GrantsVersion, Incarnation, ManualClock, NodeId, ObjectId, PartitionId, UnixMillis,
};
use gitstratum_identity::LocalNetwork;
use gitstratum_proto::common::v1::{Actor, Pack, RepoKey, Segment};
use gitstratum_proto::control::v1::{
    GrantRecord, Layout, PartitionPlacement, Repository, SnapshotUpdate, SshKey, UserRecord,
};
use gitstratum_proto::metadata::v1::{
    GetRefsRequest, GetRefsResponse, NewTarget, RefCommand, Refusal, UpdateRefsRequest,
    UpdateRefsResponse,
};
use gitstratum_store::MemoryEngine;

use crate::testing::{DoubleOptions, MetadataDouble, ScriptedCopies, ScriptedPlanner};
use crate::{Config, Error};

pub(super) const NODE: NodeId = NodeId(1);
pub(super) const OTHER_NODE: NodeId = NodeId(2);
pub(super) const PARTITION: PartitionId = PartitionId(1);
pub(super) const MAIN: &str = "refs/heads/main";
/// Owner of repository 1.
pub(super) const ANN: u64 = 10;
/// May write to repository 1.
pub(super) const BOB: u64 = 11;
/// May do nothing.
pub(super) const EVE: u64 = 12;
/// Longest that a test waits for a condition.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Rig {
    pub(super) copies: Arc<ScriptedCopies>,
    pub(super) double: MetadataDouble,
    pub(super) publisher: Publisher,
    pub(super) planner: Arc<ScriptedPlanner>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) engine: Arc<MemoryEngine>,
    pub(super) network: LocalNetwork,
}

/// A configuration whose keepers are quick, or out of the way.
pub(super) fn config(keep_interval: Duration) -> Config {
    Config {
        keep_interval,
        upkeep_interval: keep_interval,
        session_timeout: keep_interval * 3 + Duration::from_secs(10),
        floor_interval: Duration::ZERO,
        catch_up_wait: Duration::from_millis(200),
        live_packs_wait: Duration::from_millis(50),
        ..Config::default()
    }
}

impl Rig {
    /// Keepers do nothing by themselves.
    pub(super) async fn start() -> Self {
        Self::start_with(config(Duration::from_secs(3_600))).await
    }

    pub(super) async fn start_with(config: Config) -> Self {
        let (publisher, feed) = Feed::channel();
        publisher.publish(publisher.current().apply(&directory()));
        let engine = MemoryEngine::new(&families());
        let parts = Parts {
            feed,
            planner: ScriptedPlanner::new(),
            copies: ScriptedCopies::new(),
            clock: ManualClock::new(UnixMillis(1_000_000)),
            engine,
            network: LocalNetwork::new(),
        };
        Self::on(publisher, parts, config).await
    }

    async fn on(publisher: Publisher, parts: Parts, config: Config) -> Self {
        let version = publisher.current().version();
        let double = MetadataDouble::start(DoubleOptions {
            network: Some(parts.network.clone()),
            planner: parts.planner.clone(),
            copies: parts.copies.clone(),
            clock: parts.clock.clone(),
            engine: Some(parts.engine.clone()),
            config,
            ..DoubleOptions::new(NODE, parts.feed)
        });
        double.ready(version).await;
        Self {
            double,
            publisher,
            planner: parts.planner,
            copies: parts.copies,
            clock: parts.clock,
            engine: parts.engine,
            network: parts.network,
        }
    }

    /// The power fails; the node starts again with what was durable.
    pub(super) async fn crash(self) -> Self {
        let engine = self.engine.crash();
        self.double.stop().await;
        let parts = Parts {
            feed: self.publisher.feed(),
            planner: self.planner,
            copies: self.copies,
            clock: self.clock,
            engine,
            network: LocalNetwork::new(),
        };
        Self::on(self.publisher, parts, config(Duration::from_secs(3_600))).await
    }

    /// Publishes a change of the directory and waits until the rows have it.
    pub(super) async fn publish(&self, update: SnapshotUpdate) {
        let version = GrantsVersion(update.version);
        self.publisher.publish(self.publisher.current().apply(&update));
        self.double.ready(version).await;
    }

    pub(super) async fn open_session(&self) -> u64 {
        let service = &self.double.service;
        service.open_session(PARTITION, NODE, Incarnation(1)).await.unwrap().0
    }

    pub(super) async fn push(&self, request: UpdateRefsRequest) -> UpdateRefsResponse {
        self.double.service.update_refs(NODE, request).await.unwrap()
    }

    pub(super) async fn get(&self, request: GetRefsRequest) -> Result<Vec<GetRefsResponse>, Error> {
        Ok(self.double.service.get_refs(request).await?.collect())
    }

    /// All refs of repository 1: names and the first bytes of their targets.
    pub(super) async fn refs(&self) -> Vec<(String, u8)> {
        let answers = self.get(listing(ANN)).await.unwrap();
        let refs = answers.iter().flat_map(|answer| &answer.refs);
        refs.map(|r| (String::from_utf8_lossy(&r.name).into_owned(), r.target[0])).collect()
    }

    /// Syncs of the log so far.
    pub(super) fn syncs(&self) -> u64 {
        self.double.host.stats().commit.syncs_total
    }
}

struct Parts {
    feed: Feed,
    planner: Arc<ScriptedPlanner>,
    copies: Arc<ScriptedCopies>,
    clock: Arc<ManualClock>,
    engine: Arc<MemoryEngine>,
    network: LocalNetwork,
}

/// Waits until `holds` says so.
pub(super) async fn eventually<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("because the condition comes to hold");
}

pub(super) fn repository(id: u64, path: &str) -> Repository {
    Repository {
        id,
        path: path.to_owned(),
        partition: PARTITION.0,
        object_format: 1,
        default_branch: "main".to_owned(),
        state: 1,
        name_version: 3,
        version: 3,
        ..Repository::default()
    }
}

pub(super) fn user(id: u64, name: &str) -> UserRecord {
    let key = SshKey { fingerprint: format!("SHA256:{id}"), ..SshKey::default() };
    UserRecord { id, name: name.to_owned(), keys: vec![key], ..UserRecord::default() }
}

fn directory() -> SnapshotUpdate {
    let place = |partition| PartitionPlacement {
        partition,
        voters: vec![NODE.0],
        preferred_leader: NODE.0,
        ..PartitionPlacement::default()
    };
    SnapshotUpdate {
        version: 3,
        reset: true,
        layout: Some(Layout {
            replication_factor: 1,
            partitions: vec![place(1), place(2)],
            ..Layout::default()
        }),
        repositories: vec![
            repository(1, "ann/x"),
            Repository { partition: 2, ..repository(2, "eve/y") },
        ],
        users: vec![user(ANN, "ann"), user(BOB, "bob"), user(EVE, "eve")],
        grants: vec![GrantRecord { user_id: BOB, role: 2, repo_id: 1, ..GrantRecord::default() }],
        ..SnapshotUpdate::default()
    }
}

pub(super) fn actor(user_id: u64) -> Actor {
    let credential = format!("SHA256:{user_id}").into_bytes().into();
    Actor { user_id, user_name: format!("user{user_id}"), credential, ..Actor::default() }
}

pub(super) fn repo_key() -> RepoKey {
    RepoKey { repo_id: 1, partition: PARTITION.0, name_version: 3 }
}

pub(super) fn id(byte: u8) -> ObjectId {
    ObjectId::from_slice(&[byte; 20]).unwrap()
}

/// A command by the bytes that its ids are made of; 0 is the null id.
pub(super) fn command(name: &str, old: u8, new: u8) -> RefCommand {
    let id = |byte: u8| Bytes::from(vec![byte; 20]);
    RefCommand { name: name.to_owned().into(), old: id(old), new: id(new) }
}

pub(super) fn commit() -> NewTarget {
    NewTarget { kind: 1, ..NewTarget::default() }
}

pub(super) fn pack(id: u8) -> Pack {
    Pack {
        pack_id: vec![id; 16].into(),
        object_format: 1,
        pack_version: 2,
        length: 100,
        segments: vec![Segment {
            segment_id: vec![id; 16].into(),
            owners: vec![NODE.0],
            incarnations: vec![1],
            ..Segment::default()
        }],
        ..Pack::default()
    }
}

/// A push by ann of commits that lie in a pack.
pub(super) fn push(session: u64, number: u64, commands: Vec<RefCommand>) -> UpdateRefsRequest {
    UpdateRefsRequest {
        repo: Some(repo_key()),
        actor: Some(actor(ANN)),
        session,
        push_number: number,
        attempt: 1,
        targets: commands.iter().map(|_| commit()).collect(),
        commands,
        pack: Some(pack(u8::try_from(number).unwrap())),
        ..UpdateRefsRequest::default()
    }
}

/// The same with another pack.
pub(super) fn with(request: UpdateRefsRequest, pack: Pack) -> UpdateRefsRequest {
    UpdateRefsRequest { pack: Some(pack), ..request }
}

/// The same without a pack: every new id must be there already.
pub(super) fn bare(session: u64, number: u64, commands: Vec<RefCommand>) -> UpdateRefsRequest {
    UpdateRefsRequest { pack: None, targets: vec![], ..push(session, number, commands) }
}

pub(super) fn by(user: u64, request: UpdateRefsRequest) -> UpdateRefsRequest {
    UpdateRefsRequest { actor: Some(actor(user)), ..request }
}

pub(super) fn listing(user: u64) -> GetRefsRequest {
    GetRefsRequest { repo: Some(repo_key()), actor: Some(actor(user)), ..GetRefsRequest::default() }
}

pub(super) fn verdicts(response: &UpdateRefsResponse) -> Vec<Refusal> {
    assert_eq!(response.refusal(), Refusal::None, "{}", response.message);
    response.results.iter().map(|result| result.refusal()).collect()
}
