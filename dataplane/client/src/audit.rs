//! Refused logins on their way to the control plane's audit log (GS-CP-14). Whoever refuses
//! one does not wait: it is told from a queue, again and again until it is durable.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gitstratum_core::Clock;
use gitstratum_process::{Drain, RequestId};
use gitstratum_proto::control::v1::{self as wire, LogAuditRequest};
use tokio::sync::mpsc;

use crate::agent::{self, RETRY_FIRST, RETRY_LONGEST};

/// Logins that may wait; what is above is counted.
const WAITING_MAX: usize = 1_000;
/// Logins told at a time.
const TOLD_MAX: usize = 64;

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
    /// When, on the clock that does not jump.
    pub at: Duration,
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
#[derive(Clone, Debug)]
pub struct AuditLog {
    sender: mpsc::Sender<FailedLogin>,
    lost: Arc<AtomicU64>,
}

/// What is yet to be told, for [`tell`].
#[derive(Debug)]
pub struct Untold {
    receiver: mpsc::Receiver<FailedLogin>,
    lost: Arc<AtomicU64>,
}

impl AuditLog {
    /// A queue and its other end.
    pub fn channel() -> (Self, Untold) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        (Self { sender, lost: Arc::clone(&lost) }, Untold { receiver, lost })
    }

    /// Puts a failed login on the way; with too many before it, it is only counted.
    pub fn failed_login(&self, login: FailedLogin) {
        if self.sender.try_send(login).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Tells the agent at `socket` what is put in, until `drain` starts. What is untold then has
/// its line in the log of the process and nowhere else.
pub async fn tell(mut untold: Untold, socket: PathBuf, clock: Arc<dyn Clock>, drain: Drain) {
    let telling = async {
        let mut agent = agent::connect(socket);
        let (mut logins, mut pause) = (Vec::new(), RETRY_FIRST);
        while !logins.is_empty() || untold.receiver.recv_many(&mut logins, TOLD_MAX).await > 0 {
            let lost = untold.lost.load(Ordering::Relaxed);
            let now = clock.monotonic();
            let failed_logins = logins.iter().map(|login| describe(login, now)).collect();
            let request = LogAuditRequest { node: 0, failed_logins, lost };
            match agent::in_time(agent.log_audit(request)).await {
                Ok(_) => {
                    untold.lost.fetch_sub(lost, Ordering::Relaxed);
                    logins.clear();
                    pause = RETRY_FIRST;
                }
                Err(status) => {
                    tracing::debug!(%status, "failed logins were not taken");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LONGEST);
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = drain.started() => {}
        () = telling => {}
    }
}

fn describe(login: &FailedLogin, now: Duration) -> wire::FailedLogin {
    let age = now.saturating_sub(login.at).as_millis();
    let (token_hash, key_fingerprint) = match &login.shown {
        Shown::Token(hash) => (hash.to_vec().into(), String::new()),
        Shown::Key(fingerprint) => (Default::default(), fingerprint.clone()),
        Shown::Nonsense => Default::default(),
    };
    wire::FailedLogin {
        transport: login.transport.to_owned(),
        client_addr: login.client.to_string(),
        request_id: login.request.to_string(),
        token_hash,
        key_fingerprint,
        age_millis: u64::try_from(age).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests;
