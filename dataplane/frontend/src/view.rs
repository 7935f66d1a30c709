//! Refs and manifests, held by version and brought up to date with one call (S31).

mod held;
mod refs;

use std::fmt;
use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{ErrorKind, RefName, RepoId, Version};
use gitstratum_proto::metadata::v1::{Consistency, GetRefsRequest, GetRefsResponse};
use moka::sync::Cache;

use crate::Error;
use crate::conversation::Caller;
use crate::metric_names::FrontendMetrics;
use crate::target::Target;

pub use refs::{Ref, Refs};

/// A repository's refs and packs at one state of its partition, immutable.
#[derive(Clone, Debug)]
pub struct View {
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
pub enum Purpose {
    /// List or fetch.
    Fetch,
    /// Advertise for a push.
    Push,
}

/// The views this frontend holds.
pub struct Views {
    partitions: Partitions,
    metrics: FrontendMetrics,
    held: Cache<RepoId, Arc<View>>,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views").finish_non_exhaustive()
    }
}

impl Views {
    /// Holds at most `held_bytes_max` of views.
    pub fn new(partitions: Partitions, metrics: FrontendMetrics, held_bytes_max: u64) -> Self {
        let held = Cache::builder()
            .max_capacity(held_bytes_max)
            .weigher(|_, view: &Arc<View>| u32::try_from(view.weight()).unwrap_or(u32::MAX))
            .build();
        Self { partitions, metrics, held }
    }

    /// The repository as it is now: at least as new as every push acknowledged before this call.
    ///
    /// # Errors
    /// What the partition says: not found, denied, busy, unavailable.
    pub async fn current(
        &self,
        caller: &Caller,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Arc<View>, Error> {
        let held = self.held.get(&target.id());
        let view = self.update(caller, target, purpose, held.as_deref()).await?;
        let view = Arc::new(view);
        self.held.insert(target.id(), Arc::clone(&view));
        Ok(view)
    }

    async fn update(
        &self,
        caller: &Caller,
        target: &Target,
        purpose: Purpose,
        held: Option<&View>,
    ) -> Result<View, Error> {
        let request = request(caller, target, purpose, held);
        let mut answers = self.partitions.get_refs(target.partition(), request).await?;
        let mut building = held::Building::new(target.format, held);
        loop {
            let answer = answers.message().await;
            let answer: Option<GetRefsResponse> = answer.map_err(|status| {
                let kind = gitstratum_client::grpc::kind(&status);
                Error::caused(kind, "reading refs broke off; try again", status)
            })?;
            let Some(answer) = answer else { break };
            building.add(&answer).map_err(|source| {
                Error::caused(ErrorKind::Bug, "internal error", source)
            })?;
        }
        building.finish()
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
