//! A partition in memory, and a client that talks to it through a push.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use gitstratum_client::manifest::Pack as Row;
use gitstratum_client::metadata;
use gitstratum_core::{PushNumber, RefName, SessionId, Version};
use gitstratum_git::pktline::{Decoder, Packet};
use gitstratum_git::protocol;
use gitstratum_process::RequestId;
use gitstratum_proto::control::v1::Repository;
use gitstratum_proto::metadata::v1::{
    CommandResult, Refusal, UpdateRefsRequest, UpdateRefsResponse,
};
use parking_lot::Mutex;

use super::super::*;
use crate::commands::receive_pack::partition::Ticket;
use crate::conversation::{Caller, Output};
use crate::ingest::testing::{Rig, SHA1, layout};
use crate::view::{Ref, Refs};

/// What the partition was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) views: usize,
    pub(super) updates: Vec<UpdateRefsRequest>,
}

/// A partition that carries out every push that fits, unless told what to answer.
#[derive(Default)]
pub(super) struct MemoryPartition {
    state: Mutex<State>,
    numbers: AtomicU64,
}

#[derive(Default)]
struct State {
    version: u64,
    refs: BTreeMap<RefName, ObjectId>,
    packs: Vec<Row>,
    script: VecDeque<Script>,
    asked: Asked,
}

/// An answer that is given instead of judging.
#[derive(Clone, Debug)]
pub(super) enum Script {
    Refuse(Refusal),
    Silence,
    /// Somebody else's push comes first, and takes the packs away.
    LosePacks,
}

impl MemoryPartition {
    pub(super) fn answer(&self, script: impl IntoIterator<Item = Script>) {
        self.state.lock().script.extend(script);
    }

    pub(super) fn asked(&self) -> Asked {
        self.state.lock().asked.clone()
    }

    pub(super) fn forget(&self) {
        self.state.lock().asked = Asked::default();
    }

    pub(super) fn get(&self, name: &str) -> Option<ObjectId> {
        self.state.lock().refs.get(&RefName::branch(name).unwrap()).copied()
    }

    pub(super) fn look(&self) -> Arc<View> {
        let state = self.state.lock();
        let refs = state.refs.iter().map(|(name, target)| Ref {
            name: name.clone(),
            target: *target,
            peeled: None,
        });
        Arc::new(View {
            refs_version: Version(state.version),
            manifest_version: Version(state.version),
            drop_counter: 1,
            head: RefName::branch("main").unwrap(),
            refs: Arc::new(Refs::new(refs)),
            packs: Arc::new(state.packs.iter().cloned().map(Arc::new).collect()),
        })
    }

    fn apply(&self, request: UpdateRefsRequest) -> UpdateRefsResponse {
        let mut state = self.state.lock();
        state.asked.updates.push(request.clone());
        state.version += 1;
        match state.script.pop_front() {
            None => {}
            Some(Script::LosePacks) => {
                state.packs.clear();
                return refusal(Refusal::DropCounter);
            }
            Some(Script::Refuse(each)) => return refusal(each),
            Some(Script::Silence) => unreachable!("answered before"),
        }
        let mut results = Vec::new();
        for command in &request.commands {
            let name = RefName::parse(command.name.clone()).unwrap();
            let id = |bytes| ObjectId::from_slice(bytes).unwrap();
            let (old, new) = (id(&command.old), id(&command.new));
            let held = state.refs.get(&name).copied().unwrap_or(ObjectId::null(SHA1));
            let refusal = if held == old { Refusal::None } else { Refusal::Stale };
            if held == old && new.is_null() {
                state.refs.remove(&name);
            } else if held == old {
                state.refs.insert(name, new);
            }
            let (name, message) = (command.name.clone(), String::new());
            results.push(CommandResult { name, refusal: refusal.into(), message });
        }
        if let Some(pack) = &request.pack {
            state.packs.push(Row::try_from(pack).unwrap());
        }
        UpdateRefsResponse { results, version: state.version, ..UpdateRefsResponse::default() }
    }
}

fn refusal(refusal: Refusal) -> UpdateRefsResponse {
    UpdateRefsResponse { refusal: refusal.into(), ..UpdateRefsResponse::default() }
}

impl Partition for MemoryPartition {
    fn view(&self) -> BoxFuture<'_, Result<Arc<View>, Error>> {
        self.state.lock().asked.views += 1;
        Box::pin(std::future::ready(Ok(self.look())))
    }

    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Ticket>, Error>> {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(std::future::ready(Ok(Box::new(Number(number)) as Box<dyn Ticket>)))
    }

    fn update(
        &self,
        request: UpdateRefsRequest,
    ) -> BoxFuture<'_, Result<UpdateRefsResponse, metadata::Error>> {
        let silent = matches!(self.state.lock().script.front(), Some(Script::Silence));
        let answer = match silent {
            true => {
                self.state.lock().asked.updates.push(request);
                Err(metadata::Error::Deadline { partition: gitstratum_core::PartitionId(3) })
            }
            false => Ok(self.apply(request)),
        };
        Box::pin(std::future::ready(answer))
    }
}

struct Number(u64);

impl Ticket for Number {
    fn session(&self) -> SessionId {
        SessionId(40)
    }

    fn number(&self) -> PushNumber {
        PushNumber(self.0)
    }

    fn floor(&self) -> PushNumber {
        PushNumber(self.0)
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// What a client heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Lines of the report.
    pub(super) report: Vec<String>,
    /// Lines of progress.
    pub(super) progress: Vec<String>,
    /// Last words.
    pub(super) fatal: Option<String>,
}

/// A repository, its partition, and nodes to store on.
pub(super) struct Stage {
    pub(super) rig: Rig,
    pub(super) partition: MemoryPartition,
    pub(super) copies: u32,
    target: Target,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::on(Rig::new())
    }

    pub(super) fn on(rig: Rig) -> Self {
        let repository = Repository { id: 5, partition: 3, name_version: 1, ..Default::default() };
        let target = Target { repository: Arc::new(repository), format: SHA1 };
        Self { rig, partition: MemoryPartition::default(), copies: 3, target }
    }

    /// Pushes what `request` says; `held` is what the frontend knew before.
    pub(super) async fn push(
        &self,
        request: Request,
        held: Option<Arc<View>>,
    ) -> (Result<Served, Error>, Heard) {
        let input = crate::ingest::testing::input_of(request.pieces());
        self.converse(input, Rounds::Stateless, held).await
    }

    pub(super) async fn converse(
        &self,
        input: Input,
        rounds: Rounds,
        held: Option<Arc<View>>,
    ) -> (Result<Served, Error>, Heard) {
        let (output, pieces) = Output::channel(Duration::from_secs(60));
        let actor = Actor { user_id: 1, user_name: "ann".to_owned(), ..Actor::default() };
        let request = RequestId::random(self.rig.context.entropy.as_ref());
        let mut conversation = Conversation {
            caller: Arc::new(Caller { actor, request }),
            input,
            output,
            rounds,
            version: protocol::Version::V0,
        };
        let layout = layout(self.copies, 3);
        let push = Push {
            context: &self.rig.context,
            partition: &self.partition,
            layout: &layout,
            target: &self.target,
        };
        let listening = async {
            let stream = futures::stream::unfold(pieces, |mut pieces| async {
                pieces.recv().await.map(|piece| (piece, pieces))
            });
            let said: Vec<Bytes> = stream.collect().await;
            hear(said)
        };
        let serving = async {
            let served = push.serve(&mut conversation, held).await;
            drop(conversation);
            served
        };
        tokio::join!(serving, listening)
    }
}

fn hear(said: Vec<Bytes>) -> Heard {
    let mut heard = Heard::default();
    let mut stream = BytesMut::from(&said.concat()[..]);
    let (mut decoder, mut report) = (Decoder::default(), BytesMut::new());
    while let Some(packet) = decoder.decode(&mut stream).unwrap() {
        let Packet::Data(payload) = packet else { continue };
        let text = || String::from_utf8_lossy(&payload[1..]).trim_end().to_owned();
        match payload[0] {
            1 => report.extend_from_slice(&payload[1..]),
            2 => heard.progress.push(text()),
            3 => heard.fatal = Some(text()),
            _ => heard.report.push(String::from_utf8_lossy(&payload).trim_end().to_owned()),
        }
    }
    while let Some(packet) = Decoder::default().decode(&mut report).unwrap() {
        if let Packet::Data(line) = packet {
            heard.report.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
    }
    heard
}

/// What a client sends.
#[derive(Clone, Debug)]
pub(super) struct Request {
    commands: Vec<(ObjectId, ObjectId, String)>,
    capabilities: &'static str,
    pack: Bytes,
}

impl Request {
    /// A client as stock git is one.
    pub(super) fn new() -> Self {
        let capabilities = "report-status side-band-64k object-format=sha1 agent=git/2.39.5";
        Self { commands: Vec::new(), capabilities, pack: Bytes::new() }
    }

    pub(super) fn asking(self, capabilities: &'static str) -> Self {
        Self { capabilities, ..self }
    }

    pub(super) fn create(self, name: &str, new: ObjectId) -> Self {
        self.update(name, ObjectId::null(SHA1), new)
    }

    pub(super) fn delete(self, name: &str, old: ObjectId) -> Self {
        self.update(name, old, ObjectId::null(SHA1))
    }

    pub(super) fn update(mut self, name: &str, old: ObjectId, new: ObjectId) -> Self {
        self.commands.push((old, new, name.to_owned()));
        self
    }

    pub(super) fn pack(self, pack: Bytes) -> Self {
        Self { pack, ..self }
    }

    pub(super) fn pieces(&self) -> Vec<Bytes> {
        let mut text = String::new();
        for (number, (old, new, name)) in self.commands.iter().enumerate() {
            let mut line = format!("{old} {new} {name}");
            if number == 0 {
                line.push('\0');
                line.push_str(self.capabilities);
            }
            text.push_str(&format!("{:04x}{line}", line.len() + 4));
        }
        text.push_str("0000");
        let mut whole = BytesMut::from(text.as_bytes());
        whole.extend_from_slice(&self.pack);
        let whole = whole.freeze();
        let pieces = (0..whole.len()).step_by(8_000);
        pieces.map(|at| whole.slice(at..whole.len().min(at + 8_000))).collect()
    }
}
