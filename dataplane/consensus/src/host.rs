//! All groups of a process, over one engine and one commit thread.

mod admit;
mod leaving;
mod open;
mod showing;
mod stall;
mod starts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use gitstratum_core::{Clock, NodeId};
use gitstratum_store::{Committer, Engine, Family, commit};
use parking_lot::Mutex;
use prost::Message as _;

use crate::config::Config;
use crate::error::Error;
use crate::id::GroupId;
use crate::meta;
use crate::network::Network;
use crate::peer::Member;
use crate::wire::{self, Answer};
use starts::Starts;

/// The column families that an engine must be opened with to hold groups.
pub const fn families() -> [Family; 3] {
    [meta::LOG, meta::META, meta::STATE]
}

/// Who may vote in a group, as far as is known where a replica of it is opened (S39). While voters
/// change, the membership in force is the one before, the one to come, or the step between them:
/// all its voters are among these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Electorate {
    /// Who is to vote. No membership that can be in force has more voters than these.
    pub voters: BTreeSet<NodeId>,
    /// Who may vote besides: nobody has seen the group without them yet.
    pub leaving: BTreeSet<NodeId>,
}

impl Electorate {
    /// All of them but `node`.
    pub(crate) fn beside(&self, node: NodeId) -> Vec<NodeId> {
        self.voters.union(&self.leaving).copied().filter(|each| *each != node).collect()
    }
}

/// What a host needs.
pub struct HostOptions {
    /// This node. Never one whose volume was lost (S23).
    pub node: NodeId,
    /// Holds logs and state; opened with [`families`].
    pub engine: Arc<dyn Engine>,
    /// Reaches the peers.
    pub network: Arc<dyn Network>,
    /// Measures syncs.
    pub clock: Arc<dyn Clock>,
    /// How groups behave.
    pub config: Config,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The commit thread: each sync is one fdatasync for all groups.
    pub commit: commit::Stats,
    /// Groups open.
    pub groups: u64,
}

/// All groups of a process.
pub struct Host {
    node: NodeId,
    engine: Arc<dyn Engine>,
    network: Arc<dyn Network>,
    config: Config,
    committer: Arc<Committer>,
    transfers: Arc<AtomicU64>,
    members: Arc<Members>,
    leaving: Arc<AtomicBool>,
    starts: Starts,
}

#[derive(Default)]
struct Members {
    open: Mutex<BTreeMap<GroupId, Option<Arc<dyn Member>>>>,
}

/// A group's place among those that peers can reach; it is free again once closed.
pub(crate) struct Registration {
    group: GroupId,
    members: Arc<Members>,
}

impl Registration {
    pub(crate) async fn close(&self) {
        let member = self.members.open.lock().remove(&self.group);
        if let Some(Some(member)) = member {
            member.stop().await;
        }
    }
}

impl Host {
    /// Starts the commit thread.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::Commit`].
    pub fn start(options: HostOptions) -> Result<Arc<Self>, Error> {
        let HostOptions { node, engine, network, clock, config } = options;
        config.validate().map_err(Error::Config)?;
        let config_of_commit = commit::Config::default();
        let committer = Committer::start(Arc::clone(&engine), Arc::clone(&clock), config_of_commit)
            .map_err(|source| Error::Commit { group: GroupId(0), source })?;
        let starts = Starts {
            node,
            engine: Arc::clone(&engine),
            committer: Arc::clone(&committer),
            clock,
            noting: Arc::default(),
        };
        Ok(Arc::new(Self {
            node,
            engine,
            network,
            config,
            committer,
            transfers: Arc::default(),
            members: Arc::default(),
            leaving: Arc::default(),
            starts,
        }))
    }

    /// Answers a message of a peer. The network has checked who sent it.
    ///
    /// # Errors
    /// [`Error::Message`] if it cannot be understood, is from another node than it says
    /// (`sender`), or is not for this node.
    pub async fn receive(&self, sender: NodeId, message: Bytes) -> Result<Bytes, Error> {
        let wrong = |what: String| Error::Message { what };
        let request = wire::Request::decode(message).map_err(|error| wrong(error.to_string()))?;
        if request.to != self.node.0 {
            return Err(wrong(format!("it is for node {}", NodeId(request.to))));
        }
        if request.from != sender.0 {
            return Err(wrong(format!("it says that node {} sent it", NodeId(request.from))));
        }
        let ask = request.ask.ok_or_else(|| wrong("it asks nothing".to_owned()))?;
        let group = GroupId(request.group);
        let member = self.members.open.lock().get(&group).cloned().flatten();
        if let Some(answer) = self.starts.answer(group, sender, &ask).await.transpose() {
            let answer = answer.unwrap_or_else(|error| Answer::Refused(error.to_string()));
            return Ok(wire::Response { answer: Some(answer) }.encode_to_vec().into());
        }
        let is_for = |member: &Arc<dyn Member>| match request.to_replica {
            0 => true,
            meant => meant == member.replica(),
        };
        let answer = match member.filter(is_for) {
            Some(member) => member.answer(sender, ask).await,
            None => Err(Error::Stopped { group, cause: None }),
        };
        let answer = answer.unwrap_or_else(|error| Answer::Refused(error.to_string()));
        Ok(wire::Response { answer: Some(answer) }.encode_to_vec().into())
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        let groups = self.members.open.lock().len() as u64;
        Stats { commit: self.committer.stats(), groups }
    }

    /// Hands the leadership of every group to another voter, as far as one is ready within
    /// `within`, and takes none any more: to be called before the process stops (S39).
    /// Returns how many groups are led here still.
    pub async fn leave(&self, within: Duration) -> usize {
        self.leaving.store(true, Ordering::SeqCst);
        let open: Vec<_> = self.members.open.lock().values().flatten().map(Arc::clone).collect();
        let total = open.len();
        let moved = std::sync::atomic::AtomicUsize::new(0);
        let moving = open.iter().map(|member| async {
            if member.hand_over().await {
                moved.fetch_add(1, Ordering::SeqCst);
            }
        });
        if tokio::time::timeout(within, join_all(moving)).await.is_err() {
            tracing::warn!("not every leadership was handed over in time");
        }
        total - moved.into_inner()
    }

    /// Stops all groups, then the commit thread.
    pub async fn shutdown(&self) {
        let open = std::mem::take(&mut *self.members.open.lock());
        for member in open.into_values().flatten() {
            member.stop().await;
        }
        let committer = Arc::clone(&self.committer);
        if let Err(panic) = gitstratum_process::blocking(move || committer.stop()).await {
            tracing::error!(%panic, "commit thread could not be stopped");
        }
    }
}
