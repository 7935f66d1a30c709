//! What tests did not do. A test that cannot run where it is appends a line
//! `SKIP: NAME: REASON` to the file named by `GITSTRATUM_TEST_SKIPS`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::stage::Verdict;

/// The one reason that is no fault of the machine: histories that are not part of a clone.
const ALLOWED: &str = "../shared/repos";

/// What skipped tests mean for the run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnSkip {
    /// They are printed.
    Tell,
    /// They fail it, but for those that only lack [`ALLOWED`].
    Fail,
}

/// The file in which one run of the tests collects its skips; removed when dropped.
pub(crate) struct Skips {
    path: PathBuf,
}

impl Skips {
    /// An empty collection in `folder`.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("skips-{}.txt", std::process::id()));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, ""))
            .with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }

    /// The file that tests append to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Prints the skips and says what they mean for the run.
    pub(crate) fn judge(&self, on_skip: OnSkip) -> Result<Verdict> {
        let text = fs::read_to_string(&self.path)
            .with_context(|| format!("read {}", self.path.display()))?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        eprintln!("{} skipped", lines.len());
        for line in &lines {
            eprintln!("{line}");
        }
        let refused = refused(&lines).count();
        if on_skip == OnSkip::Fail && refused > 0 {
            eprintln!("{refused} of them are not allowed with --no-skip");
            return Ok(Verdict::Failed);
        }
        Ok(Verdict::Passed)
    }
}

impl Drop for Skips {
    fn drop(&mut self) {
        // A file that stays behind costs nothing and is overwritten by its next namesake.
        drop(fs::remove_file(&self.path));
    }
}

fn refused<'a>(lines: &'a [&str]) -> impl Iterator<Item = &'a &'a str> {
    lines.iter().filter(|line| !line.contains(ALLOWED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, on_skip: OnSkip) -> Verdict {
        let folder = tempfile::tempdir().expect("a folder");
        let skips = Skips::create(folder.path()).expect("a collection");
        fs::write(skips.path(), text).expect("written");
        skips.judge(on_skip).expect("judged")
    }

    #[test]
    fn only_missing_histories_may_be_skipped_in_ci() {
        let histories = "SKIP: clone_jj: no ../shared/repos/jj.bundle\n";
        let fuse = "SKIP: power_cut: cannot open /dev/fuse\n";
        assert_eq!(judged("", OnSkip::Fail), Verdict::Passed);
        assert_eq!(judged(histories, OnSkip::Fail), Verdict::Passed);
        assert_eq!(judged(fuse, OnSkip::Fail), Verdict::Failed);
        assert_eq!(judged(&format!("{histories}{fuse}"), OnSkip::Fail), Verdict::Failed);
        assert_eq!(judged(fuse, OnSkip::Tell), Verdict::Passed);
    }

    #[test]
    fn the_collection_goes_with_its_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let skips = Skips::create(folder.path()).expect("a collection");
        let path = skips.path().to_path_buf();
        drop(skips);
        assert!(!path.exists());
    }
}
