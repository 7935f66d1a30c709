//! The node's certificates, one for each role: made from the cluster's authority, which
//! lies in the data directory, and renewed in time (S46).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gitstratum_core::{Clock, ClusterId, Entropy, NodeId, ProcessRole, UnixMillis};
use gitstratum_identity::{Authority, Credentials, InternalTls, NodeKey, Peer, PemFile};
use gitstratum_process::Drain;
use parking_lot::Mutex;

/// How often it is looked whether a certificate is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The certificates of all roles of a node, in use.
pub(super) struct Certificates {
    issuer: Issuer,
    roles: BTreeMap<ProcessRole, Role>,
}

struct Role {
    tls: Arc<InternalTls>,
    renew_at: Mutex<UnixMillis>,
}

/// What makes certificates for one node.
struct Issuer {
    authority: Authority,
    cluster: ClusterId,
    node: NodeId,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Issuer {
    fn issue(&self, role: ProcessRole) -> Result<Credentials> {
        let key = NodeKey::generate()?;
        let peer = Peer { cluster: self.cluster, role, node: self.node };
        let request = key.signing_request()?;
        let now = self.clock.wall();
        let certificate = self.authority.sign(peer, &request, now, self.entropy.as_ref())?;
        let name = format!("the certificate of {peer}");
        let key_pem = key.pem();
        let certificate = PemFile { name: &name, bytes: certificate.as_bytes() };
        let key = PemFile { name: &name, bytes: key_pem.as_bytes() };
        Ok(Credentials::load(&certificate, &key)?)
    }
}

impl Certificates {
    /// Makes one for every role of `node`.
    pub(super) fn issue(
        authority: Authority,
        (cluster, node): (ClusterId, NodeId),
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>> {
        let trusted = authority.certificate_pem().to_owned();
        let trusted = PemFile { name: "ca.crt", bytes: trusted.as_bytes() };
        let issuer = Issuer { authority, cluster, node, clock, entropy };
        let make = |role| {
            let credentials = issuer.issue(role)?;
            let tls = InternalTls::new(&credentials, &trusted, Arc::clone(&issuer.clock))?;
            Ok((role, Role { tls: Arc::new(tls), renew_at: Mutex::new(credentials.renew_at()) }))
        };
        let roles = ProcessRole::ALL.into_iter().map(make).collect::<Result<_>>()?;
        Ok(Arc::new(Self { issuer, roles }))
    }

    /// TLS as `role` of this node.
    pub(super) fn tls(&self, role: ProcessRole) -> Result<Arc<InternalTls>> {
        let role = self.roles.get(&role).with_context(|| format!("{role} has no certificate"))?;
        Ok(Arc::clone(&role.tls))
    }

    /// Renews each at two thirds of its time, until the drain starts. A connection that is
    /// open stays; the next handshake shows the new one.
    pub(super) async fn keep(self: Arc<Self>, drain: Drain) {
        loop {
            for (role, held) in &self.roles {
                if self.issuer.clock.wall() >= *held.renew_at.lock() {
                    self.renew(*role, held);
                }
            }
            tokio::select! {
                biased;
                () = drain.started() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn renew(&self, role: ProcessRole, held: &Role) {
        match self.issuer.issue(role) {
            Ok(credentials) => {
                held.tls.replace(&credentials);
                *held.renew_at.lock() = credentials.renew_at();
                tracing::info!(%role, "certificate renewed");
            }
            Err(error) => {
                tracing::error!(%role, error = %format!("{error:#}"), "certificate not renewed");
            }
        }
    }
}
