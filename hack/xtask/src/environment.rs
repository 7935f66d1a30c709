//! The process environment, read once and handed down as an argument.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// What the environment says about this run.
pub(crate) struct Environment {
    /// The cargo that started us.
    pub(crate) cargo: OsString,
    /// Where everything lives that outlasts a clone: RocksDB, the target directory.
    pub(crate) cache: PathBuf,
    /// Where child cargos build: the user's choice, else inside the cache.
    pub(crate) target: PathBuf,
    /// Folders of `PATH`.
    pub(crate) search: Vec<PathBuf>,
    /// The C++ compiler the user asked for.
    pub(crate) cxx: Option<OsString>,
    /// The user names a libclang of their own.
    pub(crate) libclang: Option<PathBuf>,
    /// The user brings a RocksDB of their own, as librocksdb-sys understands it.
    pub(crate) rocksdb: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn read() -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// Reads an environment given as a function, which tests can make up.
    fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let folder = |name: &str| get(name).map(std::path::absolute).transpose();
        let cache = match (folder("GITSTRATUM_CACHE")?, folder("XDG_CACHE_HOME")?, folder("HOME")?)
        {
            (Some(cache), _, _) => cache,
            (None, Some(caches), _) => caches.join("gitstratum"),
            (None, None, Some(home)) => home.join(".cache/gitstratum"),
            (None, None, None) => {
                return None.context("no HOME: set GITSTRATUM_CACHE to a folder for built things");
            }
        };
        Ok(Self {
            cargo: get("CARGO").unwrap_or_else(|| "cargo".into()),
            target: folder("CARGO_TARGET_DIR")?.unwrap_or_else(|| cache.join("target")),
            cache,
            search: get("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            cxx: get("CXX"),
            libclang: folder("LIBCLANG_PATH")?,
            rocksdb: folder("ROCKSDB_LIB_DIR")?,
        })
    }

    /// Whether `program` is found on `PATH`.
    pub(crate) fn has_program(&self, program: &str) -> bool {
        self.search.iter().any(|folder| folder.join(program).is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(vars: &[(&str, &str)]) -> Result<Environment> {
        Environment::from_lookup(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_cache_is_the_first_of_three_places() {
        let all = [("GITSTRATUM_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        let expected = ["/a", "/b/gitstratum", "/c/.cache/gitstratum"];
        for (skipped, cache) in expected.iter().enumerate() {
            let found = environment(&all[skipped..]).expect("a cache").cache;
            assert_eq!(found, PathBuf::from(cache));
        }
        assert!(environment(&[]).is_err());
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let found = environment(&[("GITSTRATUM_CACHE", ""), ("HOME", "/c")]).expect("a cache");
        assert_eq!(found.cache, PathBuf::from("/c/.cache/gitstratum"));
    }

    #[test]
    fn the_target_directory_of_the_user_wins() {
        let found = environment(&[("CARGO_TARGET_DIR", "/t"), ("HOME", "/c")]).expect("a cache");
        assert_eq!(found.target, PathBuf::from("/t"));
        let found = environment(&[("HOME", "/c")]).expect("a cache");
        assert_eq!(found.target, PathBuf::from("/c/.cache/gitstratum/target"));
    }
}
