use std::net::IpAddr;
use std::sync::Arc;

use gitstratum_client::cluster::Snapshot;
use gitstratum_core::{ErrorKind, ProcessRole};
use gitstratum_git::protocol::Version;
use gitstratum_process::{RequestId, request_span, spawn};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::answer::{Failure, Reader, success};
use super::body::{Body, Streamed, incoming};
use super::route::Route;
use crate::Error;
use crate::auth::{self, Origin, Presented, Verdict};
use crate::commands::{self, Phase, Program};
use crate::conversation::{Caller, Conversation, Input, Output, Rounds};
use crate::frontend::Frontend;
use crate::request_log::{Carrier, Record};
use crate::target::Target;

const GIT_PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");

/// How a command ended, for the answer that carries what it sent.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client has been told all, failures included.
    Told,
    /// It failed before it sent anything: the status is still free.
    Untold(Error),
    /// It was stopped half-way.
    Cut,
}

/// A request that may be served.
struct Admitted {
    route: Route,
    caller: Caller,
    target: Target,
}

/// Answers one request.
pub(super) async fn run(
    frontend: Arc<Frontend>,
    client: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let id = RequestId::random(&*frontend.entropy);
    let reader = Reader::of(request.headers());
    let mut record = Record::begin(&frontend, id, Carrier::Http, client);
    let origin = Origin { request: id, client };
    let mut response = match admit(&frontend, origin, &request, &mut record) {
        Ok(admitted) => {
            let span = request_span(id, ProcessRole::Frontend, record.operation().as_str());
            let answering = answer(frontend, admitted, request, record);
            match id.scope(answering.instrument(span)).await {
                Ok(response) => response,
                Err(failure) => failure.response(reader, id),
            }
        }
        Err((failure, error)) => {
            record.fail(&error);
            failure.response(reader, id)
        }
    };
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(RequestId::HEADER, value);
    }
    response
}

/// Route, then credentials, then permission: in this order, and nothing is looked up in
/// a repository before all three (GS-FE-12).
fn admit(
    frontend: &Frontend,
    origin: Origin,
    request: &Request<Incoming>,
    record: &mut Record,
) -> Result<Admitted, (Failure, Error)> {
    let route = Route::parse(request.method(), request.uri(), request.headers())
        .map_err(|refusal| (Failure::refusal(refusal), invalid("not a git request")))?;
    let snapshot = frontend.feed.current();
    let caller = identify(frontend, &snapshot, origin, request.headers())?;
    record.admit(&caller, &route.path, route.program.operation(route.phase));
    let resolved = Target::resolve(&snapshot, &caller.actor, &route.path, route.program.needed());
    match resolved {
        Ok(target) => Ok(Admitted { route, caller, target }),
        Err(error) if caller.actor.user_id == 0 => Err((Failure::unauthorized(), error)),
        Err(error) => Err((Failure::of(&error), error)),
    }
}

fn identify(
    frontend: &Frontend,
    snapshot: &Snapshot,
    origin: Origin,
    headers: &HeaderMap,
) -> Result<Caller, (Failure, Error)> {
    let presented = Presented::of(headers);
    if !matches!(presented, Presented::Nothing) {
        frontend.check_news().map_err(|error| (Failure::of(&error), error))?;
    }
    let found = match &presented {
        Presented::Nothing => return Ok(auth::anonymous(snapshot, origin)),
        Presented::Token(token) => {
            auth::by_token(snapshot, token, frontend.clock.wall(), origin).ok()
        }
        Presented::Nonsense => None,
    };
    found.ok_or_else(|| {
        let failure = match frontend.note_failed_login("http", origin, presented.shown()) {
            Verdict::Tell => Failure::unauthorized(),
            Verdict::Slow { retry_after } => Failure::too_many_failures(retry_after),
        };
        (failure, Error::new(ErrorKind::Denied, "bad credentials"))
    })
}

/// Starts the command and answers with what it sends. Its first byte decides the status.
async fn answer(
    frontend: Arc<Frontend>,
    admitted: Admitted,
    request: Request<Incoming>,
    mut record: Record,
) -> Result<Response<Body>, Failure> {
    let Admitted { route, caller, target } = admitted;
    let (program, phase) = (route.program, route.phase);
    let (conversation, mut pieces) = converse(&frontend, &route, caller, request);
    record.count(&conversation);
    let command = spawn("http request", async move {
        let request_max = frontend.config.request_max;
        let serving = serve(&frontend, conversation, &target, &route, &mut record);
        timeout(request_max, serving).await.unwrap_or(Ended::Cut)
    });
    if let Some(first) = pieces.recv().await {
        return Ok(success(program, phase, Some(Streamed { first, pieces, command })));
    }
    match command.await {
        Ok(Ended::Told) => Ok(success(program, phase, None)),
        Ok(Ended::Untold(error)) => Err(Failure::of(&error)),
        Ok(Ended::Cut) | Err(_) => Err(Failure::internal()),
    }
}

fn converse(
    frontend: &Frontend,
    route: &Route,
    caller: Caller,
    request: Request<Incoming>,
) -> (Conversation, mpsc::Receiver<bytes::Bytes>) {
    let (head, body) = request.into_parts();
    let config = &frontend.config;
    let received_max = match route.program {
        Program::UploadPack => config.fetch_request_bytes_max,
        Program::ReceivePack => config.push_request_bytes_max(),
    };
    let (output, pieces) = Output::channel(config.idle);
    let asked = head.headers.get(GIT_PROTOCOL).map(HeaderValue::as_bytes).unwrap_or_default();
    let conversation = Conversation {
        caller: Arc::new(caller),
        input: Input::new(incoming(body, route.coding), config.idle, received_max),
        output,
        rounds: Rounds::Stateless,
        version: Version::negotiate(asked),
    };
    (conversation, pieces)
}

async fn serve(
    frontend: &Arc<Frontend>,
    mut conversation: Conversation,
    target: &Target,
    route: &Route,
    record: &mut Record,
) -> Ended {
    let (program, phase) = (route.program, route.phase);
    let result = commands::run(frontend, &mut conversation, target, program, phase).await;
    record.end(&result);
    match result {
        Ok(_) => Ended::Told,
        Err(error) if is_for_status(&conversation, route, &error) => Ended::Untold(error),
        Err(error) => match commands::tell(&mut conversation, &error).await {
            commands::Telling::Told => Ended::Told,
            commands::Telling::Not => Ended::Cut,
        },
    }
}

/// Whether a failure is told by the status. Once a byte is out it cannot be; a fetch
/// understands `ERR` packets, which its user gets to read, except that "try later" and
/// what is wrong with the request as such belong to HTTP.
fn is_for_status(conversation: &Conversation, route: &Route, error: &Error) -> bool {
    if conversation.output.sent() > 0 {
        return false;
    }
    let is_fetch = route.program == Program::UploadPack && route.phase == Phase::Serve;
    !is_fetch || error.kind().is_retryable() || error.is_too_large() || error.is_idle()
}

fn invalid(words: &str) -> Error {
    Error::new(ErrorKind::Invalid, words)
}
