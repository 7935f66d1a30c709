//! Pushes of old objects: refs that are deleted and come back, with their objects or leaning on
//! what may still be there, while runs drop what no ref reaches (P-I4).

use gitstratum_core::ObjectId;

use super::Worker;
use crate::checks::Cloned;
use crate::git::{self, Commit, Fetched};

/// How the names of refs begin that come and go.
pub(crate) const BACK: &str = "refs/heads/back/";
const BACKS: u64 = 3;
/// Commits of the line that all of them are on.
const LINE: usize = 4;

impl Worker {
    /// Deletes a ref of old objects, or has it back; whether it could be tried.
    pub(super) async fn bring_back(&self, number: u64) -> bool {
        let Some(refs) = self.read(self.node()).await else { return false };
        let name = format!("{BACK}{}", self.draw.below(BACKS));
        let (old, line) = (refs.get(&name).copied(), line());
        let at = self.draw.index(LINE);
        let (new, pack) = match self.draw.below(5) {
            0 | 1 => (None, Vec::new()),
            // Every object of it, as if nobody had any.
            2 => (Some(line[at].id), git::packed(&line[..=at])),
            // None of them: what is there has to do.
            3 => (Some(line[at].id), git::empty()),
            // A commit on top, whose parent may be gone.
            _ => {
                let made = git::commit(Some(line[at].id), &format!("{} {number}", self.name));
                (Some(made.id), made.pack)
            }
        };
        if old == new {
            return true;
        }
        let is_taken = self.send(vec![(name, old, new)], &pack).await;
        match new.filter(|_| is_taken) {
            Some(tip) => self.look(tip).await,
            None => true,
        }
    }

    /// Fetches what was taken: somebody may have deleted it, and whoever gives it gives all of it.
    async fn look(&self, tip: ObjectId) -> bool {
        let Some(fetched) = self.fetch(self.node(), &[tip]).await else { return false };
        if let Fetched::Pack(pack) = fetched {
            self.history.lock().returns += 1;
            self.note(Cloned::read(&pack).and_then(|cloned| cloned.check([tip])));
        }
        true
    }
}

/// The same few commits, each on top of the one before.
fn line() -> Vec<Commit> {
    let mut line: Vec<Commit> = Vec::with_capacity(LINE);
    for number in 0..LINE {
        let parent = line.last().map(|commit| commit.id);
        line.push(git::commit(parent, &format!("old {number}")));
    }
    line
}
