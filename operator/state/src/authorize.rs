use gitstratum_core::{RepoId, RepoPath, Role, UnixMillis};

use crate::command::Origin;
use crate::record::{Repository, RepositoryState, Scope, User};
use crate::{Denial, Refusal, State};

/// Somebody whose credential is good.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Who.
    pub user: &'a User,
    /// What the token allows at most.
    pub scope: Scope,
    /// The only repositories that the token is good for; empty is no such limit.
    pub repositories: &'a [RepoId],
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Look.
    See,
    /// Change anything, or look at secrets' traces such as the audit lines.
    Manage,
}

/// What they want to do it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Everything that is nobody's: users, nodes, settings, audit lines.
    Cluster,
    /// The repositories of an owner, those to come too.
    Owner(&'a str),
    /// One repository.
    Repository(&'a Repository),
    /// A user's own things: keys, tokens.
    User(&'a str),
}

/// On whose behalf a command is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Authority<'a> {
    /// The control plane itself, or a node known by its certificate.
    System,
    /// A person.
    Person(Caller<'a>),
}

impl State {
    /// Who shows the token with SHA-256 `credential`. The one place where a credential of
    /// the control API is judged.
    ///
    /// # Errors
    /// A [`Denial`] for which [`Denial::is_unauthenticated`] holds.
    pub fn caller(&self, credential: &[u8; 32], now: UnixMillis) -> Result<Caller<'_>, Denial> {
        let token = self.token(credential).ok_or(Denial::UnknownToken)?;
        if token.is_expired(now) {
            return Err(Denial::ExpiredToken);
        }
        let user = self.user_by_id(token.user).ok_or(Denial::UnknownToken)?;
        if user.suspended {
            return Err(Denial::Suspended);
        }
        Ok(Caller { user, scope: token.scope, repositories: &token.repositories })
    }

    /// Whether `caller` may: the one rule of the control API.
    ///
    /// # Errors
    /// `Missing` where even the subject's existence is not theirs to know, else `Denied`.
    pub fn authorize(
        &self,
        caller: &Caller<'_>,
        verb: Verb,
        subject: Subject<'_>,
    ) -> Result<(), Refusal> {
        let role = self.role_for(caller, subject)?;
        if verb == Verb::Manage && caller.scope < Scope::Admin {
            return Err(Denial::Scope.into());
        }
        let needed = match verb {
            Verb::See => Role::Read,
            Verb::Manage => Role::Admin,
        };
        if role.is_some_and(|role| role >= needed) {
            return Ok(());
        }
        Err(match subject {
            Subject::Cluster => Denial::NotClusterAdmin.into(),
            Subject::Owner(_) => Denial::NotOwnerAdmin.into(),
            Subject::Repository(_) => Denial::NotRepositoryAdmin.into(),
            Subject::User(name) => Refusal::missing("user", name),
        })
    }

    /// The caller's role on the subject, as far as the token's repositories go.
    fn role_for(&self, caller: &Caller<'_>, subject: Subject<'_>) -> Result<Option<Role>, Refusal> {
        let user = caller.user;
        if let Subject::Repository(repository) = subject {
            return self.repository_role(caller, repository).map(Some);
        }
        if !caller.repositories.is_empty() {
            return Err(Denial::Limited.into());
        }
        let admin_if = |holds: bool| holds.then_some(Role::Admin);
        Ok(match subject {
            Subject::Cluster => admin_if(user.cluster_admin),
            Subject::Owner(owner) => self.owner_role(user, owner),
            Subject::User(name) => admin_if(user.cluster_admin || user.name == name),
            Subject::Repository(_) => None,
        })
    }

    fn repository_role(
        &self,
        caller: &Caller<'_>,
        repository: &Repository,
    ) -> Result<Role, Refusal> {
        let hidden = || Refusal::missing("repository", repository.path.as_str());
        if !caller.repositories.is_empty() && !caller.repositories.contains(&repository.id) {
            return Err(hidden());
        }
        let role = self.role(caller.user, repository).ok_or_else(hidden)?;
        // What is gone is shown to those only who could bring it back.
        if repository.state != RepositoryState::Live && role < Role::Admin {
            return Err(hidden());
        }
        Ok(role)
    }

    /// The live repository at `path`, if `caller` may do `verb` to it.
    ///
    /// # Errors
    /// `Missing`, with one text for an absent and for a hidden repository (P-S1), or `Denied`.
    pub fn repository_for(
        &self,
        caller: &Caller<'_>,
        verb: Verb,
        path: &RepoPath,
    ) -> Result<&Repository, Refusal> {
        let repository =
            self.repository(path).ok_or_else(|| Refusal::missing("repository", path.as_str()))?;
        self.authorize(caller, verb, Subject::Repository(repository))?;
        Ok(repository)
    }

    pub(crate) fn authority(
        &self,
        origin: &Origin,
        now: UnixMillis,
    ) -> Result<Authority<'_>, Denial> {
        if !origin.system.is_empty() {
            return Ok(Authority::System);
        }
        let credential: &[u8; 32] =
            origin.credential.as_slice().try_into().map_err(|_| Denial::UnknownToken)?;
        Ok(Authority::Person(self.caller(credential, now)?))
    }
}
