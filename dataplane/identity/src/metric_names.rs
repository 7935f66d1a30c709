use gitstratum_process::Metrics;
use gitstratum_process::metrics::Counters;

/// What became of a connection that came in at a TCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Handed to the server.
    Admitted,
    /// Closed: the server has the most that it takes.
    OverLimit,
    /// Closed: its client has the most that one may have.
    OverClientLimit,
    /// Closed: TLS failed, or the client is nobody we know.
    HandshakeFailed,
    /// Closed: TLS took too long.
    HandshakeTimeout,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::OverLimit => "over_limit",
            Self::OverClientLimit => "over_client_limit",
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
        }
    }
}

/// `gitstratum_connections_total{server, result}`.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    server: &'static str,
    counters: Counters<2>,
}

impl Connections {
    pub(crate) fn new(metrics: &Metrics, server: &'static str) -> Self {
        let help = "Connections that came in, by server and what became of them.";
        let name = "gitstratum_connections_total";
        Self { server, counters: metrics.counters(name, help, ["server", "result"]) }
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.counters.with([self.server, outcome.as_str()]).inc();
    }
}
