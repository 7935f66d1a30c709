use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt as _};
use gitstratum_core::{ErrorKind, ProcessRole};
use gitstratum_git::protocol::Version;
use gitstratum_process::{RequestId, request_span};
use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::line::Line;
use crate::Error;
use crate::auth::{self, Origin};
use crate::commands::{self, Phase, Program};
use crate::conversation::{Caller, Conversation, Input, Output, Rounds};
use crate::frontend::Frontend;
use crate::request_log::{Carrier, Record};
use crate::target::Target;

/// Extended data that a client shows on its error output.
const STDERR: u32 = 1;
/// Exit status of what went well, and of all else: git's own for a fatal error.
const EXIT_OK: u32 = 0;
const EXIT_FATAL: u32 = 128;
/// Bytes gathered behind a write that is under way before the command has to wait.
const GATHERED_BYTES_MAX: usize = 32 * 1024;
/// How long a client may take to hear how its command ended.
const GOODBYE_MAX: Duration = Duration::from_secs(10);

/// What a client orders on a channel.
#[derive(Debug)]
pub(super) enum Order {
    /// A command line.
    Line(Vec<u8>),
    /// A shell, which there is not.
    Shell,
}

/// An order, where it came from and who gave it.
#[derive(Debug)]
pub(super) struct Exec {
    /// What is wanted.
    pub order: Order,
    /// Fingerprint of the key that the client proved to have.
    pub fingerprint: String,
    /// The channel.
    pub channel: Channel<Msg>,
    /// The value of `GIT_PROTOCOL`.
    pub protocol: Vec<u8>,
}

type Writer = ChannelWriteHalf<Msg>;

/// Carries out one order and closes its channel.
pub(super) async fn run(frontend: Arc<Frontend>, client: IpAddr, exec: Exec) {
    let id = RequestId::random(&*frontend.entropy);
    let record = Record::begin(&frontend, id, Carrier::Ssh, client);
    let origin = Origin { request: id, client };
    let span = request_span(id, ProcessRole::Frontend, "ssh");
    let (reader, writer) = exec.channel.split();
    let wanted =
        Wanted { order: exec.order, fingerprint: exec.fingerprint, protocol: exec.protocol };
    let carried = carry_out(&frontend, origin, wanted, (reader, &writer), record);
    let status = id.scope(carried.instrument(span)).await;
    let closing = async {
        writer.exit_status(status).await?;
        writer.eof().await?;
        writer.close().await
    };
    if !matches!(timeout(GOODBYE_MAX, closing).await, Ok(Ok(()))) {
        tracing::debug!(%client, "ssh client did not wait for the exit status");
    }
}

struct Wanted {
    order: Order,
    fingerprint: String,
    protocol: Vec<u8>,
}

async fn carry_out(
    frontend: &Arc<Frontend>,
    origin: Origin,
    wanted: Wanted,
    (reader, writer): (ChannelReadHalf, &Writer),
    mut record: Record,
) -> u32 {
    let line = match &wanted.order {
        Order::Line(line) => Line::parse(line).map_err(|error| error.to_string()),
        Order::Shell => Err("you are logged in, but there is no shell here".to_owned()),
    };
    let line = match line {
        Ok(line) => line,
        Err(words) => {
            record.fail(&Error::new(ErrorKind::Invalid, words.clone()));
            return refuse(writer, &words).await;
        }
    };
    if let Err(error) = frontend.check_news() {
        let words = error.to_string();
        record.fail(&error);
        return refuse(writer, &words).await;
    }
    let snapshot = frontend.feed.current();
    let Ok(caller) = auth::by_key(&snapshot, &wanted.fingerprint, origin) else {
        record.fail(&Error::new(ErrorKind::Denied, "key revoked"));
        return refuse(writer, "your key is not known any more").await;
    };
    record.admit(&caller, &line.path, line.program.operation(Phase::Whole));
    let needed = line.program.needed();
    let target = Target::resolve(&snapshot, &caller.actor, &line.path, needed);
    let (conversation, pieces) = converse(frontend, line.program, caller, &wanted, reader);
    record.count(&conversation);
    let serving = serve(frontend, conversation, target, line.program, record);
    let (status, ()) = tokio::join!(serving, pump(writer, pieces, frontend.config.idle));
    status
}

/// One line on the client's error output.
async fn refuse(writer: &Writer, words: &str) -> u32 {
    let line = Bytes::from(format!("gitstratum: {words}\n"));
    if timeout(GOODBYE_MAX, writer.extended_data_bytes(STDERR, line)).await.is_err() {
        tracing::debug!("ssh client did not hear why it was refused");
    }
    EXIT_FATAL
}

fn converse(
    frontend: &Frontend,
    program: Program,
    caller: Caller,
    wanted: &Wanted,
    reader: ChannelReadHalf,
) -> (Conversation, mpsc::Receiver<Bytes>) {
    let config = &frontend.config;
    let received_max = match program {
        Program::UploadPack => config.fetch_request_bytes_max,
        Program::ReceivePack => config.push_request_bytes_max(),
    };
    let (output, pieces) = Output::channel(config.idle);
    let conversation = Conversation {
        caller: Arc::new(caller),
        input: Input::new(incoming(reader), config.idle, received_max),
        output,
        rounds: Rounds::Stateful,
        version: Version::negotiate(&wanted.protocol),
    };
    (conversation, pieces)
}

/// What the client writes to its command. A channel that closes before its end of file
/// has broken off.
fn incoming(reader: ChannelReadHalf) -> BoxStream<'static, io::Result<Bytes>> {
    let pieces = stream::try_unfold(reader, |mut reader| async move {
        loop {
            match reader.wait().await {
                Some(ChannelMsg::Data { data }) => return Ok(Some((data, reader))),
                Some(ChannelMsg::Eof) => return Ok(None),
                Some(ChannelMsg::Close) | None => {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                Some(_) => {}
            }
        }
    });
    pieces.boxed()
}

async fn serve(
    frontend: &Arc<Frontend>,
    mut conversation: Conversation,
    target: Result<Target, Error>,
    program: Program,
    mut record: Record,
) -> u32 {
    let conversing = async {
        let target = target?;
        commands::run(frontend, &mut conversation, &target, program, Phase::Whole).await
    };
    let Ok(result) = timeout(frontend.config.request_max, conversing).await else {
        return EXIT_FATAL;
    };
    record.end(&result);
    match result {
        Ok(served) if served.failure.is_none() => EXIT_OK,
        Ok(_) => EXIT_FATAL,
        Err(error) => {
            commands::tell(&mut conversation, &error).await;
            EXIT_FATAL
        }
    }
}

/// Passes on what the command sends, at the client's pace. A client that takes nothing
/// for too long is let go; the command then learns that nobody listens.
///
/// What the command says while a write is under way is gathered: russh takes no write while
/// it waits for the command to read, and a command that answers each of many small packets
/// would wait for russh (bad input 6).
async fn pump(writer: &Writer, mut pieces: mpsc::Receiver<Bytes>, idle: Duration) {
    let mut next = pieces.recv().await;
    while let Some(piece) = next {
        let mut gathered = BytesMut::new();
        let mut writing = pin!(timeout(idle, writer.data_bytes(piece)));
        let taken = loop {
            tokio::select! {
                biased;
                taken = writing.as_mut() => break taken,
                Some(more) = pieces.recv(), if gathered.len() < GATHERED_BYTES_MAX => {
                    gathered.extend_from_slice(&more);
                }
            }
        };
        if !matches!(taken, Ok(Ok(()))) {
            return;
        }
        next = match gathered.is_empty() {
            true => pieces.recv().await,
            false => Some(gathered.freeze()),
        };
    }
}
