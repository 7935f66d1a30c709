use gitstratum_process::Metrics;
use gitstratum_process::metrics::{Counter, Counters, Gauge};
use gitstratum_state::Refusal;

/// What the control plane counts. Names are those of the requirements.
#[derive(Clone, Debug)]
pub(crate) struct ControlMetrics {
    /// GS-MX-05: 1 on the node that leads.
    pub(crate) raft_leader: Gauge,
    /// 1 on a node that has a vote.
    pub(crate) raft_voter: Gauge,
    /// GS-MX-06.
    auth_decisions: Counters<1>,
    /// Audit lines of refusals that could not be written.
    pub(crate) audit_lost: Counter,
}

impl ControlMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            raft_leader: metrics.gauge(
                "gitstratum_control_raft_leader",
                "Whether this node leads the control plane.",
            ),
            raft_voter: metrics.gauge(
                "gitstratum_control_raft_voter",
                "Whether this node has a vote in the control plane.",
            ),
            auth_decisions: metrics.counters(
                "gitstratum_control_auth_decisions_total",
                "Decisions about credentials and permissions of the control API.",
                ["result"],
            ),
            audit_lost: metrics.counter(
                "gitstratum_control_audit_lost_total",
                "Refused calls whose audit line could not be written.",
            ),
        }
    }

    /// Counts the decision behind `result`.
    pub(crate) fn count_decision<T>(&self, result: &Result<T, Refusal>) {
        let word = match result {
            Err(Refusal::Denied(denial)) => denial.as_str(),
            Err(Refusal::Missing { .. }) => "not_found",
            Ok(_)
            | Err(
                Refusal::Exists { .. }
                | Refusal::PathWaits { .. }
                | Refusal::Invalid { .. }
                | Refusal::LastAdmin(_)
                | Refusal::Full { .. }
                | Refusal::Stale { .. }
                | Refusal::Unsafe { .. }
                | Refusal::RequestReused
                | Refusal::Founding(_),
            ) => "allowed",
        };
        self.count(word);
    }

    /// Counts a decision by its word.
    pub(crate) fn count(&self, result: &'static str) {
        self.auth_decisions.with([result]).inc();
    }
}
