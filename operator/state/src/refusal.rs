use gitstratum_core::{ErrorKind, GrantsVersion, PartitionId};

use crate::public_key::PublicKeyError;

/// Why a command or a look is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not there, or the asker may not know that it is: one text for both (P-S1).
    #[error("{what} `{name}` does not exist")]
    Missing {
        /// Repository, user, key, token, grant.
        what: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// Its place is taken.
    #[error("{what} `{name}` exists already{detail}")]
    Exists {
        /// Repository, user, key, token.
        what: &'static str,
        /// As it was asked for.
        name: String,
        /// More, or nothing.
        detail: &'static str,
    },
    /// The path was given up and its last holder's partition has not applied that yet (S42).
    #[error("path `{path}` was given up a moment ago and is not free yet")]
    PathWaits {
        /// The path.
        path: String,
        /// Who must apply it.
        partition: PartitionId,
        /// What must be applied.
        version: GrantsVersion,
    },
    /// The asker may not.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// The input is wrong.
    #[error("{field} {problem}")]
    Invalid {
        /// Which part of it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody must be left who may do everything.
    #[error("user `{0}` is the last cluster admin")]
    LastAdmin(String),
    /// A limit of the state.
    #[error("{what} has {limit} {of}, the most it can have")]
    Full {
        /// What is full.
        what: String,
        /// How many it has.
        limit: usize,
        /// Of what.
        of: &'static str,
    },
    /// Something newer is known.
    #[error("{what} is older than what is known ({known})")]
    Stale {
        /// What came too late.
        what: &'static str,
        /// What is known.
        known: u64,
    },
    /// It would break what must hold.
    #[error("{problem}; {remedy}")]
    Unsafe {
        /// What it would break.
        problem: String,
        /// What to do first, or instead.
        remedy: &'static str,
    },
    /// A request id that came with another command before. Nothing was done.
    #[error("request id was used for another command: ask again")]
    RequestReused,
    /// The cluster has been founded before, or not yet.
    #[error("cluster is {0}")]
    Founding(&'static str),
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No such token.
    #[error("token is not known")]
    UnknownToken,
    /// Its time is over.
    #[error("token has expired")]
    ExpiredToken,
    /// Its user may not sign in.
    #[error("user is suspended")]
    Suspended,
    /// The token allows less.
    #[error("token needs scope admin for this")]
    Scope,
    /// The token is for other things.
    #[error("token is limited to named repositories")]
    Limited,
    /// Not a cluster admin.
    #[error("this is for cluster admins")]
    NotClusterAdmin,
    /// Not an admin of the owner.
    #[error("this is for admins of the owner")]
    NotOwnerAdmin,
    /// Not an admin of the repository.
    #[error("this is for admins of the repository")]
    NotRepositoryAdmin,
    /// Only parts of the system.
    #[error("this is for the system itself")]
    NotSystem,
    /// Not the token by which nodes enrol.
    #[error("join token is not the cluster's")]
    JoinToken,
    /// A node that was removed does not come back under its id.
    #[error("the node was removed from the cluster: join as a new one")]
    RemovedNode,
}

impl Denial {
    /// Whether nobody is known to ask: the credential itself is bad.
    pub const fn is_unauthenticated(self) -> bool {
        matches!(self, Self::UnknownToken | Self::ExpiredToken | Self::Suspended | Self::JoinToken)
    }

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownToken => "unknown_token",
            Self::ExpiredToken => "expired_token",
            Self::Suspended => "suspended",
            Self::Scope => "scope",
            Self::Limited => "limited",
            Self::NotClusterAdmin | Self::NotOwnerAdmin | Self::NotRepositoryAdmin => "role",
            Self::NotSystem => "not_system",
            Self::JoinToken => "join_token",
            Self::RemovedNode => "removed_node",
        }
    }
}

impl Refusal {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Exists { .. }
            | Self::LastAdmin(_)
            | Self::Full { .. }
            | Self::Stale { .. }
            | Self::Unsafe { .. }
            | Self::RequestReused
            | Self::Founding(_) => ErrorKind::Conflict,
            Self::PathWaits { .. } => ErrorKind::Unavailable,
            Self::Denied(_) => ErrorKind::Denied,
            Self::Invalid { .. } => ErrorKind::Invalid,
        }
    }

    pub(crate) fn missing(what: &'static str, name: impl Into<String>) -> Self {
        Self::Missing { what, name: name.into() }
    }

    pub(crate) fn exists(what: &'static str, name: impl Into<String>) -> Self {
        Self::Exists { what, name: name.into(), detail: "" }
    }

    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }
}

impl From<PublicKeyError> for Refusal {
    fn from(error: PublicKeyError) -> Self {
        Self::invalid("public key", error.to_string())
    }
}
