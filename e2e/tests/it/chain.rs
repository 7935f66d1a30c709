//! A branch that only grows: each push adds a commit whose parent is the tip read before.
//! So the branch is a list in its own order, and every outcome can be looked up in it
//! (promises §3.1).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_e2e::fetch::ls_refs;
use gitstratum_e2e::push::{Push, Report};
use gitstratum_e2e::wire::http::{Credentials, Http};
use gitstratum_e2e::wire::ssh::Ssh;

use crate::objects::{FILE, Objects, missing};
use crate::shared::Up;
use crate::work::{create, folder};

const BRANCH: &str = "refs/heads/main";
/// One push in so many is made by stock git.
const STOCK_EVERY: u64 = 10;
/// One in so many carries a file that is too large for a row of a data base.
const LARGE_EVERY: u64 = 4;
const LARGE_BYTES: u32 = 400_000;
/// One in so many is one that must be refused.
const REFUSED_EVERY: u64 = 7;

/// What is known of the branch.
pub(crate) struct Chain {
    path: String,
    stock: PathBuf,
    /// Every commit that is known to be in it, oldest first.
    known: Vec<ObjectId>,
    /// The push under way when the server went.
    pending: Option<ObjectId>,
    /// One of before, of which the last look has not shown anything yet.
    late: Option<ObjectId>,
    /// Commits whose push was refused.
    refused: Vec<ObjectId>,
    number: u64,
}

/// How one push ended.
enum Outcome {
    Acked,
    Refused(String),
    Unknown,
}

impl Chain {
    /// A new repository with a first commit.
    pub(crate) fn begin(up: &Up, path: &str) -> Result<Self> {
        create(&up.stratum, path, "sha1")?;
        let stock = folder(&up.stratum, "stock");
        std::fs::create_dir_all(&stock)?;
        up.stratum.git().run(&stock, &["init", "-q"])?;
        let mut objects = Objects::new();
        let first = objects.small_commit(&[], "first\n");
        let push = Push::new().create(BRANCH, &first).pack(objects.pack());
        let report = push.send(&http(up, path))?;
        ensure!(report.is_done(), "{}", report.why());
        let (path, known) = (path.to_owned(), vec![first]);
        Ok(Self { path, stock, known, pending: None, late: None, refused: Vec::new(), number: 0 })
    }

    /// Pushes that were acknowledged, or found after a restart.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    fn tip(&self) -> ObjectId {
        self.known[self.known.len() - 1]
    }

    /// Pushes until the server answers no more, or refuses.
    pub(crate) fn push_until_gone(&mut self, up: &Up) -> Result<()> {
        while self.push(up)? {}
        Ok(())
    }

    /// One push; false when the server is gone.
    pub(crate) fn push(&mut self, up: &Up) -> Result<bool> {
        self.number += 1;
        if self.number.is_multiple_of(REFUSED_EVERY) && !self.push_refused(up)? {
            return Ok(false);
        }
        let (id, outcome) = if self.number.is_multiple_of(STOCK_EVERY) {
            let Ok(id) = self.stock_commit(up) else { return Ok(false) };
            self.pending = Some(id);
            (id, self.stock_push(up, &id)?)
        } else {
            let (id, push) = self.next();
            self.pending = Some(id);
            (id, self.own_push(up, &push))
        };
        match outcome {
            Outcome::Acked => {
                self.known.push(id);
                self.pending = None;
                Ok(true)
            }
            Outcome::Refused(why) => {
                eprintln!("push {} was refused: {why}", self.number);
                self.refused.push(id);
                self.pending = None;
                Ok(false)
            }
            Outcome::Unknown => Ok(false),
        }
    }

    /// The next commit, and its push.
    fn next(&self) -> (ObjectId, Push) {
        let mut objects = Objects::new();
        let small = objects.blob(format!("push {}\n", self.number).as_bytes());
        let mut entries = vec![(FILE, &b"a"[..], small)];
        if self.number.is_multiple_of(LARGE_EVERY) {
            let seed = u32::try_from(self.number).unwrap_or(0).wrapping_mul(0x85eb_ca6b);
            let noise = (0..LARGE_BYTES / 4).flat_map(|at| mixed(at ^ seed).to_be_bytes());
            let noise: Vec<u8> = noise.collect();
            entries.push((FILE, b"b", objects.add(ObjectKind::Blob, &noise)));
        }
        let tree = objects.tree(&entries);
        let tip = objects.commit(&tree, &[self.tip()], &format!("push {}\n", self.number));
        (tip, Push::new().update(BRANCH, &self.tip(), &tip).pack(objects.pack()))
    }

    fn own_push(&self, up: &Up, push: &Push) -> Outcome {
        let report = if self.number.is_multiple_of(3) {
            push.send(&ssh(up, &self.path))
        } else {
            push.send(&http(up, &self.path))
        };
        report.map_or(Outcome::Unknown, |report| judged(&report))
    }

    fn stock_commit(&self, up: &Up) -> Result<ObjectId> {
        let git = up.stratum.git();
        git.run(&self.stock, &["fetch", "-q", &up.stratum.http(&self.path), BRANCH])?;
        let text = format!("push {} of stock git", self.number);
        let made = git.run(
            &self.stock,
            &["commit-tree", "FETCH_HEAD^{tree}", "-p", "FETCH_HEAD", "-m", &text],
        )?;
        Ok(ObjectId::from_hex(ObjectFormat::Sha1, made.trim().as_bytes())?)
    }

    fn stock_push(&self, up: &Up, id: &ObjectId) -> Result<Outcome> {
        let what = format!("{id}:{BRANCH}");
        let url = up.stratum.http(&self.path);
        let ran = up.stratum.git().try_run(&self.stock, &["push", "-q", &url, &what])?;
        Ok(if ran.code == 0 { Outcome::Acked } else { Outcome::Unknown })
    }

    /// A push that must be refused; false when the server is gone.
    fn push_refused(&self, up: &Up) -> Result<bool> {
        let name = format!("refs/heads/refused/{}", self.number);
        let push = Push::new().create(&name, &missing(9)).pack(Objects::new().pack());
        let Ok(report) = push.send(&http(up, &self.path)) else { return Ok(false) };
        ensure!(!report.is_done(), "a branch at nothing was made");
        Ok(report.unpack.is_some())
    }

    /// After a restart: the branch is where it was acknowledged to be, or where the push
    /// under way put it, and nothing refused is there.
    pub(crate) fn settle(&mut self, up: &Up) -> Result<()> {
        let refs = ls_refs(&http(up, &self.path), ObjectFormat::Sha1)?;
        let listed = refs.get(BRANCH).context("the branch is gone")?;
        let tip = ObjectId::from_hex(ObjectFormat::Sha1, listed.as_bytes())?;
        if tip != self.tip() {
            let (pending, late) = (self.pending.take(), self.late.take());
            ensure!(
                [pending, late].contains(&Some(tip)),
                "{tip} is neither {} nor {pending:?} nor {late:?}",
                self.tip()
            );
            self.known.push(tip);
        }
        // What a node sent before it died may arrive after a first look, and still fit.
        self.late = self.pending.take().or(self.late.take());
        let refused = refs.keys().find(|name| name.contains("refused"));
        ensure!(refused.is_none(), "{refused:?} was refused and is there");
        Ok(())
    }

    /// The whole branch as stock git clones and checks it: every acknowledged push once,
    /// in order, and nothing else.
    pub(crate) fn verify(&self, up: &Up, name: &str) -> Result<()> {
        let git = up.stratum.git();
        let to: &Path = &folder(&up.stratum, name);
        let url = up.stratum.http(&self.path);
        git.run(up.stratum.scratch(), &["clone", "-q", "--mirror", &url, name])?;
        git.run(to, &["fsck", "--full", "--strict"])?;
        let listed = git.run(to, &["rev-list", "--reverse", BRANCH])?;
        let known: Vec<String> = self.known.iter().map(ToString::to_string).collect();
        let listed: Vec<&str> = listed.lines().collect();
        ensure!(listed == known, "{} commits of {}", listed.len(), known.len());
        let refused = self.refused.iter().find(|id| self.known.contains(id));
        ensure!(refused.is_none(), "{refused:?} was refused and is there");
        let checked = up.stratum.try_cli(&["check"])?;
        ensure!(checked.code == 0, "check gave {}: {}{}", checked.code, checked.out, checked.err);
        Ok(())
    }
}

fn judged(report: &Report) -> Outcome {
    let broken = report.said.status.is_some_and(|status| status >= 500);
    if report.is_done() {
        Outcome::Acked
    } else if report.unpack.is_some() && report.is_refused() && !broken {
        Outcome::Refused(report.why())
    } else {
        Outcome::Unknown
    }
}

fn http(up: &Up, path: &str) -> Http {
    Http::new(&up.stratum.frontend().http, path).with(Credentials::Bearer(up.token.clone()))
}

fn ssh<'a>(up: &'a Up, path: &'a str) -> Ssh<'a> {
    let host_key = &up.stratum.endpoint().ssh_host_key;
    Ssh::new(&up.stratum.frontend().ssh, host_key, &up.key, path)
}

/// Bits that look random (murmur3's last step).
pub(crate) fn mixed(word: u32) -> u32 {
    let word = (word ^ (word >> 16)).wrapping_mul(0x85eb_ca6b);
    let word = (word ^ (word >> 13)).wrapping_mul(0xc2b2_ae35);
    word ^ (word >> 16)
}
