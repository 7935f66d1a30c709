//! Calls about repositories.

use gitstratum_core::{GrantsVersion, PartitionId};
use gitstratum_proto::control::v1 as wire_v1;
use gitstratum_state::command::{Change, CreateRepository};
use gitstratum_state::{Reply, Verb};

use crate::call::{Call, Done, Intent};
use crate::error::Error;
use crate::{listing, wire};

/// Makes a repository and waits until pushes to it work through every frontend that is up.
pub(crate) async fn create(
    call: Call,
    request: wire_v1::CreateRepositoryRequest,
) -> Result<wire_v1::Repository, Error> {
    let path = request.path.clone();
    let create = Change::CreateRepository(CreateRepository {
        path: request.path,
        object_format: request.object_format,
        default_branch: request.default_branch,
        public: request.public,
        if_not_exists: request.if_not_exists,
        description: request.description,
    });
    let made = changed(&call, create).await?;
    let version = GrantsVersion(made.version);
    call.settled(&path, PartitionId(made.partition), version).await?;
    Ok(made)
}

/// The live repository at `path`.
pub(crate) async fn get(call: Call, path: String) -> Result<wire_v1::Repository, Error> {
    let intent = Intent::new("repository.show", path.clone());
    call.look(intent, move |caller, state| {
        let path = listing::parse_path(&path)?;
        state.repository_for(caller, Verb::See, &path).map(wire::repository)
    })
    .await
}

/// Carries out a change of a repository.
pub(crate) async fn change(call: Call, change: Change) -> Result<wire_v1::Repository, Error> {
    changed(&call, change).await
}

async fn changed(call: &Call, change: Change) -> Result<wire_v1::Repository, Error> {
    let Done { reply } = call.change(change).await?;
    let Reply::Repository(id) = reply else { return Err(Error::Answer) };
    let found = call.plane.read(move |state| state.repository_by_id(id).map(wire::repository));
    found.await?.ok_or(Error::Answer)
}
