//! What happens in a run, in order: hashed always, told when asked for.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::clock::elapsed;

/// SHA-256 over all events of a run, and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The hash.
    pub sha256: [u8; 32],
    /// Events.
    pub count: u64,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.sha256[..8] {
            write!(f, "{byte:02x}")?;
        }
        write!(f, " over {} events", self.count)
    }
}

/// How much of a run is told on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// Nothing.
    #[default]
    Nothing,
    /// Faults, and what clients see.
    Story,
    /// Every message and disk call too.
    Everything,
}

struct Recorder {
    hash: Sha256,
    count: u64,
    told: Told,
    /// The last step's time, for what happens between steps.
    now: Duration,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Begins a record of this thread.
pub(crate) fn begin(told: Told) {
    let recorder = Recorder { hash: Sha256::new(), count: 0, told, now: Duration::ZERO };
    RECORDER.with_borrow_mut(|slot| *slot = Some(recorder));
}

/// Ends it.
pub(crate) fn end() -> Digest {
    let recorder = RECORDER.with_borrow_mut(Option::take);
    let recorder = recorder.expect("because a record ends once, after its begin");
    Digest { sha256: recorder.hash.finalize().into(), count: recorder.count }
}

/// A step has come to its end.
pub(crate) fn stepped(now: Duration) {
    RECORDER.with_borrow_mut(|slot| slot.iter_mut().for_each(|recorder| recorder.now = now));
}

/// Something that clients or faults do.
pub(crate) fn story(words: impl FnOnce() -> String) {
    note(Told::Story, &words());
}

/// A message or a disk call, with what it carries.
pub(crate) fn detail(what: impl fmt::Display, bytes: &[u8]) {
    let sum = blake3::hash(bytes);
    note(Told::Everything, &format!("{what} {} {}", bytes.len(), &sum.to_hex()[..12]));
}

/// Polls of tasks on this node, as far as they are counted: timers and wakes show in it.
fn polls() -> u64 {
    let handle = tokio::runtime::Handle::try_current();
    handle.map_or(0, |handle| handle.metrics().worker_poll_count(0))
}

fn note(level: Told, words: &str) {
    let polls = polls();
    RECORDER.with_borrow_mut(|slot| {
        let Some(recorder) = slot else { return };
        let at = elapsed().max(recorder.now);
        recorder.hash.update(at.as_nanos().to_be_bytes());
        recorder.hash.update(polls.to_be_bytes());
        recorder.hash.update(words.as_bytes());
        recorder.hash.update([0]);
        recorder.count += 1;
        if recorder.told >= level {
            tell(&format!("{:>12.6} {polls:>7}  {words}", at.as_secs_f64()));
        }
    });
}

#[expect(clippy::print_stderr, reason = "the story is for whoever replays a seed")]
fn tell(line: &str) {
    eprintln!("{line}");
}
