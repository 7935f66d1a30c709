use std::collections::BTreeSet;

use gitstratum_core::{RepoPath, UserId};

use super::{Header, State};
use crate::record::{
    Grant, GrantKey, Layout, Node, PathWait, Repository, RepositoryState, Setting, Token, User,
};
use crate::row::Key;

/// One step of a change that was decided. Carrying it out cannot fail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mutation {
    PutHeader(Header),
    PutLayout(Layout),
    PutSetting(Setting),
    PutNode(Node),
    PutUser(User),
    RemoveUser(UserId),
    PutToken(Token),
    RemoveToken([u8; 32]),
    PutGrant(Grant),
    RemoveGrant(GrantKey),
    PutRepository(Repository),
    AddOwner(String),
    PutPathWait(PathWait),
    RemovePathWait(RepoPath),
}

impl State {
    /// Carries out `mutations` and returns the rows they touched.
    pub(crate) fn execute(&mut self, mutations: Vec<Mutation>) -> BTreeSet<Key> {
        let mut touched = BTreeSet::new();
        for mutation in mutations {
            touched.insert(self.execute_one(mutation));
        }
        if touched.iter().any(|key| matches!(key, Key::Node(_))) {
            // Nodes travel in the layout.
            touched.insert(Key::Layout);
        }
        touched
    }

    fn execute_one(&mut self, mutation: Mutation) -> Key {
        match mutation {
            Mutation::PutHeader(header) => {
                self.header = header;
                Key::Header
            }
            Mutation::PutLayout(layout) => {
                self.layout = layout;
                Key::Layout
            }
            Mutation::PutSetting(setting) => self.put_setting(setting),
            Mutation::PutNode(node) => self.put_node(node),
            Mutation::PutUser(user) => self.put_user(user),
            Mutation::RemoveUser(id) => self.remove_user(id),
            Mutation::PutToken(token) => self.put_token(token),
            Mutation::RemoveToken(hash) => self.remove_token(hash),
            Mutation::PutGrant(grant) => self.put_grant(grant),
            Mutation::RemoveGrant(grant) => {
                self.grants.remove(&grant);
                Key::Grant(grant)
            }
            Mutation::PutRepository(repository) => self.put_repository(repository),
            Mutation::AddOwner(owner) => self.add_owner(owner),
            Mutation::PutPathWait(wait) => self.put_wait(wait),
            Mutation::RemovePathWait(path) => {
                self.waits.remove(&path);
                Key::PathWait(path)
            }
        }
    }

    fn put_setting(&mut self, setting: Setting) -> Key {
        let key = Key::Setting(setting.key.clone());
        self.settings.insert(setting.key.clone(), setting);
        key
    }

    fn put_node(&mut self, node: Node) -> Key {
        let key = Key::Node(node.id);
        self.nodes.insert(node.id, node);
        key
    }

    fn put_token(&mut self, token: Token) -> Key {
        let key = Key::Token(token.hash);
        self.indexes.user_tokens.insert((token.user, token.hash));
        self.tokens.insert(token.hash, token);
        key
    }

    fn remove_token(&mut self, hash: [u8; 32]) -> Key {
        if let Some(token) = self.tokens.remove(&hash) {
            self.indexes.user_tokens.remove(&(token.user, hash));
        }
        Key::Token(hash)
    }

    fn put_grant(&mut self, grant: Grant) -> Key {
        let key = Key::Grant(grant.key.clone());
        self.grants.insert(grant.key.clone(), grant);
        key
    }

    fn add_owner(&mut self, owner: String) -> Key {
        self.owners.insert(owner.clone());
        Key::Owner(owner)
    }

    fn put_wait(&mut self, wait: PathWait) -> Key {
        let key = Key::PathWait(wait.path.clone());
        self.waits.insert(wait.path.clone(), wait);
        key
    }

    fn put_user(&mut self, user: User) -> Key {
        let id = user.id;
        self.unindex_user(id);
        self.indexes.user_names.insert(user.name.clone(), id);
        for key in &user.keys {
            self.indexes.keys.insert(key.fingerprint.clone(), id);
        }
        self.users.insert(id, user);
        Key::User(id)
    }

    fn remove_user(&mut self, id: UserId) -> Key {
        self.unindex_user(id);
        self.users.remove(&id);
        Key::User(id)
    }

    fn unindex_user(&mut self, id: UserId) {
        let Some(old) = self.users.get(&id) else { return };
        self.indexes.user_names.remove(&old.name);
        for key in &old.keys {
            self.indexes.keys.remove(&key.fingerprint);
        }
    }

    fn put_repository(&mut self, repository: Repository) -> Key {
        let id = repository.id;
        if let Some(old) = self.repositories.get(&id)
            && old.state == RepositoryState::Live
        {
            self.indexes.paths.remove(&old.path);
        }
        if repository.state == RepositoryState::Live {
            self.indexes.paths.insert(repository.path.clone(), id);
        }
        self.repositories.insert(id, repository);
        Key::Repository(id)
    }
}
