//! One Git exchange with a client, over SSH or HTTP alike: bytes in, bytes out, who
//! asks and for what. Commands see nothing else of the connection.

mod input;
mod output;
mod pace;
mod packets;

use std::sync::Arc;

use gitstratum_git::protocol::Version;
use gitstratum_process::RequestId;
use gitstratum_proto::common::v1::Actor;

pub(crate) use input::{Input, InputError};
pub(crate) use output::{Output, OutputError, Reads};
pub(crate) use pace::BYTES_PER_SECOND;
pub(crate) use packets::Packets;

/// Who asks: decided once per request from the credentials and the snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// As the partition is told.
    pub actor: Actor,
    /// The request's id in every log line of every role.
    pub request: RequestId,
}

impl Caller {
    /// The user's name for logs; `-` for nobody.
    pub(crate) fn name(&self) -> &str {
        if self.actor.user_name.is_empty() { "-" } else { &self.actor.user_name }
    }
}

/// How many rounds a transport can carry in one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounds {
    /// SSH: both sides talk as long as they like.
    Stateful,
    /// HTTP: one request, one answer.
    Stateless,
}

/// Everything a command works with.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// Bytes from the client.
    pub input: Input,
    /// Bytes to the client.
    pub output: Output,
    /// How many rounds there can be.
    pub rounds: Rounds,
    /// The Git protocol version that the client asked for.
    pub version: Version,
}
