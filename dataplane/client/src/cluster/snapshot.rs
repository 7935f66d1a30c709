use std::collections::BTreeMap;
use std::sync::Arc;

use gitstratum_core::{ClusterId, GrantsVersion, RepoId, RepoPath, Role, UserId};
use gitstratum_proto::control::v1::{
    GrantRecord, Layout, PartitionPlacement, Repository, Setting, SnapshotUpdate, TokenRecord,
    UserRecord,
};

/// `Repository.state` of a repository that can be used.
const STATE_LIVE: u32 = 1;

type TokenHash = [u8; 32];

/// Everything the control plane streams, at one version (design §7). Cheap to clone;
/// an update copies only the tables it touches.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    version: GrantsVersion,
    cluster: Option<ClusterId>,
    layout: Arc<Layout>,
    repositories: Arc<Repositories>,
    users: Arc<Users>,
    tokens: Arc<BTreeMap<TokenHash, Arc<TokenRecord>>>,
    grants: Arc<BTreeMap<UserId, Vec<GrantRecord>>>,
    settings: Arc<BTreeMap<String, Setting>>,
}

#[derive(Clone, Debug, Default)]
struct Repositories {
    by_id: BTreeMap<RepoId, Arc<Repository>>,
    live: BTreeMap<String, RepoId>,
}

#[derive(Clone, Debug, Default)]
struct Users {
    by_id: BTreeMap<UserId, Arc<UserRecord>>,
    by_name: BTreeMap<String, UserId>,
    by_key: BTreeMap<String, UserId>,
}

impl Snapshot {
    /// Nothing, at version 0.
    pub fn empty() -> Self {
        Self::default()
    }

    /// This view with `update` applied; an update that says `reset` replaces it.
    #[must_use]
    pub fn apply(&self, update: &SnapshotUpdate) -> Self {
        let mut next = if update.reset { Self::empty() } else { self.clone() };
        next.version = GrantsVersion(update.version);
        next.cluster = ClusterId::from_slice(&update.cluster_id).or(next.cluster);
        if let Some(layout) = &update.layout {
            next.layout = Arc::new(layout.clone());
        }
        next.apply_repositories(update);
        next.apply_users(update);
        next.apply_tokens(update);
        next.apply_grants(update);
        if !update.settings.is_empty() {
            let settings = Arc::make_mut(&mut next.settings);
            settings.extend(update.settings.iter().map(|s| (s.key.clone(), s.clone())));
        }
        next
    }

    fn apply_repositories(&mut self, update: &SnapshotUpdate) {
        if update.repositories.is_empty() && update.repositories_gone.is_empty() {
            return;
        }
        let table = Arc::make_mut(&mut self.repositories);
        for id in &update.repositories_gone {
            table.remove(RepoId(*id));
        }
        // All old paths go before any new one comes: a path may pass from one to another.
        for record in &update.repositories {
            table.remove(RepoId(record.id));
        }
        for record in &update.repositories {
            table.insert(record.clone());
        }
    }

    fn apply_users(&mut self, update: &SnapshotUpdate) {
        if update.users.is_empty() && update.users_gone.is_empty() {
            return;
        }
        let table = Arc::make_mut(&mut self.users);
        for id in update.users_gone.iter().copied().chain(update.users.iter().map(|u| u.id)) {
            table.remove(UserId(id));
        }
        for record in &update.users {
            table.insert(record.clone());
        }
    }

    fn apply_tokens(&mut self, update: &SnapshotUpdate) {
        if update.tokens.is_empty() && update.tokens_gone.is_empty() {
            return;
        }
        let table = Arc::make_mut(&mut self.tokens);
        for hash in &update.tokens_gone {
            table.retain(|held, _| held.as_slice() != hash.as_ref());
        }
        for record in &update.tokens {
            if let Ok(hash) = TokenHash::try_from(record.hash.as_ref()) {
                table.insert(hash, Arc::new(record.clone()));
            }
        }
    }

    fn apply_grants(&mut self, update: &SnapshotUpdate) {
        if update.grants.is_empty() && update.grants_gone.is_empty() {
            return;
        }
        let table = Arc::make_mut(&mut self.grants);
        for gone in update.grants_gone.iter().chain(&update.grants) {
            if let Some(held) = table.get_mut(&UserId(gone.user_id)) {
                held.retain(|grant| (&grant.owner, grant.repo_id) != (&gone.owner, gone.repo_id));
            }
        }
        for grant in &update.grants {
            table.entry(UserId(grant.user_id)).or_default().push(grant.clone());
        }
    }

    /// Everything, as one update that replaces whatever the reader holds.
    pub fn to_update(&self) -> SnapshotUpdate {
        SnapshotUpdate {
            version: self.version.0,
            reset: true,
            cluster_id: self.cluster.map(|id| id.0.to_vec().into()).unwrap_or_default(),
            layout: Some(self.layout.as_ref().clone()),
            repositories: self.repositories.by_id.values().map(|r| r.as_ref().clone()).collect(),
            users: self.users.by_id.values().map(|u| u.as_ref().clone()).collect(),
            tokens: self.tokens.values().map(|t| t.as_ref().clone()).collect(),
            grants: self.grants.values().flatten().cloned().collect(),
            settings: self.settings.values().cloned().collect(),
            ..SnapshotUpdate::default()
        }
    }

    /// Version of the control plane's state that this is.
    pub fn version(&self) -> GrantsVersion {
        self.version
    }

    /// The cluster, once known.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Nodes and partitions.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where each partition lives.
    pub fn partitions(&self) -> impl Iterator<Item = &PartitionPlacement> {
        self.layout.partitions.iter()
    }

    /// The live repository at `path`.
    pub fn repository(&self, path: &RepoPath) -> Option<Arc<Repository>> {
        let id = self.repositories.live.get(path.as_str())?;
        self.repository_by_id(*id)
    }

    /// The repository with `id`, in any state.
    pub fn repository_by_id(&self, id: RepoId) -> Option<Arc<Repository>> {
        self.repositories.by_id.get(&id).map(Arc::clone)
    }

    /// Every repository, in any state, by id.
    pub fn repositories(&self) -> impl Iterator<Item = &Arc<Repository>> {
        self.repositories.by_id.values()
    }

    /// The token whose SHA-256 is `hash`.
    pub fn token(&self, hash: &TokenHash) -> Option<Arc<TokenRecord>> {
        self.tokens.get(hash).map(Arc::clone)
    }

    /// The user who registered the SSH key with `fingerprint` (`SHA256:…`).
    pub fn key(&self, fingerprint: &str) -> Option<Arc<UserRecord>> {
        self.user(*self.users.by_key.get(fingerprint)?)
    }

    /// The user with `id`.
    pub fn user(&self, id: UserId) -> Option<Arc<UserRecord>> {
        self.users.by_id.get(&id).map(Arc::clone)
    }

    /// The user called `name`.
    pub fn user_by_name(&self, name: &str) -> Option<Arc<UserRecord>> {
        self.user(*self.users.by_name.get(name)?)
    }

    /// A cluster-wide setting.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(|setting| setting.value.as_str())
    }

    /// The highest role granted to `user` in `repository` or its owner's name.
    pub(super) fn granted(&self, user: UserId, repository: &Repository) -> Option<Role> {
        let owner = repository.path.split('/').next().unwrap_or_default();
        let grants = self.grants.get(&user)?;
        grants
            .iter()
            .filter(|grant| {
                grant.repo_id == repository.id || (grant.repo_id == 0 && grant.owner == owner)
            })
            .filter_map(|grant| role_from_wire(grant.role))
            .max()
    }
}

impl Repositories {
    fn insert(&mut self, record: Repository) {
        let id = RepoId(record.id);
        if record.state == STATE_LIVE {
            self.live.insert(record.path.clone(), id);
        }
        self.by_id.insert(id, Arc::new(record));
    }

    fn remove(&mut self, id: RepoId) {
        let Some(record) = self.by_id.remove(&id) else { return };
        if self.live.get(&record.path) == Some(&id) {
            self.live.remove(&record.path);
        }
    }
}

impl Users {
    fn insert(&mut self, record: UserRecord) {
        let id = UserId(record.id);
        self.by_name.insert(record.name.clone(), id);
        self.by_key.extend(record.keys.iter().map(|key| (key.fingerprint.clone(), id)));
        self.by_id.insert(id, Arc::new(record));
    }

    fn remove(&mut self, id: UserId) {
        let Some(record) = self.by_id.remove(&id) else { return };
        self.by_name.remove(&record.name);
        for key in &record.keys {
            self.by_key.remove(&key.fingerprint);
        }
    }
}

fn role_from_wire(number: u32) -> Option<Role> {
    match number {
        1 => Some(Role::Read),
        2 => Some(Role::Write),
        3 => Some(Role::Maintain),
        4 => Some(Role::Admin),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(id: u64, path: &str) -> Repository {
        Repository { id, path: path.to_owned(), state: STATE_LIVE, ..Repository::default() }
    }

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    #[test]
    fn s42_a_path_passes_from_one_repository_to_another_in_one_update() {
        let first = SnapshotUpdate {
            version: 1,
            repositories: vec![repository(1, "a/x"), repository(2, "a/y")],
            ..SnapshotUpdate::default()
        };
        let swap = SnapshotUpdate {
            version: 2,
            repositories: vec![repository(1, "a/y"), repository(2, "a/x")],
            ..SnapshotUpdate::default()
        };
        let view = Snapshot::empty().apply(&first).apply(&swap);
        assert_eq!(view.repository(&path("a/x")).unwrap().id, 2);
        assert_eq!(view.repository(&path("a/y")).unwrap().id, 1);
        assert_eq!(view.version(), GrantsVersion(2));
    }

    #[test]
    fn a_deleted_repository_keeps_its_id_and_loses_its_path() {
        let made =
            SnapshotUpdate { repositories: vec![repository(1, "a/x")], ..Default::default() };
        let gone = Repository { state: 2, ..repository(1, "a/x") };
        let deleted = SnapshotUpdate { repositories: vec![gone], ..Default::default() };
        let view = Snapshot::empty().apply(&made).apply(&deleted);
        assert!(view.repository(&path("a/x")).is_none());
        assert!(view.repository_by_id(RepoId(1)).is_some());
    }

    #[test]
    fn a_whole_update_rebuilds_the_same_view() {
        let made = SnapshotUpdate {
            version: 9,
            cluster_id: vec![7; 16].into(),
            repositories: vec![repository(1, "a/x")],
            users: vec![UserRecord { id: 5, name: "ann".into(), ..Default::default() }],
            tokens: vec![TokenRecord { hash: vec![3; 32].into(), ..Default::default() }],
            ..SnapshotUpdate::default()
        };
        let view = Snapshot::empty().apply(&made);
        let again = Snapshot::empty().apply(&view.to_update());
        assert_eq!(again.to_update(), view.to_update());
        assert!(again.token(&[3; 32]).is_some());
        assert_eq!(again.user_by_name("ann").unwrap().id, 5);
    }
}
