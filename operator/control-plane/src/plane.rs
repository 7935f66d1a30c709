use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::audit::{Granted, Shares};
use gitstratum_consensus::{Group, Host, LogIndex, ProposeError, Role};
use gitstratum_core::{Clock, Entropy};
use gitstratum_identity::{Authority, Dialer};
use gitstratum_process::failpoint;
use gitstratum_state::command::{Change, Command, Origin, RecordRefusal};
use gitstratum_state::{Outcome, Preview, Refusal, State};
use tokio::sync::{Semaphore, watch};

use crate::audit;
use crate::config::Config;
use crate::emptying::Emptier;
use crate::error::Error;
use crate::fleet::Fleet;
use crate::machine::Machine;
use crate::metric_names::ControlMetrics;
use crate::recovery::Loss;

/// How often a proposal whose outcome is unknown is sent again. It carries its request id,
/// so it is applied once at most.
const PROPOSE_TRIES: u32 = 3;
/// Pause before it is sent again.
const PROPOSE_PAUSE: Duration = Duration::from_millis(200);
/// Streams (watches, audit followers) open at a time.
const STREAMS_MAX: usize = 2_000;

/// A refusal on its way to the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) origin: Origin,
    pub(crate) refusal: RecordRefusal,
}

/// What every call of the control plane works with.
pub(crate) struct Plane {
    pub(crate) config: Config,
    pub(crate) group: Group<Machine>,
    pub(crate) host: Arc<Host>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) metrics: ControlMetrics,
    pub(crate) emptier: Emptier,
    pub(crate) streams: Arc<Semaphore>,
    authority: OnceLock<Arc<Authority>>,
    pub(crate) loss: Loss,
    refusals: Shares<Line>,
}

/// What is needed to make a [`Plane`].
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) group: Group<Machine>,
    pub(crate) host: Arc<Host>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) metrics: ControlMetrics,
    pub(crate) dialer: Arc<dyn Dialer>,
}

impl Plane {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { config, group, host, clock, entropy, metrics, dialer } = parts;
        let emptier = Emptier::new(dialer, Arc::clone(&clock));
        let fleet = Arc::new(Fleet::new(config.report_lifetime, clock.monotonic()));
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        let (authority, refusals) = (OnceLock::new(), Shares::default());
        Arc::new(Self {
            config,
            group,
            host,
            clock,
            entropy,
            fleet,
            metrics,
            emptier,
            streams,
            authority,
            loss: Loss::default(),
            refusals,
        })
    }

    /// From now on nodes get their certificates from `authority`; the first one stays.
    pub(crate) fn sign_with(&self, authority: Arc<Authority>) {
        if self.authority.set(authority).is_err() {
            tracing::debug!("there is an authority already");
        }
    }

    pub(crate) fn authority(&self) -> Result<&Authority, Error> {
        self.authority.get().map(Arc::as_ref).ok_or(Error::NoAuthority)
    }

    /// What this replica has applied so far. After [`Plane::barrier`] the read is linearizable.
    pub(crate) async fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, Error> {
        self.read_rows(move |state, _| read(state)).await
    }

    /// The same, with the rows: audit lines are nowhere else.
    pub(crate) async fn read_rows<R: Send + 'static>(
        &self,
        read: impl FnOnce(&State, &gitstratum_consensus::State<'_>) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let group = self.group.clone();
        let blocking = move || group.read(|machine, rows| read(&machine.state, rows));
        gitstratum_process::blocking(blocking).await.map_err(Error::Task)
    }

    /// Waits until this replica holds whatever was acknowledged before the call.
    pub(crate) async fn barrier(&self) -> Result<(), Error> {
        self.group.read_barrier().await.map(drop).map_err(Error::Read)
    }

    /// Whether this voter leads, as far as it knows.
    pub(crate) fn leading(&self) -> Result<(), Error> {
        let status = self.group.status();
        if status.role == Role::Leader {
            return Ok(());
        }
        let leader = status.leader.map(|leader| leader.node);
        Err(Error::Propose(ProposeError::NotLeader { group: self.group.id(), leader }))
    }

    /// The index applied last, with changes told.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<LogIndex>> {
        self.group.watch_applied()
    }

    /// Puts a command into the log and returns what became of it.
    pub(crate) async fn propose(&self, origin: Origin, change: Change) -> Result<Outcome, Error> {
        let mut request = [0; 16];
        self.entropy.fill(&mut request);
        let command = Command::new(request, self.clock.wall(), origin, change);
        let bytes = Bytes::from(command.to_bytes());
        let mut tries = 1;
        loop {
            failpoint!("control.command.before_propose");
            match self.group.propose(bytes.clone()).await {
                Ok(reply) => return Outcome::from_bytes(&reply.bytes).ok_or(Error::Answer),
                Err(error) if error.is_unknown() && tries < PROPOSE_TRIES => {
                    tries += 1;
                    tokio::time::sleep(PROPOSE_PAUSE).await;
                }
                Err(error) => return Err(Error::Propose(error)),
            }
        }
    }

    /// What would become of a command, once no path that it wants waits for its last
    /// holder's partition any more (S42), or after a bounded wait.
    pub(crate) async fn preview(&self, origin: &Origin, change: &Change) -> Result<Preview, Error> {
        let mut applied = self.applied();
        let first = self.preview_now(origin, change).await?;
        if !waits(&first) {
            return Ok(first);
        }
        let freed = async {
            while applied.changed().await.is_ok() {
                let next = self.preview_now(origin, change).await?;
                if !waits(&next) {
                    return Ok(next);
                }
            }
            std::future::pending().await
        };
        let limit = self.config.settle_timeout;
        tokio::time::timeout(limit, freed).await.unwrap_or(Ok(first))
    }

    async fn preview_now(&self, origin: &Origin, change: &Change) -> Result<Preview, Error> {
        let wall = self.clock.wall();
        let command = Command::new([0; 16], wall, origin.clone(), change.clone());
        self.read(move |state| state.preview(&command)).await
    }

    /// Writes the audit line of a call that was refused before it became a command, unless
    /// its source has had its share.
    pub(crate) async fn record_refusal(&self, source: &str, line: Line) {
        if let Some(granted) = self.refusals.admit(source, line, self.clock.monotonic()) {
            self.write_refusal(granted).await;
        }
    }

    /// Writes what was held back for longer than a source's window.
    pub(crate) async fn record_overdue_refusals(&self) {
        for granted in self.refusals.overdue(self.clock.monotonic()) {
            self.write_refusal(granted).await;
        }
    }

    async fn write_refusal(&self, granted: Granted<Line>) {
        let Granted { line: Line { origin, mut refusal }, suppressed } = granted;
        refusal.suppressed = suppressed;
        let lost = suppressed + 1;
        if let Err(error) = self.propose(origin, Change::RecordRefusal(refusal)).await {
            self.metrics.audit_lost.add(lost);
            tracing::warn!(%error, lost, "audit line of a refused call was lost");
        }
    }

    /// Drops the audit lines that are too old or too many, a bounded number at a time.
    pub(crate) async fn prune_audit(&self) -> Result<(), Error> {
        let limits = audit::Limits {
            oldest: self.clock.wall().0.saturating_sub(millis(self.config.audit_age_max)),
            bytes_max: self.config.audit_bytes_max,
        };
        let prune = self.read_rows(move |state, rows| audit::prune(state, rows, &limits)).await??;
        if let Some(prune) = prune {
            self.propose(Origin::system(), Change::PruneAudit(prune)).await?;
        }
        Ok(())
    }
}

fn waits(preview: &Preview) -> bool {
    matches!(preview, Err(Refusal::PathWaits { .. }))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
