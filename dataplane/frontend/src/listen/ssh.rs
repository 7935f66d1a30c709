//! Git over SSH: public keys, one user name, two programs. No shell, no terminal, no
//! forwarding; nothing is ever executed.

mod exchange;
mod handler;
mod line;
mod settings;
mod talk;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::audit::Shown;
use gitstratum_identity::accept::Conn;
use gitstratum_process::{Drain, RequestId, TaskGroup};
use russh::Disconnect;
use russh::keys::PrivateKey;
use russh::server::{Config, RunningSession, run_stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::guarded::Guarded;
use crate::auth::{Origin, Verdict};
use crate::frontend::Frontend;
use exchange::Exec;
use handler::{Handler, Login};
use talk::{Audited, Talk};

/// What a client over a connection limit is told.
pub(crate) const REFUSAL: &[u8] = b"Exceeded MaxStartups\r\n";

/// Connections that have not logged in, at a time (promises §5).
const STARTING_MAX: usize = 100;
/// Channels of one connection at a time.
const CHANNELS_MAX: usize = 10;
/// How long a connection without a command stays once its drain has started: a client
/// that is just logging in still gets its command through.
const DRAIN_IDLE: Duration = Duration::from_secs(2);
/// How long a client may take to hear that we hang up.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// What all SSH connections share.
pub(crate) struct Ssh {
    frontend: Arc<Frontend>,
    config: Arc<Config>,
    starting: Arc<Semaphore>,
}

impl std::fmt::Debug for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ssh").finish_non_exhaustive()
    }
}

impl Ssh {
    /// A server that shows `host_key`.
    pub(crate) fn new(frontend: Arc<Frontend>, host_key: PrivateKey) -> Arc<Self> {
        let config = Arc::new(settings::of(host_key, &frontend.config));
        Arc::new(Self { frontend, config, starting: Arc::new(Semaphore::new(STARTING_MAX)) })
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve(self: Arc<Self>, conn: Conn) {
        let _counted = self.frontend.metrics.connection();
        let client = conn.client.ip();
        if self.frontend.throttle.verdict(client) != Verdict::Tell {
            tracing::debug!(%client, "ssh connection refused: too many failed logins");
            return;
        }
        let Ok(start) = Arc::clone(&self.starting).try_acquire_owned() else {
            tracing::debug!(%client, "ssh connection refused: too many are logging in");
            return;
        };
        Box::pin(self.run(conn, start)).await;
    }

    async fn run(&self, conn: Conn, start: OwnedSemaphorePermit) {
        let client = conn.client.ip();
        let cut = CancellationToken::new();
        // russh runs the session in a task of its own: without its bytes it ends.
        let _cut_at_the_end = cut.clone().drop_guard();
        let io = Guarded::new(conn.io, cut, self.frontend.config.idle).expect(b"SSH-");
        let (login, logged_in) = watch::channel(Login::default());
        let (execs, ordered) = mpsc::channel(CHANNELS_MAX);
        let talk = Arc::new(Talk::default());
        let io = Audited::new(io, Arc::clone(&talk));
        let handler = Handler::new(Arc::clone(&self.frontend), talk, login, execs);
        let began = Instant::now();
        let greeting = run_stream(Arc::clone(&self.config), io, handler);
        let greeting = timeout(self.frontend.config.login_max, greeting);
        let greeted = tokio::select! {
            greeted = greeting => greeted,
            () = drained(&conn.drain) => return,
        };
        match greeted {
            Ok(Ok(session)) => {
                let link = Link {
                    frontend: Arc::clone(&self.frontend),
                    client,
                    session,
                    logged_in: logged_in.clone(),
                    ordered,
                    commands: TaskGroup::new("ssh command"),
                    start: Some(start),
                    last_active: began,
                    idle_max: self.frontend.config.idle,
                    login_max: self.frontend.config.login_max,
                };
                link.supervise(conn.drain).await;
            }
            Ok(Err(error)) => tracing::debug!(%client, %error, "ssh connection failed"),
            Err(_) => tracing::debug!(%client, "ssh client did not greet in time"),
        }
        // It has tried and got nowhere.
        if let Login::Tried(fingerprint) = logged_in.borrow().clone() {
            let request = RequestId::random(&*self.frontend.entropy);
            let origin = Origin { request, client };
            // The verdict is for its next connection.
            self.frontend.note_failed_login("ssh", origin, Shown::Key(fingerprint));
        }
    }
}

/// One connection, watched over.
struct Link {
    frontend: Arc<Frontend>,
    client: IpAddr,
    session: RunningSession<Handler>,
    logged_in: watch::Receiver<Login>,
    ordered: mpsc::Receiver<Exec>,
    commands: TaskGroup,
    /// The place among those that have not logged in.
    start: Option<OwnedSemaphorePermit>,
    last_active: Instant,
    /// How long it may stay without a command, and without a login.
    idle_max: Duration,
    login_max: Duration,
}

/// Pends until `drain` has started and a client in the middle of something has had a
/// moment.
async fn drained(drain: &Drain) {
    drain.started().await;
    sleep(DRAIN_IDLE).await;
}

impl Link {
    /// Runs the commands that the client orders, until it leaves, is silent for too long,
    /// or the drain has started and nothing is under way.
    async fn supervise(mut self, drain: Drain) {
        let mut draining = false;
        loop {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                ended = &mut self.session => return self.note_end(&ended),
                Some(exec) = self.ordered.recv() => self.start_command(exec),
                Some(_) = self.commands.next() => self.last_active = Instant::now(),
                Ok(()) = self.logged_in.changed(), if self.start.is_some() => self.note_login(),
                () = sleep_until(deadline), if self.commands.is_empty() => {
                    return self.hang_up().await;
                }
                () = drain.started(), if !draining => {
                    draining = true;
                    self.idle_max = DRAIN_IDLE;
                    self.login_max = DRAIN_IDLE;
                    self.last_active = Instant::now();
                }
            }
        }
    }

    /// When the connection is closed if nothing happens.
    fn deadline(&self) -> Instant {
        let rest = if self.start.is_some() { self.login_max } else { self.idle_max };
        self.last_active + rest
    }

    fn note_login(&mut self) {
        if self.logged_in.borrow_and_update().is_done() {
            self.start = None;
            self.last_active = Instant::now();
        }
    }

    fn start_command(&mut self, exec: Exec) {
        let frontend = Arc::clone(&self.frontend);
        self.commands.spawn(exchange::run(frontend, self.client, exec));
    }

    fn note_end(&self, ended: &Result<(), handler::Error>) {
        if let Err(error) = ended {
            tracing::debug!(client = %self.client, %error, "ssh connection ended");
        }
    }

    async fn hang_up(self) {
        let handle = self.session.handle();
        let goodbye = async {
            let words = "closed by the server: idle".to_owned();
            let told = handle.disconnect(Disconnect::ByApplication, words, String::new()).await;
            if told.is_ok() {
                // What it says at its end has no reader any more.
                drop(self.session.await);
            }
        };
        if timeout(GOODBYE_MAX, goodbye).await.is_err() {
            tracing::debug!(client = %self.client, "ssh client did not hang up");
        }
    }
}
