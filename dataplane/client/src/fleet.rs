//! What an agent asks of the control plane: registration, the one stream of state, and
//! reports (design §7). Any voter answers; the caller goes from one to the next.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{ErrorKind, GrantsVersion, NodeId};
use gitstratum_identity::{Dialer, Service};
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::control::v1::enrolment_client::EnrolmentClient;
use gitstratum_proto::control::v1::fleet_client::FleetClient;
use gitstratum_proto::control::v1::{
    Certificate, EnrolRequest, EnrolResponse, LogAuditRequest, Node, RegisterNodeRequest,
    RenewRequest, ReportRequest, SnapshotUpdate, WatchRequest,
};
use tonic::{Status, Streaming};

use crate::grpc::{self, Channel};

/// Longest wait for one report or registration, or for a stream to begin.
const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// Longest wait for an enrolment: a log entry, and a pause when it is refused.
const ENROL_DEADLINE: Duration = Duration::from_secs(10);

/// Why a call to the control plane failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The voter refused, or the connection broke.
    #[error("control plane on node {node}: {}", status.message())]
    Refused {
        /// The voter.
        node: NodeId,
        /// Its answer.
        status: Box<Status>,
    },
    /// No answer in time.
    #[error("control plane on node {node} did not answer in time")]
    Deadline {
        /// The voter.
        node: NodeId,
    },
}

impl Error {
    /// Whether the call itself cannot be: no voter will ever take it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if grpc::kind(status) == ErrorKind::Invalid)
    }
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { status, .. } => grpc::kind(status),
            Self::Deadline { .. } => ErrorKind::Unavailable,
        }
    }
}

/// Asks the control plane behind `door` for certificates by the join token.
///
/// # Errors
/// When it refuses or does not answer. The node is then unknown: it is called 0.
pub async fn enrol(door: Arc<dyn Dialer>, request: EnrolRequest) -> Result<EnrolResponse, Error> {
    let nobody = Voter::new(door, NodeId(request.node));
    let mut enrolment = EnrolmentClient::new(nobody.channel.clone());
    let sent = tokio::time::timeout(ENROL_DEADLINE, enrolment.enrol(request)).await;
    let answer = sent.map_err(|_| nobody.late())?.map_err(|status| nobody.refused(status))?;
    Ok(answer.into_inner())
}

/// One voter of the control plane, as an agent sees it.
#[derive(Clone)]
pub struct Voter {
    node: NodeId,
    channel: Channel,
}

impl fmt::Debug for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Voter").field(&self.node).finish()
    }
}

impl Voter {
    /// The voter on `node`, dialled when first asked.
    pub fn new(dialer: Arc<dyn Dialer>, node: NodeId) -> Self {
        Self { node, channel: grpc::channel(dialer, node, Service::Control) }
    }

    /// Where it is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Registers a node and follows the state from `from_version` on.
    ///
    /// # Errors
    /// When the voter refuses or does not answer.
    pub async fn follow(&self, record: Node, from_version: u64) -> Result<Updates, Error> {
        let mut fleet = self.client();
        let watch = WatchRequest { node: record.id, from_version };
        let register = RegisterNodeRequest { node: Some(record) };
        let registered = tokio::time::timeout(CALL_DEADLINE, fleet.register_node(register)).await;
        registered.map_err(|_| self.late())?.map_err(|status| self.refused(status))?;
        let begun = tokio::time::timeout(CALL_DEADLINE, fleet.watch(watch)).await;
        let stream = begun.map_err(|_| self.late())?.map_err(|status| self.refused(status))?;
        Ok(Updates { voter: self.clone(), stream: stream.into_inner() })
    }

    /// Tells what the processes of a node have applied; returns the version that the voter
    /// is at.
    ///
    /// # Errors
    /// When the voter refuses or does not answer.
    pub async fn report(&self, report: ReportRequest) -> Result<GrantsVersion, Error> {
        let mut fleet = self.client();
        let sent = tokio::time::timeout(CALL_DEADLINE, fleet.report(report)).await;
        let sent = sent.map_err(|_| self.late())?;
        let answer = sent.map_err(|status| self.refused(status))?;
        Ok(GrantsVersion(answer.into_inner().version))
    }

    /// New certificates for the caller's node, by the one that it shows.
    ///
    /// # Errors
    /// When the voter refuses or does not answer.
    pub async fn renew(&self, request: RenewRequest) -> Result<Vec<Certificate>, Error> {
        let mut fleet = self.client();
        let sent = tokio::time::timeout(CALL_DEADLINE, fleet.renew(request)).await;
        let sent = sent.map_err(|_| self.late())?;
        let answer = sent.map_err(|status| self.refused(status))?;
        Ok(answer.into_inner().certificates)
    }

    /// Has logins that were refused written to the audit log.
    ///
    /// # Errors
    /// When the voter refuses or does not answer: they may have been written.
    pub async fn log_audit(&self, request: LogAuditRequest) -> Result<(), Error> {
        let mut fleet = self.client();
        let sent = tokio::time::timeout(CALL_DEADLINE, fleet.log_audit(request)).await;
        let sent = sent.map_err(|_| self.late())?;
        sent.map(drop).map_err(|status| self.refused(status))
    }

    fn client(&self) -> FleetClient<Channel> {
        FleetClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn late(&self) -> Error {
        Error::Deadline { node: self.node }
    }

    fn refused(&self, status: Status) -> Error {
        Error::Refused { node: self.node, status: Box::new(status) }
    }
}

/// The stream of state from one voter.
#[derive(Debug)]
pub struct Updates {
    voter: Voter,
    stream: Streaming<SnapshotUpdate>,
}

impl Updates {
    /// The next message; `None` when the voter closed the stream. A state that does not
    /// change sends none: the caller bounds the wait by what reports are answered. Giving
    /// the future up loses no message.
    ///
    /// # Errors
    /// When the stream broke.
    pub async fn next(&mut self) -> Result<Option<SnapshotUpdate>, Error> {
        self.stream.message().await.map_err(|status| self.voter.refused(status))
    }
}
