use std::collections::BTreeSet;
use std::ops::Bound;

use gitstratum_core::GrantsVersion;

use crate::State;
use crate::record::{Grant, GrantKey, Repository, Setting, Token, User};
use crate::row::Key;

/// Versions whose changes are kept; whoever is further behind gets everything.
pub const DIFFERENCES_MAX: usize = 10_000;

/// What somebody at an older version needs to be at [`Differences::version`]: what
/// changed, in its newest form, and what is gone. With [`Differences::reset`] it is all
/// there is, and whatever else they hold is gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences<'a> {
    /// The version this leads to.
    pub version: GrantsVersion,
    /// Forget everything first.
    pub reset: bool,
    /// Nodes or placement changed.
    pub layout: bool,
    /// Settings and flags.
    pub settings: Vec<&'a Setting>,
    /// Users with their keys.
    pub users: Vec<&'a User>,
    /// Users gone.
    pub users_gone: Vec<gitstratum_core::UserId>,
    /// Tokens.
    pub tokens: Vec<&'a Token>,
    /// Tokens gone, by SHA-256.
    pub tokens_gone: Vec<[u8; 32]>,
    /// Grants.
    pub grants: Vec<&'a Grant>,
    /// Grants gone.
    pub grants_gone: Vec<GrantKey>,
    /// Repositories in any state.
    pub repositories: Vec<&'a Repository>,
}

impl State {
    /// What changed since `held`, which is 0 for nothing held. Everything, when the changes
    /// since then are no longer known or `held` is not of this state's past (GS-CP-30).
    pub fn differences_since(&self, held: GrantsVersion) -> Differences<'_> {
        let version = self.header.version;
        if held.0 == 0 || held < self.header.change_floor || held > version {
            return self.everything();
        }
        let after = (Bound::Excluded(held), Bound::Unbounded);
        let changed: BTreeSet<&Key> =
            self.changes.range(after).flat_map(|(_, keys)| keys).collect();
        let mut differences = Differences { version, ..Differences::default() };
        for key in changed {
            self.add_difference(key, &mut differences);
        }
        differences
    }

    fn everything(&self) -> Differences<'_> {
        Differences {
            version: self.header.version,
            reset: true,
            layout: true,
            settings: self.settings.values().collect(),
            users: self.users.values().collect(),
            tokens: self.tokens.values().collect(),
            grants: self.grants.values().collect(),
            repositories: self.repositories.values().collect(),
            ..Differences::default()
        }
    }

    fn add_difference<'a>(&'a self, key: &Key, differences: &mut Differences<'a>) {
        match key {
            Key::Layout => differences.layout = true,
            Key::Setting(name) => differences.settings.extend(self.settings.get(name)),
            Key::User(id) => match self.users.get(id) {
                Some(user) => differences.users.push(user),
                None => differences.users_gone.push(*id),
            },
            Key::Token(hash) => match self.tokens.get(hash) {
                Some(token) => differences.tokens.push(token),
                None => differences.tokens_gone.push(*hash),
            },
            Key::Grant(grant) => match self.grants.get(grant) {
                Some(record) => differences.grants.push(record),
                None => differences.grants_gone.push(grant.clone()),
            },
            Key::Repository(id) => differences.repositories.extend(self.repositories.get(id)),
            Key::Header
            | Key::Node(_)
            | Key::Owner(_)
            | Key::PathWait(_)
            | Key::Change(_)
            | Key::Request(_)
            | Key::Audit(_) => {}
        }
    }
}
