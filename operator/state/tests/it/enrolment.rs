use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_state::Reply;
use gitstratum_state::command::{Change, EnrolNode, SetJoinToken};
use gitstratum_state::record::NodeState;

use crate::world::{ADMIN, Who, World};

const FIRST: u64 = (1 << 48) | 1;

fn enrol(token: u8, id: u64, roles: &[&str]) -> Change {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    Change::EnrolNode(EnrolNode { join_token: vec![token; 32], id, roles })
}

#[test]
fn s47_a_new_node_gets_its_id_from_the_log_and_joins() {
    let mut world = World::founded();
    let Reply::Node(id) = world.ok(None, enrol(0xee, 0, &["object"])) else { panic!("a node") };
    assert_eq!(id, NodeId::allocate(1, world.index));
    let node = world.state.node(id).expect("because it was made");
    assert_eq!((node.state, node.in_ring), (NodeState::Joining, false));
    let line = world.lines.last().expect("because every command has one");
    assert_eq!((line.action.as_str(), line.subject.as_str()), ("node.enrol", "new object"));
}

#[test]
fn a_known_node_enrols_again_under_its_id_for_its_own_roles() {
    let mut world = World::founded();
    let again = world.ok(None, enrol(0xee, FIRST, &["frontend", "object"]));
    assert_eq!(again, Reply::Node(NodeId(FIRST)));
    let (kind, _) = world.refused(None, enrol(0xee, FIRST, &["control"]));
    assert_eq!(kind, ErrorKind::Invalid);
    let Reply::Node(object) = world.ok(None, enrol(0xee, 0, &["object"])) else { panic!() };
    let (kind, _) = world.refused(None, enrol(0xee, object.0, &["object", "metadata"]));
    assert_eq!(kind, ErrorKind::Invalid, "no role more than it came with");
    assert_eq!(world.refused(None, enrol(0xee, 77, &["object"])).0, ErrorKind::NotFound);
}

#[test]
fn the_join_token_can_be_replaced_and_revoked_by_admins_only() {
    let mut world = World::founded();
    assert_eq!(world.refused(None, enrol(1, 77, &["object"])).0, ErrorKind::Denied);
    let set = |byte| Change::SetJoinToken(SetJoinToken { hash: vec![byte; 32] });
    world.user("eve", Who(9));
    assert_eq!(world.refused(Some(Who(9)), set(2)).0, ErrorKind::Denied);
    world.ok(Some(ADMIN), set(2));
    assert_eq!(world.refused(None, enrol(0xee, 0, &["object"])).0, ErrorKind::Denied);
    world.ok(None, enrol(2, 0, &["object"]));
    world.ok(Some(ADMIN), Change::SetJoinToken(SetJoinToken { hash: Vec::new() }));
    let (kind, message) = world.refused(None, enrol(2, 0, &["object"]));
    assert_eq!((kind, message.as_str()), (ErrorKind::Denied, "join token is not the cluster's"));
    let asked = Some(ADMIN);
    assert_eq!(world.refused(asked, enrol(2, 0, &["object"])).0, ErrorKind::Denied, "a person");
}
