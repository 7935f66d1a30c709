//! Certificates for nodes: by the join token for one that has none, by the certificate that
//! it has for every other. The authority is here and nowhere else.

use std::collections::BTreeSet;
use std::time::Duration;

use gitstratum_core::{ClusterId, ErrorKind, NodeId, ProcessRole, Token};
use gitstratum_identity::{Authority, Peer};
use gitstratum_process::RequestId;
use gitstratum_proto::control::v1::{
    Certificate, EnrolRequest, EnrolResponse, RenewRequest, RenewResponse, RotateJoinTokenResponse,
    SigningRequest,
};
use gitstratum_state::command::{Change, EnrolNode, Origin, RecordRefusal, SetJoinToken};
use gitstratum_state::record::NodeState;
use gitstratum_state::{Denial, Refusal, Rejection, Reply};

use crate::call::Call;
use crate::error::Error;
use crate::plane::{Line, Plane};

/// Roles that a node can have a certificate for; the control plane makes its own.
const ROLES: [ProcessRole; 4] =
    [ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object, ProcessRole::Agent];
/// Longest signing request, in bytes: one of a P-256 key has about 200.
const REQUEST_BYTES_MAX: usize = 4_096;
/// What a refusal is kept back for. With the number of guests it bounds how many tokens a
/// stranger can try.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Who asks, as far as is known before the token was looked at.
pub(crate) struct From {
    pub(crate) request_id: RequestId,
    pub(crate) client_addr: String,
}

/// Certificates for who has the join token. The enrolment is in the log, with its audit line,
/// before anything is signed.
pub(crate) async fn enrol(
    plane: &Plane,
    request: EnrolRequest,
    from: From,
) -> Result<EnrolResponse, Error> {
    let authority = plane.authority()?;
    let asked = Asked::read(authority, &request.requests)?;
    let origin = Origin::joiner(&from.request_id.to_string(), &from.client_addr);
    let token = Token::parse(&request.token).map(|token| token.hash());
    let change = Change::EnrolNode(EnrolNode {
        join_token: token.map(|hash| hash.to_vec()).unwrap_or_default(),
        id: request.node,
        roles: asked.data_roles().into_iter().chain(bare(request.bare_roles)?).collect(),
    });
    plane.barrier().await?;
    let preview = plane.preview(&origin, &change).await?;
    plane.metrics.count_decision(&preview);
    if let Err(refusal) = preview {
        return Err(refused(plane, (origin, &change), refusal, &from).await);
    }
    let outcome = plane.propose(origin, change).await?;
    let Reply::Node(node) = outcome.result.map_err(Error::Refused)? else {
        return Err(Error::Answer);
    };
    let certificates = asked.sign(plane, authority, node)?;
    tracing::info!(%node, roles = ?asked.roles(), from = from.client_addr, "node enrolled");
    let cluster_id = authority.cluster().0.to_vec().into();
    let known = plane.read(move |state| state.node(node).map(|node| node.incarnation.0)).await?;
    let incarnation = known.unwrap_or_default();
    Ok(EnrolResponse { node: node.0, cluster_id, certificates, incarnation })
}

/// Replaces the join token. Its text is in this answer and nowhere else.
pub(crate) async fn rotate_token(call: Call) -> Result<RotateJoinTokenResponse, Error> {
    let token = Token::generate(&*call.plane.entropy);
    let hash = token.hash().to_vec();
    call.change(Change::SetJoinToken(SetJoinToken { hash })).await?;
    Ok(RotateJoinTokenResponse { token: token.expose().to_owned() })
}

/// Roles that a node has without a certificate from here.
fn bare(roles: Vec<String>) -> Result<Vec<String>, Error> {
    if roles.iter().all(|role| role == ProcessRole::Control.as_str()) && roles.len() <= 1 {
        return Ok(roles);
    }
    let message = "bare roles can only be control, once".to_owned();
    let kind = ErrorKind::Invalid;
    Err(Error::Refused(Rejection { kind, message, unauthenticated: false }))
}

/// The refusal with its audit line, after a pause if a secret was guessed at.
async fn refused(
    plane: &Plane,
    (origin, change): (Origin, &Change),
    refusal: Refusal,
    from: &From,
) -> Error {
    let line = RecordRefusal {
        action: change.action().to_owned(),
        subject: change.subject(),
        reason: format!("{}: {refusal}", refusal.kind()),
        suppressed: 0,
    };
    plane.record_refusal(&from.client_addr, Line { origin, refusal: line }).await;
    if refusal == Refusal::Denied(Denial::JoinToken) {
        tokio::time::sleep(REFUSED_PAUSE).await;
    }
    Error::Refused(Rejection::from(&refusal))
}

/// Certificates for a node whose agent has shown one. Any voter gives them, once it knows
/// whatever was decided about the node: no command is needed, and no leader.
pub(crate) async fn renew(
    plane: &Plane,
    node: NodeId,
    request: RenewRequest,
) -> Result<RenewResponse, Error> {
    let authority = plane.authority()?;
    let asked = Asked::read(authority, &request.requests)?;
    plane.barrier().await?;
    let known = plane.read(move |state| state.node(node).cloned()).await?;
    let known = known.filter(|known| known.state != NodeState::Removed);
    let Some(known) = known else {
        return Err(denied(Refusal::Denied(Denial::RemovedNode)));
    };
    let is_its_own = |role: &ProcessRole| *role == ProcessRole::Agent || known.roles.contains(role);
    if !asked.roles().iter().all(is_its_own) {
        let problem = "are not all the node's".to_owned();
        return Err(denied(Refusal::Invalid { field: "roles", problem }));
    }
    let certificates = asked.sign(plane, authority, node)?;
    tracing::info!(%node, roles = ?asked.roles(), "certificates renewed");
    Ok(RenewResponse { certificates })
}

fn denied(refusal: Refusal) -> Error {
    Error::Refused(Rejection::from(&refusal))
}

/// What is asked for, found to be well-formed.
struct Asked(Vec<(ProcessRole, bytes::Bytes)>);

impl Asked {
    fn read(authority: &Authority, requests: &[SigningRequest]) -> Result<Self, Error> {
        let invalid = |problem: &str| {
            let (kind, message) = (ErrorKind::Invalid, format!("signing requests {problem}"));
            Error::Refused(Rejection { kind, message, unauthenticated: false })
        };
        let mut asked = Vec::new();
        for SigningRequest { role, request } in requests {
            let role = ROLES.into_iter().find(|known| known.as_str() == role);
            let role = role.ok_or_else(|| invalid("name a role that has none"))?;
            if request.len() > REQUEST_BYTES_MAX {
                return Err(invalid("are too long"));
            }
            // Read before an id is drawn for the node: one that does not read costs nothing.
            authority.check(request).map_err(Error::Authority)?;
            asked.push((role, request.clone()));
        }
        let roles: BTreeSet<_> = asked.iter().map(|(role, _)| *role).collect();
        if roles.len() != asked.len() || !roles.contains(&ProcessRole::Agent) {
            return Err(invalid("name a role twice, or not the agent's"));
        }
        Ok(Self(asked))
    }

    fn roles(&self) -> Vec<ProcessRole> {
        self.0.iter().map(|(role, _)| *role).collect()
    }

    /// The roles besides the agent's, as the registry names them.
    fn data_roles(&self) -> Vec<String> {
        let roles = self.0.iter().map(|(role, _)| *role);
        roles.filter(|role| *role != ProcessRole::Agent).map(|r| r.as_str().to_owned()).collect()
    }

    fn sign(
        &self,
        plane: &Plane,
        authority: &Authority,
        node: NodeId,
    ) -> Result<Vec<Certificate>, Error> {
        let cluster: ClusterId = authority.cluster();
        let sign = |(role, request): &(ProcessRole, bytes::Bytes)| {
            let peer = Peer { cluster, role: *role, node };
            let now = plane.clock.wall();
            let pem = authority.sign(peer, request, now, plane.entropy.as_ref())?;
            Ok(Certificate { role: role.as_str().to_owned(), pem })
        };
        self.0.iter().map(sign).collect::<Result<_, _>>().map_err(Error::Authority)
    }
}
