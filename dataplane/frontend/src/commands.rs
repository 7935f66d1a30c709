//! What a client may ask of a repository, whatever carried the request.
//!
//! A command that returns an [`Error`] has not told the client: its caller does, once (an
//! HTTP status, an `ERR` packet, or band 3: see [`tell`]). It may have been dropped half-way.
//! A command that has told the client itself (a report with `ng`) returns a [`Served`] that
//! holds the failure.

pub(crate) mod advertise;
pub(crate) mod fetch;
mod ls_refs;
pub(crate) mod receive_pack;
mod v2;

use std::sync::Arc;

use bytes::BytesMut;
use gitstratum_core::Role;
use gitstratum_git::pktline::{self, Band, side_band};
use gitstratum_git::protocol::Version;

use crate::Error;
use crate::conversation::{Conversation, Reads};
use crate::frontend::Frontend;
use crate::limit::FetchPlace;
use crate::metric_names::Operation;
use crate::session::FetchTicket;
use crate::target::Target;
use crate::view::Purpose;

/// The two programs that git runs on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Program {
    /// The program called `name`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// The least that its caller must be allowed.
    pub(crate) const fn needed(self) -> Role {
        match self {
            Self::UploadPack => Role::Read,
            Self::ReceivePack => Role::Write,
        }
    }

    /// What a request for it counts as until its command is known.
    pub(crate) const fn operation(self, phase: Phase) -> Operation {
        match (phase, self) {
            (Phase::Advertise, _) => Operation::Advertise,
            (Phase::Whole | Phase::Serve, Self::UploadPack) => Operation::Fetch,
            (Phase::Whole | Phase::Serve, Self::ReceivePack) => Operation::Push,
        }
    }
}

/// How much of an exchange one request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// SSH: the advertisement and all that follows.
    Whole,
    /// HTTP, `info/refs`: the advertisement alone.
    Advertise,
    /// HTTP, the POST: what follows the advertisement.
    Serve,
}

/// What a command did, for the request log and the metrics.
#[derive(Debug)]
pub(crate) struct Served {
    /// Which command it was.
    pub operation: Operation,
    /// Why it failed, when the client has been told already.
    pub failure: Option<Error>,
    /// Objects sent or received.
    pub objects: u64,
    /// Refs listed or changed.
    pub refs: u64,
}

impl Served {
    /// A command that did what was asked.
    pub(crate) const fn new(operation: Operation) -> Self {
        Self { operation, failure: None, objects: 0, refs: 0 }
    }

    /// A command that failed and has told the client so.
    pub(crate) const fn failed(operation: Operation, failure: Error) -> Self {
        Self { operation, failure: Some(failure), objects: 0, refs: 0 }
    }
}

/// Runs `program` for a caller that has been authorised for `target`, for as long as it
/// stays so.
///
/// # Errors
/// What the client has not been told yet.
pub(crate) async fn run(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    program: Program,
    phase: Phase,
) -> Result<Served, Error> {
    let caller = Arc::clone(&conversation.caller);
    let watching = target.revoked(frontend.feed.clone(), &caller.actor, program.needed());
    let running = async {
        match program {
            Program::UploadPack => upload_pack(frontend, conversation, target, phase).await,
            Program::ReceivePack => {
                Box::pin(receive_pack::run(frontend, conversation, target, phase)).await
            }
        }
    };
    tokio::select! {
        biased;
        result = running => result,
        error = watching => Err(error),
    }
}

async fn upload_pack(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    phase: Phase,
) -> Result<Served, Error> {
    let mut served = Served::new(Operation::Advertise);
    if phase != Phase::Serve {
        served.refs = advertise_refs(frontend, conversation, target, phase).await?;
    }
    if phase == Phase::Advertise {
        return Ok(served);
    }
    match conversation.version {
        Version::V2 => Box::pin(v2::serve(frontend, conversation, target)).await,
        Version::V0 | Version::V1 => {
            Box::pin(fetch::serve_v0(frontend, conversation, target)).await
        }
    }
}

async fn advertise_refs(
    frontend: &Arc<Frontend>,
    conversation: &mut Conversation,
    target: &Target,
    phase: Phase,
) -> Result<u64, Error> {
    if conversation.version == Version::V2 {
        advertise::upload_pack_v2(conversation, target).await?;
        return Ok(0);
    }
    let caller = Arc::clone(&conversation.caller);
    let view = frontend.views.current(&caller, target, Purpose::Fetch).await?;
    advertise::upload_pack(conversation, target, &view, phase).await
}

/// What a fetch needs while it runs: one of its repository's places, and the promise
/// that what it reads stays (S30).
async fn place(
    frontend: &Arc<Frontend>,
    target: &Target,
) -> Result<(FetchPlace, FetchTicket), Error> {
    let place = frontend.fetches.enter(target.id()).await?;
    let ticket = frontend.sessions.begin_fetch(target.partition()).await?;
    Ok((place, ticket))
}

/// Whether a client could be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// It will read of it.
    Told,
    /// It has gone, or takes no bytes, or would take words for something else: it is cut off.
    Not,
}

/// Tells the client why its request failed, in the form that it reads at this point of the
/// answer.
pub(crate) async fn tell(conversation: &mut Conversation, error: &Error) -> Telling {
    if error.is_of_output() {
        return Telling::Not;
    }
    let mut out = BytesMut::new();
    match conversation.output.reads() {
        Reads::Packets => pktline::error(&mut out, &error.to_string()),
        Reads::Bands(framing) => {
            side_band(&mut out, framing, Band::Fatal, format!("{error}\n").as_bytes());
        }
        Reads::Content => return Telling::Not,
    }
    match conversation.output.send(out.freeze()).await {
        Ok(()) => Telling::Told,
        Err(_) => Telling::Not,
    }
}
