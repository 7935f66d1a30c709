use bytes::Bytes;

use super::{Family, KeyRange};

/// One change of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets the value of a key.
    Put {
        /// Where.
        family: Family,
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Removes a key, if it is there.
    Delete {
        /// Where.
        family: Family,
        /// The key.
        key: Bytes,
    },
    /// Removes every key of a range.
    DeleteRange {
        /// Where.
        family: Family,
        /// The keys.
        range: KeyRange,
    },
}

impl Operation {
    /// The column family it changes.
    pub fn family(&self) -> Family {
        match self {
            Self::Put { family, .. }
            | Self::Delete { family, .. }
            | Self::DeleteRange { family, .. } => *family,
        }
    }

    fn byte_count(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key, .. } => key.len(),
            Self::DeleteRange { range, .. } => {
                range.start().len() + range.end().map_or(0, <[u8]>::len)
            }
        }
    }
}

/// Changes that an engine makes all at once, in the order they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, family: Family, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.push(Operation::Put { family, key: key.into(), value: value.into() });
    }

    /// Removes `key`.
    pub fn delete(&mut self, family: Family, key: impl Into<Bytes>) {
        self.push(Operation::Delete { family, key: key.into() });
    }

    /// Removes every key of `range`. A range whose end is not above its start is empty.
    pub fn delete_range(&mut self, family: Family, range: KeyRange) {
        self.push(Operation::DeleteRange { family, range });
    }

    /// Adds the changes of `other` after those of this batch.
    pub fn append(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.operations.extend(other.operations);
    }

    /// Bytes of all keys and values.
    pub fn byte_count(&self) -> usize {
        self.bytes
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The changes in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    fn push(&mut self, operation: Operation) {
        self.bytes += operation.byte_count();
        self.operations.push(operation);
    }
}
