//! A push that was checked before a drop run, and arrives after its swap (S15): what it leans on
//! has gone meanwhile, so it must not be taken as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gitstratum_process::spawn;
use gitstratum_proto::object::v1::RunKind;

use super::{Runner, Worker};
use crate::checks::Cloned;
use crate::events;
use crate::git::{self, Fetched};

/// How the names of refs begin whose pushes a leader holds back once it has checked them, for so long.
pub(crate) const HELD: &str = "refs/heads/held/";
pub(crate) const HELD_FOR: Duration = Duration::from_secs(4);
/// What it takes until a push is on its way.
const SENT_AFTER: Duration = Duration::from_millis(500);
/// Longest wait for the drop run.
const RUN_WITHIN: Duration = Duration::from_secs(3);
/// Pause after what could not be tried.
const PAUSE: Duration = Duration::from_secs(1);

/// Who tries it, again and again.
pub(crate) struct Racer {
    pub(crate) worker: Worker,
    pub(crate) runner: Runner,
}

impl Racer {
    /// Races until it `is_over`.
    pub(crate) async fn run(self, is_over: Arc<AtomicBool>) -> anyhow::Result<()> {
        let mut number = 0;
        while !is_over.load(Ordering::SeqCst) {
            number += 1;
            if !self.race(number).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Whether it could be tried.
    async fn race(&self, number: u64) -> bool {
        let worker = &self.worker;
        let base = git::commit(None, &format!("leant on {number}"));
        let (name, held) = (format!("refs/heads/leant/{number}"), format!("{HELD}{number}"));
        if !worker.set((&name, None, Some(base.id)), &base.pack).await {
            return false;
        }
        let made = git::commit(Some(base.id), &format!("held back {number}"));
        let (client, node, tip) = (worker.client.clone(), worker.node(), made.id);
        let command = (held.clone(), None, Some(tip));
        let pushing = async move { drop(client.push(node, &[command], &made.pack).await) };
        let pushing = spawn("held back", pushing);
        tokio::time::sleep(SENT_AFTER).await;
        let is_gone = worker.set((&name, Some(base.id), None), &[]).await;
        let dropped = self.runner.ask(RunKind::Drop, RUN_WITHIN).await;
        tokio::time::sleep(HELD_FOR).await;
        drop(pushing);
        let is_tried = is_gone && dropped.is_ok();
        worker.history.lock().races += u64::from(is_tried);
        let Some(refs) = worker.read(worker.node()).await else { return false };
        if refs.get(&held) != Some(&tip) {
            return is_tried;
        }
        events::story(|| format!("{} finds {held} taken", worker.name));
        if let Some(Fetched::Pack(pack)) = worker.fetch(worker.node(), &[tip]).await {
            worker.note(Cloned::read(&pack).and_then(|cloned| cloned.check([tip])));
        }
        is_tried
    }
}
