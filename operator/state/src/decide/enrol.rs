//! How nodes come in: by the join token, of which the state knows the hash.

use subtle::ConstantTimeEq as _;

use gitstratum_core::NodeId;

use super::{Desk, Plan, node};
use crate::command::{EnrolNode, RegisterNode, SetJoinToken};
use crate::outcome::Reply;
use crate::record::NodeState;
use crate::state::{Header, Mutation};
use crate::{Denial, Refusal, Subject, Verb};

/// The token is looked at before anything else: who has none learns nothing about nodes.
pub(super) fn enrol(desk: &Desk<'_>, enrol: &EnrolNode) -> Result<Plan, Refusal> {
    desk.require_system()?;
    let known = desk.state.header.join_token.ok_or(Denial::JoinToken)?;
    if !bool::from(known.as_slice().ct_eq(&enrol.join_token)) {
        return Err(Denial::JoinToken.into());
    }
    if enrol.id == 0 {
        let register = RegisterNode { roles: enrol.roles.clone(), ..RegisterNode::default() };
        return node::admit(desk, &register, NodeState::Joining);
    }
    if enrol.roles.iter().any(|role| role == "control") {
        return Err(Refusal::invalid("roles", "name control, which makes its own certificate"));
    }
    let id = NodeId(enrol.id);
    let known = desk.state.node(id).ok_or_else(|| Refusal::missing("node", id.to_string()))?;
    if known.state == NodeState::Removed {
        return Err(Denial::RemovedNode.into());
    }
    let has = |role: &String| known.roles.iter().any(|known| known.as_str() == role);
    if !enrol.roles.iter().all(has) {
        return Err(Refusal::invalid("roles", "are not all the node's"));
    }
    Ok(Plan::unchanged(Reply::Node(id)))
}

pub(super) fn set_join_token(desk: &Desk<'_>, set: &SetJoinToken) -> Result<Plan, Refusal> {
    desk.require(Verb::Manage, Subject::Cluster)?;
    let header = Header { join_token: parse_hash(&set.hash)?, ..desk.state.header.clone() };
    Ok(Plan::new(Reply::Done, vec![Mutation::PutHeader(header)]))
}

/// The hash of a join token; nothing is none.
pub(super) fn parse_hash(bytes: &[u8]) -> Result<Option<[u8; 32]>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let hash = bytes.try_into();
    hash.map(Some).map_err(|_| Refusal::invalid("join token hash", "has not 32 bytes"))
}
