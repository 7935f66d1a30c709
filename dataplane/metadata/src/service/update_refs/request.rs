use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind, RefName, RepoId};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::metadata::v1::{NewTarget, RefCommand, Refusal, UpdateRefsRequest};

use super::{Denial, push_key};
use crate::partition::entry::{Command, PushKey};
use crate::partition::record::Who;

/// Commands in one push (bad input 96).
const COMMANDS_MAX: usize = 10_000;
/// Ids that a push may lean on.
const RESTS_ON_MAX: usize = 1_000_000;

/// A push as the frontend sent it.
pub(super) struct Push {
    pub(super) repo: RepoKey,
    pub(super) key: PushKey,
    pub(super) request: UpdateRefsRequest,
}

/// What of a push has ids.
pub(super) struct Parsed {
    /// The pack that came along.
    pub(super) pack: Option<Arc<Pack>>,
    /// Ids outside the pack that the push leans on (S16).
    pub(super) rests_on: Vec<ObjectId>,
    /// In the order sent.
    pub(super) commands: Vec<Judged>,
}

/// A command with checked ids, and what is to be proposed for it.
pub(super) struct Judged {
    /// `None` when it must not exist.
    pub(super) old: Option<ObjectId>,
    /// `None` to delete it.
    pub(super) new: Option<ObjectId>,
    /// What `new` is: told by the frontend if it lies in the pack, else found in the history.
    pub(super) kind: Option<ObjectKind>,
    /// The name, unless it is none.
    pub(super) name: Option<RefName>,
    /// What goes into the entry.
    pub(super) entry: Command,
}

impl Judged {
    /// Refuses the command, unless it is refused already.
    pub(super) fn refuse(&mut self, refusal: Refusal, message: impl Into<String>) {
        if self.entry.refusal == 0 {
            self.entry.refusal = refusal.into();
            self.entry.message = message.into();
        }
    }

    /// Whether it is open and sets its ref to an object that is not in the pack.
    pub(super) const fn is_outside(&self) -> bool {
        self.is_open() && self.kind.is_none() && self.new.is_some()
    }

    /// Whether nothing speaks against it yet.
    pub(super) const fn is_open(&self) -> bool {
        self.entry.refusal == 0
    }
}

impl Push {
    pub(super) fn new(repo: RepoKey, request: UpdateRefsRequest) -> Self {
        Self { key: push_key(&repo, &request), repo, request }
    }

    pub(super) const fn repo(&self) -> RepoId {
        RepoId(self.repo.repo_id)
    }

    pub(super) fn who(&self) -> Who {
        let actor = self.request.actor.clone().unwrap_or_default();
        Who {
            user_id: actor.user_id,
            user_name: actor.user_name,
            request_id: actor.request_id,
            client_addr: actor.client_addr,
        }
    }

    /// Everything that has ids, checked for a repository of `format`.
    pub(super) fn parse(&self, format: ObjectFormat) -> Result<Parsed, Denial> {
        Ok(Parsed {
            pack: self.pack()?,
            rests_on: self.rests_on(format)?,
            commands: self.commands(format)?,
        })
    }

    /// The pack that came along, checked.
    fn pack(&self) -> Result<Option<Arc<Pack>>, Denial> {
        let Some(row) = &self.request.pack else { return Ok(None) };
        let pack = Pack::try_from(row).map_err(|error| malformed(&error.to_string()))?;
        if pack.segments.is_empty() {
            return Err(malformed("a pack without segments"));
        }
        Ok(Some(Arc::new(pack)))
    }

    /// Ids that the push leans on outside its pack (S16).
    fn rests_on(&self, format: ObjectFormat) -> Result<Vec<ObjectId>, Denial> {
        if self.request.rests_on.len() > RESTS_ON_MAX {
            return Err(malformed("too many ids outside the pack"));
        }
        self.request.rests_on.iter().map(|id| object_id(format, id)).collect()
    }

    /// The commands, checked: ids of the repository's format, null ids as `None`.
    fn commands(&self, format: ObjectFormat) -> Result<Vec<Judged>, Denial> {
        if self.request.commands.len() > COMMANDS_MAX {
            return Err(Denial::new(Refusal::Policy, "too many ref updates in one push"));
        }
        let commands = self.request.commands.iter().enumerate();
        let target = |place| self.request.targets.get(place);
        commands.map(|(place, command)| judged(format, command, target(place))).collect()
    }
}

fn judged(
    format: ObjectFormat,
    command: &RefCommand,
    target: Option<&NewTarget>,
) -> Result<Judged, Denial> {
    let old = given_id(format, &command.old)?;
    let new = given_id(format, &command.new)?;
    let target = target.filter(|target| target.kind != 0);
    let kind = target.map(|target| object_kind(target.kind)).transpose()?;
    let peeled = match target {
        Some(target) if kind == Some(ObjectKind::Tag) => {
            stored(Some(object_id(format, &target.peeled)?))
        }
        _ => Bytes::new(),
    };
    let entry = Command {
        name: command.name.clone(),
        old: stored(old),
        new: stored(new),
        peeled,
        ..Command::default()
    };
    let name = RefName::parse(command.name.clone()).ok();
    Ok(Judged { old, new, kind: kind.filter(|_| new.is_some()), name, entry })
}

/// An id as rows hold it; no id is no bytes.
pub(super) fn stored(id: Option<ObjectId>) -> Bytes {
    id.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default()
}

/// An id that may be null, or left out.
fn given_id(format: ObjectFormat, bytes: &[u8]) -> Result<Option<ObjectId>, Denial> {
    if bytes.is_empty() {
        return Ok(None);
    }
    object_id(format, bytes).map(|id| (!id.is_null()).then_some(id))
}

fn object_id(format: ObjectFormat, bytes: &[u8]) -> Result<ObjectId, Denial> {
    ObjectId::from_bytes(format, bytes).map_err(|error| malformed(&error.to_string()))
}

fn object_kind(number: u32) -> Result<ObjectKind, Denial> {
    let known = u8::try_from(number).ok().and_then(ObjectKind::from_pack_type);
    known.ok_or_else(|| malformed("unknown object kind"))
}

fn malformed(why: &str) -> Denial {
    Denial::new(Refusal::Policy, format!("malformed push: {why}"))
}
