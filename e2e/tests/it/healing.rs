//! Damage on one of three nodes (P-D4, P-I5, S21, S29): never served, and healed from the
//! others by themselves. Every kind of file that an object node and its agent keep.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_e2e::{Options, Stratum, is_long, now};
use lossyfs::{Fault, Operation};
use rustix::process::Signal;
use serde_json::Value;

use crate::chain::mixed;
use crate::copies::{EVERY_VOTE, votes};
use crate::observe::Page;
use crate::slate::Slate;
use crate::three_nodes::{Three, beside_others};
use crate::work::{folder, mirror_equals};

/// Within what damage is healed.
const HEALED_WITHIN: Duration = Duration::from_secs(60);
/// Within what pushes go on beside a node that has failed.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// Everything stored is verified so often, in seconds.
const SCRUB_EVERY: &str = "2";
/// Times that all cases are gone through in the long run.
const ROUNDS_LONG: usize = 10;
/// A block of a segment, in bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// Endings of a data base's files.
const TABLES: &str = ".sst";
const LOGS: &str = ".log";
/// The number of EIO.
const EIO: i32 = 5;

/// What is done to a file while its node is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Byte,
    Block,
    Truncate,
    Remove,
}

/// Which file of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The largest segment file.
    Segment,
    /// All segment files.
    Segments,
    /// Of the data base of small segments: the largest file whose name has this part.
    Rows(&'static str),
    /// All of that data base.
    AllRows,
    /// What the agent knows of the cluster.
    Snapshot,
    /// Of the data base of a role that has voters on all nodes: the largest file whose name
    /// has this part.
    Voter(Role, &'static str),
    /// All of that data base.
    AllOf(Role),
}

/// A role that has voters on all nodes: their logs and states are in one data base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Metadata,
    Control,
}

impl Role {
    const fn folder(self) -> &'static str {
        match self {
            Self::Metadata => "metadata/db",
            Self::Control => "control/db",
        }
    }
}

const SEGMENTS: [(Kind, Damage); 5] = [
    (Kind::Segment, Damage::Byte),
    (Kind::Segment, Damage::Block),
    (Kind::Segment, Damage::Truncate),
    (Kind::Segment, Damage::Remove),
    (Kind::Segments, Damage::Remove),
];
const ROWS: [(Kind, Damage); 5] = [
    (Kind::Rows(TABLES), Damage::Byte),
    (Kind::Rows(TABLES), Damage::Remove),
    (Kind::Rows("CURRENT"), Damage::Remove),
    (Kind::AllRows, Damage::Remove),
    (Kind::Snapshot, Damage::Byte),
];

/// Of each kind of file, by turns of the role whose it is.
const VOTERS: [(Kind, Damage); 10] = [
    (Kind::Voter(Role::Metadata, TABLES), Damage::Byte),
    (Kind::Voter(Role::Control, LOGS), Damage::Byte),
    (Kind::Voter(Role::Metadata, LOGS), Damage::Block),
    (Kind::Voter(Role::Control, TABLES), Damage::Remove),
    (Kind::Voter(Role::Metadata, "MANIFEST"), Damage::Byte),
    (Kind::Voter(Role::Control, "MANIFEST"), Damage::Truncate),
    (Kind::Voter(Role::Metadata, "CURRENT"), Damage::Byte),
    (Kind::Voter(Role::Control, "CURRENT"), Damage::Remove),
    (Kind::AllOf(Role::Metadata), Damage::Remove),
    (Kind::AllOf(Role::Control), Damage::Remove),
];

/// The system, and what was done to it so far.
struct Patient {
    three: Three,
    cases: usize,
}

impl Patient {
    fn start() -> Result<Self> {
        let three = Three::start_with(&["--scrub-every", SCRUB_EVERY])?;
        let mut patient = Self { three, cases: 0 };
        for push in 0..4 {
            patient.grow(push)?;
        }
        // What was only in logs is in tables afterwards.
        ensure!(patient.three.stratum.stop()? == 0, "it did not stop well");
        patient.three.stratum.launch()?;
        patient.wait_until_sound()?;
        Ok(patient)
    }

    /// One push whose segment is a row, and one whose segment is a file.
    fn grow(&mut self, number: usize) -> Result<()> {
        let seed = u32::try_from(number)?;
        let noise: String =
            (0..160_000).map(|at| format!("{:08x}", mixed(at ^ seed << 20))).collect();
        // It goes along with the next commit.
        fs::write(self.three.source.join(format!("noise-{number}")), noise)?;
        self.three.push_until_taken(number, TAKEN_WITHIN)?;
        self.three.push_until_taken(number, TAKEN_WITHIN)?;
        Ok(())
    }

    /// One case: damage while the node is down, clones meanwhile, all sound again.
    fn case(&mut self, kind: Kind, damage: Damage) -> Result<Duration> {
        let victim = self.cases % 3;
        self.cases += 1;
        let old = self.three.signal(victim, Signal::STOP)?;
        let struck = kind.strike(&self.three.node(victim).dir, damage);
        self.three.signal(victim, Signal::KILL)?;
        let struck = struck?;
        let began = now();
        self.clone_through(victim + 1)?;
        self.three.wait_for_new(victim, old)?;
        self.clone_through(victim + 2)?;
        self.three.wait_for_service(victim)?;
        self.clone_through(victim)?;
        self.wait_until_sound()
            .with_context(|| format!("{} of node {victim}", struck.display()))?;
        self.clone_through(victim)?;
        let took = began.elapsed();
        self.clear(victim)?;
        Ok(took)
    }

    fn clone_through(&self, index: usize) -> Result<()> {
        let to = folder(&self.three.stratum, &format!("clone-{}.git", self.cases));
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        let url = self.three.url(index);
        mirror_equals(&self.three.stratum.git(), &self.three.source, &url, &to)
            .with_context(|| format!("through node {index}; its log:\n{}", self.three.troubles()))
    }

    /// What whoever looks after the node does, once nothing is missing: eight damaged data bases
    /// are kept, and no more.
    fn clear(&self, victim: usize) -> Result<()> {
        for entry in fs::read_dir(self.three.node(victim).dir.join("object"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("db.damaged.") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Waits until every node holds a sound copy of all and has all its votes: of three that are
    /// struck in turn, the one before is else still learning what it lost.
    fn wait_until_sound(&self) -> Result<()> {
        let began = now();
        loop {
            let held: Vec<f64> = (0..3).filter_map(|index| self.held(index).ok()).collect();
            let votes = votes(&self.three);
            let same = held.len() == 3
                && held.iter().all(|count| *count == held[0])
                && votes == EVERY_VOTE;
            let state = check(&self.three.stratum)?;
            if same && state.is_ok() {
                return Ok(());
            }
            ensure!(
                began.elapsed() < beside_others(HEALED_WITHIN),
                "not healed, held: {held:?}, votes: {votes:?}: {state:?}; its log:\n{}",
                self.three.troubles()
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn held(&self, index: usize) -> Result<f64> {
        Ok(Page::at(&self.three.node(index).metrics)?.get("gitstratum_object_segments"))
    }

    /// The node's voters make a majority with those of one other node, and have all.
    fn carries_a_majority(&mut self, victim: usize) -> Result<()> {
        self.three.signal(victim + 1, Signal::STOP)?;
        let name = format!("after-{victim}");
        let pushed = self.three.push_until_taken(victim, HEALED_WITHIN);
        let made = self.until_made(&name);
        self.three.go_on(victim + 1)?;
        pushed?;
        made?;
        self.clone_through(victim)
    }

    /// Creates a user, as soon as the control plane is led. Of a try whose answer was lost
    /// with the leader it is not known whether it was made.
    fn until_made(&self, name: &str) -> Result<()> {
        let began = now();
        loop {
            let made = self.three.stratum.try_cli(&["user", "create", name])?;
            if made.code == 0 || made.err.contains("exists already") {
                return Ok(());
            }
            let told = made.err;
            let limit = beside_others(HEALED_WITHIN);
            ensure!(began.elapsed() < limit, "{told}; its log:\n{}", self.three.troubles());
        }
    }

    /// Each kind on each of the nodes.
    fn run(&mut self, cases: &[(Kind, Damage)]) -> Result<()> {
        self.run_times(3, cases)
    }

    fn run_times(&mut self, times: usize, cases: &[(Kind, Damage)]) -> Result<()> {
        let rounds = if is_long() { ROUNDS_LONG } else { 1 };
        for (kind, damage) in (0..rounds * times).flat_map(|_| cases.iter().copied()) {
            let took = self.case(kind, damage).with_context(|| format!("{kind:?} {damage:?}"))?;
            eprintln!("{kind:?} {damage:?}: healed after {took:?}");
        }
        Ok(())
    }
}

/// Whether `check` finds all copies, and all of them sound.
fn check(stratum: &Stratum) -> Result<std::result::Result<(), String>> {
    let ran = stratum.try_cli(&["check", "-o", "json"])?;
    let told = format!("{}{}", ran.out, ran.err);
    if ran.code != 0 {
        return Ok(Err(told));
    }
    let report: Value = serde_json::from_str(&ran.out).with_context(|| told.clone())?;
    let repositories = report["repositories"].as_array().context("no repositories")?;
    let missing = repositories.iter().filter_map(|one| one["missingCopies"].as_u64()).sum::<u64>();
    Ok(if missing == 0 { Ok(()) } else { Err(told) })
}

impl Kind {
    /// Damages what is below a node's folder; returns what was struck.
    fn strike(self, node: &Path, damage: Damage) -> Result<PathBuf> {
        let (folder, part) = match self {
            Self::Segment => (node.join("object/segments"), ".seg"),
            Self::Rows(part) => (node.join("object/db"), part),
            Self::Snapshot => (node.join("agent"), "snapshot"),
            Self::Voter(role, part) => (node.join(role.folder()), part),
            Self::AllOf(role) => {
                fs::remove_dir_all(node.join(role.folder()))?;
                return Ok(node.join(role.folder()));
            }
            Self::Segments => {
                let all = files(&node.join("object/segments"), ".seg")?;
                all.iter().try_for_each(fs::remove_file)?;
                return Ok(node.join("object/segments"));
            }
            Self::AllRows => {
                fs::remove_dir_all(node.join("object/db"))?;
                return Ok(node.join("object/db"));
            }
        };
        let mut found = files(&folder, part)?;
        if found.is_empty() && part == TABLES {
            // A new data base has its rows in the log.
            found = files(&folder, LOGS)?;
        }
        let file = found.pop().with_context(|| format!("no file of {self:?}"))?;
        damage.strike(&file)?;
        Ok(file)
    }
}

impl Damage {
    fn strike(self, file: &Path) -> Result<()> {
        let mut bytes = fs::read(file)?;
        let middle = bytes.len() / 2;
        match self {
            Self::Byte => *bytes.get_mut(middle).context("an empty file")? ^= 0x10,
            Self::Block => {
                let end = (middle + BLOCK_BYTES).min(bytes.len());
                bytes[middle..end].fill(0);
            }
            Self::Truncate => bytes.truncate(middle),
            Self::Remove => return Ok(fs::remove_file(file)?),
        }
        Ok(fs::write(file, bytes)?)
    }
}

/// The files below `folder` whose names have `part`, the largest last.
fn files(folder: &Path, part: &str) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            let name = entry.file_name();
            if is_folder {
                folders.push(entry.path());
            } else if name.to_str().is_some_and(|name| name.contains(part)) {
                found.push((entry.metadata()?.len(), entry.path()));
            }
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

#[test]
fn p_d4_s21_damaged_and_lost_segment_files_of_one_node_are_healed_from_the_others() -> Result<()> {
    Patient::start()?.run(&SEGMENTS)
}

/// Bad input 157: what is damaged is made again from the others.
#[test]
fn p_i5_damaged_and_lost_rows_of_one_node_are_healed_from_the_others() -> Result<()> {
    Patient::start()?.run(&ROWS)
}

/// The refs' and the control plane's own files: the replica learns all again (S23; bad input 157).
#[test]
fn p_i5_s23_damaged_and_lost_files_of_one_nodes_voters_are_healed_from_the_others() -> Result<()> {
    let mut patient = Patient::start()?;
    patient.run_times(1, &VOTERS)?;
    for victim in 0..3 {
        patient.carries_a_majority(victim)?;
    }
    Ok(())
}

/// Pushes go on beside a node whose disk fails once; it starts anew and is whole again.
#[test]
fn p_d5_a_failed_sync_of_one_node_costs_no_push_and_that_node_comes_back_verified() -> Result<()> {
    let Some(slate) = Slate::new()? else { return Ok(()) };
    let options = Options { data: Some(slate.data()), ..Options::default() };
    let three = Three::start_in(options, &["--scrub-every", SCRUB_EVERY])?;
    let mut patient = Patient { three, cases: 0 };
    patient.grow(0)?;
    // Of the stores the logs, whose names begin so: beside them a note is written each second
    // that nobody waits for, and whose failure costs nothing.
    let disks = ["2/object/segments", "3/object/segments", "1/metadata/db/0", "2/control/db/0"];
    for (number, disk) in (1..).zip(disks) {
        let path = format!("nodes/{disk}");
        let victim: usize = disk[..1].parse::<usize>()? - 1;
        let old = patient.three.node(victim).current_pid().context("the node is not up")?;
        slate.control()?.fail(Fault {
            operation: Operation::Sync,
            error: EIO,
            times: 1,
            path_contains: path,
        });
        let name = format!("user-{number}");
        patient.grow(number)?;
        patient.until_made(&name)?;
        patient.three.wait_for_new(victim, old)?;
        patient.three.wait_for_service(victim)?;
        patient.wait_until_sound()?;
        patient.clone_through(victim)?;
    }
    Ok(())
}
