//! How a node comes by its certificates and keeps them in force (S46): by the join token the
//! first time, by the certificate that it has every other time. Its keys are made here and
//! never leave the node.

mod identity;
mod keep;
mod leniency;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::fleet::{self, Voter};
use gitstratum_core::{
    Clock, ClusterId, ErrorKind, Incarnation, NodeId, ProcessRole, Token, UnixMillis,
};
use gitstratum_identity::{Dialer, InternalTls};
use gitstratum_process::failpoint;
use gitstratum_proto::control::v1::{EnrolRequest, RenewRequest};
use gitstratum_store::Files;
use parking_lot::Mutex;

use crate::{Error, incarnation};
use identity::{Drawn, Identity, Loaded};
pub(crate) use keep::keep;

/// Longest wait for the first certificates. Who is new while the control plane is away
/// waits longer: whoever started it starts it again (S46).
const ENROL_WITHIN: Duration = Duration::from_secs(30);
/// First and longest pause between two tries.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// How a node joins its cluster.
pub struct Joining {
    /// Folder of the agent, where keys and certificates are kept.
    pub directory: PathBuf,
    /// The node, if it has an id; a new one is given one.
    pub node: Option<NodeId>,
    /// What it is to have certificates for, besides its agent.
    pub roles: Vec<ProcessRole>,
    /// What a new node is besides, without a certificate from the control plane.
    pub bare_roles: Vec<ProcessRole>,
    /// What lets it in.
    pub token: Token,
    /// The certificate of the cluster's authority, PEM: known beforehand, with the token.
    pub authority_pem: String,
    /// Control planes, tried in turn.
    pub doors: Vec<Arc<dyn Dialer>>,
}

impl std::fmt::Debug for Joining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { directory, node, roles, .. } = self;
        let mut shown = f.debug_struct("Joining");
        shown.field("directory", directory).field("node", node).field("roles", roles);
        shown.finish_non_exhaustive()
    }
}

/// A node's keys and certificates, in use.
pub struct Enrolment {
    joining: Joining,
    node: NodeId,
    cluster: ClusterId,
    files: Arc<dyn Files>,
    clock: Arc<dyn Clock>,
    tls: BTreeMap<ProcessRole, Arc<InternalTls>>,
    term: Mutex<Term>,
}

/// How long the certificates hold; they were made together.
#[derive(Clone, Copy, Debug)]
struct Term {
    renew_at: UnixMillis,
    not_after: UnixMillis,
}

impl Enrolment {
    /// Takes up what is on disk, or enrols.
    ///
    /// # Errors
    /// When the token is refused, nobody answers in time, or what is on disk is another
    /// node's or another cluster's, or damaged where nothing else says which node this is: that
    /// is left as it is.
    pub async fn open(
        joining: Joining,
        files: Arc<dyn Files>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Error> {
        let cluster = identity::cluster_of(&joining.authority_pem)?;
        let (disk, directory) = (Arc::clone(&files), joining.directory.clone());
        let loaded = blocking(move || {
            let is_counted = incarnation::is_kept(disk.as_ref(), &directory)?;
            Ok((identity::load(disk.as_ref(), &directory)?, is_counted))
        });
        let (loaded, is_counted) = loaded.await?;
        let identity = match loaded {
            Loaded::Sound(identity) => {
                identity.expect(cluster, joining.node, &joining.directory)?;
                identity.expect_roles(&roles(&joining), &joining.directory)?;
                if is_counted {
                    *identity
                } else {
                    let path = joining.directory.display();
                    tracing::error!(%path, "the count of starts is lost: the node enrols again");
                    first(&joining, Some(identity.node), &files).await?
                }
            }
            Loaded::Nothing => first(&joining, joining.node, &files).await?,
            Loaded::Damaged if joining.node.is_none() => {
                let path = identity::path(&joining.directory);
                return Err(Error::DamagedIdentity { path });
            }
            Loaded::Damaged => {
                let path = joining.directory.display();
                tracing::error!(%path, "the node's keys are damaged: it enrols again");
                first(&joining, joining.node, &files).await?
            }
        };
        let (credentials, term) = identity.credentials()?;
        let authority = identity.authority();
        let tls = credentials.iter().map(|(role, credentials)| {
            let tls = InternalTls::new(credentials, &authority, Arc::clone(&clock))?;
            Ok((*role, Arc::new(tls)))
        });
        let tls = tls.collect::<Result<_, Error>>()?;
        let (node, term) = (identity.node, Mutex::new(term));
        Ok(Arc::new(Self { joining, node, cluster, files, clock, tls, term }))
    }

    /// The node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Its cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// TLS as a role of the node; `None` of one that it did not enrol for.
    pub fn tls(&self, role: ProcessRole) -> Option<Arc<InternalTls>> {
        self.tls.get(&role).cloned()
    }

    /// Whether it is time for new certificates.
    fn is_due(&self) -> bool {
        self.clock.wall() >= self.term.lock().renew_at
    }

    fn tolerate(&self, expired_by: Duration) {
        self.tls.values().for_each(|tls| tls.tolerate(expired_by));
    }

    /// New keys and certificates, durable, then in use. Open connections stay.
    async fn renew(&self, voters: &[Voter], grace: Duration) -> Result<(), Error> {
        let drawn = Drawn::new(&roles(&self.joining))?;
        let ran_out = self.clock.wall().0.saturating_sub(self.term.lock().not_after.0);
        let identity = if Duration::from_millis(ran_out) > grace {
            by_token(&self.joining, Some(self.node), drawn).await?.0
        } else {
            let certificates = self.ask(voters, &drawn).await?;
            drawn.finish((self.cluster, self.node), &self.joining.authority_pem, certificates)?
        };
        let (credentials, term) = identity.credentials()?;
        store(&self.files, &self.joining, identity).await?;
        for (role, credentials) in &credentials {
            if let Some(tls) = self.tls.get(role) {
                tls.replace(credentials);
            }
        }
        *self.term.lock() = term;
        tracing::info!(node = %self.node, until = term.not_after.0, "the node's certificates are renewed");
        Ok(())
    }

    /// Certificates from whichever voter gives them.
    async fn ask(
        &self,
        voters: &[Voter],
        drawn: &Drawn,
    ) -> Result<Vec<gitstratum_proto::control::v1::Certificate>, Error> {
        let mut last = None;
        for voter in voters {
            let request = RenewRequest { node: self.node.0, requests: drawn.requests() };
            match voter.renew(request).await {
                Ok(certificates) => return Ok(certificates),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(Error::NoControl, Error::Enrol))
    }
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { node, cluster, term, .. } = self;
        let mut shown = f.debug_struct("Enrolment");
        shown.field("node", node).field("cluster", cluster).field("term", &term.lock());
        shown.finish_non_exhaustive()
    }
}

/// The roles that certificates are asked for.
fn roles(joining: &Joining) -> Vec<ProcessRole> {
    let data = joining.roles.iter().copied().filter(|role| *role != ProcessRole::Agent);
    std::iter::once(ProcessRole::Agent).chain(data).collect()
}

/// The first certificates, durable.
async fn first(
    joining: &Joining,
    node: Option<NodeId>,
    files: &Arc<dyn Files>,
) -> Result<Identity, Error> {
    let mut pause = RETRY_FIRST;
    let enrolling = async {
        loop {
            let drawn = Drawn::new(&roles(joining))?;
            match by_token(joining, node, drawn).await {
                Err(Error::Enrol(error)) if is_worth_a_retry(&error) => {
                    tracing::warn!(%error, "not enrolled yet");
                }
                Err(Error::NoControl) => {}
                ended => return ended,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_LONGEST);
        }
    };
    let late = Error::NotEnrolled { within: ENROL_WITHIN };
    let enrolled = tokio::time::timeout(ENROL_WITHIN, enrolling).await.map_err(|_| late)??;
    let (identity, known) = enrolled;
    // First: who has keys goes on from what the disk says.
    let (disk, directory) = (Arc::clone(files), joining.directory.clone());
    blocking(move || incarnation::continue_from(disk.as_ref(), &directory, known)).await?;
    failpoint!("agent.identity.before_store");
    store(files, joining, identity.clone()).await?;
    tracing::info!(node = %identity.node, "enrolled");
    Ok(identity)
}

fn is_worth_a_retry(error: &fleet::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Busy)
}

/// Certificates by the join token, and the last start that is known of the node.
async fn by_token(
    joining: &Joining,
    node: Option<NodeId>,
    drawn: Drawn,
) -> Result<(Identity, Incarnation), Error> {
    let mut last = None;
    for door in &joining.doors {
        let request = EnrolRequest {
            token: joining.token.expose().to_owned(),
            node: node.map_or(0, |node| node.0),
            requests: drawn.requests(),
            bare_roles: joining.bare_roles.iter().map(|role| role.as_str().to_owned()).collect(),
        };
        match fleet::enrol(Arc::clone(door), request).await {
            Ok(answer) => {
                let cluster = identity::cluster_of(&joining.authority_pem)?;
                let given = NodeId(answer.node);
                let is_other = node.is_some_and(|node| node != given);
                if is_other || answer.cluster_id != cluster.0.as_slice() {
                    return Err(Error::Answer("names another node or cluster"));
                }
                let (whose, authority) = ((cluster, given), &joining.authority_pem);
                let identity = drawn.finish(whose, authority, answer.certificates)?;
                return Ok((identity, Incarnation(answer.incarnation)));
            }
            Err(error) if is_worth_a_retry(&error) => last = Some(error),
            Err(error) => return Err(Error::Enrol(error)),
        }
    }
    Err(last.map_or(Error::NoControl, Error::Enrol))
}

async fn store(files: &Arc<dyn Files>, joining: &Joining, identity: Identity) -> Result<(), Error> {
    let (files, directory) = (Arc::clone(files), joining.directory.clone());
    blocking(move || identity::store(files.as_ref(), &directory, &identity)).await
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    gitstratum_process::blocking(run).await.map_err(|_| Error::Interrupted)?
}

#[cfg(test)]
mod tests;
