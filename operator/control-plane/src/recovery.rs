//! A control plane whose state is gone from every voter: it says so, founds nothing, and is
//! brought back from what nodes were told of it (S45).

mod read;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gitstratum_consensus::ProposeError;
use gitstratum_core::{ClusterId, NodeId, ProcessRole, Token};
use gitstratum_process::Drain;
use gitstratum_proto::control::v1 as wire;
use gitstratum_state::command::{Change, Origin, Restore};
use gitstratum_state::record::{Node, NodeState, Scope};
use gitstratum_state::{Outcome, Records};
use parking_lot::RwLock;

use crate::error::Error;
use crate::plane::Plane;

/// Pause before it is tried again whether somebody leads.
const LEADER_PAUSE: Duration = Duration::from_millis(50);

/// What is written down of a cluster beside its data, outside of its control plane.
pub trait Record: Send + Sync {
    /// Raises the generation that is written down above it and above `known`, and returns
    /// the new one once it is durable: before the first command of that generation, so that
    /// none is used twice.
    ///
    /// # Errors
    /// Why it could not be written.
    fn raise_generation(&self, known: u16) -> Result<u16, String>;

    /// SHA-256 of the token by which nodes enrol; `None`: none can.
    fn join_token(&self) -> Option<[u8; 32]>;
}

/// Whether the state is lost, and what is needed to bring it back.
#[derive(Default)]
pub(crate) struct Loss {
    lost: RwLock<Option<ClusterId>>,
    record: OnceLock<Arc<dyn Record>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Loss {
    /// The cluster whose control plane this was.
    pub(crate) fn lost(&self) -> Option<ClusterId> {
        *self.lost.read()
    }

    /// From now on every call is told so.
    pub(crate) fn mark(&self, cluster: ClusterId) {
        let before = self.lost.write().replace(cluster);
        if before.is_none() {
            tracing::error!(error = %Error::Lost(cluster), "the control plane has no state");
        }
    }

    pub(crate) fn record_with(&self, record: Arc<dyn Record>) {
        if self.record.set(record).is_err() {
            tracing::debug!("there is a record already");
        }
    }

    fn clear(&self) {
        if self.lost.write().take().is_some() {
            tracing::info!("the control plane is there again");
        }
    }
}

/// Takes the mark off as soon as there is a state again, until `drain` starts.
pub(crate) async fn watch(plane: Arc<Plane>, drain: Drain) {
    let mut applied = plane.applied();
    loop {
        applied.borrow_and_update();
        if plane.loss.lost().is_some()
            && let Ok(Some(_)) = plane.read(gitstratum_state::State::cluster).await
        {
            plane.loss.clear();
        }
        let news = tokio::select! {
            biased;
            () = drain.started() => return,
            news = applied.changed() => news,
        };
        if news.is_err() {
            return;
        }
    }
}

/// Brings the state back from `request`. `caller` has to be an admin of the cluster that it
/// describes, so that somebody can go on from there.
pub(crate) async fn recover(
    plane: &Plane,
    caller: Option<Token>,
    request: wire::RecoverRequest,
) -> Result<wire::RecoverResponse, Error> {
    let _only = plane.loss.one_at_a_time.lock().await;
    let recorded = plane.loss.lost().ok_or(Error::NotLost)?;
    let snapshot = request.snapshot.unwrap_or_default();
    let (found, records) = read::records(snapshot).map_err(Error::Snapshot)?;
    if found != recorded {
        return Err(Error::OtherCluster { recorded, found });
    }
    let is_admin = caller.is_some_and(|token| is_admin(&records, &token, plane.clock.wall()));
    if !is_admin {
        return Err(Error::Snapshot("the token is no cluster admin's in what is brought back"));
    }
    let (generation, join_token) = begin(plane, &records).await?;
    let restore = records.restore(recorded, generation, join_token);
    let outcome = propose(plane, restore).await?;
    outcome.result.map_err(Error::Refused)?;
    plane.loss.clear();
    Ok(wire::RecoverResponse { generation: u32::from(generation), version: outcome.version.0 })
}

/// Begins the group again, unless an earlier try did; this voter leads it then. Returns the
/// generation, which is written down, and the token by which nodes enrol.
async fn begin(plane: &Plane, records: &Records) -> Result<(u16, Option<[u8; 32]>), Error> {
    let is_begun = plane.group.is_initialized().await.map_err(Error::Log)?;
    if !is_begun {
        let asked = voters_ever(&plane.config.present(), records);
        let holding = plane.host.not_known_empty(plane.group.id(), &asked).await;
        if !holding.is_empty() {
            return Err(Error::VotersMissing(holding));
        }
    }
    let record = plane.loss.record.get().map(Arc::clone).ok_or(Error::NoRecord)?;
    let known = u16::try_from(records.version.0 >> 48).unwrap_or(u16::MAX);
    let raising = gitstratum_process::blocking(move || {
        record.raise_generation(known).map(|generation| (generation, record.join_token()))
    });
    let raised = raising.await.map_err(Error::Task)?.map_err(Error::Generation)?;
    if !is_begun {
        plane.group.initialize(&plane.config.present()).await.map_err(Error::Log)?;
    }
    plane.group.wait_for_leader(plane.config.leader_timeout).await.map_err(Error::Log)?;
    Ok(raised)
}

/// Every node that may have a state: those that are `known` here, and those that the records name.
fn voters_ever(known: &BTreeSet<NodeId>, records: &Records) -> BTreeSet<NodeId> {
    let has_control = |node: &&Node| {
        node.roles.contains(&ProcessRole::Control) && node.state != NodeState::Removed
    };
    let joined = records.nodes.iter().filter(has_control).map(|node| node.id);
    known.iter().copied().chain(joined).collect()
}

/// Proposes it as soon as somebody leads: who has begun a group has yet to be elected.
async fn propose(plane: &Plane, restore: Restore) -> Result<Outcome, Error> {
    let change = Change::Restore(restore);
    let proposing = async {
        loop {
            match plane.propose(Origin::system(), change.clone()).await {
                Err(Error::Propose(ProposeError::NotLeader { leader: None, .. })) => {
                    tokio::time::sleep(LEADER_PAUSE).await;
                }
                proposed => return proposed,
            }
        }
    };
    let limit = plane.config.leader_timeout;
    tokio::time::timeout(limit, proposing).await.unwrap_or(Err(Error::Deadline(limit)))
}

fn is_admin(records: &Records, token: &Token, now: gitstratum_core::UnixMillis) -> bool {
    let hash = token.hash();
    let mut tokens = records.tokens.iter();
    let found = tokens.find(|token| token.hash == hash && !token.is_expired(now));
    let found = found.filter(|token| token.scope == Scope::Admin && token.repositories.is_empty());
    found.is_some_and(|token| {
        let mut users = records.users.iter();
        users.any(|user| user.id == token.user && user.cluster_admin && !user.suspended)
    })
}
