use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId, RefName};
use gitstratum_proto::common::v1::Ref;
use gitstratum_proto::format_to_wire;
use gitstratum_proto::metadata::v1::{
    CloseSessionRequest, CloseSessionResponse, FetchPlan, GetRefsRequest, GetRefsResponse,
    OpenSessionRequest, OpenSessionResponse, PlanFetchRequest, PlanFetchResponse,
    RenewSessionsRequest, RenewSessionsResponse, SessionState,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Semaphore;

use super::grpc::{Answer, Calls, Code};

const INVALID_ARGUMENT: Code = Code(3);
const NOT_FOUND: Code = Code(5);
const UNIMPLEMENTED: Code = Code(12);
/// Refs in one message of a listing.
const REFS_IN_MESSAGE: usize = 1_000;

/// A metadata service of one leader, whose state a test writes and whose calls it reads.
#[derive(Clone)]
pub struct Metadata {
    state: Arc<Mutex<State>>,
    gate: Arc<Semaphore>,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    repos: BTreeMap<u64, RepoState>,
    version: u64,
    sessions: BTreeMap<u64, u32>,
    renewals: Vec<RenewSessionsRequest>,
    calls: BTreeMap<String, usize>,
    failure: Option<Code>,
    /// Calls of a method that fail, from which on.
    failing: BTreeMap<String, (usize, Code)>,
}

/// What the partition holds of a repository.
#[derive(Clone, Debug)]
pub struct RepoState {
    /// Hash its objects are named by.
    pub format: ObjectFormat,
    /// What `HEAD` points at.
    pub head: RefName,
    /// Its refs: target, and what an annotated tag leads to.
    pub refs: BTreeMap<RefName, (ObjectId, Option<ObjectId>)>,
    /// When it last changed.
    pub version: u64,
}

impl Default for Metadata {
    fn default() -> Self {
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { state: Arc::new(Mutex::new(State { version: 1, ..State::default() })), gate }
    }
}

impl Metadata {
    /// Makes `repo` what `change` makes of it; a repository begins empty, on `main`.
    pub fn change(&self, repo: u64, change: impl FnOnce(&mut RepoState)) {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version;
        let held = state.repos.entry(repo).or_insert_with(RepoState::empty);
        change(held);
        held.version = version;
    }

    /// How often `method` was called.
    pub fn calls(&self, method: &str) -> usize {
        self.state.lock().calls.get(method).copied().unwrap_or(0)
    }

    /// The renewals heard so far.
    pub fn renewals(&self) -> Vec<RenewSessionsRequest> {
        self.state.lock().renewals.clone()
    }

    /// Sessions that are open.
    pub fn sessions(&self) -> usize {
        self.state.lock().sessions.len()
    }

    /// Forgets all sessions, as a partition does that was not renewed with.
    pub fn close_sessions(&self) {
        self.state.lock().sessions.clear();
    }

    /// From now on every call fails with this gRPC code; `None` heals.
    pub fn fail_with(&self, code: Option<u8>) {
        self.state.lock().failure = code.map(Code);
    }

    /// Calls of `method` fail with this gRPC code, from number `from` on.
    pub fn fail_from(&self, method: &str, from: usize, code: u8) {
        self.state.lock().failing.insert(method.to_owned(), (from, Code(code)));
    }

    /// `GetRefs` and `UpdateRefs` wait from now on, until [`Metadata::release`].
    pub fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets `count` of those calls pass.
    pub fn release(&self, count: usize) {
        self.gate.add_permits(count);
    }
}

impl State {
    fn count(&mut self, method: &str) -> Result<(), Code> {
        let count = self.calls.entry(method.to_owned()).or_default();
        *count += 1;
        let failing = self.failing.get(method).filter(|(from, _)| *count >= *from);
        self.failure.or(failing.map(|(_, code)| *code)).map_or(Ok(()), Err)
    }
}

impl RepoState {
    fn empty() -> Self {
        Self {
            format: ObjectFormat::Sha1,
            head: RefName::branch("main").expect("because main is a branch name"),
            refs: BTreeMap::new(),
            version: 0,
        }
    }

    /// Sets the ref called `name`; `peeled` for an annotated tag.
    ///
    /// # Panics
    /// When `name` or an id is malformed: a test's mistake.
    pub fn set(&mut self, name: &str, id: &str, peeled: &str) {
        let id_of = |text: &str| ObjectId::from_hex(self.format, text.as_bytes());
        let name = RefName::parse(name.to_owned()).expect("because tests give good names");
        let target = id_of(id).expect("because tests give good ids");
        let peeled = (!peeled.is_empty())
            .then(|| id_of(peeled).expect("because tests give good peeled ids"));
        self.refs.insert(name, (target, peeled));
    }
}

impl Calls for Metadata {
    async fn call(&self, method: &str, message: Bytes) -> Answer {
        self.state.lock().count(method)?;
        if matches!(method, "GetRefs" | "UpdateRefs") {
            self.gate.acquire().await.map_err(|_| UNIMPLEMENTED)?.forget();
        }
        match method {
            "GetRefs" => self.get_refs(&decode(message)?),
            "PlanFetch" => Ok(plan(decode(message)?)),
            "OpenSession" => self.open(&decode(message)?),
            "RenewSessions" => self.renew(decode(message)?),
            "CloseSession" => self.close(&decode(message)?),
            _ => Err(UNIMPLEMENTED),
        }
    }
}

impl Metadata {
    fn get_refs(&self, request: &GetRefsRequest) -> Answer {
        let id = request.repo.as_ref().map_or(0, |repo| repo.repo_id);
        let repo = self.state.lock().repos.get(&id).cloned().ok_or(NOT_FOUND)?;
        let unchanged = request.held_refs_version == repo.version;
        let mut refs: Vec<Ref> = Vec::new();
        if !unchanged {
            refs.extend(repo.refs.iter().map(|(name, (target, peeled))| Ref {
                name: name.to_bytes(),
                target: Bytes::copy_from_slice(target.as_bytes()),
                peeled: peeled.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
            }));
        }
        let first = GetRefsResponse {
            refs_version: repo.version,
            manifest_version: repo.version,
            head: repo.head.to_bytes(),
            object_format: format_to_wire(repo.format),
            refs_are_changes: unchanged,
            packs_are_changes: unchanged,
            ..GetRefsResponse::default()
        };
        let mut messages = vec![first];
        for some in refs.chunks(REFS_IN_MESSAGE) {
            messages.push(GetRefsResponse { refs: some.to_vec(), ..GetRefsResponse::default() });
        }
        if let Some(last) = messages.last_mut() {
            last.last = true;
        }
        Ok(messages.iter().map(Message::encode_to_vec).collect())
    }

    fn open(&self, request: &OpenSessionRequest) -> Answer {
        let mut state = self.state.lock();
        state.version += 1;
        let session = state.version;
        state.sessions.insert(session, request.partition);
        Ok(vec![OpenSessionResponse { session }.encode_to_vec()])
    }

    fn renew(&self, request: RenewSessionsRequest) -> Answer {
        let mut state = self.state.lock();
        let of = |renewal: &gitstratum_proto::metadata::v1::SessionRenewal| SessionState {
            partition: renewal.partition,
            session: renewal.session,
            open: state.sessions.contains_key(&renewal.session),
            version: state.version,
        };
        let states = request.renewals.iter().map(of).collect();
        state.renewals.push(request);
        Ok(vec![RenewSessionsResponse { states }.encode_to_vec()])
    }

    fn close(&self, request: &CloseSessionRequest) -> Answer {
        self.state.lock().sessions.remove(&request.session);
        Ok(vec![CloseSessionResponse {}.encode_to_vec()])
    }
}

/// All haves are common, and nothing is to be sent; the plan comes with the last words.
fn plan(request: PlanFetchRequest) -> Vec<Vec<u8>> {
    let plan = request.done.then(FetchPlan::default);
    let answer = PlanFetchResponse {
        acks: request.haves,
        ready: true,
        plan,
        ..PlanFetchResponse::default()
    };
    vec![answer.encode_to_vec()]
}

fn decode<M: Message + Default>(message: Bytes) -> Result<M, Code> {
    M::decode(message).map_err(|_| INVALID_ARGUMENT)
}
