//! Records as bytes: a version byte, then protobuf without maps (S49).

mod access;
mod cluster;
mod directory;
mod history;
mod load;

use prost::Message as _;

pub(crate) use history::{ChangeRow, RequestRow};

use gitstratum_core::ErrorKind;

use crate::State;
use crate::row::Key;

/// Version byte of every row.
const FORMAT: u8 = 1;

/// A row that cannot be read. Never taken for an absent one.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The key names nothing that this build knows.
    #[error("control-plane row {0} has an unknown key")]
    Key(String),
    /// Written by another version.
    #[error("control-plane row {key} has format {format}, this build reads {FORMAT}")]
    Format {
        /// Hex of the row's key.
        key: String,
        /// Its version byte.
        format: u8,
    },
    /// Not protobuf, or empty.
    #[error("control-plane row {0} does not decode")]
    Decode(String),
    /// A field is not what it must be.
    #[error("control-plane row {key} has a bad {field}")]
    Field {
        /// Hex of the row's key.
        key: String,
        /// The field.
        field: &'static str,
    },
    /// Rows that contradict each other.
    #[error("control-plane rows contradict each other: {0}")]
    Contradiction(&'static str),
}

impl RowError {
    /// Damage, whatever its cause.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

/// Name of a field whose stored value is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadField(pub(crate) &'static str);

/// A record that has a stored form.
pub(crate) trait Stored: Sized {
    type Message: prost::Message + Default;

    fn to_message(&self) -> Self::Message;

    fn from_message(message: Self::Message) -> Result<Self, BadField>;
}

pub(crate) fn encode<R: Stored>(record: &R) -> Vec<u8> {
    let message = record.to_message();
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(FORMAT);
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes
}

pub(crate) fn decode<R: Stored>(key: &[u8], bytes: &[u8]) -> Result<R, RowError> {
    let name = || gitstratum_core::encode_hex(key);
    let (format, body) = bytes.split_first().ok_or_else(|| RowError::Decode(name()))?;
    if *format != FORMAT {
        return Err(RowError::Format { key: name(), format: *format });
    }
    let message = R::Message::decode(body).map_err(|_| RowError::Decode(name()))?;
    R::from_message(message).map_err(|BadField(field)| RowError::Field { key: name(), field })
}

impl crate::record::AuditLine {
    /// The line in a row of kind [`crate::row::AUDIT_KIND`].
    ///
    /// # Errors
    /// [`RowError`] when the row is damaged.
    pub fn from_row(key: &[u8], value: &[u8]) -> Result<Self, RowError> {
        decode(key, value)
    }
}

impl State {
    /// What the row named `key` holds now; `None` if there is no such record. Audit lines
    /// are not here: [`State::apply`] hands them out once.
    pub fn row(&self, key: &Key) -> Option<Vec<u8>> {
        match key {
            Key::Header => self.header.cluster.map(|_| encode(&self.header)),
            Key::Layout => self.header.cluster.map(|_| encode(&self.layout)),
            Key::Setting(name) => self.settings.get(name).map(encode),
            Key::Node(id) => self.nodes.get(id).map(encode),
            Key::User(id) => self.users.get(id).map(encode),
            Key::Token(hash) => self.tokens.get(hash).map(encode),
            Key::Grant(grant) => self.grants.get(grant).map(encode),
            Key::Repository(id) => self.repositories.get(id).map(encode),
            Key::Owner(name) => self.owners.get(name).map(|_| vec![FORMAT]),
            Key::PathWait(path) => self.waits.get(path).map(encode),
            Key::Change(version) => {
                self.changes.get(version).map(|keys| encode(&ChangeRow(keys.clone())))
            }
            Key::Request(request) => {
                self.remembered.get(request).map(|kept| encode(&RequestRow(kept.clone())))
            }
            Key::Audit(_) => None,
        }
    }
}
