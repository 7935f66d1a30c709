use gitstratum_core::{NodeId, ProcessRole};
use gitstratum_proto::control::v1::{
    AuditRequest, Node, RegisterNodeRequest, ReportRequest, WatchRequest,
};
use tonic::Code;

use crate::audit::lines;
use crate::world::{NODE, World};

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_39_rv_s3_an_older_start_of_a_node_is_refused() {
    let world = World::new().await;
    let early = world.report(1, 1).await.expect_err("not registered");
    assert_eq!(early.code(), Code::FailedPrecondition);
    world.register(2).await.expect("registered");
    world.register(2).await.expect("a repeat is harmless");
    world.report(2, 1).await.expect("reported");
    assert_eq!(world.register(1).await.expect_err("a zombie").code(), Code::FailedPrecondition);
    world.register(3).await.expect("a later start");
    assert_eq!(world.report(2, 1).await.expect_err("a zombie").code(), Code::FailedPrecondition);
    let state = world.admin().get_cluster_state(()).await.expect("for admins").into_inner();
    assert_eq!((state.nodes[0].state, state.nodes[0].incarnation), (2, 3));
    assert!(state.nodes[0].last_seen_millis > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_03_04_a_silent_node_is_suspect_then_down_and_heard_of_it_is_up() {
    let world = World::new().await;
    world.register(1).await.expect("registered");
    world.report(1, 1).await.expect("reported");
    let up = world.node().await;
    assert_eq!((up.state, up.failures), (2, 0));
    world.pass_until(3, None).await;
    assert!(world.node().await.state_since_millis > up.state_since_millis);
    world.pass_until(4, None).await;
    assert_eq!(world.node().await.failures, 1);
    world.register(2).await.expect("a start alone does not make it up");
    assert_eq!(world.node().await.state, 4);
    world.pass_until(2, Some(2)).await;
    let lines = lines(&world, AuditRequest::default()).await;
    let changes: Vec<_> = lines.iter().filter(|line| line.action == "node.state").collect();
    let ends = |word: &str| changes.iter().filter(|line| line.subject.ends_with(word)).count();
    assert_eq!((ends("suspect"), ends("down"), ends("up")), (1, 1, 1), "{changes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_speaks_for_its_own_node_only() {
    let world = World::new().await;
    let node = |id| {
        let roles = vec!["object".to_owned()];
        RegisterNodeRequest { node: Some(Node { id, roles, ..Node::default() }) }
    };
    for (role, peer) in [
        (ProcessRole::Frontend, NODE),
        (ProcessRole::Object, NODE),
        (ProcessRole::Agent, NodeId(99)),
    ] {
        let mut fleet = world.fleet(role, peer);
        let watch = WatchRequest { node: NODE.0, from_version: 0 };
        let report = ReportRequest { node: NODE.0, ..ReportRequest::default() };
        for code in [
            fleet.watch(watch).await.err().map(|status| status.code()),
            fleet.report(report).await.err().map(|status| status.code()),
            fleet.register_node(node(NODE.0)).await.err().map(|status| status.code()),
        ] {
            assert_eq!(code, Some(Code::PermissionDenied));
        }
    }
    let error = world.agent().register_node(node(0)).await.expect_err("no such node");
    assert_eq!(error.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_mx_05_the_leader_shows_itself() {
    let world = World::new().await;
    let shown = async {
        while world.metric("gitstratum_control_raft_leader ") != Some(1) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, shown).await.expect("soon");
    assert!(world.handle.has_leader());
}
