//! A prebuilt RocksDB in the cache, keyed by all that went into it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cargo::Cargo;
use crate::metadata::{Metadata, Package};
use crate::prepare::compiler::{self, Compiler};
use crate::prepare::unity;
use crate::stage;
use crate::workspace::Workspace;

const LIBRARY: &str = "librocksdb.a";

/// Names what a build was made of, so that a person can tell two of them apart.
const INGREDIENTS: &str = "ingredients.txt";

/// Gives the folder that holds `librocksdb.a`, building it first if the cache has none.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let metadata = Metadata::load_for_host(&Cargo::new(workspace, None))?;
    let sources = Sources::find(&metadata)?;
    let flags = unity::flags(std::env::consts::ARCH);
    let compiler = Compiler::find(&workspace.environment, flags)?;
    let ingredients = sources.ingredients(&compiler);
    let shelf = workspace.environment.cache.join("rocksdb");
    let place = shelf.join(key(&sources.version, &ingredients));
    if place.join(LIBRARY).is_file() {
        return Ok(place);
    }
    fs::create_dir_all(&shelf).with_context(|| format!("create {}", shelf.display()))?;
    let lock = lock(&shelf)?;
    // Another process may have built it while we waited.
    if !place.join(LIBRARY).is_file() {
        build(&sources, &compiler, &shelf, &place, &ingredients).context(
            "build RocksDB the fast way (`cargo xtask --plain-rocksdb COMMAND` lets cargo do it)",
        )?;
    }
    drop(lock);
    Ok(place)
}

/// Where the pieces of RocksDB lie on this machine.
struct Sources {
    version: String,
    rocksdb: PathBuf,
    lz4: PathBuf,
    zstd: PathBuf,
}

impl Sources {
    fn find(metadata: &Metadata) -> Result<Self> {
        let folder = |name: &str| metadata.package(name).map(Package::folder);
        Ok(Self {
            version: metadata.package("librocksdb-sys")?.version.clone(),
            rocksdb: folder("librocksdb-sys")?,
            lz4: folder("lz4-sys")?.join("liblz4/lib"),
            zstd: folder("zstd-sys")?.join("zstd/lib"),
        })
    }

    fn includes(&self) -> Vec<PathBuf> {
        let own = ["rocksdb/include", "rocksdb", "."];
        let own = own.iter().map(|folder| self.rocksdb.join(folder));
        own.chain([self.lz4.clone(), self.zstd.clone()]).collect()
    }

    /// All that decides what the library will be, as text. lz4 and zstd count by the names of
    /// their folders, which end in their versions.
    fn ingredients(&self, compiler: &Compiler) -> String {
        let name = |path: &Path, up: usize| {
            let folder = path.ancestors().nth(up).and_then(Path::file_name);
            folder.unwrap_or_default().to_string_lossy().into_owned()
        };
        format!(
            "librocksdb-sys {}\n{}\n{}\nrecipe {}\n{}\n{}\n",
            self.version,
            name(&self.lz4, 2),
            name(&self.zstd, 2),
            unity::RECIPE,
            compiler.version,
            compiler.flags.join(" "),
        )
    }
}

/// Builds beside the final place and renames, so that a half-made library is never found.
fn build(
    sources: &Sources,
    compiler: &Compiler,
    shelf: &Path,
    place: &Path,
    ingredients: &str,
) -> Result<()> {
    eprintln!("== prepare: RocksDB {}, once (about 500 CPU seconds)", sources.version);
    let start = stage::now();
    let scratch = shelf.join("half-made");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context("remove an earlier half-made build")?;
    }
    let work = scratch.join("work");
    fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;

    let list = sources.rocksdb.join("rocksdb_lib_sources.txt");
    let list = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
    let units = unity::units(&list);
    let objects = compiler.compile(&units, &sources.includes(), &sources.rocksdb, &work)?;
    compiler::archive(&scratch.join(LIBRARY), &objects)?;
    fs::write(scratch.join(INGREDIENTS), ingredients).context("write the ingredients")?;
    fs::remove_dir_all(&work).context("remove the object files")?;
    fs::rename(&scratch, place).with_context(|| format!("rename to {}", place.display()))?;
    eprintln!("RocksDB built in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// One build at a time for each cache; the lock goes when the file is closed.
fn lock(shelf: &Path) -> Result<File> {
    let path = shelf.join("lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("waiting for another build of RocksDB");
        file.lock().with_context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}

/// The folder's name: RocksDB's version for people, a digest of all ingredients for us.
fn key(version: &str, ingredients: &str) -> String {
    let rocksdb = version.split_once('+').map_or(version, |(_, rocksdb)| rocksdb);
    format!("{rocksdb}-{:016x}", fnv1a(ingredients.as_bytes()))
}

/// FNV-1a, 64 bits: stable over Rust releases, which the standard hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_its_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn any_other_ingredient_gives_another_folder() {
        let folder = key("0.19.0+11.8.1", "flags -O2");
        assert!(folder.starts_with("11.8.1-"));
        assert_ne!(folder, key("0.19.0+11.8.1", "flags -O3"));
    }

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = lock(folder.path()).expect("locked");
        let other = File::open(folder.path().join("lock")).expect("opened");
        assert!(other.try_lock().is_err());
        drop(held);
        other.try_lock().expect("free again");
    }
}
