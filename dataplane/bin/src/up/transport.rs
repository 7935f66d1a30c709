//! How the roles of a node reach each other and those of other nodes: inside the process
//! for a node that is alone, else over TCP with mutual TLS. The roles see no difference.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use gitstratum_client::raft;
use gitstratum_consensus::{BoxFuture, GroupId, Network, NetworkError, NoNetwork};
use gitstratum_core::{ErrorKind, NodeId, ProcessRole};
use gitstratum_identity::transport::{
    Admitted, GuestDialer, TcpDialer, listen_open_tcp, listen_tcp,
};
use gitstratum_identity::{Dialer, GuestTls, Guests, Listener, LocalNetwork, Peer, Service};
use gitstratum_process::{Drain, Metrics};
use gitstratum_proto::control::v1::NodeEndpoint;

use super::book::{Book, ControlDialer};
use super::certificates::Certificates;

/// Most connections to one service of a node.
const CONNECTIONS_MAX: usize = 1_024;

/// The way to services.
pub(super) enum Transport {
    /// There is one node.
    Inside(LocalNetwork),
    /// There are others.
    Between(Box<Between>),
}

/// What a node with others has.
pub(super) struct Between {
    pub(super) certificates: Arc<Certificates>,
    /// Where this node's services listen.
    pub(super) own: BTreeMap<Service, SocketAddr>,
    /// Where others reach them.
    pub(super) shown: BTreeMap<Service, SocketAddr>,
    pub(super) book: Arc<Book>,
}

impl Transport {
    /// Connections as `peer`.
    pub(super) fn dialer(&self, peer: Peer) -> Result<Arc<dyn Dialer>> {
        match self {
            Self::Inside(network) => Ok(network.dialer(peer)),
            Self::Between(between) => {
                let tls = between.certificates.tls(peer.role)?;
                Ok(Arc::new(TcpDialer::new(tls, Arc::clone(&between.book) as _)))
            }
        }
    }

    /// A listener of `service` of `node`, which is this one.
    pub(super) async fn listen(
        &self,
        (node, service): (NodeId, Service),
        metrics: &Metrics,
        drain: &Drain,
    ) -> Result<Listener> {
        let listening = || format!("listening for {}", service.as_str());
        match self {
            Self::Inside(network) => network
                .listen(node, service, CONNECTIONS_MAX, drain.clone())
                .with_context(listening),
            Self::Between(between) => {
                let address = between.listens_on(service)?;
                let bound = tokio::net::TcpListener::bind(address).await;
                let bound = bound.with_context(|| format!("{} on {address}", listening()))?;
                let tls = between.certificates.tls(service.served_by())?;
                let admitted =
                    Admitted { roles: guests(service), connections_max: CONNECTIONS_MAX };
                listen_tcp(bound, service, &tls, admitted, metrics, drain.clone())
                    .with_context(listening)
            }
        }
    }

    /// A listener of the control plane of `node`, which is this one: for nodes, and for those
    /// who have yet to enrol.
    pub(super) async fn listen_control(
        &self,
        node: NodeId,
        metrics: &Metrics,
        drain: &Drain,
    ) -> Result<(Listener, Guests)> {
        let service = Service::Control;
        let Self::Between(between) = self else {
            return Ok((self.listen((node, service), metrics, drain).await?, Guests::none()));
        };
        let address = between.listens_on(service)?;
        let bound = tokio::net::TcpListener::bind(address).await;
        let bound = bound.with_context(|| format!("listening for control on {address}"))?;
        let tls = between.certificates.tls(ProcessRole::Control)?;
        let admitted = Admitted { roles: guests(service), connections_max: CONNECTIONS_MAX };
        listen_open_tcp(bound, service, &tls, admitted, metrics, drain.clone())
            .context("listening for control")
    }

    /// The way between the voters that serve `service`, as `peer`.
    pub(super) fn raft(&self, peer: Peer, service: Service) -> Result<Arc<dyn Network>> {
        match self {
            Self::Inside(_) => Ok(Arc::new(NoNetwork)),
            Self::Between(_) => {
                Ok(Arc::new(Voters(raft::Voters::new(self.dialer(peer)?, service))))
            }
        }
    }
}

impl Between {
    fn listens_on(&self, service: Service) -> Result<SocketAddr> {
        let address = self.own.get(&service).copied();
        address.with_context(|| format!("no address to listen on for {}", service.as_str()))
    }

    /// The ways to the control planes that were named, this node's first, for who has no
    /// certificate yet.
    pub(super) fn doors(&self, tls: &GuestTls) -> Vec<Arc<dyn Dialer>> {
        let own = self.own.get(&Service::Control).map(ToString::to_string);
        let others = self.book.doors().into_iter().filter(|door| Some(door) != own.as_ref());
        let all = own.iter().cloned().chain(others);
        all.map(|door| Arc::new(GuestDialer::new(tls.clone(), door)) as _).collect()
    }

    /// The ways to as many control planes as may be known, as this node's agent.
    pub(super) fn controls(&self) -> Result<Vec<Arc<dyn Dialer>>> {
        let tls = self.certificates.tls(ProcessRole::Agent)?;
        let way = |number| {
            let (tls, book) = (Arc::clone(&tls), Arc::clone(&self.book));
            Arc::new(ControlDialer { tls, book, number }) as _
        };
        Ok((0..self.book.ways_max()).map(way).collect())
    }

    /// What the node tells of its services.
    pub(super) fn endpoints(&self) -> Vec<NodeEndpoint> {
        let shown = self.shown.iter().map(|(service, address)| NodeEndpoint {
            service: service.as_str().to_owned(),
            address: address.to_string(),
        });
        shown.collect()
    }
}

/// The roles that may use a service. People come to the control plane with a token, through
/// a socket that is joined with it as the control plane itself.
const fn guests(service: Service) -> &'static [ProcessRole] {
    match service {
        Service::Control => &[ProcessRole::Agent, ProcessRole::Control],
        Service::ControlRaft => &[ProcessRole::Control],
        Service::Metadata => &[
            ProcessRole::Frontend,
            ProcessRole::Metadata,
            ProcessRole::Object,
            ProcessRole::Control,
        ],
        Service::MetadataRaft => &[ProcessRole::Metadata],
        // Frontends give pushes up (S12), leaders have copies made (S21).
        Service::Object => &[
            ProcessRole::Frontend,
            ProcessRole::Metadata,
            ProcessRole::Object,
            ProcessRole::Control,
        ],
        Service::Bulk => &[ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object],
    }
}

/// The log's way to its other voters.
struct Voters(Arc<raft::Voters>);

impl Network for Voters {
    fn send(
        &self,
        _: GroupId,
        target: NodeId,
        message: bytes::Bytes,
    ) -> BoxFuture<'static, Result<bytes::Bytes, NetworkError>> {
        let voters = Arc::clone(&self.0);
        Box::pin(async move {
            voters.send(target, message).await.map_err(|error| match error.kind() {
                ErrorKind::Unavailable => NetworkError::Unreachable(error.to_string()),
                _ => NetworkError::Lost(error.to_string()),
            })
        })
    }
}
