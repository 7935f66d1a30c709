//! Answers about a repository's history: what may be served, what to send, what is an
//! ancestor of what (S24, S27). Reads packs through `client::objects`, walks the merged
//! commit graph, never reads the partition.

mod check;
mod grow;
mod introduced;
mod negotiate;
mod rebuilt;
mod select;
mod shallow;
mod standing;

use std::fmt;
use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::Reader;
use gitstratum_core::{ErrorKind, ObjectId, ObjectKind, RepoId};
use gitstratum_git::rows::RowIds;
use gitstratum_process::metrics::Gauge;
use moka::sync::Cache;
use parking_lot::RwLock;

use crate::graph::{History, OverBudget, Reach};
use crate::planner::{
    CheckAnswer, Described, Line, PlanAnswer, PlanError, PlanFuture, PlanRequest, Planner, RepoView,
};

/// What a planner may hold and do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Commits that one question may look at.
    pub steps_max: u64,
    /// Tree entries that one question may look at.
    pub entries_max: u64,
    /// Repositories whose merged graph is kept.
    pub histories_max: u64,
    /// Rows rebuilt from trees that are kept, in ids.
    pub rows_ids_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps_max: 20_000_000,
            entries_max: 50_000_000,
            histories_max: 64,
            rows_ids_max: 500_000,
        }
    }
}

/// The planner over commit graphs in memory.
pub struct HistoryPlanner {
    reader: Arc<Reader>,
    limits: Limits,
    histories: Cache<RepoId, Arc<RwLock<History>>>,
    rows: Cache<(RepoId, ObjectId), Arc<RowIds>>,
    commits_held: Gauge,
    /// Held by the one check that goes on.
    checking: tokio::sync::Mutex<()>,
}

impl fmt::Debug for HistoryPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryPlanner").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// One question: what it is asked of, and the merged graph that it walks.
#[derive(Clone)]
struct Question {
    view: RepoView,
    /// Ids that count as tips beside the refs: those in their grace, where it counts (S24).
    grace: Vec<ObjectId>,
    history: Arc<RwLock<History>>,
    limits: Limits,
}

impl HistoryPlanner {
    /// A planner that reads through `reader` and shows in `commits_held` how many commits
    /// the graphs that it keeps have (GS-MX-09).
    pub fn new(reader: Arc<Reader>, limits: Limits, commits_held: Gauge) -> Self {
        let rows = Cache::builder()
            .max_capacity(limits.rows_ids_max)
            .weigher(|_, row: &Arc<RowIds>| {
                u32::try_from(row.trees.len() + row.blobs.len() + 1).unwrap_or(u32::MAX)
            })
            .build();
        let histories = Cache::new(limits.histories_max);
        let checking = tokio::sync::Mutex::default();
        Self { reader, limits, histories, rows, commits_held, checking }
    }

    async fn first_unreachable_of(
        &self,
        view: RepoView,
        ids: Vec<ObjectId>,
    ) -> Result<Option<ObjectId>, PlanError> {
        let question = self.question(view).await?;
        self.first_refused(&question, ids).await
    }

    /// The first of `ids` that the question's tips do not reach: commits and tags by the
    /// graph, what is neither by the tables.
    async fn first_refused(
        &self,
        question: &Question,
        ids: Vec<ObjectId>,
    ) -> Result<Option<ObjectId>, PlanError> {
        let judging = question.clone().blocking(move |q, history| q.judge(history, &ids));
        let judged = judging.await?;
        // What is open stands before what is refused.
        let unreached = self.first_not_introduced(question, &judged.open).await?;
        Ok(unreached.or(judged.refused))
    }

    async fn is_ancestor_of(
        &self,
        view: RepoView,
        line: Line,
        pack: Option<Arc<Pack>>,
    ) -> Result<bool, PlanError> {
        let mut overlay = History::default();
        if let Some(pack) = pack {
            let graph =
                self.reader.graph(&pack).await.map_err(|e| read(&view, "a commit graph", e))?;
            overlay.absorb(pack.id, &graph);
        }
        let question = self.question(view).await?;
        question.blocking(move |q, history| q.descends(history, &overlay, line)).await
    }

    async fn describe_all(
        &self,
        view: RepoView,
        ids: Vec<ObjectId>,
    ) -> Result<Vec<Option<Described>>, PlanError> {
        let located = self.reader.locate(&view.packs, &ids).await;
        let located = located.map_err(|e| read(&view, "an index", e))?;
        let question = self.question(view).await?;
        question
            .blocking(move |_, history| {
                let describe = |(id, location): (&ObjectId, &Option<_>)| {
                    let location: &gitstratum_client::objects::Location = location.as_ref()?;
                    let kind = location.record.kind;
                    let peeled = (kind == ObjectKind::Tag).then(|| standing::peel(history, *id).0);
                    Some(Described { kind, peeled })
                };
                Ok(ids.iter().zip(&located).map(describe).collect())
            })
            .await
    }
}

impl Question {
    /// Walks the graph on a thread that may block.
    async fn blocking<T: Send + 'static>(
        self,
        walk: impl FnOnce(&Self, &History) -> Result<T, PlanError> + Send + 'static,
    ) -> Result<T, PlanError> {
        let repo = self.view.repo;
        let walking = gitstratum_process::blocking(move || {
            let history = self.history.read();
            walk(&self, &history)
        });
        walking.await.map_err(|_| unfinished(repo))?
    }

    /// Whether `old` is `new` or an ancestor of it; commits may lie in the overlay.
    fn descends(
        &self,
        history: &History,
        overlay: &History,
        line: Line,
    ) -> Result<bool, PlanError> {
        if line.old == line.new {
            return Ok(true);
        }
        let mut entries = Vec::new();
        match overlay.find(&line.new) {
            None => entries.extend(history.find(&line.new)),
            Some(new) => {
                let mut reach = Reach::new(overlay, self.limits.steps_max);
                reach.add(new);
                let walked = reach.all().map_err(|e| self.over_budget(e))?;
                if walked.iter().any(|commit| overlay.id(*commit) == line.old) {
                    return Ok(true);
                }
                let parents = walked.iter().flat_map(|commit| overlay.parents(*commit));
                entries.extend(parents.filter_map(|commit| history.find(&overlay.id(*commit))));
            }
        }
        let Some(old) = history.find(&line.old) else { return Ok(false) };
        let mut reach = Reach::new(history, self.limits.steps_max);
        entries.into_iter().for_each(|entry| reach.add(entry));
        reach.contains(old).map_err(|e| self.over_budget(e))
    }

    fn over_budget(&self, _: OverBudget) -> PlanError {
        PlanError::Budget { repo: self.view.repo, steps: self.limits.steps_max }
    }
}

impl Planner for HistoryPlanner {
    fn plan(&self, view: RepoView, request: PlanRequest) -> PlanFuture<'_, PlanAnswer> {
        Box::pin(self.negotiate(view, request))
    }

    fn first_unreachable(
        &self,
        view: RepoView,
        ids: Vec<ObjectId>,
    ) -> PlanFuture<'_, Option<ObjectId>> {
        Box::pin(self.first_unreachable_of(view, ids))
    }

    fn is_ancestor(
        &self,
        view: RepoView,
        line: Line,
        pack: Option<Arc<Pack>>,
    ) -> PlanFuture<'_, bool> {
        Box::pin(self.is_ancestor_of(view, line, pack))
    }

    fn describe(
        &self,
        view: RepoView,
        ids: Vec<ObjectId>,
    ) -> PlanFuture<'_, Vec<Option<Described>>> {
        Box::pin(self.describe_all(view, ids))
    }

    fn check(&self, view: RepoView) -> PlanFuture<'_, CheckAnswer> {
        Box::pin(self.check_repository(view))
    }
}

fn unfinished(repo: RepoId) -> PlanError {
    PlanError::Bug { repo, problem: "a walk did not finish".to_owned() }
}

fn read(
    view: &RepoView,
    what: &'static str,
    source: gitstratum_client::objects::Error,
) -> PlanError {
    let kind: ErrorKind = source.kind();
    PlanError::Read { repo: view.repo, what, kind, source: Box::new(source) }
}

#[cfg(test)]
mod tests;
