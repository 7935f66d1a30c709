//! Refs and manifests, held by version and brought up to date with one call (S31).

mod held;
mod lane;
mod refs;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{ErrorKind, RefName, RepoId, Version};
use gitstratum_process::sabotage;
use gitstratum_proto::metadata::v1::{Consistency, GetRefsRequest, GetRefsResponse};
use moka::sync::Cache;

use crate::Error;
use crate::conversation::Caller;
use crate::metric_names::{CacheName, FrontendMetrics};
use crate::target::Target;
use lane::Lanes;

pub(crate) use refs::{Ref, Refs};

/// A repository's refs and packs at one state of its partition, immutable.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Version of the refs.
    pub refs_version: Version,
    /// Version of the manifest.
    pub manifest_version: Version,
    /// Drop counter at that version (S15).
    pub drop_counter: u64,
    /// What HEAD points at.
    pub head: RefName,
    /// Every ref but HEAD, hidden ones left out.
    pub refs: Arc<Refs>,
    /// Live packs, oldest first.
    pub packs: Arc<Vec<Arc<Pack>>>,
}

/// What a caller will do with the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// List or fetch.
    Fetch,
    /// Advertise for a push.
    Push,
}

/// The views this frontend holds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Views {
    partitions: Partitions,
    metrics: FrontendMetrics,
    held: Cache<RepoId, Arc<View>>,
    calls: Arc<Lanes<Question, Arc<View>>>,
}

/// What makes two callers' questions one: the partition authorises each again (S44), so
/// nobody shares the answer to another's question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    repo: RepoId,
    name_version: u64,
    purpose: Purpose,
    user: u64,
    credential: Bytes,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views").finish_non_exhaustive()
    }
}

impl Views {
    /// Holds at most `held_bytes_max` of views.
    pub(crate) fn new(
        partitions: Partitions,
        metrics: FrontendMetrics,
        held_bytes_max: u64,
    ) -> Self {
        let held = Cache::builder()
            .max_capacity(held_bytes_max)
            .weigher(|_, view: &Arc<View>| u32::try_from(view.weight()).unwrap_or(u32::MAX))
            .build();
        Self { partitions, metrics, held, calls: Arc::default() }
    }

    /// The repository as this frontend last saw it, without a call: what a push may be
    /// checked against first, as the partition refuses it when that is too old (S15, S51).
    pub(crate) fn held(&self, target: &Target) -> Option<Arc<View>> {
        self.held.get(&target.id())
    }

    /// The repository as it is now: at least as new as every push acknowledged before this call.
    ///
    /// # Errors
    /// What the partition says: not found, denied, busy, unavailable.
    pub(crate) async fn current(
        &self,
        caller: &Caller,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Arc<View>, Error> {
        if sabotage!("held-refs-not-revalidated")
            && let Some(held) = self.held(target)
        {
            return Ok(held);
        }
        let question = Question {
            repo: target.id(),
            name_version: target.key().name_version,
            purpose,
            user: caller.actor.user_id,
            credential: caller.actor.credential.clone(),
        };
        let (views, caller, target) = (self.clone(), caller.clone(), target.clone());
        let ask = async move { views.update(&caller, &target, purpose).await };
        self.calls.join(question, ask).await
    }

    async fn update(
        &self,
        caller: &Caller,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Arc<View>, Error> {
        let held = self.held.get(&target.id());
        let request = request(caller, target, purpose, held.as_deref());
        let mut answers = self.partitions.get_refs(target.partition(), request).await?;
        let mut building = held::Building::new(target, held.as_deref());
        loop {
            let answer = answers.message().await;
            let answer: Option<GetRefsResponse> = answer.map_err(|status| {
                let kind = gitstratum_client::grpc::kind(&status);
                Error::caused(kind, "reading refs broke off; try again", status)
            })?;
            let Some(answer) = answer else { break };
            building
                .add(&answer)
                .map_err(|source| Error::caused(ErrorKind::Bug, "internal error", source))?;
        }
        if building.updates_held() {
            self.metrics.cache_hit(CacheName::Refs);
        }
        let view = Arc::new(building.finish()?);
        self.hold(target.id(), &view);
        Ok(view)
    }

    /// Holds `view` unless a newer one is held already.
    fn hold(&self, repo: RepoId, view: &Arc<View>) {
        let versions = |view: &View| (view.refs_version, view.manifest_version);
        let newer = self.held.get(&repo).is_some_and(|held| versions(&held) > versions(view));
        if !newer {
            self.held.insert(repo, Arc::clone(view));
        }
    }
}

fn request(
    caller: &Caller,
    target: &Target,
    purpose: Purpose,
    held: Option<&View>,
) -> GetRefsRequest {
    GetRefsRequest {
        repo: Some(target.key()),
        actor: Some(caller.actor.clone()),
        held_refs_version: held.map_or(0, |view| view.refs_version.0),
        held_manifest_version: held.map_or(0, |view| view.manifest_version.0),
        prefixes: Vec::new(),
        for_push: purpose == Purpose::Push,
        consistency: Consistency::Quorum.into(),
    }
}
