use gitstratum_core::{NodeId, RepoId};
use prost::Oneof;

use super::access::{
    AddKey, CreateToken, CreateUser, DeleteUser, GrantRole, RemoveKey, RevokeRole, RevokeToken,
    SetUser,
};
use super::cluster::{
    EnrolNode, Found, PartitionApplied, PruneAudit, RecordRefusal, Restore, SetJoinToken,
    SetSetting,
};
use super::directory::{
    CreateRepository, DeleteRepository, RenameRepository, SetRepository, SettleRepository,
    UndeleteRepository,
};
use super::node::{
    DrainNode, EnterRing, PlacePartition, RegisterNode, RemoveNode, SetNodeState, UndrainNode,
};
use crate::public_key::PublicKey;
use crate::record::{NodeState, TokenId};

/// The kinds of change. Numbers are for ever: a kind that goes leaves a gap.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "the messages carry the words")]
pub enum Change {
    #[prost(message, tag = "10")]
    Found(Found),
    #[prost(message, tag = "11")]
    CreateRepository(CreateRepository),
    #[prost(message, tag = "12")]
    SetRepository(SetRepository),
    #[prost(message, tag = "13")]
    RenameRepository(RenameRepository),
    #[prost(message, tag = "14")]
    DeleteRepository(DeleteRepository),
    #[prost(message, tag = "15")]
    UndeleteRepository(UndeleteRepository),
    #[prost(message, tag = "16")]
    SettleRepository(SettleRepository),
    #[prost(message, tag = "17")]
    CreateUser(CreateUser),
    #[prost(message, tag = "18")]
    SetUser(SetUser),
    #[prost(message, tag = "19")]
    DeleteUser(DeleteUser),
    #[prost(message, tag = "20")]
    AddKey(AddKey),
    #[prost(message, tag = "21")]
    RemoveKey(RemoveKey),
    #[prost(message, tag = "22")]
    CreateToken(CreateToken),
    #[prost(message, tag = "23")]
    RevokeToken(RevokeToken),
    #[prost(message, tag = "24")]
    GrantRole(GrantRole),
    #[prost(message, tag = "25")]
    RevokeRole(RevokeRole),
    #[prost(message, tag = "26")]
    RegisterNode(RegisterNode),
    #[prost(message, tag = "27")]
    PartitionApplied(PartitionApplied),
    #[prost(message, tag = "28")]
    SetSetting(SetSetting),
    #[prost(message, tag = "29")]
    PruneAudit(PruneAudit),
    #[prost(message, tag = "30")]
    RecordRefusal(RecordRefusal),
    #[prost(message, tag = "31")]
    SetNodeState(SetNodeState),
    #[prost(message, tag = "32")]
    EnterRing(EnterRing),
    #[prost(message, tag = "33")]
    DrainNode(DrainNode),
    #[prost(message, tag = "34")]
    UndrainNode(UndrainNode),
    #[prost(message, tag = "35")]
    RemoveNode(RemoveNode),
    #[prost(message, tag = "36")]
    PlacePartition(PlacePartition),
    #[prost(message, tag = "40")]
    EnrolNode(EnrolNode),
    #[prost(message, tag = "41")]
    SetJoinToken(SetJoinToken),
    #[prost(message, tag = "42")]
    Restore(Restore),
}

impl Change {
    /// What an audit line calls it: `noun.verb`.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Found(_) => "cluster.found",
            Self::CreateRepository(_) => "repository.create",
            Self::SetRepository(_) => "repository.set",
            Self::RenameRepository(_) => "repository.rename",
            Self::DeleteRepository(_) => "repository.delete",
            Self::UndeleteRepository(_) => "repository.undelete",
            Self::SettleRepository(_) => "repository.settle",
            Self::CreateUser(_) => "user.create",
            Self::SetUser(_) => "user.set",
            Self::DeleteUser(_) => "user.delete",
            Self::AddKey(_) => "key.add",
            Self::RemoveKey(_) => "key.remove",
            Self::CreateToken(_) => "token.create",
            Self::RevokeToken(_) => "token.revoke",
            Self::GrantRole(_) => "grant.set",
            Self::RevokeRole(_) => "grant.revoke",
            Self::RegisterNode(_) => "node.register",
            Self::PartitionApplied(_) => "partition.applied",
            Self::SetSetting(_) => "setting.set",
            Self::PruneAudit(_) => "audit.prune",
            Self::RecordRefusal(_) => "call.refused",
            Self::SetNodeState(_) => "node.state",
            Self::EnterRing(_) => "ring.enter",
            Self::DrainNode(_) => "node.drain",
            Self::UndrainNode(_) => "node.undrain",
            Self::RemoveNode(_) => "node.remove",
            Self::PlacePartition(_) => "partition.place",
            Self::EnrolNode(_) => "node.enrol",
            Self::SetJoinToken(_) => "join-token.set",
            Self::Restore(_) => "cluster.recover",
        }
    }

    /// What it is asked of, as it was asked.
    pub fn subject(&self) -> String {
        let two = |user: &str, what: &str| format!("{user} {what}");
        match self {
            Self::Found(found) => gitstratum_core::encode_hex(&found.cluster),
            Self::Restore(restore) => gitstratum_core::encode_hex(&restore.cluster),
            Self::CreateRepository(CreateRepository { path, .. })
            | Self::SetRepository(SetRepository { path, .. })
            | Self::DeleteRepository(DeleteRepository { path }) => path.clone(),
            Self::RenameRepository(rename) => format!("{} to {}", rename.path, rename.new_path),
            Self::UndeleteRepository(UndeleteRepository { id: 0, path }) => path.clone(),
            Self::UndeleteRepository(UndeleteRepository { id, path }) => {
                two(&RepoId(*id).to_string(), path)
            }
            Self::SettleRepository(settle) => RepoId(settle.id).to_string(),
            Self::CreateUser(CreateUser { name, .. })
            | Self::SetUser(SetUser { name, .. })
            | Self::DeleteUser(DeleteUser { name }) => name.clone(),
            Self::AddKey(add) => two(&add.user, &fingerprint(&add.public_key)),
            Self::RemoveKey(remove) => two(&remove.user, &remove.fingerprint),
            Self::CreateToken(create) => two(&create.user, &token_id(&create.hash)),
            Self::RevokeToken(revoke) => revoke.id.clone(),
            Self::GrantRole(GrantRole { user, role, subject })
            | Self::RevokeRole(RevokeRole { user, role, subject }) => {
                two(user, &format!("{role} {subject}"))
            }
            Self::RegisterNode(RegisterNode { id, .. })
            | Self::EnterRing(EnterRing { id })
            | Self::DrainNode(DrainNode { id })
            | Self::UndrainNode(UndrainNode { id }) => NodeId(*id).to_string(),
            Self::RemoveNode(RemoveNode { id, finding, fence: _ }) => {
                two(&NodeId(*id).to_string(), finding)
            }
            Self::SetNodeState(SetNodeState { id, state, .. }) => {
                let state = NodeState::from_wire(*state).map_or("unknown", NodeState::as_str);
                two(&NodeId(*id).to_string(), state)
            }
            Self::PlacePartition(place) => placed(place),
            Self::PartitionApplied(applied) => applied.partition.to_string(),
            Self::SetSetting(set) => format!("{}={}", set.key, set.value),
            Self::PruneAudit(prune) => prune.floor.to_string(),
            Self::RecordRefusal(refusal) => refusal.subject.clone(),
            Self::EnrolNode(EnrolNode { id: 0, roles, .. }) => two("new", &roles.join(",")),
            Self::EnrolNode(EnrolNode { id, roles, .. }) => {
                two(&NodeId(*id).to_string(), &roles.join(","))
            }
            Self::SetJoinToken(SetJoinToken { hash }) => match token_id(hash) {
                id if id.is_empty() => "none".to_owned(),
                id => id,
            },
        }
    }

    /// Whether it changes who may log in, or what somebody may do.
    pub const fn is_about_access(&self) -> bool {
        matches!(
            self,
            Self::CreateUser(_)
                | Self::SetUser(_)
                | Self::DeleteUser(_)
                | Self::AddKey(_)
                | Self::RemoveKey(_)
                | Self::CreateToken(_)
                | Self::RevokeToken(_)
                | Self::GrantRole(_)
                | Self::RevokeRole(_)
        )
    }

    /// Whether it is housekeeping of the control plane itself, which leaves no audit line.
    pub const fn is_housekeeping(&self) -> bool {
        matches!(self, Self::PartitionApplied(_) | Self::PruneAudit(_))
    }
}

/// A partition, and who is to vote in it.
fn placed(place: &PlacePartition) -> String {
    let voters: Vec<String> = place.voters.iter().map(|id| NodeId(*id).to_string()).collect();
    format!("{} {}", place.partition, voters.join(","))
}

/// A key as people name it; nothing of a line that is none.
fn fingerprint(line: &str) -> String {
    PublicKey::parse(line).map(|key| key.fingerprint).unwrap_or_default()
}

/// A token as people name it.
fn token_id(hash: &[u8]) -> String {
    hash.try_into().map(|hash| TokenId::of(hash).to_string()).unwrap_or_default()
}
