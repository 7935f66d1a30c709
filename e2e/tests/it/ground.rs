//! A repository with a little history in a shared system, and what must still be so
//! after a client has misbehaved.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_e2e::fetch::ls_refs;
use gitstratum_e2e::push::{Push, Report};
use gitstratum_e2e::wire::http::{Credentials, Http};
use gitstratum_e2e::wire::ssh::Ssh;
use gitstratum_e2e::wire::{Door, Said};
use parking_lot::Mutex;

use crate::objects::{FILE, FOLDER, Objects};
use crate::shared::{Shared, Up};
use crate::work::create;

/// How long an `ERR` may take (bad-inputs, "Standard answers").
pub(crate) const ERR_WITHIN: Duration = Duration::from_secs(1);
/// How long a refusal of a pack may take that is read to its end first.
pub(crate) const NG_WITHIN: Duration = Duration::from_secs(20);
/// Memory of a node that takes pushes: 150 MiB idle, 256 for pushes, 64 for clients.
const MEMORY_MAX: u64 = (150 + 256 + 64) << 20;

/// The history that every ground begins with.
pub(crate) struct Base {
    /// Everything in it.
    pub(crate) objects: Objects,
    /// A file of both commits.
    pub(crate) blob: ObjectId,
    /// The folder of both commits.
    pub(crate) folder: ObjectId,
    /// The root of the second commit.
    pub(crate) tree: ObjectId,
    /// The first commit.
    pub(crate) first: ObjectId,
    /// The second one, at `main`.
    pub(crate) tip: ObjectId,
    /// An annotated tag of the first one, at `v1`.
    pub(crate) tag: ObjectId,
}

impl Base {
    fn make(format: ObjectFormat, seed: &str) -> Self {
        let mut objects = Objects::of(format);
        let blob = objects.blob(format!("a file of {seed}, long enough to be a base\n").as_bytes());
        let folder = objects.tree(&[(FILE, b"file", blob)]);
        let old = objects.blob(format!("old {seed}\n").as_bytes());
        let old_tree = objects.tree(&[(FILE, b"README", old), (FOLDER, b"folder", folder)]);
        let first = objects.commit(&old_tree, &[], "first\n");
        let new = objects.blob(format!("new {seed}\n").as_bytes());
        let tree = objects.tree(&[(FILE, b"README", new), (FOLDER, b"folder", folder)]);
        let tip = objects.commit(&tree, &[first], "second\n");
        let tag = objects.tag(&first, ObjectKind::Commit, "v1");
        Self { objects, blob, folder, tree, first, tip, tag }
    }
}

/// A repository of a test's own.
pub(crate) struct Ground {
    pub(crate) up: Arc<Up>,
    /// `OWNER/NAME`.
    pub(crate) path: String,
    pub(crate) base: Base,
    settled: Mutex<String>,
}

impl Ground {
    /// A new repository called `bad/NAME`.
    pub(crate) fn new(shared: &Shared, name: &str) -> Result<Self> {
        Self::of(shared.get()?, &format!("bad/{name}"), ObjectFormat::Sha1)
    }

    /// A new repository at `path`.
    pub(crate) fn of(up: Arc<Up>, path: &str, format: ObjectFormat) -> Result<Self> {
        create(&up.stratum, path, format.as_str())?;
        let base = Base::make(format, path);
        let settled = Mutex::new(String::new());
        let ground = Self { up, path: path.to_owned(), base, settled };
        let push = Push::of(format)
            .create("refs/heads/main", &ground.base.tip)
            .create("refs/tags/v1", &ground.base.tag)
            .pack(ground.base.objects.pack());
        ground.done(&push)?;
        Ok(ground)
    }

    pub(crate) fn format(&self) -> ObjectFormat {
        self.base.objects.format
    }

    /// The admin by HTTP.
    pub(crate) fn http(&self) -> Http {
        let token = self.up.token.clone();
        Http::new(&self.up.stratum.frontend().http, &self.path)
            .with(Credentials::Basic("admin".to_owned(), token))
    }

    /// The admin by SSH.
    pub(crate) fn ssh(&self) -> Ssh<'_> {
        let host_key = &self.up.stratum.endpoint().ssh_host_key;
        Ssh::new(&self.up.stratum.frontend().ssh, host_key, &self.up.key, &self.path)
    }

    /// Pushes what must be taken, and settles on the refs that it made.
    pub(crate) fn done(&self, push: &Push) -> Result<Report> {
        let report = push.send(&self.http())?;
        ensure!(report.is_done(), "{}: {}", self.path, report.why());
        self.settle()?;
        Ok(report)
    }

    /// Pushes what must be refused, by both doors; gives the words of HTTP.
    pub(crate) fn refused(&self, push: &Push) -> Result<String> {
        let mut words = Vec::new();
        for door in [&self.http() as &dyn Door, &self.ssh()] {
            let report = push
                .send(door)
                .map_err(|error| anyhow!("{error:#}; its log:\n{}", self.up.stratum.log_end()))?;
            ensure!(report.is_refused(), "it was not refused: {report:?}");
            ensure!(report.said.took < NG_WITHIN, "refused after {:?}", report.said.took);
            words.push(report.why());
        }
        self.unharmed()?;
        Ok(words.swap_remove(0))
    }

    /// A push of these objects that makes a branch of the last commit.
    pub(crate) fn branch(&self, objects: &Objects, tip: &ObjectId) -> Push {
        Push::of(self.format()).create("refs/heads/evil", tip).pack(objects.pack())
    }

    /// Takes the refs as they are now for those that must stay.
    pub(crate) fn settle(&self) -> Result<()> {
        *self.settled.lock() = self.listed()?;
        Ok(())
    }

    /// The process lives, a normal client is served, no ref has changed, memory stays in
    /// its bounds, the log holds neither a panic nor a secret.
    pub(crate) fn unharmed(&self) -> Result<()> {
        let listed = self.listed()?;
        ensure!(listed == *self.settled.lock(), "refs have changed:\n{listed}");
        let peak = self.up.stratum.memory_peak()?;
        ensure!(peak <= MEMORY_MAX, "it took {} MiB", peak >> 20);
        let log = self.up.stratum.log();
        let panic = log.lines().find(|line| line.contains("panicked at"));
        ensure!(panic.is_none(), "{}", panic.unwrap_or_default());
        ensure!(!log.contains(&self.up.token), "the log holds the admin's token");
        Ok(())
    }

    /// Every ref, by a door of its own.
    pub(crate) fn refs(&self) -> Result<std::collections::BTreeMap<String, String>> {
        ls_refs(&self.http(), self.format())
    }

    fn listed(&self) -> Result<String> {
        let stratum = &self.up.stratum;
        let git = stratum.git();
        git.run(stratum.scratch(), &["ls-remote", &stratum.http(&self.path)])
            .context("a normal client is not served")
    }
}

/// The words of an `ERR`, which came in time.
pub(crate) fn erred(said: &Said) -> Result<String> {
    let words = said.failure().with_context(|| format!("no error: {said:?}"))?;
    ensure!(said.took <= ERR_WITHIN, "{words}: told after {:?}", said.took);
    let plain = words.chars().all(|c| c == '\n' || !c.is_control());
    ensure!(plain, "control characters in {words:?}");
    Ok(words)
}
