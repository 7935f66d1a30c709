use std::fmt;

/// What a user may do in a repository; each role includes those before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Fetch.
    Read,
    /// Push, forced and deleting too, except on the default branch.
    Write,
    /// The same on the default branch, and ref rules.
    Maintain,
    /// Settings and grants.
    Admin,
}

/// A word that is not a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("role must be read, write, maintain or admin, not `{0}`")]
pub struct RoleError(pub String);

impl Role {
    /// The word people write.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// The word, read back.
    ///
    /// # Errors
    /// [`RoleError`] with the word given.
    pub fn parse(text: &str) -> Result<Self, RoleError> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "maintain" => Ok(Self::Maintain),
            "admin" => Ok(Self::Admin),
            other => Err(RoleError(other.to_owned())),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may read a repository without a grant.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Nobody.
    #[default]
    Private,
    /// Everyone, without credentials too.
    Public,
}

/// What a process is, as its certificate says.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ProcessRole {
    /// The Raft control plane.
    Control,
    /// SSH, HTTPS and the Git protocol.
    Frontend,
    /// Refs, repository records, manifests.
    Metadata,
    /// Segments.
    Object,
    /// The sidecar.
    Agent,
}

impl ProcessRole {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Control, Self::Frontend, Self::Metadata, Self::Object, Self::Agent];

    /// The word used in certificates, logs and addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Frontend => "frontend",
            Self::Metadata => "metadata",
            Self::Object => "object",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for ProcessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gs_cp_08_roles_are_ordered_and_round_trip() {
        assert!(
            Role::Read < Role::Write
                && Role::Write < Role::Maintain
                && Role::Maintain < Role::Admin
        );
        for role in [Role::Read, Role::Write, Role::Maintain, Role::Admin] {
            assert_eq!(Role::parse(role.as_str()), Ok(role));
        }
        assert!(Role::parse("owner").is_err());
    }
}
