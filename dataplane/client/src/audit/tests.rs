use std::pin::Pin;

use futures::Stream;
use gitstratum_core::{SystemClock, UnixMillis};
use gitstratum_process::spawn;
use gitstratum_proto::agent::v1::agent_server::{Agent, AgentServer};
use gitstratum_proto::agent::v1::{ReportResponse, StatusRequest, StatusResponse, WatchRequest};
use gitstratum_proto::control::v1::{LogAuditResponse, ProcessReport, SnapshotUpdate};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::*;

const CLIENT: [u8; 4] = [10, 0, 0, 1];

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

fn login(number: u64) -> FailedLogin {
    let request = RequestId::parse(&format!("{number:016x}")).unwrap();
    let (client, shown) = (CLIENT.into(), Shown::Token([7; 32]));
    FailedLogin { transport: "http", client, request, shown, at: Duration::ZERO }
}

#[tokio::test]
async fn gs_cp_14_a_failed_login_is_told_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let (log, untold) = AuditLog::channel();
    for number in 0..=WAITING_MAX as u64 {
        log.failed_login(login(number));
    }
    let listener = UnixListener::bind(&socket).unwrap();
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let agent = AgentServer::new(Double(heard, AtomicU64::new(0)));
    let server = tonic::transport::Server::builder().add_service(agent);
    let _serving =
        spawn("agent double", server.serve_with_incoming(UnixListenerStream::new(listener)));
    let (_trigger, drain) = Drain::new();
    let _telling = spawn("telling", tell(untold, socket, SystemClock::new(), drain));
    let refused = hearing.recv().await.unwrap();
    let again = hearing.recv().await.unwrap();
    assert_eq!(refused.lost, 1, "the queue was full once");
    assert_eq!((refused.failed_logins.len(), again.lost), (TOLD_MAX, 1));
    let ids = |request: &LogAuditRequest| {
        request.failed_logins.iter().map(|login| login.request_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&refused), ids(&again));
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
fn what_is_told_has_no_secret_and_its_age() {
    let clock = gitstratum_core::ManualClock::new(UnixMillis(0));
    clock.advance(Duration::from_secs(3));
    let told = describe(&login(1), clock.monotonic());
    assert_eq!((told.age_millis, told.client_addr.as_str()), (3_000, "10.0.0.1"));
    assert_eq!((told.token_hash.as_ref(), told.key_fingerprint.as_str()), (&[7; 32][..], ""));
    let key = FailedLogin { shown: Shown::Key("SHA256:a".to_owned()), ..login(1) };
    assert_eq!(describe(&key, Duration::ZERO).key_fingerprint, "SHA256:a");
}
