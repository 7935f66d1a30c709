use std::pin::Pin;

use futures::Stream;
use gitstratum_core::{ManualClock, UnixMillis};
use gitstratum_process::spawn;
use gitstratum_proto::agent::v1::agent_server::{Agent, AgentServer};
use gitstratum_proto::agent::v1::{ReportResponse, StatusRequest, StatusResponse, WatchRequest};
use gitstratum_proto::control::v1::{LogAuditResponse, ProcessReport, SnapshotUpdate};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::*;

/// An agent that refuses the first request and hands out all.
struct Double(mpsc::UnboundedSender<LogAuditRequest>, AtomicU64);

#[tonic::async_trait]
impl Agent for Double {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<SnapshotUpdate, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn report(&self, _: Request<ProcessReport>) -> Result<Response<ReportResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn log_audit(
        &self,
        request: Request<LogAuditRequest>,
    ) -> Result<Response<LogAuditResponse>, Status> {
        self.0.send(request.into_inner()).unwrap();
        match self.1.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Status::unavailable("no leader")),
            _ => Ok(Response::new(LogAuditResponse {})),
        }
    }
}

/// A login from an address of its own.
fn login(number: u16) -> FailedLogin {
    let request = RequestId::parse(&format!("{number:016x}")).unwrap();
    let [high, low] = number.to_be_bytes();
    let client = [10, 0, high, low].into();
    FailedLogin { transport: "http", client, request, shown: Shown::Token([7; 32]) }
}

#[tokio::test]
async fn gs_cp_14_a_failed_login_is_told_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let clock = ManualClock::new(UnixMillis(5));
    let (log, untold) = AuditLog::channel(clock);
    for number in 0..=u16::try_from(WAITING_MAX).unwrap() {
        log.failed_login(login(number).client, login(number));
    }
    let listener = UnixListener::bind(&socket).unwrap();
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let agent = AgentServer::new(Double(heard, AtomicU64::new(0)));
    let server = tonic::transport::Server::builder().add_service(agent);
    let _serving =
        spawn("agent double", server.serve_with_incoming(UnixListenerStream::new(listener)));
    let (_trigger, drain) = Drain::new();
    let _telling = spawn("telling", tell(log, untold, Door::Socket(socket), drain));
    let refused = hearing.recv().await.unwrap();
    let again = hearing.recv().await.unwrap();
    assert_eq!((refused.failed_logins.len(), refused.lost), (TOLD_MAX, 1), "the queue was full");
    assert_eq!(refused, again);
    let ids = |request: &LogAuditRequest| {
        request.failed_logins.iter().map(|login| login.request_id.clone()).collect::<Vec<_>>()
    };
    let mut told = ids(&again);
    while told.len() < WAITING_MAX {
        let next = hearing.recv().await.unwrap();
        assert_eq!(next.lost, 0, "what was told is not told again");
        told.extend(ids(&next));
    }
    let all: Vec<String> = (0..WAITING_MAX).map(|number| format!("{number:016x}")).collect();
    assert_eq!(told, all);
}

#[test]
fn s41_one_address_gets_its_share_and_the_rest_is_counted() {
    let clock = ManualClock::new(UnixMillis(5));
    let (log, mut untold) = AuditLog::channel(Arc::<ManualClock>::clone(&clock));
    (0..25).for_each(|_| log.failed_login(login(1).client, login(1)));
    clock.advance(Duration::from_secs(1));
    log.put_overdue();
    let told: Vec<_> = std::iter::from_fn(|| untold.receiver.try_recv().ok()).collect();
    assert_eq!((told.len(), told[10].suppressed), (11, 14));
    assert_eq!(told.iter().map(|line| 1 + line.suppressed).sum::<u64>(), 25);
}

#[test]
fn what_is_told_has_no_secret_and_its_time() {
    let clock = ManualClock::new(UnixMillis(5));
    let told = describe(login(1), &*clock);
    assert_eq!((told.wall_millis, told.client_addr.as_str()), (5, "10.0.0.1"));
    assert_eq!((told.token_hash.as_ref(), told.key_fingerprint.as_str()), (&[7; 32][..], ""));
    let key = FailedLogin { shown: Shown::Key("SHA256:a".to_owned()), ..login(1) };
    assert_eq!(describe(key, &*clock).key_fingerprint, "SHA256:a");
}
