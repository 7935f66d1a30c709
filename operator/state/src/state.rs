mod execute;
mod lookup;

use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::{ClusterId, GrantsVersion, NodeId, RepoId, RepoPath, UserId};

use crate::outcome::Outcome;
use crate::record::{Grant, GrantKey, Layout, Node, PathWait, Repository, Setting, Token, User};
use crate::row::Key;

pub(crate) use execute::Mutation;

/// Everything that the control plane knows, but the audit lines. Changed by
/// [`State::apply`] only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) header: Header,
    pub(crate) repositories: BTreeMap<RepoId, Repository>,
    pub(crate) waits: BTreeMap<RepoPath, PathWait>,
    pub(crate) owners: BTreeSet<String>,
    pub(crate) users: BTreeMap<UserId, User>,
    pub(crate) tokens: BTreeMap<[u8; 32], Token>,
    pub(crate) grants: BTreeMap<GrantKey, Grant>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) layout: Layout,
    pub(crate) settings: BTreeMap<String, Setting>,
    pub(crate) changes: BTreeMap<GrantsVersion, Vec<Key>>,
    pub(crate) remembered: BTreeMap<[u8; 16], Remembered>,
    pub(crate) indexes: Indexes,
}

/// What follows from the records; never stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Indexes {
    /// Live repositories by path.
    pub(crate) paths: BTreeMap<RepoPath, RepoId>,
    pub(crate) user_names: BTreeMap<String, UserId>,
    /// Who has a key, by fingerprint.
    pub(crate) keys: BTreeMap<String, UserId>,
    pub(crate) user_tokens: BTreeSet<(UserId, [u8; 32])>,
    /// Requests in the order in which they are forgotten.
    pub(crate) requests: BTreeMap<u64, [u8; 16]>,
}

/// The one row about the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// `None` until founded.
    pub(crate) cluster: Option<ClusterId>,
    /// 0 until founded.
    pub(crate) generation: u16,
    /// Version of the last streamed change.
    pub(crate) version: GrantsVersion,
    /// Differences are known from this version on.
    pub(crate) change_floor: GrantsVersion,
    /// First audit line that is kept.
    pub(crate) audit_floor: u64,
    /// Bytes of the audit rows that are kept.
    pub(crate) audit_bytes: u64,
    /// SHA-256 of the token by which nodes enrol; `None`: none can.
    pub(crate) join_token: Option<[u8; 32]>,
}

/// An outcome kept for repeats of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) index: u64,
    /// Of the command it belongs to.
    pub(crate) digest: u64,
    pub(crate) outcome: Outcome,
}

/// How many of each there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Live and deleted.
    pub repositories: usize,
    /// All.
    pub users: usize,
    /// All, expired ones too.
    pub tokens: usize,
}
