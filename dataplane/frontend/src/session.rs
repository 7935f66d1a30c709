//! The frontend's standing with each partition (S10): one numbered session, renewed by
//! one batched call a second; what a push is numbered by and what keeps the segments of
//! a running fetch from being purged (S30).

mod renewal;
mod standing;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::metadata::Partitions;
use gitstratum_core::{Clock, Incarnation, NodeId, PartitionId, SessionId, Version};
use gitstratum_proto::metadata::v1::OpenSessionRequest;
use parking_lot::Mutex;

use crate::Error;
use crate::service::Deps;
use standing::Standing;

pub(crate) use standing::{FetchTicket, PushTicket};

/// A session that was not renewed for so long, by this frontend's own clock, is over (S10).
pub(crate) const UNRENEWED_MAX: Duration = Duration::from_secs(10);

/// The sessions of this frontend, at most one open with each partition.
pub(crate) struct Sessions {
    partitions: Partitions,
    node: NodeId,
    incarnation: Incarnation,
    clock: Arc<dyn Clock>,
    desks: Mutex<BTreeMap<PartitionId, Arc<Desk>>>,
}

/// Where the session with one partition is opened: one caller at a time.
#[derive(Default)]
struct Desk {
    current: Mutex<Option<Arc<Standing>>>,
    opening: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Sessions {
    pub(crate) fn new(partitions: Partitions, deps: &Deps) -> Arc<Self> {
        Arc::new(Self {
            partitions,
            node: deps.node,
            incarnation: deps.incarnation,
            clock: Arc::clone(&deps.clock),
            desks: Mutex::default(),
        })
    }

    /// The next number of the session with `partition`, for one push.
    ///
    /// # Errors
    /// When there is no session and none can be opened.
    pub(crate) async fn begin_push(&self, partition: PartitionId) -> Result<PushTicket, Error> {
        Ok(self.standing(partition).await?.begin_push())
    }

    /// Keeps what a plan made from now on names from being purged (S30). Taken before
    /// the first call of the fetch.
    ///
    /// # Errors
    /// As [`Sessions::begin_push`].
    pub(crate) async fn begin_fetch(&self, partition: PartitionId) -> Result<FetchTicket, Error> {
        Ok(self.standing(partition).await?.begin_fetch())
    }

    /// The open session with `partition`, opened now if there is none.
    async fn standing(&self, partition: PartitionId) -> Result<Arc<Standing>, Error> {
        let desk = Arc::clone(self.desks.lock().entry(partition).or_default());
        if let Some(standing) = desk.good() {
            return Ok(standing);
        }
        let _turn = desk.opening.lock().await;
        if let Some(standing) = desk.good() {
            return Ok(standing);
        }
        let standing = self.open(partition).await?;
        *desk.current.lock() = Some(Arc::clone(&standing));
        Ok(standing)
    }

    async fn open(&self, partition: PartitionId) -> Result<Arc<Standing>, Error> {
        let request = OpenSessionRequest {
            partition: partition.0,
            frontend_node: self.node.0,
            incarnation: self.incarnation.0,
        };
        // The leader's own timer starts later than this: we give up before it does.
        let asked_at = self.clock.monotonic();
        let answer = self.partitions.open_session(partition, request).await?;
        let session = SessionId(answer.session);
        // A session's id is the index of the entry that opened it: a version known.
        let known = Version(answer.session);
        Ok(Standing::new(session, known, asked_at, Arc::clone(&self.clock)))
    }

    /// Every session that is held, good or not.
    fn held(&self) -> Vec<(PartitionId, Arc<Standing>)> {
        let desks = self.desks.lock();
        let current = |desk: &Desk| desk.current.lock().clone();
        desks.iter().filter_map(|(id, desk)| Some((*id, current(desk)?))).collect()
    }

    /// Lets go of `standing`: the next use opens another session.
    fn forget(&self, partition: PartitionId, standing: &Arc<Standing>) {
        standing.end();
        let Some(desk) = self.desks.lock().get(&partition).cloned() else { return };
        let mut current = desk.current.lock();
        if current.as_ref().is_some_and(|held| Arc::ptr_eq(held, standing)) {
            *current = None;
        }
    }
}

impl Desk {
    fn good(&self) -> Option<Arc<Standing>> {
        self.current.lock().clone().filter(|standing| standing.is_good())
    }
}
