use sha2::{Digest as _, Sha256};

use super::{ChangeRow, RequestRow, RowError, decode};
use crate::State;
use crate::row::{Key, Row};
use crate::state::Mutation;

impl State {
    /// The state that was stored as `rows`: all rows of [`crate::row::LOADED_KINDS`], in any
    /// order.
    ///
    /// # Errors
    /// [`RowError`] names the row that is damaged or of another version; nothing is guessed.
    pub fn load<'a>(
        rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, RowError> {
        let mut state = Self::default();
        for (key, value) in rows {
            state.load_row(key, value)?;
        }
        state.check()?;
        Ok(state)
    }

    fn load_row(&mut self, bytes: &[u8], value: &[u8]) -> Result<(), RowError> {
        let name = || gitstratum_core::encode_hex(bytes);
        let key = Key::from_bytes(bytes).ok_or_else(|| RowError::Key(name()))?;
        let mutation = match &key {
            Key::Header => Mutation::PutHeader(decode(bytes, value)?),
            Key::Layout => Mutation::PutLayout(decode(bytes, value)?),
            Key::Setting(_) => Mutation::PutSetting(decode(bytes, value)?),
            Key::Node(_) => Mutation::PutNode(decode(bytes, value)?),
            Key::User(_) => Mutation::PutUser(decode(bytes, value)?),
            Key::Token(_) => Mutation::PutToken(decode(bytes, value)?),
            Key::Grant(_) => Mutation::PutGrant(decode(bytes, value)?),
            Key::Repository(_) => Mutation::PutRepository(decode(bytes, value)?),
            Key::Owner(owner) => Mutation::AddOwner(owner.clone()),
            Key::PathWait(_) => Mutation::PutPathWait(decode(bytes, value)?),
            Key::Change(version) => {
                let ChangeRow(keys) = decode(bytes, value)?;
                self.changes.insert(*version, keys);
                return Ok(());
            }
            Key::Request(request) => {
                let RequestRow(kept) = decode(bytes, value)?;
                self.indexes.requests.insert(kept.index, *request);
                self.remembered.insert(*request, kept);
                return Ok(());
            }
            Key::Audit(_) => return Err(RowError::Key(name())),
        };
        // A record must stand under its own name.
        let stands_at = self.execute(vec![mutation]);
        if stands_at.contains(&key) {
            Ok(())
        } else {
            Err(RowError::Field { key: name(), field: "name" })
        }
    }

    /// What must hold between records.
    fn check(&self) -> Result<(), RowError> {
        let live = |repository: &&crate::record::Repository| {
            repository.state == crate::record::RepositoryState::Live
        };
        if self.repositories.values().filter(live).count() != self.indexes.paths.len() {
            return Err(RowError::Contradiction("two live repositories have one path"));
        }
        if self.users.len() != self.indexes.user_names.len() {
            return Err(RowError::Contradiction("two users have one name"));
        }
        let keys: usize = self.users.values().map(|user| user.keys.len()).sum();
        if keys != self.indexes.keys.len() {
            return Err(RowError::Contradiction("two users have one key"));
        }
        if self.header.cluster.is_none() && !(self.users.is_empty() && self.nodes.is_empty()) {
            return Err(RowError::Contradiction("there are records but no cluster id"));
        }
        Ok(())
    }

    /// Every row but the audit lines, in order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let mut keys: Vec<Key> = vec![Key::Header, Key::Layout];
        keys.extend(self.settings.keys().cloned().map(Key::Setting));
        keys.extend(self.nodes.keys().copied().map(Key::Node));
        keys.extend(self.users.keys().copied().map(Key::User));
        keys.extend(self.tokens.keys().copied().map(Key::Token));
        keys.extend(self.grants.keys().cloned().map(Key::Grant));
        keys.extend(self.repositories.keys().copied().map(Key::Repository));
        keys.extend(self.owners.iter().cloned().map(Key::Owner));
        keys.extend(self.waits.keys().cloned().map(Key::PathWait));
        keys.extend(self.changes.keys().copied().map(Key::Change));
        keys.extend(self.remembered.keys().copied().map(Key::Request));
        keys.sort_by_cached_key(Key::to_bytes);
        keys.into_iter().map(|key| (key.to_bytes(), self.row(&key)))
    }

    /// SHA-256 over every row: equal logs make equal hashes (GS-CP-38).
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for (key, value) in self.rows() {
            let value = value.unwrap_or_default();
            for part in [key, value] {
                let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
                hasher.update(length.to_be_bytes());
                hasher.update(&part);
            }
        }
        hasher.finalize().into()
    }
}
