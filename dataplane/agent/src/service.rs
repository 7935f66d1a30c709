use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::cluster::Snapshot;
use gitstratum_client::fleet::Voter;
use gitstratum_core::{Clock, Incarnation, NodeId};
use gitstratum_process::{Drain, spawn};
use gitstratum_proto::control::v1::Node;
use gitstratum_store::Files;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};

use crate::enrol::{self, Enrolment};
use crate::heartbeat::{self, Reports};
use crate::refusals::{self, Spool};
use crate::rpc::{self, Listener, Socket};
use crate::silence::{self, Silence};
use crate::snapshot::Store;
use crate::watch::{self as stream, Known};
use crate::{Config, Error, incarnation};

/// What an agent works with.
pub struct Deps {
    /// The node.
    pub node: NodeId,
    /// Voters of the control plane, tried in turn, as this node's agent.
    pub voters: Vec<Voter>,
    /// What the node registers as.
    pub record: Node,
    /// The disk.
    pub files: Arc<dyn Files>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The node's certificates, to be kept in force; none where there is no other node.
    pub enrolment: Option<Arc<Enrolment>>,
    /// Connections of the other roles, where all are one process; else they come by the socket.
    pub inside: Option<mpsc::Receiver<DuplexStream>>,
}

/// Whether the control plane is heard, for the other parts of the process.
#[derive(Clone)]
pub struct News(Arc<Known>);

impl News {
    /// How long credentials are good without news (S46).
    pub fn offline_grace(&self) -> Duration {
        self.0.offline_grace()
    }

    /// What the control plane last streamed, with changes told.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.watch()
    }
}

/// The sidecar of one node.
pub struct Service {
    config: Config,
    node: NodeId,
    record: Node,
    incarnation: Incarnation,
    voters: Vec<Voter>,
    known: Arc<Known>,
    silence: Arc<Silence>,
    refusals: Arc<Spool>,
    enrolment: Option<Arc<Enrolment>>,
    listener: Listener,
}

impl Service {
    /// Raises the incarnation, reads the last snapshot and makes the socket.
    ///
    /// # Errors
    /// When the configuration is wrong, or files or the socket cannot be used.
    pub async fn open(config: Config, deps: Deps) -> Result<Self, Error> {
        config.validate().map_err(Error::Config)?;
        let (files, directory) = (Arc::clone(&deps.files), config.directory.clone());
        let clock = Arc::clone(&deps.clock);
        let opened = gitstratum_process::blocking(move || {
            let incarnation = incarnation::raise(files.as_ref(), &directory)?;
            let silence = Silence::open(Arc::clone(&files), &directory, clock)?;
            let refusals = Spool::open(Arc::clone(&files), &directory)?;
            let store = Store::open(files, &directory)?;
            Ok::<_, Error>((incarnation, store, Arc::new(silence), Arc::new(refusals)))
        });
        let (incarnation, store, silence, refusals) =
            opened.await.map_err(|_| Error::Interrupted)??;
        let grace = config.offline_grace;
        let record = Node { incarnation: incarnation.0, ..deps.record };
        Ok(Self {
            listener: match deps.inside {
                Some(queue) => Listener::Inside(queue),
                None => Listener::Socket(rpc::listen(&config.socket)?),
            },
            config,
            node: deps.node,
            record,
            incarnation,
            voters: deps.voters,
            known: Arc::new(Known::new(store, Arc::clone(&silence), deps.clock).with_grace(grace)),
            silence,
            refusals,
            enrolment: deps.enrolment,
        })
    }

    /// How often this node has started.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether the control plane is heard.
    pub fn news(&self) -> News {
        News(Arc::clone(&self.known))
    }

    /// Works until `drain` starts.
    pub async fn run(self, drain: Drain) {
        let reports = Arc::new(Reports::default());
        let watching = spawn(
            "control plane watch",
            stream::run(Arc::clone(&self.known), self.record, self.voters.clone(), drain.clone()),
        );
        let beating = spawn(
            "heartbeat",
            heartbeat::run(
                (Arc::clone(&reports), Arc::clone(&self.known)),
                (self.node, self.incarnation),
                self.voters.clone(),
                self.config.heartbeat_every,
                drain.clone(),
            ),
        );
        let enrolled = self.enrolment.map(|enrolment| {
            let (known, voters) = (Arc::clone(&self.known), self.voters.clone());
            spawn("certificates", enrol::keep(enrolment, known, voters, drain.clone()))
        });
        let shipping =
            refusals::ship(Arc::clone(&self.refusals), self.node, self.voters, drain.clone());
        let shipping = spawn("refusals", shipping);
        let counting = spawn("silence", silence::run(Arc::clone(&self.silence), drain.clone()));
        let socket = Socket {
            node: self.node,
            incarnation: self.incarnation,
            known: self.known,
            reports,
            refusals: self.refusals,
        };
        rpc::serve(socket, self.listener, drain).await;
        drop((watching, beating, counting, shipping, enrolled));
        silence::keep(&self.silence).await;
    }
}
