use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use gitstratum_client::cluster::Snapshot;
use gitstratum_core::RepoPath;
use gitstratum_proto::SNAPSHOT_CHUNK_BYTES;
use gitstratum_proto::control::v1::{
    CreateRepositoryRequest, CreateTokenRequest, RevokeTokenRequest, SetRepositoryRequest,
    SnapshotUpdate, WatchRequest,
};
use prost::Message as _;
use tonic::Streaming;

use crate::world::{NODE, PATIENCE, World};

async fn watch(world: &World, from_version: u64) -> Streaming<SnapshotUpdate> {
    let request = WatchRequest { node: NODE.0, from_version };
    world.agent().watch(request).await.expect("a stream").into_inner()
}

async fn next(stream: &mut Streaming<SnapshotUpdate>) -> SnapshotUpdate {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("soon");
    message.expect("an update").expect("no end")
}

/// The next whole update, of however many messages.
async fn gather(stream: &mut Streaming<SnapshotUpdate>, held: &Snapshot) -> Snapshot {
    let mut snapshot = held.clone();
    loop {
        let update = next(stream).await;
        assert!(update.encoded_len() <= SNAPSHOT_CHUNK_BYTES);
        snapshot = snapshot.apply(&update);
        if !update.more {
            return snapshot;
        }
    }
}

async fn describe(world: &World, description: &str) {
    let path = "demo/hello".to_owned();
    let description = Some(description.to_owned());
    let set = SetRepositoryRequest { path, description, ..Default::default() };
    world.admin().set_repository(set).await.expect("a change");
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_30_gs_cp_51_a_watcher_gets_everything_then_what_changes() {
    let world = World::new().await;
    let mut stream = watch(&world, 0).await;
    let first = next(&mut stream).await;
    assert!(first.reset && !first.more);
    let snapshot = Snapshot::empty().apply(&first);
    assert_eq!(snapshot.cluster_id(), Some(world.cluster));
    let path = RepoPath::parse("demo/hello").expect("a path");
    assert!(snapshot.repository(&path).is_some());
    assert!(snapshot.token(&world.admin.hash()).is_some(), "nodes decide by hashes");
    assert_eq!(snapshot.partitions().count(), 4);
    describe(&world, "changed").await;
    let second = next(&mut stream).await;
    assert!(!second.reset && second.users.is_empty() && second.layout.is_none());
    assert_eq!(second.repositories.len(), 1);
    let snapshot = snapshot.apply(&second);
    assert_eq!(snapshot.repository(&path).expect("there").description, "changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_30_a_watcher_resumes_from_the_version_it_holds() {
    let world = World::new().await;
    let held = next(&mut watch(&world, 0).await).await.version;
    describe(&world, "one").await;
    describe(&world, "two").await;
    let resumed = next(&mut watch(&world, held).await).await;
    assert!(!resumed.reset);
    assert_eq!(resumed.repositories.len(), 1, "as one difference");
    let from_the_future = next(&mut watch(&world, resumed.version + 1).await).await;
    assert!(from_the_future.reset, "versions of another past mean nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn p_s3_a_revocation_reaches_watchers_at_once() {
    let world = World::new().await;
    let request = CreateTokenRequest {
        user: "admin".to_owned(),
        scope: 1,
        repositories: Vec::new(),
        lifetime_seconds: 0,
    };
    let made = world.admin().create_token(request).await.expect("a token").into_inner();
    let record = made.record.expect("a record");
    let mut stream = watch(&world, 0).await;
    let snapshot = gather(&mut stream, &Snapshot::empty()).await;
    let hash = gitstratum_core::Token::parse(&made.token).expect("a token").hash();
    assert!(snapshot.token(&hash).is_some());
    let revoke = world.admin().revoke_token(RevokeTokenRequest { id: record.id }).await;
    revoke.expect("revoked");
    let told = tokio::time::timeout(Duration::from_secs(5), gather(&mut stream, &snapshot)).await;
    assert!(told.expect("within 5 s").token(&hash).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_30_a_large_state_comes_in_bounded_messages() {
    let world = World::new().await;
    let following = world.follow().await;
    let create = |number: usize| {
        let path = format!("acme/r{number}");
        let description = "x".repeat(1_000);
        let request = CreateRepositoryRequest { path, description, ..Default::default() };
        let mut admin = world.admin();
        async move { admin.create_repository(request).await.map(drop) }
    };
    let made = stream::iter(0..1_200).map(create).buffer_unordered(50);
    made.try_collect::<()>().await.expect("repositories");
    let mut watching = watch(&world, 0).await;
    let first = next(&mut watching).await;
    assert!(first.reset && first.more, "more than one message");
    let snapshot = gather(&mut watching, &Snapshot::empty().apply(&first)).await;
    assert_eq!(snapshot.repositories().count(), 1_201);
    drop(following);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watcher_catches_up_with_one_difference() {
    let world = World::new().await;
    let mut stream = watch(&world, 0).await;
    let mut snapshot = gather(&mut stream, &Snapshot::empty()).await;
    for number in 0..300 {
        describe(&world, &format!("number {number}")).await;
    }
    let version = world.handle.version().await.expect("running");
    let mut updates = 0;
    while snapshot.version() < version {
        snapshot = gather(&mut stream, &snapshot).await;
        updates += 1;
    }
    assert!(updates <= 300);
    let path = RepoPath::parse("demo/hello").expect("a path");
    assert_eq!(snapshot.repository(&path).expect("there").description, "number 299");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_the_streams() {
    let mut world = World::new().await;
    let mut stream = watch(&world, 0).await;
    next(&mut stream).await;
    world.stop().await;
    let end = tokio::time::timeout(PATIENCE, stream.message()).await.expect("soon");
    assert_eq!(end.ok().flatten(), None);
}

/// Each node has one, and a cluster has fewer nodes.
#[tokio::test(flavor = "multi_thread")]
async fn p_l1_one_stream_more_than_2_000_is_refused_until_another_ends() {
    const STREAMS: usize = 2_000;
    const STREAMS_OF_A_CONNECTION: usize = 100;
    let world = World::new().await;
    let mut streams = Vec::new();
    while streams.len() < STREAMS {
        let mut agent = world.agent();
        for _ in 0..STREAMS_OF_A_CONNECTION {
            let request = WatchRequest { node: NODE.0, from_version: u64::MAX };
            streams.push(agent.watch(request).await.expect("a place"));
        }
    }
    let one_more = async || {
        let request = WatchRequest { node: NODE.0, from_version: 0 };
        world.agent().watch(request).await
    };
    let refused = one_more().await.expect_err("there is no place");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    streams.pop();
    let again = async {
        while one_more().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a place is free again");
}
