use std::sync::Arc;

use gitstratum_core::{
    ErrorKind, GrantsVersion, Incarnation, PartitionId, ProcessRole, Token, encode_hex,
};
use gitstratum_process::RequestId;
use gitstratum_state::command::{Change, Origin, RecordRefusal};
use gitstratum_state::record::Node;
use gitstratum_state::{Caller, Denial, Refusal, Rejection, Reply, State};

use crate::error::Error;
use crate::fleet::Fleet;
use crate::plane::{Line, Plane};

/// One call of a person: who says they are, and from where.
pub(crate) struct Call {
    pub(crate) plane: Arc<Plane>,
    /// `None` when no token came, or something else in its place.
    pub(crate) token: Option<Token>,
    pub(crate) request_id: RequestId,
    pub(crate) client_addr: String,
    pub(crate) freshness: Freshness,
}

/// How new an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It holds whatever was acknowledged before the call (GS-CP-52).
    Linearizable,
    /// Whatever this voter has applied, leader or not; the answer says its version (GS-CP-24).
    Stale,
}

/// A command was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) reply: Reply,
}

/// What a call is, for its audit line.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) action: &'static str,
    pub(crate) subject: String,
}

impl Intent {
    pub(crate) fn new(action: &'static str, subject: impl Into<String>) -> Self {
        Self { action, subject: subject.into() }
    }
}

impl Call {
    /// Looks at the state as of now, as whoever the token's user is.
    pub(crate) async fn look<R: Send + 'static>(
        &self,
        intent: Intent,
        look: impl FnOnce(&Caller<'_>, &State) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, Error> {
        let credential = self.credential(&intent).await?;
        if self.freshness == Freshness::Linearizable {
            self.plane.barrier().await?;
        }
        let now = self.plane.clock.wall();
        let judge = move |state: &State| look(&state.caller(&credential, now)?, state);
        let seen = self.plane.read(judge).await?;
        self.plane.metrics.count_decision(&seen);
        match seen {
            Ok(seen) => Ok(seen),
            Err(refusal) => {
                if refusal.kind() == ErrorKind::Denied {
                    self.record(&intent, &refusal).await;
                }
                Err(Error::Refused(Rejection::from(&refusal)))
            }
        }
    }

    /// Changes the state. What is refused is refused twice: here, so that it does not reach
    /// the log but for its audit line, and when it is applied.
    pub(crate) async fn change(&self, change: Change) -> Result<Done, Error> {
        self.try_out(&change).await?;
        let is_about_access = change.is_about_access();
        let outcome = self.plane.propose(self.origin(), change).await?;
        let reply = outcome.result.map_err(Error::Refused)?;
        if is_about_access {
            self.in_force(outcome.version).await;
        }
        Ok(Done { reply })
    }

    /// Refuses `change` as it would be refused now, with its audit line.
    pub(crate) async fn try_out(&self, change: &Change) -> Result<(), Error> {
        let intent = Intent::new(change.action(), change.subject());
        self.credential(&intent).await?;
        self.plane.barrier().await?;
        let preview = self.plane.preview(&self.origin(), change).await?;
        self.plane.metrics.count_decision(&preview);
        if let Err(refusal) = preview {
            self.record(&intent, &refusal).await;
            return Err(Error::Refused(Rejection::from(&refusal)));
        }
        Ok(())
    }

    /// Waits until every frontend that is up decides by `version`: who was given a key may
    /// use it at once, who lost it has lost it (P-S3). It is done all the same where one
    /// does not say so in time.
    async fn in_force(&self, version: GrantsVersion) {
        let plane = &self.plane;
        let expected = plane.read(|state| {
            let serves = |node: &&Node| {
                node.roles.contains(&ProcessRole::Frontend) && node.incarnation > Incarnation(0)
            };
            state.nodes().filter(serves).map(|node| node.id).collect::<Vec<_>>()
        });
        let expected = expected.await.unwrap_or_default();
        let is_in_force =
            |fleet: &Fleet| fleet.is_in_force(version, &expected, plane.clock.monotonic());
        let told = plane.fleet.wait(is_in_force);
        if tokio::time::timeout(plane.config.settle_timeout, told).await.is_err() {
            tracing::warn!(version = version.0, "not every frontend has confirmed a change");
        }
    }

    /// SHA-256 of the token, or a refusal with its audit line.
    async fn credential(&self, intent: &Intent) -> Result<[u8; 32], Error> {
        if let Some(token) = &self.token {
            return Ok(token.hash());
        }
        self.plane.metrics.count("missing_token");
        self.record(intent, &Refusal::Denied(Denial::UnknownToken)).await;
        let message = "no token was sent, or one that is none".to_owned();
        Err(Error::Refused(Rejection { kind: ErrorKind::Denied, message, unauthenticated: true }))
    }

    fn origin(&self) -> Origin {
        let request_id = self.request_id.to_string();
        let mut origin = Origin::person(&[0; 32], &request_id, &self.client_addr);
        origin.credential =
            self.token.as_ref().map(|token| token.hash().to_vec()).unwrap_or_default();
        origin
    }

    async fn record(&self, intent: &Intent, refusal: &Refusal) {
        let refusal = RecordRefusal {
            action: intent.action.to_owned(),
            subject: intent.subject.clone(),
            reason: format!("{}: {refusal}", refusal.kind()),
            suppressed: 0,
        };
        let line = Line { origin: self.origin(), refusal };
        self.plane.record_refusal(&self.source(), line).await;
    }

    /// Whose refusals are counted together.
    fn source(&self) -> String {
        match &self.token {
            Some(token) => encode_hex(&token.hash()[..8]),
            None => self.client_addr.clone(),
        }
    }

    /// Waits until pushes to a repository made at `version` in `partition` work through
    /// every frontend that is up.
    pub(crate) async fn settled(
        &self,
        path: &str,
        partition: PartitionId,
        version: GrantsVersion,
    ) -> Result<(), Error> {
        let plane = &self.plane;
        let voters = plane
            .read(move |state| {
                let places = &state.layout().partitions;
                let place = places.iter().find(|place| place.partition == partition);
                place.map(|place| place.voters.clone()).unwrap_or_default()
            })
            .await?;
        let limit = plane.config.settle_timeout;
        let is_settled =
            |fleet: &Fleet| fleet.is_settled(version, &voters, plane.clock.monotonic());
        let settled = plane.fleet.wait(is_settled);
        let unsettled = |_| Error::Unsettled(format!("repository `{path}`"), limit);
        tokio::time::timeout(limit, settled).await.map_err(unsettled)
    }
}
