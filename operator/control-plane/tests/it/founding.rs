use std::sync::Arc;

use gitstratum_control_plane::{Config, Error, Founding, Service};
use gitstratum_core::{ClusterId, ErrorKind, ManualClock, SeededEntropy, UnixMillis};
use gitstratum_process::Metrics;
use gitstratum_store::Engine;

use crate::world::{NODE, World, config, dependencies, memory};

fn clock() -> Arc<ManualClock> {
    ManualClock::new(UnixMillis(1_700_000_000_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn first_start_makes_admin_token_authority_and_demo_repository() {
    let world = World::new().await;
    let me = world.admin().who_am_i(()).await.expect("the admin's token").into_inner();
    assert_eq!(me.name, "admin");
    assert!(me.cluster_admin);
    let state = world.admin().get_cluster_state(()).await.expect("for admins").into_inner();
    let layout = state.layout.expect("a layout");
    assert_eq!(state.cluster_id.as_ref(), world.cluster.0);
    assert_eq!((layout.partitions.len(), layout.nodes.len()), (4, 1));
    assert_eq!(layout.nodes[0].id, NODE.0);
    assert_eq!((state.repositories, state.users, state.leader), (1, 1, NODE.0));
    let json = world.handle.export().await.expect("an export");
    assert_eq!(json["repositories"][0]["path"], "demo/hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_founding_is_for_one_cluster_and_repeats_harmlessly() {
    let clock = clock();
    let needs = dependencies(memory(), Arc::clone(&clock));
    let service = Service::open(config(), needs).await.expect("a control plane");
    let handle = service.handle();
    assert_eq!(handle.cluster().await.expect("a leader"), None);
    let draw =
        |seed| Founding::draw(1, 4, &*clock, &*SeededEntropy::new(seed)).expect("a founding");
    let (first, second) = (draw(1), draw(2));
    let cluster = handle.found(&first).await.expect("founded");
    assert_eq!(cluster.id, first.cluster);
    assert_eq!(handle.finish_founding().await.expect("again"), cluster);
    let error = handle.found(&second).await.expect_err("because there is one");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(handle.cluster().await.expect("a leader"), Some(cluster));
    assert!(first.authority.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s45_an_empty_state_beside_a_recorded_cluster_is_a_lost_control_plane() {
    let engine = memory();
    let recorded = ClusterId([5; 16]);
    let config = Config { recorded_cluster: Some(recorded), ..config() };
    for _ in 0..2 {
        let needs = dependencies(Arc::clone(&engine) as Arc<dyn Engine>, clock());
        let error = Service::open(config.clone(), needs).await.err().expect("lost");
        assert!(matches!(error, Error::Lost(cluster) if cluster == recorded));
        assert!(error.to_string().starts_with("ControlPlaneLost"));
    }
    let needs = dependencies(engine, clock());
    let service = Service::open(crate::world::config(), needs).await.expect("nothing was touched");
    assert_eq!(service.handle().cluster().await.expect("a leader"), None);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s45_another_clusters_state_is_refused() {
    let mut world = World::new().await;
    world.stop().await;
    let recorded = ClusterId([5; 16]);
    let config = Config { recorded_cluster: Some(recorded), ..config() };
    let needs = dependencies(Arc::clone(&world.engine), clock());
    let error = Service::open(config, needs).await.err().expect("another cluster");
    assert!(matches!(error, Error::OtherCluster { found, .. } if found == world.cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_26_a_configuration_that_makes_no_sense_is_refused() {
    let config = Config { voters: [NODE, Founding::node(2)].into(), ..config() };
    let needs = dependencies(memory(), clock());
    let error = Service::open(config, needs).await.err().expect("two voters");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    drop(Metrics::new());
}
