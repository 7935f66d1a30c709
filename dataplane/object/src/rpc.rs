use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use gitstratum_client::grpc;
use gitstratum_core::{NodeId, PartitionId, ProcessRole, SegmentId};
use gitstratum_git::segment::{Layout, Origin};
use gitstratum_process::Drain;
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::object::v1 as wire;
use gitstratum_proto::object::v1::object_server::{Object, ObjectServer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::admission::Admissions;
use crate::compact::{self, Runs, Told, What};
use crate::error::Error;
use crate::pull::{Order, Puller};
use crate::segments::{Segments, blocking};

/// Most ids in one request.
const IDS_MAX: usize = 65_536;
/// Answers waiting for a slow caller at most.
const ANSWERS_WAITING_MAX: usize = 16;

/// How often a caller hears of a run that has nothing to tell.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// Answers of many parts under way at most: each takes a thread of those that may block, for as
/// long as its caller takes to read it.
pub(crate) const STREAMS_MAX: usize = 32;

type AnswerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The gRPC face of the segments.
pub(crate) struct Rpc {
    pub(crate) segments: Arc<Segments>,
    pub(crate) puller: Arc<Puller>,
    pub(crate) node: NodeId,
    pub(crate) admissions: Arc<Admissions>,
    pub(crate) runs: Arc<Runs>,
    /// Runs end with the process.
    pub(crate) drain: Drain,
    /// Places for answers of many parts: [`STREAMS_MAX`].
    pub(crate) streams: Arc<Semaphore>,
}

impl Rpc {
    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_| Status::resource_exhausted("too many answers are being read"))
    }

    /// What a server serves.
    pub(crate) fn routes(self) -> tonic::service::Routes {
        let server = ObjectServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX);
        tonic::service::Routes::new(server)
    }
}

#[tonic::async_trait]
impl Object for Rpc {
    type ListStream = AnswerStream<wire::SegmentRecord>;
    type VerifyStream = AnswerStream<wire::VerifyResult>;
    type RunStream = AnswerStream<wire::RunProgress>;

    async fn give_up(
        &self,
        request: Request<wire::GiveUpRequest>,
    ) -> Result<Response<wire::GiveUpResponse>, Status> {
        let peer = grpc::peer(&request)?;
        if peer.role != ProcessRole::Frontend {
            return Err(to_status(&Error::NotAllowed));
        }
        let request = request.into_inner();
        let ids = segment_ids(&request.segment_ids)?;
        let segments = Arc::clone(&self.segments);
        let writer = (request.session, request.push_number);
        let swept = blocking(move || give_up(&segments, &ids, writer)).await;
        let swept = swept.map_err(|error| to_status(&error))?;
        Ok(Response::new(wire::GiveUpResponse { swept }))
    }

    async fn stat(
        &self,
        request: Request<wire::StatRequest>,
    ) -> Result<Response<wire::StatResponse>, Status> {
        let ids = segment_ids(&request.into_inner().segment_ids)?;
        let segments = Arc::clone(&self.segments);
        let found = blocking(move || {
            Ok(ids.into_iter().filter_map(|id| describe(&segments, id)).collect())
        });
        let segments = found.await.map_err(|error| to_status(&error))?;
        Ok(Response::new(wire::StatResponse { segments }))
    }

    async fn list(
        &self,
        _request: Request<wire::ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let segments = Arc::clone(&self.segments);
        Ok(stream(self.place()?, move |answers| {
            for id in segments.ids().map_err(|error| to_status(&error))? {
                if let Some(record) = describe(&segments, id) {
                    answers(record)?;
                }
            }
            Ok(())
        }))
    }

    async fn verify(
        &self,
        request: Request<wire::VerifyRequest>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        let asked = segment_ids(&request.into_inner().segment_ids)?;
        let segments = Arc::clone(&self.segments);
        Ok(stream(self.place()?, move |answers| {
            let ids = match asked.is_empty() {
                true => segments.ids().map_err(|error| to_status(&error))?.into_iter().collect(),
                false => asked,
            };
            ids.into_iter().try_for_each(|id| answers(verify(&segments, id)))
        }))
    }

    async fn pull(
        &self,
        request: Request<wire::PullRequest>,
    ) -> Result<Response<wire::PullResponse>, Status> {
        let peer = grpc::peer(&request)?;
        if peer.role != ProcessRole::Metadata {
            return Err(to_status(&Error::NotAllowed));
        }
        let request = request.into_inner();
        let [segment] = segment_ids(&[request.segment_id])?[..] else {
            return Err(to_status(&Error::Bug("one id parses to one")));
        };
        let order = Order {
            partition: PartitionId(request.partition),
            term: request.term,
            segment,
            from: request.from.into_iter().map(NodeId).collect(),
            list: request.list_number,
        };
        let number = self.admissions.number(order.partition).await;
        let number = number.map_err(|error| to_status(&error))?;
        let pulled = self.puller.pull(order).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(wire::PullResponse {
            node: self.node.0,
            incarnation: number.0,
            length: pulled.length,
            was_held: pulled.was_held,
        }))
    }

    async fn recheck(
        &self,
        request: Request<wire::RecheckRequest>,
    ) -> Result<Response<wire::RecheckResponse>, Status> {
        let ids = segment_ids(&request.into_inner().segment_ids)?;
        let segments = Arc::clone(&self.segments);
        let asked = blocking(move || {
            ids.into_iter().for_each(|segment| segments.ask_about(segment));
            Ok(())
        });
        asked.await.map_err(|error| to_status(&error))?;
        Ok(Response::new(wire::RecheckResponse {}))
    }

    async fn run(
        &self,
        request: Request<wire::RunRequest>,
    ) -> Result<Response<Self::RunStream>, Status> {
        let peer = grpc::peer(&request)?;
        if !matches!(peer.role, ProcessRole::Control | ProcessRole::Object) {
            return Err(to_status(&Error::NotAllowed));
        }
        let request = request.into_inner();
        let what = what(request.kind())?;
        let repo = request.repo.ok_or_else(|| Status::invalid_argument("repo is missing"))?;
        let (sender, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
        let order = Ordered { repo, what, is_rehearsal: request.dry_run };
        let running = run(Arc::clone(&self.runs), order, sender, self.drain.clone());
        // Ends by itself: when it is over, when its caller has gone, or with the process.
        gitstratum_process::spawn("run", running).detach();
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }

    async fn status(
        &self,
        _request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let segments = Arc::clone(&self.segments);
        let free = blocking(move || segments.free_bytes()).await;
        let metrics = self.segments.metrics();
        Ok(Response::new(wire::StatusResponse {
            node: self.node.0,
            segments: u64::try_from(metrics.segments.get()).unwrap_or(0),
            stored_bytes: u64::try_from(metrics.stored_bytes.get()).unwrap_or(0),
            free_bytes: free.unwrap_or(0),
            incarnation: self.admissions.highest().0,
            refusing_writes: self.segments.refusing().unwrap_or_default(),
        }))
    }
}

/// A run as it was asked for.
struct Ordered {
    repo: RepoKey,
    what: What,
    is_rehearsal: bool,
}

fn what(kind: wire::RunKind) -> Result<What, Status> {
    match kind {
        wire::RunKind::Compaction => Ok(What::Compaction),
        wire::RunKind::Drop => Ok(What::Drop),
        wire::RunKind::Unspecified => Err(Status::invalid_argument("kind is missing")),
    }
}

type Progress = mpsc::Sender<Result<wire::RunProgress, Status>>;

async fn run(runs: Arc<Runs>, order: Ordered, sender: Progress, drain: Drain) {
    let telling = sender.clone();
    // Who does not keep up misses some.
    let told = Told(Box::new(move |progress| drop(telling.try_send(Ok(progress)))));
    let Ordered { repo, what, is_rehearsal } = order;
    let working = async {
        match is_rehearsal {
            true => runs.rehearse(repo, what, &told).await,
            false => runs.run(repo, what, &told).await,
        }
    };
    let living = async {
        loop {
            tokio::time::sleep(SIGN_OF_LIFE).await;
            // Who is slow has other words to read.
            let _missed = sender.try_send(Ok(wire::RunProgress::default()));
        }
    };
    let done = tokio::select! {
        biased;
        () = drain.started() => Err(compact::Error::Ended),
        () = sender.closed() => Err(compact::Error::Ended),
        done = working => done,
        () = living => Err(compact::Error::Ended),
    };
    let last = match done {
        Ok(report) => Ok(wire::RunProgress {
            stage: wire::RunStage::Done.into(),
            report: Some(report),
            ..wire::RunProgress::default()
        }),
        Err(compact::Error::Held { node }) => {
            Ok(wire::RunProgress { held_by: node.0, ..wire::RunProgress::default() })
        }
        Err(error) => Err(grpc::status(error.kind(), chain(&error))),
    };
    // A caller that has gone hears nothing.
    sender.send(last).await.ok();
}

/// An error and its causes on one line.
fn chain(error: &compact::Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

/// S12: a frontend gives up only a whole push, before any `UpdateRefs` of it was sent. Only
/// segments that carry the caller's own session and number are touched.
fn give_up(segments: &Arc<Segments>, ids: &[SegmentId], writer: (u64, u64)) -> Result<u32, Error> {
    let mut swept = 0;
    for id in ids {
        // One that is being written or copied here is its writer's; what it leaves is swept.
        let Ok(_hold) = segments.hold(*id) else { continue };
        let Ok(opened) = segments.open_segment(*id) else { continue };
        // A copy that was pulled may be listed: it ends by S21 only.
        if push_of(&opened.layout) == Some(writer) && !segments.is_pulled(*id)? {
            segments.remove(*id)?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn push_of(layout: &Layout) -> Option<(u64, u64)> {
    match layout.header().origin {
        Origin::Push { session, number } => Some((session.0, number.0)),
        Origin::Claim { .. } => None,
    }
}

fn describe(segments: &Segments, id: SegmentId) -> Option<wire::SegmentRecord> {
    let bare = wire::SegmentRecord { segment_id: id.0.to_vec().into(), ..Default::default() };
    match segments.open_segment(id) {
        Ok(opened) => {
            let header = opened.layout.header();
            let (session, push_number) = push_of(&opened.layout).unwrap_or_default();
            Some(wire::SegmentRecord {
                length: opened.layout.total_len(),
                repo_id: header.repo.0,
                pack_id: header.pack.0.to_vec().into(),
                partition: header.partition.0,
                session,
                push_number,
                sealed: true,
                in_file: matches!(opened.place, crate::segments::Place::File(_)),
                ..bare
            })
        }
        Err(Error::NotHeld { .. } | Error::PutAside { .. }) => None,
        Err(_) => Some(bare),
    }
}

fn verify(segments: &Arc<Segments>, id: SegmentId) -> wire::VerifyResult {
    let segment_id = id.0.to_vec().into();
    match segments.verify(id) {
        Ok(layout) => wire::VerifyResult {
            segment_id,
            repo_id: layout.header().repo.0,
            problem: String::new(),
            bytes: layout.total_len(),
        },
        Err(error) => {
            wire::VerifyResult { segment_id, problem: error.to_string(), ..Default::default() }
        }
    }
}

fn segment_ids(ids: &[bytes::Bytes]) -> Result<Vec<SegmentId>, Status> {
    if ids.len() > IDS_MAX {
        return Err(Status::invalid_argument("more than 65536 segment ids"));
    }
    let parsed = ids.iter().map(|id| gitstratum_proto::segment_id("segment_ids", id));
    parsed.collect::<Result<_, _>>().map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Streams what `produce` makes on a blocking thread; it stops when the caller has gone.
fn stream<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    produce: impl FnOnce(&dyn Fn(T) -> Result<(), Status>) -> Result<(), Status> + Send + 'static,
) -> Response<AnswerStream<T>> {
    let answers = gitstratum_process::produce(ANSWERS_WAITING_MAX, move |answers| {
        let _place = place;
        let send =
            |answer| answers.put(Ok(answer)).map_err(|_| Status::cancelled("the caller has gone"));
        if let Err(status) = produce(&send) {
            // A caller that has gone hears nothing; any other failure ends its stream.
            let _last = answers.put(Err(status));
        }
    });
    Response::new(answers.boxed())
}

fn to_status(error: &Error) -> Status {
    grpc::status(error.kind(), error)
}
