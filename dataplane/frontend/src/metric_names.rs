//! The frontend's metrics, by their exact names (GS-MX-01 to 04).

use std::time::Duration;

use gitstratum_core::ErrorKind;
use gitstratum_process::Metrics;
use gitstratum_process::metrics::{
    Counter, Counters, Gauge, GaugeGuard, Histograms, LATENCY_BUCKETS_SECONDS,
};

const DURATION: &str = "gitstratum_frontend_request_duration_seconds";
const REQUESTS: &str = "gitstratum_frontend_requests_total";
const CACHE_HITS: &str = "gitstratum_frontend_cache_hits_total";
const CONNECTIONS: &str = "gitstratum_frontend_active_connections";
const COLLISIONS: &str = "gitstratum_frontend_object_collisions_total";

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Refs and capabilities before any command.
    Advertise,
    /// `ls-refs`.
    LsRefs,
    /// A pack for a client.
    Fetch,
    /// A pack from a client.
    Push,
    /// A push of no command: so git finds out whether a long one would be let in.
    Probe,
    /// A request turned away before its command was known.
    Refuse,
}

impl Operation {
    /// The label's value, also the word in logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Advertise => "advertise",
            Self::LsRefs => "ls_refs",
            Self::Fetch => "fetch",
            Self::Push => "push",
            Self::Probe => "probe",
            Self::Refuse => "refuse",
        }
    }
}

/// How a request ended.
pub(crate) const fn result_word(failure: Option<ErrorKind>) -> &'static str {
    match failure {
        None => "ok",
        Some(kind) => kind.as_str(),
    }
}

/// Which cache answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheName {
    /// Held refs and manifests, proved current by one call (S31).
    Refs,
}

impl CacheName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Refs => "refs",
        }
    }
}

/// Handles to all of them.
#[derive(Clone, Debug)]
pub(crate) struct FrontendMetrics {
    metrics: Metrics,
    duration: Histograms<1>,
    requests: Counters<2>,
    cache_hits: Counters<1>,
    connections: Gauge,
    collisions: Counter,
}

impl FrontendMetrics {
    /// Registers them with `metrics`.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            duration: metrics.histograms(
                DURATION,
                "Time from a request's first byte to its answer's last.",
                ["operation"],
                LATENCY_BUCKETS_SECONDS,
            ),
            requests: metrics.counters(REQUESTS, "Requests answered.", ["operation", "result"]),
            cache_hits: metrics.counters(
                CACHE_HITS,
                "Answers that a cache of the frontend gave.",
                ["cache"],
            ),
            connections: metrics.gauge(CONNECTIONS, "Connections of clients that are open."),
            collisions: metrics.counter(
                COLLISIONS,
                "Pushes refused because one object id had two contents: alarm on any.",
            ),
        }
    }

    /// A request has ended after `took`.
    pub(crate) fn request(&self, operation: Operation, failure: Option<ErrorKind>, took: Duration) {
        let duration = self.duration.with([operation.as_str()]);
        let requests = self.requests.with([operation.as_str(), result_word(failure)]);
        // Requests timed are requests answered, of all results, on every page (RV-M1).
        self.metrics.as_one(|| {
            duration.observe(took);
            requests.inc();
        });
    }

    /// A cache has answered.
    pub(crate) fn cache_hit(&self, cache: CacheName) {
        self.cache_hits.with([cache.as_str()]).inc();
    }

    /// A push tried to pass one content off as another (P-I3).
    pub(crate) fn collision(&self) {
        self.collisions.inc();
    }

    /// Counts a connection while the guard lives.
    pub(crate) fn connection(&self) -> GaugeGuard {
        self.connections.track()
    }
}
