//! Rows and walks compared with what stock git says of random histories.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use gitstratum_core::{Entropy, ObjectFormat, ObjectId, SeededEntropy};
use tempfile::TempDir;

use super::super::{Commit, EntryBudget, RowBuilder, RowIds, TreeWalk};
use super::set;

const BUDGET: EntryBudget = EntryBudget(10_000_000);
const COMMITS: usize = 120;

struct Dice(std::sync::Arc<SeededEntropy>);

impl Dice {
    fn below(&self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % end as u64) as usize
    }
}

/// Files of a commit: path to mode and what fast-import calls it by.
type Files = BTreeMap<String, (&'static str, usize)>;

/// Puts a file at a path and takes away whatever was above or below it.
fn put(files: &mut Files, path: String, file: (&'static str, usize)) {
    files.retain(|other, _| {
        !other.starts_with(&format!("{path}/")) && !path.starts_with(&format!("{other}/"))
    });
    files.insert(path, file);
}

fn change(files: &mut Files, dice: &Dice) {
    let parts = ["a", "b", "a.c", "a0", "dir", "dir.x"];
    let path: Vec<_> = (0..1 + dice.below(4)).map(|_| parts[dice.below(parts.len())]).collect();
    let picked = (!files.is_empty()).then(|| {
        let at = dice.below(files.len());
        files.iter().nth(at).map(|(path, file)| (path.clone(), *file)).unwrap()
    });
    let mode = ["100644", "100755", "120000", "160000"][dice.below(4)];
    match (dice.below(5), picked) {
        (0, Some((path, _))) => drop(files.remove(&path)),
        (1, Some((_, file))) => put(files, path.join("/"), file),
        (2, Some((old, file))) => {
            files.remove(&old);
            put(files, path.join("/"), file);
        }
        _ => put(files, path.join("/"), (mode, 1 + dice.below(12))),
    }
}

/// A fast-import stream of a random history: merges, several roots, commits without
/// change, renames, files that become directories, modes, gitlinks.
fn random_stream(dice: &Dice) -> String {
    let mut out = String::new();
    for blob in 1..=12 {
        let text = format!("content {blob}\n").repeat(blob);
        out += &format!("blob\nmark :{blob}\ndata {}\n{text}\n", text.len());
    }
    let mut trees: Vec<Files> = Vec::new();
    for at in 0..COMMITS {
        let parents = pick_parents(at, dice);
        let mut files = parents.first().map(|parent| trees[*parent].clone()).unwrap_or_default();
        for other in parents.iter().skip(1) {
            let theirs = trees[*other].clone();
            theirs.into_iter().filter(|_| dice.below(2) == 0).for_each(|(path, file)| {
                put(&mut files, path, file);
            });
        }
        (0..dice.below(4)).for_each(|_| change(&mut files, dice));
        out += &commit_text(at, &parents, &files);
        trees.push(files);
    }
    out
}

fn pick_parents(at: usize, dice: &Dice) -> Vec<usize> {
    let count = [0, 1, 1, 1, 1, 1, 1, 2, 2, 3][dice.below(10)];
    let mut parents = Vec::new();
    for _ in 0..count.min(at) {
        let near = at - 1 - dice.below(at.min(6));
        if !parents.contains(&near) {
            parents.push(near);
        }
    }
    parents
}

fn commit_text(at: usize, parents: &[usize], files: &Files) -> String {
    let mark = |commit: usize| 1_000 + commit;
    let mut out = format!("commit refs/heads/b{at}\nmark :{}\n", mark(at));
    out += &format!("committer A <a@b> {} +0000\ndata 2\n{:02}\n", 1_000 + at, at % 100);
    for (number, parent) in parents.iter().enumerate() {
        let word = if number == 0 { "from" } else { "merge" };
        out += &format!("{word} :{}\n", mark(*parent));
    }
    out += "deleteall\n";
    for (path, (mode, blob)) in files {
        let link = format!("{blob:02x}");
        match *mode {
            "160000" => out += &format!("M 160000 GITLINK{link} {path}\n"),
            mode => out += &format!("M {mode} :{blob} {path}\n"),
        }
    }
    out + "\n"
}

fn git(dir: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("git runs");
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        output.stdout
    })
}

struct Row {
    root: ObjectId,
    parents: Vec<ObjectId>,
    ids: BTreeSet<ObjectId>,
}

/// A repository and the rows of all its commits.
struct History {
    dir: TempDir,
    format: ObjectFormat,
    trees: HashMap<ObjectId, Bytes>,
    rows: BTreeMap<ObjectId, Row>,
}

impl History {
    fn random(seed: u64, format: ObjectFormat) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("--object-format={format}");
        git(dir.path(), &["init", "-q", "--bare", &name], b"");
        let link_tail = "c".repeat(format.id_len() * 2 - 2);
        let stream = random_stream(&Dice(SeededEntropy::new(seed)));
        let stream: Vec<String> = stream.split("GITLINK").map(str::to_owned).collect();
        let mut text = stream[0].clone();
        for rest in &stream[1..] {
            text += &format!("{}{link_tail}{}", &rest[..2], &rest[2..]);
        }
        git(dir.path(), &["fast-import", "--quiet", "--force"], text.as_bytes());
        Self::load(dir, format)
    }

    fn load(dir: TempDir, format: ObjectFormat) -> Self {
        let mut history = Self { dir, format, trees: HashMap::new(), rows: BTreeMap::new() };
        history.read_trees();
        let log = history.git(&["log", "--all", "--format=%H %T %P"]);
        let commits: Vec<Vec<ObjectId>> = log.lines().map(|line| history.ids(line)).collect();
        let roots: HashMap<_, _> = commits.iter().map(|ids| (ids[0], ids[1])).collect();
        let asked = commits.iter().map(|ids| Commit {
            key: (ids[0], ids[2..].to_vec()),
            root: ids[1],
            parent_roots: ids[2..].iter().map(|parent| roots[parent]).collect(),
        });
        for ((id, parents), row) in history.build(asked.collect()) {
            let row = Row { root: roots[&id], parents, ids: set(&row) };
            history.rows.insert(id, row);
        }
        history
    }

    fn build<K>(&self, commits: Vec<Commit<K>>) -> Vec<(K, RowIds)> {
        let mut builder = RowBuilder::new(commits, BUDGET);
        while !builder.is_done() {
            for tree in builder.wanted() {
                builder.provide(tree, self.trees[&tree].clone()).unwrap();
            }
        }
        let rows = builder.finish().unwrap();
        rows.into_iter().map(|(key, row)| (key, row.expect("all trees are there"))).collect()
    }

    fn walk(&self, root: ObjectId, excluded: HashSet<ObjectId>) -> BTreeSet<ObjectId> {
        let mut walk = TreeWalk::new([root], excluded, BUDGET);
        while !walk.is_done() {
            walk.wanted().into_iter().for_each(|tree| {
                walk.provide(tree, &self.trees[&tree]).unwrap();
            });
        }
        set(&walk.finish().unwrap())
    }

    fn read_trees(&mut self) {
        let check =
            ["cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)"];
        let list = self.git(&check);
        let trees: String = list
            .lines()
            .filter_map(|line| line.strip_suffix(" tree"))
            .map(|id| format!("{id}\n"))
            .collect();
        let out = git(self.dir.path(), &["cat-file", "--batch"], trees.as_bytes());
        let mut rest = Bytes::from(out);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8(rest.split_to(end + 1).to_vec()).unwrap();
            let mut words = line.split_whitespace();
            let id = self.ids(words.next().unwrap())[0];
            let len = words.nth(1).unwrap().parse().unwrap();
            self.trees.insert(id, rest.split_to(len));
            drop(rest.split_to(1));
        }
    }

    fn git(&self, args: &[&str]) -> String {
        String::from_utf8(git(self.dir.path(), args, b"")).unwrap()
    }

    fn ids(&self, line: &str) -> Vec<ObjectId> {
        let id = |word: &str| ObjectId::from_hex(self.format, word.as_bytes()).unwrap();
        line.split_whitespace().map(id).collect()
    }

    fn rev_list(&self, args: &[&str]) -> BTreeSet<ObjectId> {
        let out = self.git(&[&["rev-list"], args].concat());
        out.lines().map(|line| self.ids(&line[..self.format.id_len() * 2])[0]).collect()
    }

    /// The commits and everything in their rows.
    fn union(&self, commits: &BTreeSet<ObjectId>) -> BTreeSet<ObjectId> {
        let rows = commits.iter().flat_map(|commit| self.rows[commit].ids.iter());
        commits.iter().chain(rows).copied().collect()
    }
}

fn both_formats(check: impl Fn(&History, &Dice)) {
    for (seed, format) in
        [(1, ObjectFormat::Sha1), (2, ObjectFormat::Sha256), (3, ObjectFormat::Sha1)]
    {
        check(&History::random(seed, format), &Dice(SeededEntropy::new(seed + 100)));
    }
}

#[test]
fn s7_the_rows_of_all_commits_are_what_git_lists() {
    both_formats(|history, _| {
        let all = history.rows.keys().copied().collect();
        assert_eq!(history.union(&all), history.rev_list(&["--objects", "--all"]));
    });
}

#[test]
fn s7_the_rows_of_a_range_cover_what_git_sends_for_it() {
    both_formats(|history, dice| {
        let commits: Vec<_> = history.rows.keys().copied().collect();
        for _ in 0..40 {
            let [from, to] = [0; 2].map(|_| commits[dice.below(commits.len())].to_string());
            let range = format!("{from}..{to}");
            let rows = history.union(&history.rev_list(&[&range]));
            let sent = history.rev_list(&["--objects", &range]);
            assert!(rows.is_superset(&sent), "{range}");
            assert!(rows.is_subset(&history.rev_list(&["--objects", &to])), "{range}");
        }
    });
}

#[test]
fn s7_a_row_has_all_that_is_in_no_parents_tree_and_nothing_foreign() {
    both_formats(|history, _| {
        for row in history.rows.values() {
            let tree = history.walk(row.root, HashSet::new());
            let held = row
                .parents
                .iter()
                .flat_map(|parent| history.walk(history.rows[parent].root, HashSet::new()));
            let held: HashSet<_> = held.collect();
            let fresh: BTreeSet<_> = tree.iter().filter(|id| !held.contains(id)).copied().collect();
            assert!(row.ids.is_superset(&fresh) && row.ids.is_subset(&tree));
            assert_eq!(history.walk(row.root, held), fresh);
        }
    });
}

#[test]
fn a_walk_reaches_what_git_lists_of_a_tree() {
    both_formats(|history, _| {
        for row in history.rows.values().take(40) {
            let listed = history.rev_list(&["--objects", &row.root.to_string()]);
            assert_eq!(history.walk(row.root, HashSet::new()), listed);
        }
    });
}
