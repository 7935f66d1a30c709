use std::time::Duration;

use gitstratum_client::cluster::Snapshot;
use gitstratum_control_plane::Founding;
use gitstratum_proto::control::v1::{
    AuditRequest, Node, NodeRequest, PlanRingRequest, RemoveNodeRequest, SetSettingRequest,
    WatchRequest,
};
use tonic::Code;

use crate::audit::lines;
use crate::world::{Administration, NODE, PATIENCE, World};

fn admin(world: &World) -> Administration {
    world.administration(Some(world.admin.expose()))
}

fn set(key: &str, value: &str) -> SetSettingRequest {
    SetSettingRequest { key: key.to_owned(), value: value.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_29_the_ring_is_shown_with_its_points_and_version() {
    let world = World::new().await;
    world.register(1).await.expect("registered");
    let ring = admin(&world).get_hash_ring(()).await.expect("for admins").into_inner();
    assert_eq!((ring.epoch, ring.replication_factor, ring.points_per_weight), (1, 1, 1_024));
    assert_eq!((ring.shares[0].node, ring.shares[0].points), (NODE.0, 1_024));
    let plan = PlanRingRequest { add: Vec::new(), remove: vec![NODE.0] };
    let plan = admin(&world).plan_ring(plan).await.expect("a plan").into_inner();
    assert!(plan.after.expect("a ring").shares.is_empty());
    let none = PlanRingRequest { add: vec![99], remove: Vec::new() };
    let refused = admin(&world).plan_ring(none).await.expect_err("no such node");
    assert_eq!(refused.code(), Code::NotFound);
    let stranger = world.administration(None).get_hash_ring(()).await.expect_err("no token");
    assert_eq!(stranger.code(), Code::Unauthenticated);
}

/// Half of the changes are seen within a second, which no regular look of a longer period gives.
#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_13_watchers_are_told_of_a_change_of_the_ring_within_a_second_of_its_commit() {
    let world = World::of(3).await;
    for node in 1..=3 {
        world.register_other(Founding::node(node)).await;
    }
    let held = world.handle.version().await.expect("running").0;
    let watch = WatchRequest { node: NODE.0, from_version: held };
    let mut stream = world.agent().watch(watch).await.expect("a stream").into_inner();
    let node = Founding::node(2).0;
    let (mut epoch, mut took) = (0, Vec::new());
    for change in 0..6 {
        let request = NodeRequest { node };
        let changed = match change % 2 {
            0 => admin(&world).drain_node(request).await,
            _ => admin(&world).undrain_node(request).await,
        };
        let is_in = changed.expect("changed").into_inner().in_ring;
        let began = tokio::time::Instant::now();
        let layout = loop {
            let update = tokio::time::timeout(PATIENCE, stream.message()).await.expect("soon");
            let update = update.expect("an update").expect("no end");
            let layout = update.layout.filter(|layout| layout.epoch > epoch);
            let is_told = |known: &Node| known.id == node && known.in_ring == is_in;
            if let Some(layout) = layout.filter(|layout| layout.nodes.iter().any(is_told)) {
                break layout;
            }
        };
        took.push(began.elapsed());
        epoch = layout.epoch;
    }
    took.sort_unstable();
    assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_31_the_state_of_the_cluster_names_nodes_ring_leader_and_version() {
    let world = World::of(3).await;
    for node in 1..=3 {
        world.register_other(Founding::node(node)).await;
    }
    let state = world.admin().get_cluster_state(()).await.expect("for admins").into_inner();
    assert_eq!(state.cluster_id, world.cluster.0.to_vec());
    assert_eq!((state.leader, state.control_voters.as_slice()), (NODE.0, [NODE.0].as_slice()));
    assert!(state.term > 0 && state.generation == 1);
    assert_eq!(state.version, world.handle.version().await.expect("running").0);
    let nodes: Vec<u64> = state.nodes.iter().map(|node| node.id).collect();
    assert_eq!(nodes, [1, 2, 3].map(|number| Founding::node(number).0));
    let layout = state.layout.expect("a ring");
    assert_eq!((layout.epoch, layout.replication_factor, layout.partitions.len()), (1, 3, 4));
    assert!(layout.nodes.iter().all(|node| node.in_ring && node.weight > 0));
    admin(&world).drain_node(NodeRequest { node: nodes[1] }).await.expect("two stay");
    let next = world.admin().get_cluster_state(()).await.expect("for admins").into_inner();
    assert!(next.version > state.version && next.layout.expect("a ring").epoch > 1);
    let stranger = world.client(None).get_cluster_state(()).await.expect_err("no token");
    assert_eq!(stranger.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn s20_the_last_node_is_not_drained_and_the_refusal_says_what_to_do() {
    let world = World::new().await;
    world.register(1).await.expect("registered");
    let request = NodeRequest { node: NODE.0 };
    let refused = admin(&world).drain_node(request).await.expect_err("the only one");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let told = refused.message();
    assert!(told.contains("would leave 0 object nodes in the ring"), "{told}");
    assert!(told.contains("add an object node first"), "{told}");
    let all = lines(&world, AuditRequest::default()).await;
    let line = all.iter().find(|line| line.action == "node.drain").expect("refused ones too");
    assert_eq!(line.actor, "admin");
    let undrained = admin(&world).undrain_node(request).await.expect("nothing to do").into_inner();
    assert!(undrained.in_ring && !undrained.draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn s20_a_node_is_not_removed_before_every_partition_has_fenced_it() {
    let world = World::of(3).await;
    for node in 1..=3 {
        world.register_other(Founding::node(node)).await;
    }
    let node = Founding::node(2).0;
    let remove = RemoveNodeRequest { node, accept_loss: true };
    let refused = admin(&world).remove_node(remove).await.expect_err("not drained");
    assert!(refused.message().contains("has not been drained"), "{}", refused.message());
    let drained = admin(&world).drain_node(NodeRequest { node }).await.expect("two stay");
    let drained = drained.into_inner();
    assert!(drained.draining && !drained.in_ring && drained.state == 5);
    let refused = admin(&world).remove_node(remove).await.expect_err("it votes");
    let told = refused.message();
    assert!(told.contains("is a voter of 4 partitions"), "before anything is given up: {told}");
    let added = world.add_object_node().await;
    admin(&world).start_rebalance(()).await.expect("it comes in");
    admin(&world).drain_node(NodeRequest { node: added }).await.expect("three stay");
    let gone = RemoveNodeRequest { node: added, accept_loss: true };
    let refused = admin(&world).remove_node(gone).await.expect_err("no partition answers");
    assert_eq!(refused.code(), Code::Unavailable, "{}", refused.message());
    let shown = admin(&world).get_rebalance(()).await.expect("for admins").into_inner();
    let emptying = &shown.emptying[0];
    assert_eq!((emptying.node, emptying.partitions, emptying.partitions_heard), (node, 4, 0));
    assert!(!emptying.clear, "nothing heard is not nothing left");
    let stranger = world.administration(None).remove_node(remove).await.expect_err("no token");
    assert_eq!(stranger.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_17_a_setting_is_validated_audited_and_streamed() {
    let world = World::new().await;
    let held = world.handle.version().await.expect("running").0;
    let watch = WatchRequest { node: NODE.0, from_version: held };
    let mut stream = world.agent().watch(watch).await.expect("a stream").into_inner();
    for (key, value, code) in [
        ("nodeDownAfter", "soon", Code::InvalidArgument),
        ("nodeDownAfter", "1s", Code::InvalidArgument),
        ("wantGrace", "60s", Code::NotFound),
        ("flag.none", "on", Code::NotFound),
    ] {
        let refused = admin(&world).set_setting(set(key, value)).await.expect_err(key);
        assert_eq!(refused.code(), code, "{key}={value}: {}", refused.message());
    }
    let done = admin(&world).set_setting(set("nodeDownAfter", "20s")).await;
    let done = done.expect("a setting").into_inner();
    assert_eq!((done.value.as_str(), done.default.as_str()), ("20s", "10s"));
    assert!(done.version > held);
    let update = tokio::time::timeout(PATIENCE, stream.message()).await.expect("soon");
    let update = update.expect("an update").expect("no end");
    let snapshot = Snapshot::empty().apply(&update);
    assert_eq!(snapshot.setting("nodeDownAfter"), Some("20s"));
    let all = lines(&world, AuditRequest::default()).await;
    assert!(all.iter().any(|line| line.subject == "nodeDownAfter=20s" && line.result == "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_16_flags_are_listed_and_set() {
    let world = World::new().await;
    admin(&world).set_setting(set("flag.autoRebalance", "off")).await.expect("a flag");
    let all = admin(&world).list_settings(()).await.expect("for admins").into_inner().settings;
    let flag = all.iter().find(|found| found.is_flag).expect("a flag");
    assert_eq!((flag.key.as_str(), flag.value.as_str()), ("autoRebalance", "off"));
    assert!(all.iter().any(|found| found.key == "nodeDownAfter" && found.version == 0));
    let rebalance = admin(&world).get_rebalance(()).await.expect("for admins").into_inner();
    assert!(!rebalance.automatic && rebalance.waiting.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_03_the_time_until_a_node_is_down_is_a_setting() {
    let world = World::new().await;
    admin(&world).set_setting(set("nodeDownAfter", "8s")).await.expect("a setting");
    world.register(1).await.expect("registered");
    world.report(1, 1).await.expect("reported");
    let began = world.clock_millis();
    world.pass_until(4, None).await;
    let took = world.clock_millis() - began;
    assert!((8_000..11_000).contains(&took), "{took} ms; the tests' own default is 4 s");
}
