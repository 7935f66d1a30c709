use gitstratum_core::UnixMillis;

use super::{BadField, Stored};
use crate::outcome::{Outcome, OutcomeMessage};
use crate::record::AuditLine;
use crate::row::Key;
use crate::state::Remembered;

/// What one version changed.
pub(crate) struct ChangeRow(pub(crate) Vec<Key>);

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChangeMessage {
    #[prost(bytes = "vec", repeated, tag = "1")]
    keys: Vec<Vec<u8>>,
}

impl Stored for ChangeRow {
    type Message = ChangeMessage;

    fn to_message(&self) -> ChangeMessage {
        ChangeMessage { keys: self.0.iter().map(Key::to_bytes).collect() }
    }

    fn from_message(message: ChangeMessage) -> Result<Self, BadField> {
        let keys = message.keys.iter().map(|bytes| Key::from_bytes(bytes).ok_or(BadField("key")));
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }
}

/// An outcome kept for repeats.
pub(crate) struct RequestRow(pub(crate) Remembered);

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RequestMessage {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(message, optional, tag = "2")]
    outcome: Option<OutcomeMessage>,
    #[prost(fixed64, tag = "3")]
    digest: u64,
}

impl Stored for RequestRow {
    type Message = RequestMessage;

    fn to_message(&self) -> RequestMessage {
        let Remembered { index, digest, outcome } = &self.0;
        let outcome = Some(outcome.to_message());
        RequestMessage { index: *index, outcome, digest: *digest }
    }

    fn from_message(message: RequestMessage) -> Result<Self, BadField> {
        let outcome = message.outcome.and_then(Outcome::from_message).ok_or(BadField("outcome"))?;
        Ok(Self(Remembered { index: message.index, digest: message.digest, outcome }))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuditMessage {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(uint64, tag = "2")]
    wall_millis: u64,
    #[prost(string, tag = "3")]
    actor: String,
    #[prost(string, tag = "4")]
    action: String,
    #[prost(string, tag = "5")]
    subject: String,
    #[prost(string, tag = "6")]
    result: String,
    #[prost(string, tag = "7")]
    request_id: String,
    #[prost(string, tag = "8")]
    client_addr: String,
}

impl Stored for AuditLine {
    type Message = AuditMessage;

    fn to_message(&self) -> AuditMessage {
        AuditMessage {
            index: self.index,
            wall_millis: self.wall.0,
            actor: self.actor.clone(),
            action: self.action.clone(),
            subject: self.subject.clone(),
            result: self.result.clone(),
            request_id: self.request_id.clone(),
            client_addr: self.client_addr.clone(),
        }
    }

    fn from_message(message: AuditMessage) -> Result<Self, BadField> {
        Ok(Self {
            index: message.index,
            wall: UnixMillis(message.wall_millis),
            actor: message.actor,
            action: message.action,
            subject: message.subject,
            result: message.result,
            request_id: message.request_id,
            client_addr: message.client_addr,
        })
    }
}
