use std::collections::BTreeSet;
use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_core::PackId;
use parking_lot::RwLock;

use super::{HistoryPlanner, Question, read, unfinished};
use crate::graph::History;
use crate::planner::{PlanError, RepoView};

/// A merged graph that questions share.
type Shared = Arc<RwLock<History>>;

/// What became of a graph that was to have a view's packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// It had them all.
    Whole,
    /// It has them all now.
    Grown,
    /// It has packs that the view lacks: those of a newer view, or packs since swapped.
    Mixed,
}

impl HistoryPlanner {
    /// The question's graph: the kept one, brought up to date with the view's packs, or one
    /// of its own that is kept from now on.
    ///
    /// A kept graph only grows, and only for views that have all its packs: whoever asks it
    /// sees its own packs and, at most, some that came later.
    pub(super) async fn question(&self, view: RepoView) -> Result<Question, PlanError> {
        let mut history = self.histories.get_with(view.repo, Arc::default);
        let mut growth = self.grow(&view, &history).await?;
        if growth == Growth::Mixed {
            history = Arc::default();
            growth = self.grow(&view, &history).await?;
            self.histories.insert(view.repo, Arc::clone(&history));
        }
        if growth != Growth::Whole {
            self.count_commits(&view).await?;
        }
        Ok(Question { view, grace: Vec::new(), history, limits: self.limits })
    }

    async fn grow(&self, view: &RepoView, history: &Shared) -> Result<Growth, PlanError> {
        let live: Arc<BTreeSet<PackId>> = Arc::new(view.packs.iter().map(|p| p.id).collect());
        let Some(missing) = self.missing(view, history, &live).await? else {
            return Ok(Growth::Mixed);
        };
        if missing.is_empty() {
            return Ok(Growth::Whole);
        }
        for pack in missing {
            let graph = self.reader.graph(&pack).await;
            let graph = graph.map_err(|e| read(view, "a commit graph", e))?;
            let (history, live) = (Arc::clone(history), Arc::clone(&live));
            let absorbing = gitstratum_process::blocking(move || {
                let mut held = history.write();
                if held.packs().is_subset(&live) {
                    held.absorb(pack.id, &graph);
                }
            });
            absorbing.await.map_err(|_| unfinished(view.repo))?;
        }
        match self.missing(view, history, &live).await? {
            Some(missing) if missing.is_empty() => Ok(Growth::Grown),
            _ => Ok(Growth::Mixed),
        }
    }

    /// The view's packs that the graph lacks; `None` when it has some that the view lacks.
    /// Whoever walks or grows the graph may hold its lock for long: the thread may block.
    async fn missing(
        &self,
        view: &RepoView,
        history: &Shared,
        live: &Arc<BTreeSet<PackId>>,
    ) -> Result<Option<Vec<Arc<Pack>>>, PlanError> {
        let (history, live) = (Arc::clone(history), Arc::clone(live));
        let packs = Arc::clone(&view.packs);
        let looking = gitstratum_process::blocking(move || {
            let held = history.read();
            let missing = packs.iter().filter(|pack| !held.packs().contains(&pack.id));
            held.packs().is_subset(&live).then(|| missing.cloned().collect())
        });
        looking.await.map_err(|_| unfinished(view.repo))
    }

    /// At most as many graphs as are kept are asked, and only when one has grown.
    async fn count_commits(&self, view: &RepoView) -> Result<(), PlanError> {
        let kept: Vec<Shared> = self.histories.iter().map(|(_, history)| history).collect();
        let counting = gitstratum_process::blocking(move || {
            kept.iter().map(|history| history.read().len()).sum::<usize>()
        });
        let held = counting.await.map_err(|_| unfinished(view.repo))?;
        self.commits_held.set(i64::try_from(held).unwrap_or(i64::MAX));
        Ok(())
    }
}
