//! One structured line and one count for each request (GS-FE-15, GS-FE-16), also for
//! those that are cut: the record is written when it is dropped.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gitstratum_core::{Clock, ErrorKind, RepoPath};
use gitstratum_process::RequestId;

use crate::Error;
use crate::commands::Served;
use crate::conversation::{Caller, Conversation};
use crate::frontend::Frontend;
use crate::metric_names::{FrontendMetrics, Operation, result_word};

/// What carried a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// HTTP, in clear or over TLS.
    Http,
    /// SSH.
    Ssh,
}

impl Carrier {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ssh => "ssh",
        }
    }
}

/// A request under way.
pub(crate) struct Record {
    clock: Arc<dyn Clock>,
    metrics: FrontendMetrics,
    began_at: Duration,
    request: RequestId,
    carrier: Carrier,
    client: IpAddr,
    user: String,
    repo: String,
    operation: Operation,
    outcome: Outcome,
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

/// How a request ended, as far as is known.
#[derive(Debug)]
enum Outcome {
    /// It was dropped: the client went away or time was up.
    Cut,
    Done {
        objects: u64,
        refs: u64,
    },
    Failed {
        kind: ErrorKind,
        error: String,
    },
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Record {
    /// A request begins now. Until its command is known it counts as refused.
    pub(crate) fn begin(
        frontend: &Frontend,
        request: RequestId,
        carrier: Carrier,
        client: IpAddr,
    ) -> Self {
        Self {
            clock: Arc::clone(&frontend.clock),
            metrics: frontend.metrics.clone(),
            began_at: frontend.clock.monotonic(),
            request,
            carrier,
            client,
            user: "-".to_owned(),
            repo: "-".to_owned(),
            operation: Operation::Refuse,
            outcome: Outcome::Cut,
            received: Arc::default(),
            sent: Arc::default(),
        }
    }

    /// It is known who asks, and for what.
    pub(crate) fn admit(&mut self, caller: &Caller, repo: &RepoPath, operation: Operation) {
        self.request = caller.request;
        caller.name().clone_into(&mut self.user);
        repo.as_str().clone_into(&mut self.repo);
        self.operation = operation;
    }

    /// What it is for, as far as is known.
    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// Its bytes are counted by `conversation`.
    pub(crate) fn count(&mut self, conversation: &Conversation) {
        self.received = conversation.input.counter();
        self.sent = conversation.output.counter();
    }

    /// It has ended with `result`.
    pub(crate) fn end(&mut self, result: &Result<Served, Error>) {
        match result {
            Ok(Served { operation, failure, objects, refs }) => {
                self.operation = *operation;
                match failure {
                    None => self.outcome = Outcome::Done { objects: *objects, refs: *refs },
                    Some(error) => self.fail(error),
                }
            }
            Err(error) => self.fail(error),
        }
    }

    /// It has ended badly.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.outcome = Outcome::Failed { kind: error.kind(), error: chain(error) };
    }

    fn write(&self) {
        let took = self.clock.monotonic().saturating_sub(self.began_at);
        let (kind, objects, refs) = match &self.outcome {
            Outcome::Cut => (Some(ErrorKind::Unavailable), 0, 0),
            Outcome::Done { objects, refs } => (None, *objects, *refs),
            Outcome::Failed { kind, .. } => (Some(*kind), 0, 0),
        };
        self.metrics.request(self.operation, kind, took);
        let error = match &self.outcome {
            Outcome::Cut => "cut",
            Outcome::Done { .. } => "",
            Outcome::Failed { error, .. } => error,
        };
        tracing::info!(
            request_id = %self.request,
            operation = self.operation.as_str(),
            carrier = self.carrier.as_str(),
            client = %self.client,
            user = self.user,
            repo = self.repo,
            bytes_in = self.received.load(Ordering::Relaxed),
            bytes_out = self.sent.load(Ordering::Relaxed),
            objects,
            refs,
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            result = result_word(kind),
            error,
            "request"
        );
        if matches!(kind, Some(ErrorKind::Bug | ErrorKind::Corrupt)) {
            tracing::error!(request_id = %self.request, repo = self.repo, error, "request failed");
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.write();
    }
}

/// An error with what caused it, for the log only.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
