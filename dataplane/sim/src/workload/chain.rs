//! Commits on top of one branch, and clones of all there is.

use std::time::Duration;

use gitstratum_core::NodeId;

use super::{Push, Worker};
use crate::checks::{Broken, Cloned, GIVEN};
use crate::clock::elapsed;
use crate::events;
use crate::git::{Fetched, Pushed, commit};

/// The branch that many push to and nobody forces.
pub(crate) const BRANCH: &str = "refs/heads/main";
/// One push in so many is large enough to become a file.
const LARGE_EVERY: u64 = 40;
const LARGE_BYTES: usize = 300 * 1024;

impl Worker {
    /// Pushes one commit; whether it went well.
    pub(super) async fn append(&self, number: u64) -> bool {
        let name = &self.name;
        let Some(refs) = self.read(self.node()).await else { return false };
        let (tip, to) = (refs.get(BRANCH).copied(), self.node());
        let made = commit(tip, &self.text(number));
        let begun = Push { parent: tip, outcome: None, ended: Duration::MAX };
        {
            let mut history = self.history.lock();
            history.begun += 1;
            history.pushes.insert(made.id, begun);
        }
        let command = (BRANCH.to_owned(), tip, Some(made.id));
        let outcome = self.client.push(to, &[command], &made.pack).await.pop();
        events::story(|| format!("{name} pushes {} through {to}: {outcome:?}", made.id));
        let is_acked = outcome == Some(Pushed::Acked);
        let mut history = self.history.lock();
        history.acked += u64::from(is_acked);
        *history.acked_through.entry(to).or_default() += u64::from(is_acked);
        if let Some(push) = history.pushes.get_mut(&made.id) {
            (push.outcome, push.ended) = (outcome, elapsed());
        }
        is_acked
    }

    /// What is written in a commit: now and then so much that its segment is a file.
    fn text(&self, number: u64) -> String {
        let text = format!("{} {number}", self.name);
        if self.draw.below(LARGE_EVERY) > 0 {
            return text;
        }
        // What does not deflate to less than half.
        let noise = (0..LARGE_BYTES * 2).map(|_| char::from(b'a' + self.draw.small(16)));
        text + &noise.collect::<String>()
    }

    /// Every other time a node that has lost bits: it reads its own copies first.
    fn suspect(&self) -> Option<NodeId> {
        let suspect = self.history.lock().suspects.first().copied();
        suspect.filter(|_| self.draw.below(2) == 0)
    }

    /// Clones what a listing shows, through another node; whether it went well.
    pub(super) async fn clone_all(&self) -> bool {
        let Some(refs) = self.read(self.node()).await else { return false };
        let Some(tip) = refs.get(BRANCH).copied() else { return true };
        let node = self.suspect().unwrap_or_else(|| self.node());
        let Some(fetched) = self.fetch(node, &[tip]).await else { return false };
        {
            let mut history = self.history.lock();
            history.clones += 1;
            history.suspects.remove(&node);
        }
        self.note(match fetched {
            Fetched::Pack(pack) => Cloned::read(&pack).and_then(|cloned| cloned.check([tip])),
            Fetched::Refused(why) => {
                let what = format!("{tip} was shown, and {node} does not give it: {why}");
                Err(Broken::new(GIVEN, what))
            }
        });
        true
    }
}
