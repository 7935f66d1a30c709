use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_consensus::{Group, GroupId, Host, HostOptions};
use gitstratum_core::{Clock, Entropy, NodeId};
use gitstratum_identity::Dialer;
use gitstratum_process::Metrics;

use crate::config::Config;
use crate::error::Error;
use crate::machine::Machine;
use crate::metric_names::ControlMetrics;
use crate::plane::{Parts, Plane};
use crate::rpc::Leaders;
use crate::service::{Dependencies, Service};

/// The control plane's group, on the engine of its own directory.
const GROUP: GroupId = GroupId(0);

/// Pause before the other voters are asked again what they know of this one.
const ADMISSION_PAUSE: Duration = Duration::from_millis(200);

/// A voter that hears the others, and takes no part yet. Voters ask each other what they
/// know before any of them does (S23), so each has to answer first.
pub struct Voter {
    config: Config,
    host: Arc<Host>,
    dialer: Arc<dyn Dialer>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Metrics,
}

impl Voter {
    /// Starts to answer.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::Log`].
    pub fn start(config: Config, dependencies: Dependencies) -> Result<Self, Error> {
        config.validate()?;
        let Dependencies { engine, network, dialer, clock, entropy, metrics } = dependencies;
        let host = Host::start(HostOptions {
            node: config.node,
            engine,
            network,
            clock: Arc::clone(&clock),
            config: config.consensus.clone(),
        })
        .map_err(Error::Log)?;
        Ok(Self { config, host, dialer, clock, entropy, metrics })
    }

    /// Where messages of other voters go, from now on.
    pub fn receiver(&self) -> Receiver {
        Receiver { host: Arc::clone(&self.host) }
    }

    /// Opens the log, once enough of the others have said what they know of this voter: one
    /// whose disk was emptied or rolled back joins anew. Without a majority of them it waits.
    ///
    /// # Errors
    /// [`Error::Log`] names what is damaged; [`Error::Lost`] when there is no state, but a
    /// recorded cluster (S45): nothing was touched then. One of several voters stays, founds
    /// nothing, and tells every caller so: what is served with other nodes' state goes on.
    pub async fn open(self) -> Result<Service, Error> {
        let Self { config, host, dialer, clock, entropy, metrics } = self;
        let group = match admitted(&host, &config).await {
            Ok(group) => group,
            Err(error) => {
                host.shutdown().await;
                return Err(error);
            }
        };
        let metrics = ControlMetrics::new(&metrics);
        let leading = Arc::clone(&dialer);
        let parts = Parts { config, group, host, clock, entropy, metrics, dialer: leading };
        let plane = Plane::new(parts);
        match begin(&plane).await {
            Ok(()) => Ok(Service { plane, leaders: Leaders::new(dialer) }),
            Err(error) => {
                plane.host.shutdown().await;
                Err(error)
            }
        }
    }
}

/// Opens the group, as often as it takes until enough voters answer.
async fn admitted(host: &Host, config: &Config) -> Result<Group<Machine>, Error> {
    let present = config.present();
    loop {
        match host.open_among(GROUP, Machine::default(), &present).await {
            Err(gitstratum_consensus::Error::NotAdmitted { .. }) => {
                tokio::time::sleep(ADMISSION_PAUSE).await;
            }
            opened => return opened.map_err(Error::Log),
        }
    }
}

/// Takes messages of other voters.
#[derive(Clone)]
pub struct Receiver {
    host: Arc<Host>,
}

impl Receiver {
    /// Answers a message of another voter.
    ///
    /// # Errors
    /// [`Error::Log`] if it cannot be understood, or is not for this voter.
    pub async fn receive(&self, sender: NodeId, message: Bytes) -> Result<Bytes, Error> {
        gitstratum_process::failpoint!(
            "control.log.receive",
            return Err(Error::Busy("the control plane's voters"))
        );
        self.host.receive(sender, message).await.map_err(Error::Log)
    }
}

/// Begins the group, unless it was begun: on one of its first voters, the others hear of it.
async fn begin(plane: &Plane) -> Result<(), Error> {
    // The log itself says whether it was begun, even if nothing of it was applied yet.
    let is_begun = plane.group.is_initialized().await.map_err(Error::Log)?;
    if is_begun || !plane.group.is_new() {
        // A replica that begins a new life learns what the others have.
        return Ok(());
    }
    let Config { voters, node, recorded_cluster, .. } = &plane.config;
    match recorded_cluster {
        Some(cluster) if plane.config.present().len() == 1 => Err(Error::Lost(*cluster)),
        Some(cluster) => {
            plane.loss.mark(*cluster);
            Ok(())
        }
        None if voters.first() == Some(node) => {
            plane.group.initialize(voters).await.map_err(Error::Log)
        }
        None => Ok(()),
    }
}
