//! Sessions of frontends (S10).

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use gitstratum_core::{
    GrantsVersion, Incarnation, NodeId, PartitionId, PushNumber, SessionId, Version,
};
use gitstratum_process::failpoint;
use gitstratum_proto::metadata::v1::{OpenSessionResponse, SessionRenewal, SessionState};
use prost::Message;

use super::Service;
use super::hosted::Hosted;
use super::renewals::Renewed;
use crate::error::Error;
use crate::partition::entry::{CloseSession, OpenSession};
use crate::partition::record::SessionRow;
use crate::partition::{Change, query};

impl Service {
    /// Opens a session of the frontend `node`: one log entry.
    ///
    /// # Errors
    /// [`Error::NotLeader`] and retryable ones.
    pub async fn open_session(
        &self,
        partition: PartitionId,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<SessionId, Error> {
        let hosted = self.hosted(partition)?;
        let open = OpenSession { node: node.0, incarnation: incarnation.0 };
        let answer = hosted.propose(Change::OpenSession(open), GrantsVersion(0)).await?;
        failpoint!("metadata.session.after_open");
        let answer =
            OpenSessionResponse::decode(answer).map_err(|_| Error::Answer { partition })?;
        Ok(SessionId(answer.session))
    }

    /// Closes a session of the frontend `node`. One that is not open, or another's, stays as it is.
    ///
    /// # Errors
    /// As [`Service::open_session`].
    pub async fn close_session(
        &self,
        partition: PartitionId,
        node: NodeId,
        session: SessionId,
    ) -> Result<(), Error> {
        let hosted = self.hosted(partition)?;
        hosted.leading_term()?;
        if open_of(&hosted, node, session).await?.is_none() {
            return Ok(());
        }
        let close = CloseSession { session: session.0 };
        hosted.propose(Change::CloseSession(close), GrantsVersion(0)).await.map(drop)
    }

    /// Renews sessions of the frontend `node`. Answers for those partitions that this node leads and
    /// could confirm so with a quorum; the others are left out.
    pub async fn renew_sessions(
        &self,
        node: NodeId,
        renewals: Vec<SessionRenewal>,
    ) -> Vec<SessionState> {
        let mut by_partition: BTreeMap<u32, Vec<SessionRenewal>> = BTreeMap::new();
        for renewal in renewals {
            by_partition.entry(renewal.partition).or_default().push(renewal);
        }
        let rounds = by_partition.into_iter().map(async |(partition, renewals)| {
            let hosted = self.hosted(PartitionId(partition)).ok()?;
            let now = self.deps.clock.monotonic();
            renew(&hosted, node, renewals, now).await.ok()
        });
        join_all(rounds).await.into_iter().flatten().flatten().collect()
    }
}

/// The row of `session` if it is open and `node`'s.
pub(super) async fn open_of(
    hosted: &Hosted,
    node: NodeId,
    session: SessionId,
) -> Result<Option<SessionRow>, Error> {
    let row = hosted.read(move |rows| query::session(rows, session)).await?;
    Ok(row.filter(|row| !row.closed && row.node == node.0))
}

async fn renew(
    hosted: &Arc<Hosted>,
    node: NodeId,
    renewals: Vec<SessionRenewal>,
    now: std::time::Duration,
) -> Result<Vec<SessionState>, Error> {
    let term = hosted.leading_term()?;
    let version = hosted.barrier().await?;
    let mut states = Vec::with_capacity(renewals.len());
    for renewal in renewals {
        let session = SessionId(renewal.session);
        let open = open_of(hosted, node, session).await?.is_some();
        if open {
            let renewed = Renewed {
                session,
                least_version: Version(renewal.least_version),
                floor: PushNumber(renewal.floor),
            };
            hosted.renewals.lock().renew(term, renewed, now);
        }
        states.push(SessionState {
            partition: renewal.partition,
            session: renewal.session,
            open,
            version: version.0,
        });
    }
    Ok(states)
}
