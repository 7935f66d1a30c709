//! A cluster's authority for tests.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{Clock, ClusterId, NodeId, ProcessRole, SeededEntropy, UnixMillis};
use rustls::RootCertStore;

use crate::{Authority, Credentials, InternalTls, NodeKey, Peer, PemFile};

pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct Cluster {
    id: ClusterId,
    authority: Authority,
}

impl Cluster {
    pub(crate) fn new(id: u8) -> Self {
        let id = ClusterId([id; 16]);
        let authority = Authority::create(id, NOW, &*SeededEntropy::new(1)).unwrap();
        Self { id, authority }
    }

    pub(crate) fn peer(&self, role: ProcessRole, node: NodeId) -> Peer {
        Peer { cluster: self.id, role, node }
    }

    pub(crate) fn sign(&self, peer: Peer, key: &NodeKey, now: UnixMillis) -> String {
        let request = key.signing_request().unwrap();
        self.authority.sign(peer, &request, now, &*SeededEntropy::new(2)).unwrap()
    }

    pub(crate) fn credentials(
        &self,
        role: ProcessRole,
        node: NodeId,
        now: UnixMillis,
    ) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let (certificate, key_pem) = (self.sign(self.peer(role, node), &key, now), key.pem());
        Credentials::load(
            &PemFile { name: "node.crt", bytes: certificate.as_bytes() },
            &PemFile { name: "node.key", bytes: key_pem.as_bytes() },
        )
        .unwrap()
    }

    pub(crate) fn tls(
        &self,
        role: ProcessRole,
        node: NodeId,
        clock: Arc<dyn Clock>,
    ) -> InternalTls {
        let credentials = self.credentials(role, node, NOW);
        InternalTls::new(&credentials, &self.authority_file(), clock).unwrap()
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority_file().certificates().unwrap().remove(0)).unwrap();
        roots
    }

    pub(crate) fn authority_file(&self) -> PemFile<'_> {
        PemFile { name: "ca.crt", bytes: self.authority.certificate_pem().as_bytes() }
    }
}
