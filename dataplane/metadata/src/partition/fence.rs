use std::collections::BTreeSet;

use gitstratum_core::NodeId;
use gitstratum_hashring::write_quorum;

use super::entry::Fence;
use super::record::FenceRow;
use super::{Error, Scope, keys, query, rows};

/// Answer to a fence, or to its end.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FenceAnswer {
    /// Number of the node's fence as it is now; 0 when it has none.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// Why it was not set; empty when it stands as asked.
    #[prost(string, tag = "2")]
    pub refused: String,
}

/// Fences a node, or lifts its fence (S20). Numbers never fall, so a command that comes late
/// changes nothing. A fence that leaves fewer than W nodes in the ring is refused.
pub(super) fn set(scope: &mut Scope<'_>, fence: &Fence) -> Result<FenceAnswer, Error> {
    let node = NodeId(fence.node);
    let held = query::fence_row(scope.rows, node)?;
    let asked = FenceRow { number: fence.number, lifted: fence.lifted };
    let standing = FenceAnswer { number: held.standing(), refused: String::new() };
    if held == asked {
        return Ok(standing);
    }
    let passed = match fence.lifted {
        true => asked.number < held.number,
        false => asked.number <= held.number,
    };
    if passed {
        let refused = format!("a command with number {} has come before", held.number);
        return Ok(FenceAnswer { refused, ..standing });
    }
    if !fence.lifted
        && let Some(refused) = too_few(scope, fence)?
    {
        return Ok(FenceAnswer { refused, ..standing });
    }
    rows::store(scope.rows, keys::fence(node), &asked);
    Ok(FenceAnswer { number: asked.standing(), refused: String::new() })
}

fn too_few(scope: &Scope<'_>, fence: &Fence) -> Result<Option<String>, Error> {
    let mut left: BTreeSet<u64> = fence.ring.iter().copied().collect();
    left.remove(&fence.node);
    for (node, _) in query::fences(scope.rows)? {
        left.remove(&node.0);
    }
    let copies = u8::try_from(fence.replication_factor).unwrap_or(u8::MAX);
    let quorum = usize::from(write_quorum(copies));
    let short = left.len() < quorum;
    Ok(short.then(|| {
        format!("{} nodes would be left to store segments, {quorum} are needed", left.len())
    }))
}
