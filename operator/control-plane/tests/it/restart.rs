use std::sync::Arc;
use std::time::Duration;

use gitstratum_consensus::families;
use gitstratum_control_plane::Config;
use gitstratum_proto::control::v1::{
    AddKeyRequest, CreateTokenRequest, CreateUserRequest, GrantRequest, SetRepositoryRequest,
};
use gitstratum_store::{Engine, RocksEngine, RocksMemory, RocksOptions};

use crate::world::{World, config};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKcx1DFibyI7+hCFsXKbA1lRbEjsnApbtl+gTPyc1oGT eva";

/// Some of everything.
async fn fill(world: &World) {
    let following = world.follow().await;
    let mut admin = world.admin();
    let user = CreateUserRequest { name: "eva".to_owned(), email: "eva@example.org".to_owned() };
    admin.create_user(user).await.expect("a user");
    world.create("acme/tool").await.expect("a repository");
    let key = AddKeyRequest { user: "eva".to_owned(), public_key: KEY.to_owned() };
    admin.add_key(key).await.expect("a key");
    let token = CreateTokenRequest {
        user: "eva".to_owned(),
        scope: 2,
        repositories: vec!["acme/tool".to_owned()],
        lifetime_seconds: 60,
    };
    admin.create_token(token).await.expect("a token");
    let grant = GrantRequest {
        user: "eva".to_owned(),
        role: "write".to_owned(),
        subject: "acme/tool".to_owned(),
    };
    admin.grant(grant).await.expect("a grant");
    drop(following);
}

async fn rename(world: &World, description: String) {
    let path = "demo/hello".to_owned();
    let set = SetRepositoryRequest { path, description: Some(description), ..Default::default() };
    world.admin().set_repository(set).await.expect("a change");
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_01_gs_cp_45_a_restart_keeps_everything() {
    let world = World::new().await;
    fill(&world).await;
    let before = world.handle.export().await.expect("an export");
    let version = world.handle.version().await.expect("running");
    let world = world.restart().await;
    assert_eq!(world.handle.export().await.expect("an export"), before);
    assert_eq!(world.handle.version().await.expect("running"), version);
    for what in ["nodes", "layout", "settings", "users", "tokens", "grants", "repositories"] {
        assert!(!before[what].is_null(), "{what}");
    }
    world.create("acme/later").await.expect_err("nobody has confirmed it");
    assert!(world.handle.version().await.expect("running") > version);
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_27_what_was_answered_survives_a_power_cut() {
    let mut world = World::new().await;
    let following = world.follow().await;
    for number in 0..10 {
        world.create(&format!("acme/r{number}")).await.expect("a repository");
    }
    let before = world.handle.export().await.expect("an export");
    drop(following);
    // Everything that was not synced is gone; the old handle is dead.
    let engine = world.memory.take().expect("a memory engine").crash();
    let (clock, cluster, admin) = (Arc::clone(&world.clock), world.cluster, world.admin.clone());
    let again = World::again(engine, clock, cluster, admin).await;
    assert_eq!(again.handle.export().await.expect("an export"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_25_the_log_is_compacted_and_the_state_stays() {
    let mut consensus = config().consensus;
    (consensus.log_entries_max, consensus.log_entries_kept) = (40, 10);
    let small = Config { consensus, ..config() };
    let mut world = World::on(crate::world::memory(), small.clone()).await;
    world.stop().await;
    let config = Config { recorded_cluster: Some(world.cluster), ..small };
    let (engine, clock) = (Arc::clone(&world.engine), Arc::clone(&world.clock));
    let mut world = World::with(engine, clock, world.admin.clone(), config).await;
    let rows = |world: &World| {
        let all = gitstratum_store::KeyRange::all();
        world.engine.scan(families()[0], &all, usize::MAX).expect("a scan").len()
    };
    let mut longest = 0;
    for number in 0..200 {
        rename(&world, format!("number {number}")).await;
        longest = longest.max(rows(&world));
    }
    assert!(longest < 150, "the log has had {longest} rows");
    let before = world.handle.export().await.expect("an export");
    world.stop().await;
    let (engine, clock) = (Arc::clone(&world.engine), Arc::clone(&world.clock));
    let again = World::again(engine, clock, world.cluster, world.admin.clone()).await;
    assert_eq!(again.handle.export().await.expect("an export"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_01_a_restart_from_disk_keeps_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = || {
        RocksEngine::open(RocksOptions {
            path: directory.path().join("db"),
            families: families().to_vec(),
            memory: RocksMemory::new(8 << 20, 4 << 20),
        })
        .expect("an engine")
    };
    let engine = open();
    let mut world = World::on(Arc::clone(&engine) as Arc<dyn Engine>, config()).await;
    fill(&world).await;
    let before = world.handle.export().await.expect("an export");
    world.stop().await;
    engine.close().expect("closed");
    let (clock, cluster, admin) = (Arc::clone(&world.clock), world.cluster, world.admin.clone());
    drop((world, engine));
    let again = World::again(open(), clock, cluster, admin).await;
    assert_eq!(again.handle.export().await.expect("an export"), before);
    again.advance(Duration::from_secs(1));
}
