mod cluster;
mod enrol;
mod grant;
mod names;
mod node;
mod place;
mod repository;
mod restore;
mod ring;
mod setting;
mod token;
mod user;

use gitstratum_core::{GrantsVersion, NodeId, RepoPath, UnixMillis};

use crate::authorize::Authority;
use crate::command::{Change, Command, Origin};
use crate::outcome::Reply;
use crate::record::{Repository, stamp};
use crate::state::Mutation;
use crate::{Denial, Refusal, State, Subject, Verb};

/// What a command would do, decided but not done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) mutations: Vec<Mutation>,
    pub(crate) reply: Reply,
}

impl Plan {
    fn new(reply: Reply, mutations: Vec<Mutation>) -> Self {
        Self { mutations, reply }
    }

    /// Nothing to do: it is so already.
    fn unchanged(reply: Reply) -> Self {
        Self::new(reply, Vec::new())
    }
}

/// A command's answer as far as it can be told before it is in the log.
pub type Preview = Result<Reply, Refusal>;

/// When and where in the log a command is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) generation: u16,
    pub(crate) index: u64,
    pub(crate) wall: UnixMillis,
}

impl At {
    /// The version of everything that the command changes.
    pub(crate) fn stamp(&self) -> GrantsVersion {
        stamp(self.generation, self.index)
    }
}

/// All that a decision may look at.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub(crate) state: &'a State,
    pub(crate) authority: Authority<'a>,
    pub(crate) at: At,
}

impl<'a> Desk<'a> {
    fn require(&self, verb: Verb, subject: Subject<'_>) -> Result<(), Refusal> {
        match &self.authority {
            Authority::System => Ok(()),
            Authority::Person(caller) => self.state.authorize(caller, verb, subject),
        }
    }

    fn require_system(&self) -> Result<(), Refusal> {
        match &self.authority {
            Authority::System => Ok(()),
            Authority::Person(_) => Err(Denial::NotSystem.into()),
        }
    }

    /// The live repository at `path`, if the asker may do `verb` to it.
    fn repository(&self, verb: Verb, path: &RepoPath) -> Result<&'a Repository, Refusal> {
        match &self.authority {
            Authority::System => self
                .state
                .repository(path)
                .ok_or_else(|| Refusal::missing("repository", path.as_str())),
            Authority::Person(caller) => self.state.repository_for(caller, verb, path),
        }
    }
}

impl State {
    /// Whether `command` would be done if it came next in the log. What it makes then gets
    /// its id from the real log index, so only a refusal should be relied on.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn preview(&self, command: &Command) -> Preview {
        let index = u64::from(u32::MAX);
        self.decide(index, command).map(|plan| plan.reply)
    }

    /// Decides a command without doing it: reads the command and the state, nothing else (S14).
    pub(crate) fn decide(&self, index: u64, command: &Command) -> Result<Plan, Refusal> {
        let wall = UnixMillis(command.wall_millis);
        let nobody = Origin::default();
        let origin = command.origin.as_ref().unwrap_or(&nobody);
        let change =
            command.change.as_ref().ok_or_else(|| Refusal::invalid("command", "is empty"))?;
        if let Change::RecordRefusal(_) = change {
            // The line is all there is to it.
            return Ok(Plan::unchanged(Reply::Done));
        }
        let at = At { generation: self.header.generation, index, wall };
        let desk = Desk { state: self, authority: self.authority(origin, wall)?, at };
        let founds = matches!(change, Change::Found(_) | Change::Restore(_));
        if self.header.cluster.is_none() && !founds {
            return Err(Refusal::Founding("not founded yet"));
        }
        decide_change(&desk, change)
    }
}

fn decide_change(desk: &Desk<'_>, change: &Change) -> Result<Plan, Refusal> {
    match change {
        Change::Found(found) => cluster::found(desk, found),
        Change::CreateRepository(create) => repository::create(desk, create),
        Change::SetRepository(set) => repository::set(desk, set),
        Change::RenameRepository(rename) => repository::rename(desk, rename),
        Change::DeleteRepository(delete) => repository::delete(desk, delete),
        Change::UndeleteRepository(undelete) => repository::undelete(desk, undelete),
        Change::SettleRepository(settle) => repository::settle(desk, settle),
        Change::CreateUser(create) => user::create(desk, create),
        Change::SetUser(set) => user::set(desk, set),
        Change::DeleteUser(delete) => user::delete(desk, delete),
        Change::AddKey(add) => user::add_key(desk, add),
        Change::RemoveKey(remove) => user::remove_key(desk, remove),
        Change::CreateToken(create) => token::create(desk, create),
        Change::RevokeToken(revoke) => token::revoke(desk, revoke),
        Change::GrantRole(grant) => grant::set(desk, grant),
        Change::RevokeRole(revoke) => grant::revoke(desk, revoke),
        Change::RegisterNode(register) => node::register(desk, register),
        Change::PartitionApplied(applied) => node::partition_applied(desk, applied),
        Change::SetSetting(set) => setting::set(desk, set),
        Change::PruneAudit(prune) => cluster::prune_audit(desk, prune),
        Change::RecordRefusal(_) => Ok(Plan::unchanged(Reply::Done)),
        Change::SetNodeState(set) => node::set_state(desk, set),
        Change::EnterRing(enter) => ring::enter(desk, NodeId(enter.id)),
        Change::DrainNode(drain) => ring::drain(desk, NodeId(drain.id)),
        Change::UndrainNode(undrain) => ring::undrain(desk, NodeId(undrain.id)),
        Change::RemoveNode(remove) => ring::remove(desk, remove),
        Change::PlacePartition(place) => place::place(desk, place),
        Change::EnrolNode(enrol) => enrol::enrol(desk, enrol),
        Change::SetJoinToken(set) => enrol::set_join_token(desk, set),
        Change::Restore(restore) => restore::restore(desk, restore),
    }
}
