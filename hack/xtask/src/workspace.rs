//! The workspace that a command works on.

use std::path::{Path, PathBuf};

use crate::environment::Environment;

/// How RocksDB comes into a build.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RocksDb {
    /// Built once, the fast way, into the cache.
    Prebuilt,
    /// Built by cargo, inside the target directory.
    Plain,
}

/// The workspace, and the environment it is built in.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) environment: Environment,
    pub(crate) rocksdb: RocksDb,
}

impl Workspace {
    /// The workspace that this very program was built from.
    pub(crate) fn new(environment: Environment, rocksdb: RocksDb) -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own.ancestors().nth(2).unwrap_or(own).to_path_buf();
        Self { root, environment, rocksdb }
    }
}
