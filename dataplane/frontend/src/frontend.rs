//! What all requests share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::audit::{AuditLog, FailedLogin, Shown};
use gitstratum_client::bulk;
use gitstratum_client::cluster::{Feed, News};
use gitstratum_client::metadata::Partitions;
use gitstratum_client::objects::{Options, Reader};
use gitstratum_core::{Clock, ClusterId, Entropy, ErrorKind, NodeId, UnixMillis};
use gitstratum_process::ByteBudget;

use crate::auth::{Origin, Throttle, Verdict, source_of};
use crate::ingest::{Nodes, Storage};
use crate::limit::Fetches;
use crate::metric_names::FrontendMetrics;
use crate::service::Deps;
use crate::session::Sessions;
use crate::view::Views;
use crate::{Config, Error};

/// The one state behind every connection of a frontend.
pub(crate) struct Frontend {
    /// Limits and paths.
    pub config: Config,
    /// The control plane's state: take one snapshot per request.
    pub feed: Feed,
    /// The metadata service.
    pub partitions: Partitions,
    /// Refs and manifests, held by version.
    pub views: Views,
    /// Objects by id.
    pub reader: Arc<Reader>,
    /// Where the segments of pushes go.
    pub storage: Arc<dyn Storage>,
    /// Standing with the partitions (S10).
    pub sessions: Arc<Sessions>,
    /// Places for fetches, by repository.
    pub fetches: Arc<Fetches>,
    /// Failed logins, by source.
    pub throttle: Throttle,
    /// Where they are told.
    pub audit: AuditLog,
    /// The cluster served.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Disk for spooled packs (S17).
    pub spool_budget: ByteBudget,
    /// Memory for pushes (P-L1).
    pub push_memory: ByteBudget,
    /// Counted requests.
    pub metrics: FrontendMetrics,
}

impl fmt::Debug for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frontend").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What a client is told whose credentials are too old to be believed.
fn stale(news: &News, now: UnixMillis) -> String {
    let silent = u64::try_from(news.silent.as_millis()).unwrap_or(u64::MAX);
    let since = std::time::UNIX_EPOCH + Duration::from_millis(now.0.saturating_sub(silent));
    format!(
        "credentials cannot be checked: no news from the control plane since {}, longer than \
         offlineGrace ({}); try again when it is back",
        humantime::format_rfc3339_seconds(since),
        humantime::format_duration(news.grace),
    )
}

impl Frontend {
    /// Whether credentials can be believed: there was news from the control plane within
    /// `offlineGrace` (S46).
    ///
    /// # Errors
    /// Since when there was none.
    pub(crate) fn check_news(&self) -> Result<(), Error> {
        match self.feed.news().filter(News::is_stale) {
            None => Ok(()),
            Some(news) => {
                let words = stale(&news, self.clock.wall());
                Err(Error::new(ErrorKind::Unavailable, words))
            }
        }
    }

    /// Wires the parts together; nothing is dialled yet.
    pub(crate) fn new(config: Config, deps: &Deps) -> Arc<Self> {
        let partitions = Partitions::new(Arc::clone(&deps.dialer), deps.feed.clone());
        let bulk = bulk::Client::new(Arc::clone(&deps.dialer));
        let bulk = bulk.on(deps.node, deps.feed.clone()).listed_by(partitions.clone());
        let metrics = FrontendMetrics::new(&deps.metrics);
        let budget = |name, bytes| ByteBudget::new(name, bytes, config.budget_wait);
        Arc::new(Self {
            views: Views::new(partitions.clone(), metrics.clone(), config.views_bytes_max),
            reader: Reader::new(Arc::new(bulk.clone()), Options::default()),
            sessions: Sessions::new(partitions.clone(), deps),
            fetches: Fetches::new(&config),
            throttle: Throttle::new(Arc::clone(&deps.clock)),
            audit: deps.audit.clone(),
            feed: deps.feed.clone(),
            cluster: deps.cluster,
            node: deps.node,
            entropy: Arc::clone(&deps.entropy),
            clock: Arc::clone(&deps.clock),
            spool_budget: budget("spool", config.spool_bytes_max),
            push_memory: budget("push memory", config.push_memory_bytes_max),
            storage: Arc::new(Nodes::new(bulk, Arc::clone(&deps.dialer))),
            partitions,
            metrics,
            config,
        })
    }

    /// A login over `transport` was refused; says how to answer it.
    pub(crate) fn note_failed_login(
        &self,
        transport: &'static str,
        origin: Origin,
        shown: Shown,
    ) -> Verdict {
        let Origin { request, client } = origin;
        let login = FailedLogin { transport, client, request, shown };
        self.audit.failed_login(source_of(client), login);
        self.throttle.failed(client)
    }
}
