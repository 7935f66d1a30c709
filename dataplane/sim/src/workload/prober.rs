//! Asks for what must not be given: members that no ref reaches, objects of another repository.

use gitstratum_core::ObjectId;

use super::Worker;
use crate::checks;
use crate::git::{Pushed, commit, empty};

impl Worker {
    /// Makes something that is not to be given, and asks for it; whether it could be tried.
    pub(super) async fn probe(&self, number: u64) -> bool {
        match self.draw.below(2) {
            0 => self.probe_deleted(number).await,
            _ => self.probe_private(number).await,
        }
    }

    /// A commit of a ref that was deleted is a member, and nobody's to have (S24).
    async fn probe_deleted(&self, number: u64) -> bool {
        let name = format!("refs/heads/gone/{number}");
        let made = commit(None, &format!("deleted {number}"));
        self.set((&name, None, Some(made.id)), &made.pack).await
            && self.set((&name, Some(made.id), None), &[]).await
            && self.ask(made.id).await
    }

    /// A commit of another repository is none of this one (P-S2).
    async fn probe_private(&self, number: u64) -> bool {
        let Some(private) = &self.private else { return true };
        let made = commit(None, &format!("private {number}"));
        let name = format!("refs/heads/kept/{number}");
        let command = (name, None, Some(made.id));
        let kept = private.push(self.node(), &[command], &made.pack).await;
        if kept.first() != Some(&Pushed::Acked) {
            return false;
        }
        let stolen = format!("refs/heads/stolen/{number}");
        if self.set((&stolen, None, Some(made.id)), &empty()).await {
            let what = format!("{} of another repository was taken as its own", made.id);
            self.note(Err(checks::Broken::new(checks::SECRECY, what)));
        }
        self.ask(made.id).await
    }

    async fn ask(&self, id: ObjectId) -> bool {
        let Some(fetched) = self.fetch(self.node(), &[id]).await else { return false };
        self.history.lock().probes += 1;
        self.note(checks::secrecy(&id, &fetched));
        true
    }
}
