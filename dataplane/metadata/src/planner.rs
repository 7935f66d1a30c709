//! What the partition asks of a repository's history, and what it gives to decide by.

use std::sync::Arc;

use futures::future::BoxFuture;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{
    ErrorKind, LogTime, ObjectFormat, ObjectId, ObjectKind, PackId, RepoId, Version,
};
use roaring::RoaringBitmap;

use crate::refs::RefList;

/// One repository at one moment of its partition's log: everything a planner may
/// decide by. Cheap to clone, immutable.
#[derive(Clone, Debug)]
pub struct RepoView {
    /// The repository.
    pub repo: RepoId,
    /// Its object format.
    pub format: ObjectFormat,
    /// Its refs, sorted by name, with peeled values and the latest changes.
    pub refs: Arc<RefList>,
    /// Its live packs, in the order they were listed.
    pub packs: Arc<Vec<Arc<Pack>>>,
    /// Version of the refs.
    pub refs_version: Version,
    /// Version of the manifest.
    pub manifest_version: Version,
    /// Tips replaced (not deleted) within `wantGrace` before `log_time`; only S24's wants count them.
    pub replaced_tips: Vec<ReplacedTip>,
    /// The group's log time at this moment.
    pub log_time: LogTime,
}

/// What a ref pointed at before it was moved (S24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplacedTip {
    /// The former target.
    pub id: ObjectId,
    /// Log time of the entry that replaced it.
    pub replaced_at: LogTime,
}

/// One negotiation round of a fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanRequest {
    /// Ids wanted.
    pub wants: Vec<ObjectId>,
    /// Ids the client says it has.
    pub haves: Vec<ObjectId>,
    /// Depth, times and shallow borders.
    pub shape: Shape,
    /// The client has said `done`: a plan must come.
    pub done: bool,
    /// Plan as soon as every want's history is covered.
    pub plan_when_ready: bool,
}

/// How much of the history is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Commits from each want; 0 is all.
    pub depth: u32,
    /// Whether `depth` counts from the client's shallow border.
    pub deepen_relative: bool,
    /// Committer date in seconds since the epoch that commits must not be older than.
    pub deepen_since: Option<i64>,
    /// Refs or ids, as the client wrote them, whose history is not wanted.
    pub deepen_not: Vec<Vec<u8>>,
    /// Commits at the client's shallow border.
    pub shallow: Vec<ObjectId>,
    /// Send annotated tags of sent commits.
    pub include_tag: bool,
}

/// Answer of one negotiation round.
#[expect(clippy::large_enum_variant, reason = "one answer at a time, handed on at once")]
#[derive(Clone, Debug, PartialEq)]
pub enum PlanAnswer {
    /// This want may not be served, or does not exist: the two look the same (S24).
    Refused(ObjectId),
    /// The round goes on, or ends with a plan.
    Round {
        /// Haves that are common.
        acks: Vec<ObjectId>,
        /// Enough is common to plan.
        ready: bool,
        /// What to send, when asked for and possible.
        plan: Option<FetchPlan>,
    },
}

/// What to send (S27).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchPlan {
    /// Version of the manifest that it names packs of.
    pub manifest_version: Version,
    /// What to send of each pack that has something to send.
    pub packs: Vec<PackSelection>,
    /// Tags and directly wanted trees and blobs to send.
    pub extra_objects: Vec<ObjectId>,
    /// Trees wanted directly: their closure is sent too.
    pub tree_roots: Vec<ObjectId>,
    /// Commits whose whole tree must be sent, less what the client holds (S7).
    pub boundary_commits: Vec<ObjectId>,
    /// Root trees of `boundary_commits`, in the same order.
    pub boundary_trees: Vec<ObjectId>,
    /// Root trees of commits that the client holds, to subtract from boundary trees.
    pub held_trees: Vec<ObjectId>,
    /// New shallow borders of the client.
    pub shallow: Vec<ObjectId>,
    /// Borders that are no longer shallow.
    pub unshallow: Vec<ObjectId>,
    /// Maximal common commits, sorted (S32).
    pub common: Vec<ObjectId>,
    /// Commits that the plan sends.
    pub commit_count: u64,
}

/// What to send of one pack.
#[derive(Clone, Debug, PartialEq)]
pub struct PackSelection {
    /// The pack.
    pub pack: PackId,
    /// Which of its commits, with what they introduce.
    pub rows: Rows,
}

/// Commits of a pack.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Every object of the pack (S25).
    All,
    /// These rows of its GRAPH part.
    Some(RoaringBitmap),
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its kind.
    pub kind: ObjectKind,
    /// For a tag: what it peels to, through any number of tags.
    pub peeled: Option<ObjectId>,
}

/// What proving a repository found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckAnswer {
    /// One line for each problem; empty means sound.
    pub problems: Vec<String>,
    /// Objects that the refs reach.
    pub objects_checked: u64,
    /// Of them those that are too large to be inflated and hashed here, or whose delta chains are.
    pub objects_too_large: u64,
}

/// Why a question about a repository's history was not answered.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Objects or parts could not be read; `kind` says whether they are damaged or out of reach.
    #[error("reading {what} of repository {repo}")]
    Read {
        /// The repository.
        repo: RepoId,
        /// What was being read.
        what: &'static str,
        /// Kind of the failure beneath.
        kind: ErrorKind,
        /// The failure beneath.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The walk was longer than its budget: busy, never "reachable" (S24).
    #[error("walking repository {repo}: more than {steps} steps")]
    Budget {
        /// The repository.
        repo: RepoId,
        /// The budget.
        steps: u64,
    },
    /// The request contradicts itself or names what cannot be named there.
    #[error("{problem}")]
    Request {
        /// What is wrong, for the client to read.
        problem: String,
    },
    /// Parts, manifest and refs contradict one another.
    #[error("repository {repo} is damaged: {problem}")]
    Damaged {
        /// The repository.
        repo: RepoId,
        /// What contradicts what.
        problem: String,
    },
    /// Our own fault.
    #[error("planning for repository {repo}: {problem}")]
    Bug {
        /// The repository.
        repo: RepoId,
        /// What should not have happened.
        problem: String,
    },
}

impl PlanError {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { kind, .. } => *kind,
            Self::Budget { .. } => ErrorKind::Busy,
            Self::Request { .. } => ErrorKind::Invalid,
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Bug { .. } => ErrorKind::Bug,
        }
    }
}

/// A future that answers a question about history.
pub type PlanFuture<'a, T> = BoxFuture<'a, Result<T, PlanError>>;

/// Answers questions about a repository's history from the view it is given and
/// what it reads of packs. Never reads the partition, never authorises.
///
/// Dropping a future cancels the question.
pub trait Planner: Send + Sync {
    /// One negotiation round (S24, S27): wants are judged by reachability from the view's refs and
    /// its replaced tips that are still in their grace.
    fn plan(&self, view: RepoView, request: PlanRequest) -> PlanFuture<'_, PlanAnswer>;

    /// The first of `ids` that no ref of the view reaches (S16: S24 without grace), `None` when all
    /// are reached. An id that is stored nowhere is unreachable too: the two look the same.
    fn first_unreachable(
        &self,
        view: RepoView,
        ids: Vec<ObjectId>,
    ) -> PlanFuture<'_, Option<ObjectId>>;

    /// Whether `old` is `new` or an ancestor of it. `new`, and commits between, may lie in `pack`,
    /// which is not listed yet. Two ids that are not both commits have no ancestry: `false`.
    fn is_ancestor(
        &self,
        view: RepoView,
        line: Line,
        pack: Option<Arc<Pack>>,
    ) -> PlanFuture<'_, bool>;

    /// What each of `ids` is, in order; `None` for one that is no member of the repository.
    fn describe(
        &self,
        view: RepoView,
        ids: Vec<ObjectId>,
    ) -> PlanFuture<'_, Vec<Option<Described>>>;

    /// Verifies that everything the view's refs reach is stored and sound.
    fn check(&self, view: RepoView) -> PlanFuture<'_, CheckAnswer>;
}

/// The two ends of a question about ancestry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The commit that should be the older.
    pub old: ObjectId,
    /// The commit that should reach it.
    pub new: ObjectId,
}
