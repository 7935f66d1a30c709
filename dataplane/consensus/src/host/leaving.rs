use std::collections::BTreeSet;

use futures::future::join_all;
use gitstratum_core::NodeId;

use super::Host;
use super::admit::ASK_WITHIN;
use crate::error::Error;
use crate::id::GroupId;
use crate::wire;
use wire::{Answer, Ask};

/// How a node that is no voter any more gives a group up.
impl Host {
    /// Whether this node's disk has anything of `group`.
    ///
    /// # Errors
    /// [`Error::Engine`]; [`Error::Record`].
    pub async fn holds(&self, group: GroupId) -> Result<bool, Error> {
        Ok(self.starts.disk(group).await?.own.holds)
    }

    /// Whether the leader of `group`, one of `voters`, says that this node's replica is a member
    /// no more: by a membership that is committed. False where none says so.
    ///
    /// # Errors
    /// [`Error::Engine`]; [`Error::Record`].
    pub async fn is_left_out(
        &self,
        group: GroupId,
        voters: &BTreeSet<NodeId>,
    ) -> Result<bool, Error> {
        let replica = self.starts.disk(group).await?.replica;
        let peers = self.peers(group, replica);
        let others = voters.iter().filter(|node| **node != self.node);
        let ask = |node: &NodeId| peers.ask(*node, Ask::Members(wire::MembersAsk {}), ASK_WITHIN);
        let answers = join_all(others.map(ask)).await;
        Ok(answers.into_iter().any(|answer| match answer {
            Ok(Answer::Members(members)) => !members.replicas.contains(&replica),
            _ => false,
        }))
    }

    /// Removes all that this node has of `group`, which is not open. What comes after, if the
    /// node is to vote in it again, is a new replica (S23).
    ///
    /// # Errors
    /// [`Error::Open`]; [`Error::Engine`]; [`Error::Commit`].
    pub async fn forget(&self, group: GroupId) -> Result<(), Error> {
        {
            let mut open = self.members.open.lock();
            if open.contains_key(&group) {
                return Err(Error::Open { group });
            }
            open.insert(group, None);
        }
        let forgotten = self.destroy(group).await;
        self.members.open.lock().remove(&group);
        forgotten
    }

    async fn destroy(&self, group: GroupId) -> Result<(), Error> {
        let own = self.starts.disk(group).await?.own;
        self.starts.destroy(group, own.start.life + 1).await.map(drop)
    }
}
