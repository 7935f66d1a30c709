//! The metadata service of a node: the partitions that the layout places here, and
//! what frontends and object nodes ask of them.
//!
//! | file | does |
//! |---|---|
//! | `hosted` | one partition: reads, barriers, proposals, log time |
//! | `hosting` | opens partitions, makes repository rows from the directory (S43) |
//! | `leaving` | gives up partitions that others have now (S39) |
//! | `placing` | has a group's voters follow the layout (S39) |
//! | `homing` | when leadership returns to the preferred node (S39) |
//! | `keeper` | what a leader does every second (S10, S14, S41) |
//! | `claims` | runs on a repository, and their swaps (S35) |
//! | `purge` | packs that nobody can read any more (S30) |
//! | `upkeep` | what a leader does about copies: repairs, moves (S18–S21) |
//! | `fences` | nodes that leave, and what still names them (S20) |
//! | `access` | authorises (S44) and checks names (S42) |
//! | `views` | refs and manifests in memory (GS-MD-08) |
//! | `get_refs`, `update_refs`, `sessions`, `segments`, `inspect` | the requests |

mod access;
mod barrier;
pub(crate) mod claims;
mod copies;
mod fences;
mod get_refs;
mod homing;
mod hosted;
mod hosting;
mod inspect;
mod keeper;
mod leaving;
mod placing;
mod purge;
pub(crate) mod renewals;
mod sessions;
mod update_refs;
pub(crate) mod upkeep;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use gitstratum_client::cluster::Feed;
use gitstratum_client::copies::Copies;
use gitstratum_consensus::Host;
use gitstratum_core::{Clock, GrantsVersion, NodeId, PartitionId, RepoId, Role, Version};
use gitstratum_process::{Drain, Metrics};
use gitstratum_proto::FieldError;
use gitstratum_proto::common::v1::{Actor, RepoKey};
use gitstratum_proto::metadata::v1::{Consistency, GetRefsRequest};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::error::Error;
use crate::metric_names::MetadataMetrics;
use crate::partition::Rows;
use crate::planner::{PlanAnswer, PlanRequest, Planner};
use crate::refs::RefList;

use access::Admitted;
use hosted::Hosted;
use views::{Viewed, Views};

pub use get_refs::RefsAnswer;
pub use inspect::{Inspection, WithChecksums, WithRefs};

/// What the service works with.
#[derive(Clone)]
pub struct Deps {
    /// This node.
    pub node: NodeId,
    /// Runs the groups.
    pub host: Arc<Host>,
    /// Layout, directory, grants.
    pub feed: Feed,
    /// Monotonic for sessions and log time, wall for audit lines.
    pub clock: Arc<dyn Clock>,
    /// Answers questions about history.
    pub planner: Arc<dyn Planner>,
    /// Has object nodes make copies of segments.
    pub copies: Arc<dyn Copies>,
    /// Where figures go.
    pub metrics: Metrics,
}

/// The metadata service of a node.
pub struct Service {
    config: Config,
    deps: Deps,
    metrics: MetadataMetrics,
    partitions: RwLock<BTreeMap<PartitionId, Arc<Hosted>>>,
    /// Those that were found damaged when they were to be opened, and what was found.
    damaged: RwLock<BTreeMap<PartitionId, String>>,
    views: Views,
    /// Directory version whose rows are in all partitions here.
    applied: watch::Sender<GrantsVersion>,
    checksums: inspect::Checksums,
    lists: copies::Lists,
    moves: homing::Moves,
    damage: hosted::Damage,
}

impl Service {
    /// A service that has opened nothing yet; [`Service::run`] does.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(config: Config, deps: Deps) -> Result<Arc<Self>, ConfigError> {
        config.validate()?;
        let metrics = MetadataMetrics::new(&deps.metrics);
        Ok(Arc::new(Self {
            views: Views::new(config.hot_refs_bytes, metrics.clone()),
            config,
            deps,
            metrics,
            partitions: RwLock::default(),
            damaged: RwLock::default(),
            applied: watch::Sender::new(GrantsVersion(0)),
            checksums: inspect::Checksums::default(),
            lists: copies::Lists::default(),
            moves: homing::Moves::default(),
            damage: watch::Sender::new(None),
        }))
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.deps.node
    }

    /// Opens partitions as the layout says, follows the directory and, where this node leads, keeps
    /// sessions and time, until `drain` starts.
    pub async fn run(self: Arc<Self>, drain: Drain) {
        hosting::follow(self, drain).await;
    }

    /// The newest directory version whose rows are in every partition on this node: what is reported
    /// to the agent, so that `repo create` returns when pushes work (S43).
    pub fn applied(&self) -> watch::Receiver<GrantsVersion> {
        self.applied.subscribe()
    }

    /// Waits until damage was found in this node's store that the other voters can make
    /// good, if the store is set aside and the node starts anew (S23); returns what it is.
    pub async fn store_damage(&self) -> String {
        let mut damage = self.damage.subscribe();
        let found = damage.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        match found {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }

    /// Partitions that are open here.
    pub fn partitions(&self) -> Vec<PartitionId> {
        self.partitions.read().keys().copied().collect()
    }

    /// The least version of a partition that an open session may still use; `None` when this node
    /// does not lead it or a session has not told yet. What was replaced before may go (S30).
    pub fn least_version_used(&self, partition: PartitionId) -> Option<Version> {
        let hosted = self.hosted(partition).ok()?;
        hosted.leading_term().ok()?;
        hosted.renewals.lock().least_version()
    }

    /// Refs and manifest of a repository (S31, S51).
    ///
    /// # Errors
    /// [`Error::NoRepository`] also when the actor may not know it; [`Error::Renamed`];
    /// [`Error::Denied`] when the actor means to push and may only read; retryable ones.
    pub async fn get_refs(&self, request: GetRefsRequest) -> Result<RefsAnswer, Error> {
        let key = repo_key(request.repo)?;
        let hosted = self.hosted(PartitionId(key.partition))?;
        if request.consistency() == Consistency::Quorum {
            hosted.barrier().await?;
        }
        let actor = request.actor.clone().unwrap_or_default();
        let admitted = self.admit(&hosted, &key, &actor).await?;
        if request.for_push && admitted.access.role < Role::Write {
            return Err(Error::Denied { action: "push" });
        }
        let repo = RepoId(key.repo_id);
        let wanted = get_refs::Wanted::new(&request, repo);
        let read = move |rows: &dyn Rows, held: Option<&Arc<RefList>>| {
            get_refs::answer(rows, &wanted, held)
        };
        let found = self.views.with_refs(&hosted, repo, read).await?;
        let (row, answer) = found.ok_or(Error::NoRepository { repo })?;
        access::check_name(&row, &key)?;
        Ok(answer)
    }

    /// One negotiation round of a fetch (S24, S27).
    ///
    /// # Errors
    /// As [`Service::get_refs`], and those of the planner.
    pub async fn plan_fetch(
        &self,
        key: RepoKey,
        actor: Actor,
        request: PlanRequest,
    ) -> Result<PlanAnswer, Error> {
        let hosted = self.hosted(PartitionId(key.partition))?;
        hosted.barrier().await?;
        self.admit(&hosted, &key, &actor).await?;
        let viewed = self.viewed(&hosted, RepoId(key.repo_id)).await?;
        access::check_name(&viewed.row, &key)?;
        Ok(self.deps.planner.plan(viewed.view, request).await?)
    }

    /// See [`Hosted`].
    #[cfg(test)]
    pub(crate) fn placing_rounds(&self, partition: PartitionId) -> usize {
        let hosted = self.hosted(partition);
        hosted.map_or(0, |hosted| hosted.rounds.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn hosted(&self, partition: PartitionId) -> Result<Arc<Hosted>, Error> {
        let found = self.partitions.read().get(&partition).map(Arc::clone);
        found.ok_or_else(|| {
            // Never one lock within another (RV-H1).
            let damaged = self.damaged.read().get(&partition).cloned();
            match damaged {
                Some(what) if self.damage.borrow().is_some() => {
                    Error::DamagedHere { partition, what }
                }
                Some(what) => Error::Damaged { partition, what },
                None => Error::NotHere { partition },
            }
        })
    }

    async fn admit(
        &self,
        hosted: &Hosted,
        key: &RepoKey,
        actor: &Actor,
    ) -> Result<Admitted, Error> {
        access::admit(hosted, &self.deps.feed, (key, actor), self.config.catch_up_wait).await
    }

    async fn viewed(&self, hosted: &Hosted, repo: RepoId) -> Result<Viewed, Error> {
        self.views.view(hosted, repo).await?.ok_or(Error::NoRepository { repo })
    }
}

fn repo_key(repo: Option<RepoKey>) -> Result<RepoKey, FieldError> {
    repo.ok_or(FieldError { field: "repo", problem: "is missing" })
}
