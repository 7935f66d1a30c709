use gitstratum_core::{ClusterId, GrantsVersion};

use crate::command::{Restore, RestoredRow};
use crate::record::{Grant, Layout, Node, Repository, Setting, Token, User};
use crate::row::Key;
use crate::stored::encode;

/// What a node was told of a control plane's state: enough to bring it back (S45). Audit
/// lines, outcomes of requests and differences are not in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// Version of the streamed state that these are.
    pub version: GrantsVersion,
    /// How data is placed.
    pub layout: Layout,
    /// All, those that left too.
    pub nodes: Vec<Node>,
    /// With their keys.
    pub users: Vec<User>,
    /// By their hashes.
    pub tokens: Vec<Token>,
    /// All.
    pub grants: Vec<Grant>,
    /// In any state.
    pub repositories: Vec<Repository>,
    /// Settings and flags.
    pub settings: Vec<Setting>,
}

impl Records {
    /// The command that brings them back as `generation` of `cluster`, where nodes enrol by
    /// the token with SHA-256 `join_token`.
    pub fn restore(
        &self,
        cluster: ClusterId,
        generation: u16,
        join_token: Option<[u8; 32]>,
    ) -> Restore {
        let mut rows = vec![row(&Key::Layout, encode(&self.layout))];
        let nodes = self.nodes.iter().map(|node| row(&Key::Node(node.id), encode(node)));
        rows.extend(nodes);
        rows.extend(self.users.iter().map(|user| row(&Key::User(user.id), encode(user))));
        rows.extend(self.tokens.iter().map(|token| row(&Key::Token(token.hash), encode(token))));
        let grants = self.grants.iter();
        rows.extend(grants.map(|grant| row(&Key::Grant(grant.key.clone()), encode(grant))));
        let repositories = self.repositories.iter();
        rows.extend(repositories.map(|found| row(&Key::Repository(found.id), encode(found))));
        let settings = self.settings.iter();
        rows.extend(settings.map(|set| row(&Key::Setting(set.key.clone()), encode(set))));
        Restore {
            cluster: cluster.0.to_vec(),
            generation: u32::from(generation),
            join_token: join_token.map(|hash| hash.to_vec()).unwrap_or_default(),
            version: self.version.0,
            rows,
        }
    }
}

fn row(key: &Key, value: Vec<u8>) -> RestoredRow {
    RestoredRow { key: key.to_bytes(), value }
}
