//! Whether a node may go for good (S20).

use gitstratum_core::{NodeId, ProcessRole, encode_hex};
use gitstratum_proto::common::v1::Actor;
use gitstratum_proto::control::v1::Emptying;
use gitstratum_proto::metadata::v1::AcceptLossRequest;
use gitstratum_state::command::{Change, RemoveNode};
use gitstratum_state::{Refusal, Subject, Verb};

use crate::call::{Call, Intent};
use crate::emptying::{self, Fenced};
use crate::error::Error;
use crate::standing;

/// What is to become of segments that are on no other node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The node stays.
    Refused,
    /// They are given up, each by name.
    Accepted,
}

/// Where to see how far a node is.
const LOOK: &str = "`gitstratum rebalance status` shows how far it is";
/// What an operator may do about a vote.
const REPLACE: &str =
    "it leaves as soon as three others can vote: add one (`gitstratum control --config FILE`)";
/// What an operator may do about what is lost.
const ACCEPT: &str =
    "bring one of the nodes back that held them, or give them up with --accept-loss";

/// The removal of a node that nothing names any more. Whatever else forbids it is said before
/// anything is given up.
///
/// # Errors
/// A refusal; [`Error::InUse`] says what is left; [`Error::Partition`] when one cannot be asked.
pub(crate) async fn prepare(call: &Call, node: NodeId, loss: Loss) -> Result<Change, Error> {
    let asked = asked(call, node).await?;
    let fence = asked.fenced.number;
    let remove = |finding| Change::RemoveNode(RemoveNode { id: node.0, finding, fence });
    call.try_out(&remove(String::new())).await?;
    if call.plane.group.status().voters.contains(&node) {
        return Err(votes(node));
    }
    let partitions = standing::votes(&call.plane, node).await?;
    if partitions > 0 {
        return Err(votes_yet(node, partitions));
    }
    if !asked.has_segments {
        return Ok(remove("it stores no segments".to_owned()));
    }
    find(call, asked, loss).await.map(remove)
}

/// That no partition names the node, in words that name its fence.
async fn find(call: &Call, asked: Asked, loss: Loss) -> Result<String, Error> {
    let fenced = asked.fenced;
    let mut found = emptying::ask(&call.plane, fenced).await?;
    let mut given_up = 0;
    if loss == Loss::Accepted && is_all_lost(&found) {
        given_up = give_up(call, asked).await?;
        found = emptying::ask(&call.plane, fenced).await?;
    }
    if !found.clear {
        return Err(in_use(fenced.node, &found));
    }
    let number = fenced.number;
    Ok(match given_up {
        0 => format!("nothing names it under fence {number}"),
        given_up => format!("{given_up} lost segments were given up; fence {number}"),
    })
}

/// Whether nothing else than what is lost keeps the node: before that, it may yet be copied.
fn is_all_lost(found: &Emptying) -> bool {
    found.lost > 0 && found.partitions_heard == found.partitions && found.segments == found.lost
}

/// A node that is to go.
struct Asked {
    fenced: Fenced,
    has_segments: bool,
    /// Who asks.
    who: Actor,
}

/// The node as it is; who may not know is told so before anything else.
async fn asked(call: &Call, node: NodeId) -> Result<Asked, Error> {
    let intent = Intent::new("node.remove", node.to_string());
    let request_id = call.request_id.to_string();
    let client_addr = call.client_addr.clone();
    call.look(intent, move |caller, state| {
        state.authorize(caller, Verb::Manage, Subject::Cluster)?;
        let missing = || Refusal::Missing { what: "node", name: node.to_string() };
        let found = state.node(node).ok_or_else(missing)?;
        let who = Actor {
            user_id: caller.user.id.0,
            user_name: caller.user.name.clone(),
            grants_version: state.version().0,
            request_id,
            client_addr,
            ..Actor::default()
        };
        let fenced = Fenced { node, number: found.fence };
        Ok(Asked { fenced, has_segments: found.roles.contains(&ProcessRole::Object), who })
    })
    .await
}

/// Gives every segment up that only nodes hold which are gone; how many.
async fn give_up(call: &Call, asked: Asked) -> Result<usize, Error> {
    let Asked { fenced, who, has_segments: _ } = asked;
    let mut given_up = 0;
    for (partition, lost) in emptying::lost(&call.plane, fenced).await? {
        let segment = encode_hex(&lost.segment_id);
        let request = AcceptLossRequest {
            partition: partition.0,
            segment_id: lost.segment_id,
            list_number: lost.list_number,
            actor: Some(who.clone()),
        };
        let accepted = emptying::give_up(&call.plane, partition, request).await?;
        tracing::warn!(partition = partition.0, segment, accepted, "a lost segment was given up");
        given_up += usize::from(accepted);
    }
    Ok(given_up)
}

fn votes(node: NodeId) -> Error {
    let problem = format!("node {node} is a voter of the control plane");
    Error::InUse { problem, remedy: REPLACE }
}

/// The layout has its votes elsewhere, the groups have yet to follow.
fn votes_yet(node: NodeId, partitions: usize) -> Error {
    let problem = format!("node {node} may still vote in {partitions} partitions");
    Error::InUse { problem, remedy: "its votes are on their way: ask again" }
}

fn in_use(node: NodeId, found: &Emptying) -> Error {
    let Emptying { segments, bytes, lost, partitions_heard, partitions, .. } = found;
    if partitions_heard < partitions {
        let problem = format!(
            "only {partitions_heard} of {partitions} partitions keep new segments from node {node}"
        );
        return Error::InUse { problem, remedy: LOOK };
    }
    if *lost > 0 {
        let problem = format!("{lost} segments of node {node} are on no other node that lives");
        return Error::InUse { problem, remedy: ACCEPT };
    }
    let problem = format!("{segments} segments of {bytes} bytes are still listed on node {node}");
    Error::InUse { problem, remedy: LOOK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_is_left_and_what_to_do() {
        let told = |found: Emptying| in_use(NodeId(4), &found).to_string();
        let heard = Emptying { partitions: 4, partitions_heard: 4, ..Emptying::default() };
        let left = told(Emptying { segments: 3, bytes: 99, ..heard });
        assert!(left.contains("3 segments of 99 bytes") && left.contains("rebalance status"));
        let lost = told(Emptying { segments: 3, lost: 2, ..heard });
        assert!(lost.contains("2 segments") && lost.contains("--accept-loss"), "{lost}");
        assert!(is_all_lost(&Emptying { segments: 2, lost: 2, ..heard }));
        assert!(!is_all_lost(&Emptying { segments: 3, lost: 2, ..heard }), "one may be copied");
        let early = Emptying { segments: 2, lost: 2, partitions_heard: 3, ..heard };
        assert!(!is_all_lost(&early), "one has yet to say");
        let early = told(Emptying { partitions_heard: 1, ..heard });
        assert!(early.contains("only 1 of 4 partitions"), "{early}");
    }
}
