use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectId};
use gitstratum_git::protocol::{self, Deepen, Fetch, Readiness};
use gitstratum_proto::metadata::v1 as wire;
use gitstratum_proto::object_id;

use crate::Error;
use crate::conversation::Caller;
use crate::frontend::Frontend;
use crate::target::Target;

/// What `deepen 2147483647` means: everything.
const DEPTH_INFINITE: u32 = 0x7fff_ffff;

/// What a round of negotiation gave.
pub(super) struct Round {
    pub(super) common: Vec<ObjectId>,
    pub(super) readiness: Readiness,
    pub(super) plan: Option<wire::FetchPlan>,
}

/// When the caller needs a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanWhen {
    /// In any case: nothing more will be said.
    Now,
    /// As soon as enough is common.
    Ready,
    /// Not yet.
    Later,
}

/// One `PlanFetch` call.
pub(super) async fn ask(
    frontend: &Frontend,
    caller: &Caller,
    target: &Target,
    fetch: &Fetch,
    when: PlanWhen,
) -> Result<Round, Error> {
    let request = wire::PlanFetchRequest {
        repo: Some(target.key()),
        actor: Some(caller.actor.clone()),
        wants: to_wire(&fetch.wants),
        haves: to_wire(&fetch.haves),
        shape: Some(shape(&fetch.shape)),
        done: when == PlanWhen::Now,
        want_plan_when_ready: when == PlanWhen::Ready,
    };
    let answer = frontend.partitions.plan_fetch(target.partition(), request).await;
    let answer = answer.map_err(told)?;
    if !answer.refused_want.is_empty() {
        let id = object_id("refused_want", &answer.refused_want).map_err(bug)?;
        return Err(Error::new(ErrorKind::Invalid, format!("upload-pack: not our ref {id}")));
    }
    let common = answer.acks.iter().map(|id| object_id("acks", id)).collect::<Result<_, _>>();
    let readiness = if answer.ready { Readiness::Ready } else { Readiness::MoreHaves };
    Ok(Round { common: common.map_err(bug)?, readiness, plan: answer.plan })
}

/// A request that contradicts itself is told in the partition's own words.
fn told(error: gitstratum_client::metadata::Error) -> Error {
    match &error {
        gitstratum_client::metadata::Error::Refused { status, .. }
            if error.kind() == ErrorKind::Invalid =>
        {
            Error::new(ErrorKind::Invalid, status.message())
        }
        _ => error.into(),
    }
}

fn shape(shape: &protocol::Shape) -> wire::Shape {
    let mut told = wire::Shape {
        shallow: to_wire(&shape.shallow),
        include_tag: shape.include_tag,
        ..wire::Shape::default()
    };
    match &shape.deepen {
        None => {}
        Some(Deepen::Depth(depth)) => told.depth = depth.get(),
        Some(Deepen::Beyond(depth)) => {
            told.depth = depth.get();
            told.deepen_relative = true;
        }
        Some(Deepen::Everything) => told.depth = DEPTH_INFINITE,
        Some(Deepen::Excluding { since, not }) => {
            told.deepen_since = since.map_or(0, |s| i64::try_from(s).unwrap_or(i64::MAX));
            told.deepen_not = not.clone();
        }
    }
    told
}

fn to_wire(ids: &[ObjectId]) -> Vec<Bytes> {
    ids.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect()
}

/// Ids of a plan's shallow lists.
pub(super) fn ids(field: &'static str, wire: &[Bytes]) -> Result<Vec<ObjectId>, Error> {
    wire.iter().map(|id| object_id(field, id)).collect::<Result<_, _>>().map_err(bug)
}

fn bug(source: gitstratum_proto::FieldError) -> Error {
    Error::caused(ErrorKind::Bug, "internal error", source)
}
