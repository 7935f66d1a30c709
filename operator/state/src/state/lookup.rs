use std::ops::Bound;

use gitstratum_core::{
    ClusterId, GrantsVersion, NodeId, PartitionId, RepoId, RepoPath, Role, UserId, Visibility,
};
use subtle::ConstantTimeEq as _;

use super::{Counts, State};
use crate::record::{
    Grant, GrantKey, GrantSubject, Layout, Node, PathWait, Repository, RepositoryState, Setting,
    Token, TokenId, User,
};

impl State {
    /// The cluster, once founded.
    pub const fn cluster(&self) -> Option<ClusterId> {
        self.header.cluster
    }

    /// How often the control plane was founded or rebuilt; 0 before the first time.
    pub const fn generation(&self) -> u16 {
        self.header.generation
    }

    /// Version of the last streamed change.
    pub const fn version(&self) -> GrantsVersion {
        self.header.version
    }

    /// First audit line that is kept, and the bytes of those that are.
    pub const fn audit_extent(&self) -> (u64, u64) {
        (self.header.audit_floor, self.header.audit_bytes)
    }

    /// How many of each there are.
    pub fn counts(&self) -> Counts {
        Counts {
            repositories: self.repositories.len(),
            users: self.users.len(),
            tokens: self.tokens.len(),
        }
    }

    /// The live repository at `path`.
    pub fn repository(&self, path: &RepoPath) -> Option<&Repository> {
        self.repositories.get(self.indexes.paths.get(path)?)
    }

    /// The repository with `id`, in any state.
    pub fn repository_by_id(&self, id: RepoId) -> Option<&Repository> {
        self.repositories.get(&id)
    }

    /// Live repositories after `path` in order of path.
    pub fn repositories_after(&self, path: Option<&RepoPath>) -> impl Iterator<Item = &Repository> {
        let from = path.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.indexes.paths.range::<RepoPath, _>((from, Bound::Unbounded));
        ids.filter_map(|(_, id)| self.repositories.get(id))
    }

    /// Deleted repositories after `id` in order of id.
    pub fn deleted_after(&self, id: Option<RepoId>) -> impl Iterator<Item = &Repository> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.repositories.range((from, Bound::Unbounded));
        all.map(|(_, repository)| repository)
            .filter(|repository| repository.state == RepositoryState::Deleted)
    }

    /// What a path waits for before it is free (S42).
    pub fn path_wait(&self, path: &RepoPath) -> Option<&PathWait> {
        self.waits.get(path)
    }

    /// Whether a path waits for `partition` to have applied `version` or an older one.
    pub fn is_awaited(&self, partition: PartitionId, version: GrantsVersion) -> bool {
        self.waits.values().any(|wait| wait.partition == partition && wait.name_version <= version)
    }

    /// The user called `name`.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(self.indexes.user_names.get(name)?)
    }

    /// The user with `id`.
    pub fn user_by_id(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// Users after `name` in order of name.
    pub fn users_after(&self, name: Option<&str>) -> impl Iterator<Item = &User> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.indexes.user_names.range::<str, _>((from, Bound::Unbounded));
        ids.filter_map(|(_, id)| self.users.get(id))
    }

    /// The token with SHA-256 `hash`. Found by its public id, compared in constant time.
    pub fn token(&self, hash: &[u8; 32]) -> Option<&Token> {
        let token = self.token_by_id(TokenId::of(hash))?;
        bool::from(token.hash.ct_eq(hash)).then_some(token)
    }

    /// The token that people name `id`; ids of tokens differ.
    pub fn token_by_id(&self, id: TokenId) -> Option<&Token> {
        let mut from = [0; 32];
        from[..8].copy_from_slice(&id.0);
        let (_, token) = self.tokens.range(from..).next()?;
        (token.id() == id).then_some(token)
    }

    /// The tokens of a user, in order of id.
    pub fn tokens_of(&self, user: UserId) -> impl Iterator<Item = &Token> {
        let range = (user, [0; 32])..=(user, [u8::MAX; 32]);
        self.indexes.user_tokens.range(range).filter_map(|(_, hash)| self.tokens.get(hash))
    }

    /// Who signs in with the key that has `fingerprint`.
    pub fn user_of_key(&self, fingerprint: &str) -> Option<&User> {
        self.users.get(self.indexes.keys.get(fingerprint)?)
    }

    /// Every grant, by user.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.values()
    }

    /// The grants of a user.
    pub fn grants_of(&self, user: UserId) -> impl Iterator<Item = &Grant> {
        // The empty owner comes before every other subject.
        let from = GrantKey { user, subject: GrantSubject::Owner(String::new()) };
        self.grants.range(from..).map(|(_, grant)| grant).take_while(move |g| g.key.user == user)
    }

    /// How data is placed.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The nodes, those that left too.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The node with `id`.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// What setting `key`, or the flag under its prefix, was set to.
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// What was set, flags too.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.settings.values()
    }

    /// Whether `owner` may have repositories without a cluster admin's help: a user's name,
    /// or somebody under whom one was made before.
    pub fn is_owner(&self, owner: &str) -> bool {
        self.owners.contains(owner) || self.indexes.user_names.contains_key(owner)
    }

    /// What `user` may do with every repository of `owner`.
    pub fn owner_role(&self, user: &User, owner: &str) -> Option<Role> {
        if user.cluster_admin || user.name == owner {
            return Some(Role::Admin);
        }
        self.granted(user.id, GrantSubject::Owner(owner.to_owned()))
    }

    /// What `user` may do with `repository`; `None`: not even know that it is there.
    pub fn role(&self, user: &User, repository: &Repository) -> Option<Role> {
        let public = (repository.visibility == Visibility::Public).then_some(Role::Read);
        let own = self.granted(user.id, GrantSubject::Repository(repository.id));
        self.owner_role(user, repository.path.owner()).max(own).max(public)
    }

    fn granted(&self, user: UserId, subject: GrantSubject) -> Option<Role> {
        self.grants.get(&GrantKey { user, subject }).map(|grant| grant.role)
    }
}
