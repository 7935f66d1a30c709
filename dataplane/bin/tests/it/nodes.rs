//! Nodes as the command line shows and names them.

use gitstratum_ctl::testing::World;
use gitstratum_proto::control::v1 as wire;

use crate::program::{Rig, world};

fn nodes() -> World {
    let node = |id: u64, state: u32| wire::Node {
        id,
        roles: vec!["object".to_owned()],
        state,
        in_ring: true,
        ..wire::Node::default()
    };
    let nodes = vec![node(0x11, 2), node(0x21, 4), node(0x31, 6)];
    World { cluster: wire::ClusterState { nodes, ..Default::default() }, ..world() }
}

#[tokio::test]
async fn gs_cp_02_nodes_are_listed_and_shown_by_the_end_of_their_ids() {
    let rig = Rig::start(nodes());
    assert_eq!(rig.run("node list -q").await.done(), "0000000000000011\n0000000000000021\n");
    let all = rig.run("node list --all -o json").await.json();
    assert_eq!(all[2]["state"], "removed");
    let shown = rig.run("node show 21 -o yaml").await.done();
    assert!(shown.contains("state: down\n"), "{shown}");
    let missing = rig.run("node show 99").await;
    assert_eq!(missing.code, Some(1));
    assert_eq!(
        missing.errors,
        "error: node `99` does not exist\n\
         hint: `gitstratum node list` shows the nodes; the last digits of an id are enough\n"
    );
    let unclear = rig.run("node show 1").await;
    assert_eq!(unclear.code, Some(1));
    assert!(unclear.errors.contains("more than one node's id ends with `1`"), "{}", unclear.errors);
}
