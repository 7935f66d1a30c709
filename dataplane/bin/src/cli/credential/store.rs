use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::super::{Environment, Failure};
use super::Origin;

/// Name of the file in the user's folder.
const FILE: &str = "credentials.json";
/// Its name while it is being written.
const DRAFT: &str = "credentials.json.new";
/// Held by whoever changes it.
const LOCK: &str = "credentials.lock";
/// Version of the file that this program writes and reads.
const VERSION: u32 = 1;
/// Most bytes of the file that are read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most servers that are remembered.
const ENTRIES_MAX: usize = 1_000;
/// Mode of the file and of its folder; bits that let others in.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// Tokens that `login` and Git stored, in a file of the user's alone.
#[derive(Clone, Debug)]
pub(in super::super) struct Store {
    folder: PathBuf,
}

/// What signs in at one server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Entry {
    pub(in super::super) username: String,
    pub(in super::super) token: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The file, as `docs/formats/credentials.md` describes it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    version: u32,
    credentials: BTreeMap<String, Entry>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { version: VERSION, credentials: BTreeMap::new() }
    }
}

impl Store {
    /// The store of the user; none for a user without a home.
    pub(in super::super) fn open(environment: &Environment) -> Result<Option<Self>, Failure> {
        Ok(environment.config_folder().map(Self::in_folder))
    }

    pub(super) const fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file, for messages.
    pub(in super::super) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// What is stored for `origin`.
    pub(in super::super) fn get(&self, origin: &Origin) -> Result<Option<Entry>, Failure> {
        Ok(self.read()?.credentials.remove(&origin.to_string()))
    }

    /// Stores `entry` for `origin`, in place of what was there.
    pub(in super::super) fn put(&self, origin: &Origin, entry: Entry) -> Result<(), Failure> {
        let _lock = self.lock()?;
        let mut file = self.read()?;
        if file.credentials.get(&origin.to_string()) == Some(&entry) {
            return Ok(());
        }
        if file.credentials.len() >= ENTRIES_MAX {
            let path = self.path();
            return Err(Failure::failed(format!("{} is full", path.display())));
        }
        file.credentials.insert(origin.to_string(), entry);
        self.write(&file)
    }

    /// Forgets what is stored for `origin`; with `token`, only if it is that one.
    pub(in super::super) fn erase(
        &self,
        origin: &Origin,
        token: Option<&str>,
    ) -> Result<(), Failure> {
        if !self.path().exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let mut file = self.read()?;
        let is_it = |entry: &Entry| token.is_none_or(|token| token == entry.token);
        if !file.credentials.get(&origin.to_string()).is_some_and(is_it) {
            return Ok(());
        }
        file.credentials.remove(&origin.to_string());
        self.write(&file)
    }

    fn read(&self) -> Result<Credentials, Failure> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Credentials::default());
            }
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let mode = file.metadata().map_err(|error| failed("read", &path, &error))?.mode();
        if mode & OTHERS != 0 {
            let path = path.display();
            return Err(Failure::failed(format!("{path} can be read by others: chmod 600 it")));
        }
        let mut text = Vec::new();
        let read = file.take(FILE_BYTES_MAX).read_to_end(&mut text);
        read.map_err(|error| failed("read", &path, &error))?;
        parse(&text).map_err(|why| Failure::failed(format!("{} {why}", path.display())))
    }

    /// At once and whole, for the user alone.
    fn write(&self, credentials: &Credentials) -> Result<(), Failure> {
        let draft = self.folder.join(DRAFT);
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(credentials)?;
            text.push(b'\n');
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, self.path())
        };
        write().map_err(|error| failed("write", &self.path(), &error))
    }

    /// Keeps others from changing the file until it is dropped.
    fn lock(&self) -> Result<File, Failure> {
        let path = self.folder.join(LOCK);
        let lock = || -> io::Result<File> {
            fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.folder)?;
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).mode(FILE_MODE).open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        lock().map_err(|error| failed("lock", &path, &error))
    }
}

fn parse(text: &[u8]) -> Result<Credentials, String> {
    let file: Credentials =
        serde_json::from_slice(text).map_err(|error| format!("is damaged: {error}"))?;
    match file.version {
        VERSION => Ok(file),
        other => Err(format!("has version {other}; this program reads version {VERSION}")),
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn origin(host: &str) -> Origin {
        Origin::new("https", host).unwrap()
    }

    fn entry(token: &str) -> Entry {
        Entry { username: "ada".to_owned(), token: token.to_owned() }
    }

    #[test]
    fn tokens_are_kept_by_server_for_the_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path().join("made"));
        assert!(store.get(&origin("a")).unwrap().is_none());
        store.erase(&origin("a"), None).unwrap();
        store.put(&origin("a"), entry("one")).unwrap();
        store.put(&origin("b"), entry("two")).unwrap();
        store.put(&origin("a"), entry("three")).unwrap();
        assert_eq!(store.get(&origin("a")).unwrap(), Some(entry("three")));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&store.path()), mode(&store.folder)), (0o600, 0o700));
        store.erase(&origin("a"), Some("one")).unwrap();
        assert!(store.get(&origin("a")).unwrap().is_some());
        store.erase(&origin("a"), Some("three")).unwrap();
        assert!(store.get(&origin("a")).unwrap().is_none());
        assert!(store.get(&origin("b")).unwrap().is_some());
    }

    #[test]
    fn a_file_that_others_read_or_that_is_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path().to_owned());
        store.put(&origin("a"), entry("one")).unwrap();
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o644)).unwrap();
        let why = |store: &Store| format!("{:?}", store.get(&origin("a")).err());
        assert!(why(&store).contains("chmod 600"));
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o600)).unwrap();
        for (text, words) in [("{", "damaged"), (r#"{"version":2,"credentials":{}}"#, "version 2")]
        {
            fs::write(store.path(), text).unwrap();
            assert!(why(&store).contains(words), "{}", why(&store));
            assert!(store.put(&origin("a"), entry("two")).is_err());
            assert_eq!(fs::read_to_string(store.path()).unwrap(), text);
        }
    }

    #[test]
    fn the_described_file_is_the_written_one() {
        let page = include_str!("../../../../../docs/formats/credentials.md");
        let example = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path().to_owned());
        let server = Origin::new("http", "127.0.0.1:8080").unwrap();
        store.put(&server, entry("gst_0123456789")).unwrap();
        assert_eq!(Some(fs::read_to_string(store.path()).unwrap().as_str()), example);
    }
}
