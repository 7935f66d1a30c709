//! `DIR/nodes/N/clock`: what the wall clock showed when the node last looked. A clock that
//! was set back since would bring expired tokens back to life, and date audit lines wrong.
//!
//! Up to [`TOLERANCE`] that changes nothing but token expiry and is only told (P-C7); beyond,
//! the start is refused. While the node runs the clock may jump as it likes: log time and
//! every wait go by the monotonic one (S14).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gitstratum_core::{Clock, UnixMillis};
use gitstratum_ctl::moment::Moment;
use gitstratum_process::Drain;
use gitstratum_store::Permissions;
use gitstratum_store::files::{self, Files, read_whole, write_atomically};

const FILE: &str = "clock";
/// First word of the file: what it is, and the version of its format.
const MAGIC: &str = "gitstratum-clock 1";
/// More than the file ever holds.
const BYTES_MAX: u64 = 256;
/// How far the clock may have been set back.
const TOLERANCE: Duration = Duration::from_secs(60 * 60);
/// How far it may have been set back without a word: time servers do that.
const UNNOTICED: Duration = Duration::from_secs(30);
/// How often the node looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Where it is.
pub(super) fn path(node: &Path) -> PathBuf {
    node.join(FILE)
}

/// Compares the clock with what it last showed. A node without the file takes the time
/// as it is.
///
/// # Errors
/// When the clock was set back by more than [`TOLERANCE`], or the file is damaged.
pub(super) fn check(files: &dyn Files, path: &Path, now: UnixMillis) -> Result<()> {
    let bytes = match read_whole(files, path, BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(files::Error::Missing { .. }) => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let shown = std::str::from_utf8(&bytes).ok().and_then(parse);
    let shown = shown.with_context(|| {
        format!("{} is damaged: remove it if the clock is right", path.display())
    })?;
    let back = Duration::from_millis(shown.0.saturating_sub(now.0));
    let (shown, now) = (text(shown), text(now));
    if back > TOLERANCE {
        bail!(
            "the clock was set back: it shows {now}, and {} was written at {shown}; set it \
             right, or remove that file if it is",
            path.display()
        );
    }
    if back > UNNOTICED {
        tracing::warn!(%shown, %now, "the clock was set back: tokens expire later");
    }
    Ok(())
}

fn text(at: UnixMillis) -> String {
    Moment::from_millis(at.0).map_or_else(|| "no time at all".to_owned(), |at| at.to_string())
}

/// Writes down what the clock shows, now and again until `drain` starts, and then.
pub(super) async fn keep(
    files: Arc<dyn Files>,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    drain: Drain,
) {
    loop {
        let is_last = drain.is_started();
        let (files, path, now) = (Arc::clone(&files), path.clone(), clock.wall());
        let written = gitstratum_process::blocking(move || {
            write_atomically(files.as_ref(), &path, render(now).as_bytes(), Permissions::Shared)
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "could not write down what the clock shows");
        }
        if is_last {
            return;
        }
        tokio::select! {
            biased;
            () = drain.started() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn render(now: UnixMillis) -> String {
    let body = format!("{MAGIC}\nmillis {}\n", now.0);
    let sum = crc32c::crc32c(body.as_bytes());
    format!("{body}crc32c {sum:08x}\n")
}

fn parse(text: &str) -> Option<UnixMillis> {
    let rest = text.strip_prefix(MAGIC)?.strip_prefix("\nmillis ")?;
    let shown = UnixMillis(rest.lines().next()?.parse().ok()?);
    (render(shown) == text).then_some(shown)
}

#[cfg(test)]
mod tests {
    use gitstratum_store::MemoryFiles;

    use super::*;

    #[test]
    fn the_page_on_formats_shows_a_clock_as_it_is() {
        let page = include_str!("../../../../docs/formats/data-directory.md");
        let (_, example) = page.split_once("```clock\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        assert_eq!(parse(example), Some(UnixMillis(1_700_000_000_000)));
    }

    #[test]
    fn p_c7_only_a_clock_set_back_by_more_than_an_hour_refuses_a_start() {
        let (files, path) = (MemoryFiles::new(), Path::new("/clock"));
        let at = 1_700_000_000_000;
        assert!(check(&*files, path, UnixMillis(0)).is_ok(), "no file, no word");
        let put = |text: &str| {
            write_atomically(&*files, path, text.as_bytes(), Permissions::Shared).unwrap();
        };
        put(&render(UnixMillis(at)));
        let hour = 60 * 60 * 1_000;
        for now in [at - hour, at, at + 1_000 * hour] {
            assert!(check(&*files, path, UnixMillis(now)).is_ok(), "{now}");
        }
        let refused = check(&*files, path, UnixMillis(at - hour - 1)).unwrap_err().to_string();
        assert!(refused.contains("clock was set back") && refused.contains("/clock"), "{refused}");
        let mut text = render(UnixMillis(at)).into_bytes();
        text[25] ^= 1;
        put(&String::from_utf8(text).unwrap());
        assert!(check(&*files, path, UnixMillis(at)).unwrap_err().to_string().contains("/clock"));
    }
}
