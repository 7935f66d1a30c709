use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId, RefName, RefNameError};

use super::super::line::split_once;
use super::super::{Error, Excerpt};

/// One ref to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What the client believes the ref points at; null if it believes there is none.
    pub old: ObjectId,
    /// What it is to point at; null to delete it.
    pub new: ObjectId,
    /// The ref's name as it was sent, for the report.
    pub raw_name: Bytes,
    /// The name, checked; the error is the reason for this command's `ng` (bad inputs
    /// 81 to 85).
    pub name: Result<RefName, RefNameError>,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Makes a ref.
    Create,
    /// Moves a ref.
    Update,
    /// Removes a ref.
    Delete,
    /// Null to null: deletes what the client says is not there (bad input 92).
    Nothing,
}

impl Command {
    /// What it does.
    pub fn change(&self) -> Change {
        match (self.old.is_null(), self.new.is_null()) {
            (true, false) => Change::Create,
            (false, false) => Change::Update,
            (false, true) => Change::Delete,
            (true, true) => Change::Nothing,
        }
    }

    /// The command in `line`, which is `OLD NEW NAME`.
    pub(super) fn parse(line: &[u8], format: ObjectFormat) -> Result<Self, Error> {
        let bad = || Error::PushCommand(Excerpt::new(line));
        let (old, rest) = split_once(line, b' ').ok_or_else(bad)?;
        let (new, name) = split_once(rest, b' ').ok_or_else(bad)?;
        let id = |text| ObjectId::from_hex(format, text).map_err(|_| bad());
        let (old, new) = (id(old)?, id(new)?);
        let raw_name = Bytes::copy_from_slice(name);
        let name = check_name(&raw_name, &new);
        Ok(Self { old, new, raw_name, name })
    }
}

/// A name that a push may use: not `HEAD`, and with two components behind `refs/`
/// unless it goes away, which is how stock git can be rid of old ones (bad input 82).
fn check_name(raw: &Bytes, new: &ObjectId) -> Result<RefName, RefNameError> {
    let name = RefName::parse(raw.clone())?;
    let Some(rest) = name.as_bytes().strip_prefix(b"refs/") else {
        return Err(RefNameError("not under refs/"));
    };
    if !new.is_null() && !rest.contains(&b'/') {
        return Err(RefNameError("has one level only"));
    }
    Ok(name)
}
