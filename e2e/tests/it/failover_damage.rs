//! Damage while it was stopped: every kind of file × every kind of damage. Either the
//! start is refused and names the file, or nothing wrong is served and `check` names the
//! repository (P-D4, P-I1, P-I6).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::push::Push;
use gitstratum_e2e::wire::http::{Credentials, Http};
use gitstratum_e2e::{Options, Ran, Stratum, now};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::chain::mixed;
use crate::objects::{FILE, Objects};
use crate::work::{create, folder, objects, refs};

/// Exit codes of `check`.
const SOUND: i32 = 0;
const UNREACHABLE: i32 = 3;
const DAMAGED: i32 = 4;

/// How long it takes until what was synced is written down apart from the logs.
const NOTED_WITHIN: Duration = Duration::from_millis(1_500);

/// How long partitions may take to be opened after a start.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// Repositories: one whose segments are rows of a data base, one whose are files.
const REPOSITORIES: [(&str, u32); 2] = [("demo/rows", 1_000), ("demo/files", 600_000)];

/// What a repository shows: every ref, every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    refs: String,
    objects: Vec<String>,
}

/// By path: its states, the last one last.
type States = BTreeMap<&'static str, Vec<State>>;

/// Data directories of a system, and what it showed when: one that was stopped well, whose
/// data bases have tables, and one that was killed, whose logs hold rows.
struct Sound {
    folder: TempDir,
    stopped: States,
    killed: States,
}

static SOUND_DATA: Mutex<Weak<Sound>> = Mutex::new(Weak::new());

impl Sound {
    /// The one that the tests share while one of them runs.
    fn get() -> Result<Arc<Self>> {
        let mut place = SOUND_DATA.lock();
        if let Some(sound) = place.upgrade() {
            return Ok(sound);
        }
        let sound = Arc::new(Self::make()?);
        *place = Arc::downgrade(&sound);
        Ok(sound)
    }

    /// Three runs that end well: the second one begins with data bases that were closed
    /// once, so that there are several tables. Then one that is killed.
    fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("killed");
        let mut states = States::new();
        let mut stratum =
            Stratum::start_with(Options { data: Some(data.clone()), ..Options::default() })?;
        for (path, _) in REPOSITORIES {
            create(&stratum, path, "sha1")?;
            states.insert(path, vec![State::default()]);
        }
        for round in 0..3 {
            grow(&stratum, round, &mut states)?;
            ensure!(stratum.stop()? == 0, "it did not stop well");
            if round < 2 {
                stratum.launch()?;
            }
        }
        copy(&data, &folder.path().join("stopped"))?;
        let stopped = states.clone();
        stratum.launch()?;
        grow(&stratum, 3, &mut states)?;
        std::thread::sleep(NOTED_WITHIN);
        stratum.kill()?;
        Ok(Self { folder, stopped, killed: states })
    }

    /// The data directory in which files of this kind hold something, and what it shows.
    fn with(&self, kind: Kind) -> (PathBuf, &States) {
        match kind {
            Kind::Database { part: ".log", .. } => {
                (self.folder.path().join("killed"), &self.killed)
            }
            _ => (self.folder.path().join("stopped"), &self.stopped),
        }
    }
}

/// Pushes a branch into each repository and looks at it.
fn grow(stratum: &Stratum, round: u32, states: &mut States) -> Result<()> {
    for (path, bytes) in REPOSITORIES {
        push(stratum, path, (round, bytes))?;
        let state = look(stratum, path, &format!("{path}-{round}"))?;
        states.entry(path).or_default().push(state);
    }
    Ok(())
}

fn push(stratum: &Stratum, path: &str, (round, bytes): (u32, u32)) -> Result<()> {
    let noise: Vec<u8> =
        (0..bytes / 4).flat_map(|at| mixed(at ^ round << 20).to_be_bytes()).collect();
    let mut objects = Objects::new();
    let blob = objects.blob(&noise);
    let tree = objects.tree(&[(FILE, b"file", blob)]);
    let tip = objects.commit(&tree, &[], &format!("{path} {round}\n"));
    let http =
        Http::new(&stratum.endpoint().http, path).with(Credentials::Bearer(stratum.admin_token()?));
    let name = format!("refs/heads/round{round}");
    let report = Push::new().create(&name, &tip).pack(objects.pack()).send(&http)?;
    ensure!(report.is_done(), "{}", report.why());
    Ok(())
}

/// What stock git sees of a repository.
fn look(stratum: &Stratum, path: &str, name: &str) -> Result<State> {
    let (git, to) = (stratum.git(), folder(stratum, name));
    git.run(stratum.scratch(), &["clone", "-q", "--mirror", &stratum.http(path), name])?;
    git.run(&to, &["fsck", "--full"])?;
    Ok(State { refs: refs(&git, &to)?, objects: objects(&git, &to)? })
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Flip,
    Truncate,
    Empty,
    Swap,
    Remove,
}

const DAMAGES: [Damage; 5] =
    [Damage::Flip, Damage::Truncate, Damage::Empty, Damage::Swap, Damage::Remove];

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Entries and parts of packs.
    Segment,
    /// Files of a data base: `.sst`, `.log`, `/MANIFEST-`.
    Database { role: &'static str, part: &'static str },
    /// One file, by its path.
    Single(&'static str),
}

impl Kind {
    fn holds(self, path: &str) -> bool {
        match self {
            Self::Segment => path.contains("/object/segments/"),
            Self::Database { role, part } => {
                path.starts_with(&format!("nodes/1/{role}/db/")) && path.contains(part)
            }
            Self::Single(name) => path == name,
        }
    }

    /// What a file of this kind is swapped with when it is the only one.
    fn other(self) -> Self {
        match self {
            Self::Segment => self,
            Self::Database { role, part } => {
                let role = if role == "control" { "metadata" } else { "control" };
                Self::Database { role, part }
            }
            Self::Single("ca.key") => Self::Single("ssh_host_key"),
            Self::Single("ssh_host_key") => Self::Single("ca.key"),
            Self::Single("cluster.json") => Self::Single("admin.token"),
            Self::Single("admin.token") => Self::Single("join.token"),
            Self::Single("join.token") => Self::Single("admin.token"),
            Self::Single("nodes/1/agent/snapshot") => Self::Single("nodes/1/agent/incarnation"),
            Self::Single("nodes/1/agent/incarnation") => Self::Single("nodes/1/agent/snapshot"),
            Self::Single(_) => Self::Single("cluster.json"),
        }
    }

    /// The files of this kind below `data`, the largest first.
    fn files(self, data: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for path in plain_files(data)? {
            let relative = path.strip_prefix(data)?.to_str().context("no text")?.to_owned();
            if self.holds(&relative) {
                found.push((std::fs::metadata(&path)?.len(), path));
            }
        }
        found.sort();
        Ok(found.into_iter().rev().map(|(_, path)| path).collect())
    }
}

fn plain_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()? {
            kind if kind.is_dir() => copy(&entry.path(), &target)?,
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), target)?),
            _ => {}
        }
    }
    Ok(())
}

impl Damage {
    /// Does it to the first of `files`; `other` is what it is swapped with.
    fn strike(self, file: &Path, other: &Path) -> Result<()> {
        let mut bytes = std::fs::read(file)?;
        match self {
            Self::Flip => {
                let middle = bytes.len() / 2;
                *bytes.get_mut(middle).context("an empty file")? ^= 0x10;
                std::fs::write(file, bytes)?;
            }
            Self::Truncate => {
                bytes.truncate(bytes.len() / 2);
                std::fs::write(file, bytes)?;
            }
            Self::Empty => std::fs::write(file, b"")?,
            Self::Swap => {
                std::fs::write(file, std::fs::read(other)?)?;
                std::fs::write(other, bytes)?;
            }
            Self::Remove => std::fs::remove_file(file)?,
        }
        Ok(())
    }
}

/// One case: damage, start, judge.
fn case(sound: &Sound, kind: Kind, damage: Damage) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let (from, states) = sound.with(kind);
    copy(&from, &data)?;
    let files = kind.files(&data)?;
    let file = files.first().with_context(|| format!("no file of {kind:?}"))?;
    let others = kind.other().files(&data)?;
    let other = files.get(1).or(others.first()).context("nothing to swap it with")?;
    damage.strike(file, other)?;
    judge(&data, states, (kind, damage), &[file, other])
}

/// Starts on damaged data: all that is shown is whole and the last there was, else it is told.
fn judge(
    data: &Path,
    states: &States,
    (kind, damage): (Kind, Damage),
    files: &[&PathBuf],
) -> Result<()> {
    let started =
        Stratum::start_with(Options { data: Some(data.to_owned()), ..Options::default() });
    let mut stratum = match started {
        Ok(stratum) => stratum,
        Err(error) => return names(&format!("{error:#}"), files, damage),
    };
    let mut seen = BTreeMap::new();
    for (path, _) in REPOSITORIES {
        seen.insert(path, look(&stratum, path, path));
    }
    let check = settled_check(&stratum)?;
    if check.code == UNREACHABLE {
        return names(&stratum.log(), files, damage);
    }
    let told = format!("{}{}", check.out, check.err);
    ensure!(matches!(check.code, SOUND | DAMAGED), "check gave {}: {told}", check.code);
    let is_short = matches!(damage, Damage::Truncate | Damage::Empty);
    let older = is_short && matches!(kind, Kind::Database { part: ".log", .. });
    let mut bad = 0;
    for (path, outcome) in seen {
        let states = &states[path];
        match outcome {
            Ok(state) if Some(&state) == states.last() => {}
            // The torn end of a log cannot be told from one that was never written.
            Ok(state) if older && states.contains(&state) => {}
            Ok(state) => anyhow::bail!("{path} shows {state:?}"),
            Err(_) if older && check.code == SOUND => {}
            Err(error) => {
                bad += 1;
                let named = check.code == DAMAGED && told.contains(path);
                ensure!(named, "{path}: {error:#}; check gave {}: {told}", check.code);
            }
        }
    }
    let must_tell = kind == Kind::Segment || bad > 0;
    ensure!(!must_tell || check.code == DAMAGED, "check gave {}: {told}", check.code);
    ensure!(kind != Kind::Segment || told.contains("demo/files"), "check says {told}");
    // How it stops with damage inside is not judged here.
    drop(stratum.stop());
    Ok(())
}

/// The words name a damaged file, or at least its folder.
fn names(words: &str, files: &[&PathBuf], damage: Damage) -> Result<()> {
    let struck = if damage == Damage::Swap { files } else { &files[..1] };
    let named = struck.iter().any(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let folder = file.parent().and_then(Path::to_str).unwrap_or_default();
        words.contains(name) || words.contains(folder)
    });
    ensure!(named, "{struck:?} is not named: {words}");
    Ok(())
}

/// All damages of these kinds; tells every case that fails.
fn matrix(kinds: &[Kind]) -> Result<()> {
    let sound = Sound::get()?;
    let mut failures = Vec::new();
    for kind in kinds {
        for damage in DAMAGES {
            if let Err(error) = case(&sound, *kind, damage) {
                failures.push(format!("{kind:?} {damage:?}: {error:#}"));
            }
        }
    }
    ensure!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n\n"));
    Ok(())
}

fn database(role: &'static str) -> [Kind; 6] {
    let parts = [".sst", ".log", "/MANIFEST-", "/CURRENT", "/SYNCED", "/OPTIONS-"];
    parts.map(|part| Kind::Database { role, part })
}

#[test]
fn p_d4_damaged_segments_are_never_served() -> Result<()> {
    matrix(&[Kind::Segment])
}

/// Bad input 157, with a lock file left in every case: a middle that is torn or zeroed, swapped files. The
/// tail of a log that nobody has synced is dropped.
#[test]
fn p_i5_a_damaged_data_base_of_the_control_plane() -> Result<()> {
    matrix(&database("control"))
}

/// Bad input 157.
#[test]
fn p_i5_a_damaged_data_base_of_the_metadata() -> Result<()> {
    matrix(&database("metadata"))
}

/// Bad input 157.
#[test]
fn p_i5_a_damaged_data_base_of_the_objects() -> Result<()> {
    matrix(&database("object"))
}

/// The manifest of an earlier run in the place of the last one: it names fewer tables than there are.
#[test]
fn bad_input_157_an_older_manifest_is_never_taken_for_the_last() -> Result<()> {
    let sound = Sound::get()?;
    for role in ["control", "metadata", "object"] {
        let kind = Kind::Database { role, part: "/MANIFEST-" };
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        copy(&sound.folder.path().join("killed"), &data)?;
        let older = kind.files(&sound.folder.path().join("stopped"))?;
        let newest = kind.files(&data)?;
        let (older, newest) = older.first().zip(newest.first()).context("no manifest")?;
        let bytes = std::fs::read(older)?;
        ensure!(bytes != std::fs::read(newest)?, "{role}: it has not changed");
        std::fs::write(newest, bytes)?;
        judge(&data, &sound.killed, (kind, Damage::Swap), &[newest]).context(role)?;
    }
    Ok(())
}

/// What `check` says once every partition has a leader or is given up: before, it says that
/// it could not look at everything.
fn settled_check(stratum: &Stratum) -> Result<Ran> {
    let began = now();
    loop {
        let check = stratum.try_cli(&["check"])?;
        if matches!(check.code, SOUND | UNREACHABLE | DAMAGED) || began.elapsed() > SETTLED_WITHIN {
            return Ok(check);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The first block of every table in turn: whatever partition it holds rows of, the others
/// are served, and `check` and `audit` tell which one is not.
#[test]
fn p_i6_a_damaged_partition_is_told_and_the_others_go_on() -> Result<()> {
    let sound = Sound::get()?;
    let kind = Kind::Database { role: "metadata", part: ".sst" };
    let tables = kind.files(&sound.with(kind).0)?.len();
    let mut damaged = 0;
    for number in 0..tables {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        copy(&sound.with(kind).0, &data)?;
        let file = kind.files(&data)?.swap_remove(number);
        let mut bytes = std::fs::read(&file)?;
        bytes[20] ^= 0x10;
        std::fs::write(&file, bytes)?;
        let name = file.file_name().and_then(|name| name.to_str()).context("no name")?;
        let options = Options { data: Some(data.clone()), ..Options::default() };
        let mut stratum = Stratum::start_with(options).with_context(|| name.to_owned())?;
        let check = settled_check(&stratum)?;
        let told = format!("{}{}", check.out, check.err);
        ensure!(matches!(check.code, SOUND | DAMAGED), "{name}: check gave {}: {told}", check.code);
        let audit = stratum.try_cli(&["audit", "--since", "1d"])?;
        ensure!(audit.out.contains("repository.create"), "{name}: {}{}", audit.out, audit.err);
        for (path, _) in REPOSITORIES {
            let seen = look(&stratum, path, path);
            let is_right = seen.as_ref().is_ok_and(|seen| Some(seen) == sound.stopped[path].last());
            ensure!(seen.is_err() || is_right, "{name}: {path} shows {seen:?}");
            let is_named = check.code == DAMAGED && told.contains(&format!("DAMAGED    {path}"));
            ensure!(is_right || is_named, "{name}: {path} is not named: {told}");
        }
        damaged += usize::from(check.code == DAMAGED);
        drop(stratum.stop());
    }
    ensure!(damaged > 0, "no damage in {tables} tables was found");
    Ok(())
}

#[test]
fn damaged_records_of_the_node() -> Result<()> {
    let files =
        ["cluster.json", "nodes/1/agent/snapshot", "nodes/1/agent/incarnation", "nodes/1/clock"];
    matrix(&files.map(Kind::Single))
}

#[test]
fn damaged_keys_are_named() -> Result<()> {
    let files = ["admin.token", "join.token", "ca.key", "ca.crt", "ssh_host_key"];
    matrix(&files.map(Kind::Single))
}
