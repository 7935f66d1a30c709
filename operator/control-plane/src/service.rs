use std::sync::Arc;
use std::time::Duration;

use gitstratum_consensus::{Host, Network};
use gitstratum_core::{Clock, ClusterId, Entropy, GrantsVersion};
use gitstratum_identity::{Authority, Dialer, Guests, Listener};
use gitstratum_process::{Drain, Metrics, TaskGroup};
use gitstratum_store::Engine;
use tokio::net::UnixListener;

use crate::config::Config;
use crate::emptying;
use crate::error::Error;
use crate::founding::{self, Cluster, Founding};
use crate::housekeeping;
use crate::membership;
use crate::plane::Plane;
use crate::recovery::{self, Record};
use crate::rpc::{self, Leaders};
use crate::standing;
use crate::voter::Voter;

/// What a control plane needs.
pub struct Dependencies {
    /// Holds log and state; opened with [`gitstratum_consensus::families`].
    pub engine: Arc<dyn Engine>,
    /// Reaches the other voters.
    pub network: Arc<dyn Network>,
    /// Reaches what they serve, as a control plane.
    pub dialer: Arc<dyn Dialer>,
    /// Expiry of tokens, times of audit lines.
    pub clock: Arc<dyn Clock>,
    /// Tokens, request ids.
    pub entropy: Arc<dyn Entropy>,
    /// Where it counts.
    pub metrics: Metrics,
}

/// Where it is reached.
pub struct Doors {
    /// Nodes, known by their certificates; people with a token too.
    pub nodes: Listener,
    /// Those who have no certificate yet: they can enrol, and nothing else.
    pub guests: Guests,
    /// People on this machine: `DIR/control.sock`, mode 0600. They need a token all the same.
    pub people: Option<UnixListener>,
}

/// One voter of the control plane.
pub struct Service {
    pub(crate) plane: Arc<Plane>,
    pub(crate) leaders: Arc<Leaders>,
}

/// A cheap way in, for the process that runs the service.
#[derive(Clone)]
pub struct Handle {
    plane: Arc<Plane>,
}

impl Service {
    /// Opens the log and waits until somebody leads it: [`Service::prepare`] and
    /// [`Handle::join`], for a voter that needs no other.
    ///
    /// # Errors
    /// As of both; everything is stopped then.
    pub async fn open(config: Config, dependencies: Dependencies) -> Result<Self, Error> {
        let service = Self::prepare(config, dependencies).await?;
        match service.handle().join().await {
            Ok(()) => Ok(service),
            Err(error) => {
                service.stop().await;
                Err(error)
            }
        }
    }

    /// [`Voter::start`] and [`Voter::open`].
    ///
    /// # Errors
    /// As of both.
    pub async fn prepare(config: Config, dependencies: Dependencies) -> Result<Self, Error> {
        Voter::start(config, dependencies)?.open().await
    }

    /// Gives nodes their certificates from `authority`. Without it none can enrol.
    pub fn sign_with(&self, authority: Arc<Authority>) {
        self.plane.sign_with(authority);
    }

    /// Has what is written down beside the data, and is to be when a lost state is brought
    /// back. Without it none can be (S45).
    pub fn record_with(&self, record: Arc<dyn Record>) {
        self.plane.loss.record_with(record);
    }

    /// A way in.
    pub fn handle(&self) -> Handle {
        Handle { plane: Arc::clone(&self.plane) }
    }

    /// Serves until `drain` starts, then finishes open calls and stops. The engine is the
    /// caller's to close.
    ///
    /// # Errors
    /// [`Error::Serve`] or [`Error::Task`] when a part of it ends early; the others are
    /// stopped then.
    pub async fn run(self, doors: Doors, drain: Drain) -> Result<(), Error> {
        let Doors { nodes, guests, people } = doors;
        let mut tasks = TaskGroup::new("control plane");
        let (plane, leaders) = (&self.plane, &self.leaders);
        tasks.spawn(rpc::serve_nodes(Arc::clone(plane), nodes, Arc::clone(leaders), drain.clone()));
        tasks.spawn(rpc::serve_guests(
            Arc::clone(plane),
            guests,
            Arc::clone(leaders),
            drain.clone(),
        ));
        if let Some(people) = people {
            let leaders = Arc::clone(leaders);
            tasks.spawn(rpc::serve_people(Arc::clone(plane), people, leaders, drain.clone()));
        }
        let kept = housekeeping::run(Arc::clone(&self.plane), drain.clone());
        let emptied = emptying::run(Arc::clone(&self.plane), drain.clone());
        let found = recovery::watch(Arc::clone(&self.plane), drain.clone());
        let voters = membership::run(Arc::clone(&self.plane), drain.clone());
        let placed = standing::run(Arc::clone(&self.plane), drain);
        tasks.spawn(async move {
            tokio::join!(kept, emptied, found, voters, placed);
            Ok(())
        });
        let mut result = Ok(());
        while let Some(ended) = tasks.next().await {
            if let Err(error) = ended.map_err(Error::Task).flatten() {
                result = Err(error);
                break;
            }
        }
        drop(tasks);
        self.stop().await;
        result
    }

    /// Stops without having served.
    pub async fn stop(self) {
        self.plane.host.shutdown().await;
    }
}

fn compare(recorded: Option<ClusterId>, found: Option<ClusterId>) -> Result<(), Error> {
    match (recorded, found) {
        (Some(recorded), None) => Err(Error::Lost(recorded)),
        (Some(recorded), Some(found)) if recorded != found => {
            Err(Error::OtherCluster { recorded, found })
        }
        _ => Ok(()),
    }
}

impl Handle {
    /// Waits until somebody leads the log and this voter holds what was acknowledged.
    ///
    /// # Errors
    /// [`Error::Log`] when nobody leads in time; [`Error::Lost`] and [`Error::OtherCluster`]
    /// when the state is not that of the recorded cluster (S45).
    pub async fn join(&self) -> Result<(), Error> {
        let (plane, recorded) = (&self.plane, self.plane.config.recorded_cluster);
        plane.group.wait_for_leader(plane.config.leader_timeout).await.map_err(Error::Log)?;
        plane.barrier().await?;
        let found = plane.read(gitstratum_state::State::cluster).await?;
        let compared = compare(recorded, found);
        if let Err(Error::Lost(cluster)) = &compared {
            plane.loss.mark(*cluster);
        }
        compared
    }

    /// The log's host, for whoever watches over the process.
    pub fn host(&self) -> Arc<Host> {
        Arc::clone(&self.plane.host)
    }

    /// Hands leadership to another voter, if this one has it and another is ready within
    /// `within`, and takes it no more: before the process stops.
    pub async fn leave(&self, within: Duration) {
        self.plane.host.leave(within).await;
    }

    /// Whether this voter leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.plane.group.is_leader()
    }

    /// Which cluster this is; `None` until it is founded.
    ///
    /// # Errors
    /// [`Error::Read`] without a leader.
    pub async fn cluster(&self) -> Result<Option<Cluster>, Error> {
        founding::cluster(&self.plane).await
    }

    /// Founds the cluster: its layout, user `admin` with the token, repository `demo/hello`.
    /// The secrets must be written down before.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is a cluster already; [`Error::Propose`].
    pub async fn found(&self, founding: &Founding) -> Result<Cluster, Error> {
        founding::found(&self.plane, founding).await
    }

    /// Makes what a founding that was cut short has not made. Harmless on a whole one, but
    /// it would bring back a first repository that somebody deleted: call it only while the
    /// cluster id is not yet recorded.
    ///
    /// # Errors
    /// As [`Handle::found`].
    pub async fn finish_founding(&self) -> Result<Cluster, Error> {
        founding::finish(&self.plane).await
    }

    /// Whether the directory has the token with SHA-256 `hash`, in force or expired.
    ///
    /// # Errors
    /// [`Error::Task`].
    pub async fn knows_token(&self, hash: [u8; 32]) -> Result<bool, Error> {
        self.plane.read(move |state| state.token(&hash).is_some()).await
    }

    /// Version of the streamed state on this voter.
    ///
    /// # Errors
    /// [`Error::Task`].
    pub async fn version(&self) -> Result<GrantsVersion, Error> {
        self.plane.read(gitstratum_state::State::version).await
    }

    /// Whether calls can be answered: somebody leads, as far as is known here.
    pub fn has_leader(&self) -> bool {
        self.plane.group.status().leader.is_some()
    }

    /// The whole state for people, without secrets (GS-CP-45).
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Task`].
    pub async fn export(&self) -> Result<serde_json::Value, Error> {
        self.plane.barrier().await?;
        self.plane.read(gitstratum_state::State::to_json).await
    }
}
