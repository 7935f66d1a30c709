//! Refused logins on their way to the control plane's audit log (GS-CP-14). Whoever refuses
//! one does not wait: it is put in a queue, and told to the node's agent, again and again,
//! until the agent has it on its disk (S41).

mod shares;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gitstratum_core::Clock;
use gitstratum_process::{Drain, RequestId};
use gitstratum_proto::agent::v1::agent_client::AgentClient;
use gitstratum_proto::control::v1::{self as wire, LogAuditRequest};
use tokio::sync::mpsc;
use tonic::transport::Channel;

use crate::agent::{self, Door, RETRY_FIRST, RETRY_LONGEST};
pub use shares::{Granted, Shares};

/// Logins that may wait; what is above is counted.
const WAITING_MAX: usize = 1_000;
/// Logins told at a time.
const TOLD_MAX: usize = 64;
/// How often lines are looked for that were held back.
const OVERDUE_EVERY: Duration = Duration::from_millis(500);

/// A login that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLogin {
    /// How the client came: `http` or `ssh`.
    pub transport: &'static str,
    /// Its address.
    pub client: IpAddr,
    /// The request or connection.
    pub request: RequestId,
    /// What it showed.
    pub shown: Shown,
}

/// What somebody shows who is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A token, by its SHA-256.
    Token([u8; 32]),
    /// A key, by its fingerprint.
    Key(String),
    /// Something that is neither.
    Nonsense,
}

/// Where failed logins are put.
#[derive(Clone)]
pub struct AuditLog {
    clock: Arc<dyn Clock>,
    shares: Arc<Shares<wire::FailedLogin>>,
    sender: mpsc::Sender<wire::FailedLogin>,
    lost: Arc<AtomicU64>,
}

/// What is yet to be told, for [`tell`].
#[derive(Debug)]
pub struct Untold {
    receiver: mpsc::Receiver<wire::FailedLogin>,
    lost: Arc<AtomicU64>,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog").finish_non_exhaustive()
    }
}

impl AuditLog {
    /// A queue and its other end.
    pub fn channel(clock: Arc<dyn Clock>) -> (Self, Untold) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let untold = Untold { receiver, lost: Arc::clone(&lost) };
        (Self { clock, shares: Arc::default(), sender, lost }, untold)
    }

    /// Puts a failed login on the way. One source gets ten lines a second, the rest is
    /// counted in a later line; with too many on the way it is counted as lost.
    pub fn failed_login(&self, source: IpAddr, login: FailedLogin) {
        let line = describe(login, self.clock.as_ref());
        let granted = self.shares.admit(&source.to_string(), line, self.clock.monotonic());
        if let Some(granted) = granted {
            self.put(granted);
        }
    }

    fn put_overdue(&self) {
        let overdue = self.shares.overdue(self.clock.monotonic());
        overdue.into_iter().for_each(|granted| self.put(granted));
    }

    fn put(&self, granted: Granted<wire::FailedLogin>) {
        let Granted { line, suppressed } = granted;
        if self.sender.try_send(wire::FailedLogin { suppressed, ..line }).is_err() {
            self.lost.fetch_add(1 + suppressed, Ordering::Relaxed);
        }
    }
}

/// Tells the agent behind `door` what is put in `log`, until `drain` starts. What is untold
/// then has its line in the log of the process and nowhere else.
pub async fn tell(log: AuditLog, mut untold: Untold, door: Door, drain: Drain) {
    let mut agent = agent::connect(door);
    let mut tick = tokio::time::interval(OVERDUE_EVERY);
    let mut logins = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            _ = tick.tick() => log.put_overdue(),
            _ = untold.receiver.recv_many(&mut logins, TOLD_MAX) => {
                let lost = untold.lost.swap(0, Ordering::Relaxed);
                let failed_logins = std::mem::take(&mut logins);
                let telling = tell_surely(&mut agent, LogAuditRequest { node: 0, failed_logins, lost });
                tokio::select! {
                    biased;
                    () = drain.started() => return,
                    () = telling => {}
                }
            }
        }
    }
}

/// Returns when the agent has it.
async fn tell_surely(agent: &mut AgentClient<Channel>, request: LogAuditRequest) {
    let mut pause = RETRY_FIRST;
    while let Err(status) = agent::in_time(agent.log_audit(request.clone())).await {
        tracing::debug!(%status, "failed logins were not taken");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

fn describe(login: FailedLogin, clock: &dyn Clock) -> wire::FailedLogin {
    let FailedLogin { transport, client, request, shown } = login;
    let (token_hash, key_fingerprint) = match shown {
        Shown::Token(hash) => (hash.to_vec().into(), String::new()),
        Shown::Key(fingerprint) => (Default::default(), fingerprint),
        Shown::Nonsense => Default::default(),
    };
    wire::FailedLogin {
        transport: transport.to_owned(),
        client_addr: client.to_string(),
        request_id: request.to_string(),
        token_hash,
        key_fingerprint,
        wall_millis: clock.wall().0,
        suppressed: 0,
    }
}

#[cfg(test)]
mod tests;
