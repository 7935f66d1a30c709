//! The certificates of a node's roles. The control plane signs its own: it has the cluster's
//! authority, and no other role is given it. The others enrol with it (S46).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use gitstratum_agent::{Enrolment, News};
use gitstratum_core::{Clock, Entropy, ProcessRole, UnixMillis};
use gitstratum_identity::{Authority, Credentials, InternalTls, NodeKey, Peer, PemFile};
use gitstratum_process::Drain;
use parking_lot::Mutex;

/// How often it is looked whether the control plane's certificate is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The certificates of all roles of a node, in use.
#[derive(Default)]
pub(super) struct Certificates {
    /// `None` on a node without a control plane.
    control: Option<Control>,
    node: OnceLock<Arc<Enrolment>>,
}

/// Those of the control plane.
struct Control {
    issuer: Issuer,
    tls: Arc<InternalTls>,
    renew_at: Mutex<UnixMillis>,
}

/// What makes those of the control plane on this node.
struct Issuer {
    authority: Arc<Authority>,
    peer: Peer,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Issuer {
    fn issue(&self) -> Result<Credentials> {
        let key = NodeKey::generate()?;
        let (request, now) = (key.signing_request()?, self.clock.wall());
        let certificate = self.authority.sign(self.peer, &request, now, self.entropy.as_ref())?;
        let name = format!("the certificate of {}", self.peer);
        let key_pem = key.pem();
        let certificate = PemFile { name: &name, bytes: certificate.as_bytes() };
        let key = PemFile { name: &name, bytes: key_pem.as_bytes() };
        Ok(Credentials::load(&certificate, &key)?)
    }
}

impl Certificates {
    /// Makes the control plane's, as `peer`. The other roles have none before
    /// [`Certificates::enrolled`].
    pub(super) fn of_control(
        authority: Arc<Authority>,
        peer: Peer,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>> {
        let trusted = authority.certificate_pem().to_owned();
        let trusted = PemFile { name: "ca.crt", bytes: trusted.as_bytes() };
        let issuer = Issuer { authority, peer, clock, entropy };
        let credentials = issuer.issue()?;
        let tls = InternalTls::new(&credentials, &trusted, Arc::clone(&issuer.clock))?;
        let renew_at = Mutex::new(credentials.renew_at());
        let control = Some(Control { issuer, tls: Arc::new(tls), renew_at });
        Ok(Arc::new(Self { control, node: OnceLock::new() }))
    }

    /// What the control plane signs with, if it is on this node.
    pub(super) fn authority(&self) -> Option<Arc<Authority>> {
        self.control.as_ref().map(|control| Arc::clone(&control.issuer.authority))
    }

    /// The node has its own.
    pub(super) fn enrolled(&self, node: Arc<Enrolment>) {
        if self.node.set(node).is_err() {
            tracing::debug!("the node has enrolled before");
        }
    }

    /// Those that the node's agent keeps.
    pub(super) fn enrolment(&self) -> Option<Arc<Enrolment>> {
        self.node.get().cloned()
    }

    /// TLS as `role` of this node.
    pub(super) fn tls(&self, role: ProcessRole) -> Result<Arc<InternalTls>> {
        let tls = match role {
            ProcessRole::Control => self.control.as_ref().map(|control| Arc::clone(&control.tls)),
            role => self.node.get().and_then(|node| node.tls(role)),
        };
        tls.with_context(|| format!("{role} has no certificate"))
    }

    /// Renews the control plane's at two thirds of its time, until the drain starts. Who asks
    /// it for a new one may show one that ran out during `offlineGrace`.
    pub(super) async fn keep(self: Arc<Self>, news: News, drain: Drain) {
        let Some(control) = &self.control else { return };
        loop {
            control.tls.tolerate(news.offline_grace());
            if control.issuer.clock.wall() >= *control.renew_at.lock() {
                control.renew();
            }
            tokio::select! {
                biased;
                () = drain.started() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl Control {
    fn renew(&self) {
        match self.issuer.issue() {
            Ok(credentials) => {
                self.tls.replace(&credentials);
                *self.renew_at.lock() = credentials.renew_at();
                tracing::info!("the control plane's certificate is renewed");
            }
            Err(error) => {
                tracing::error!(error = %format!("{error:#}"), "certificate not renewed");
            }
        }
    }
}
