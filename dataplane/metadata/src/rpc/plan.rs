//! `PlanFetch` between wire and domain.

use bytes::Bytes;
use gitstratum_core::ObjectId;
use gitstratum_proto::common::v1::{Actor, RepoKey};
use gitstratum_proto::metadata::v1 as wire;
use gitstratum_proto::{FieldError, object_id};

use crate::planner::{FetchPlan, PackSelection, PlanAnswer, PlanRequest, Rows, Shape};

/// Wants, haves and shallow commits of one round.
const IDS_MAX: usize = 262_144;

pub(super) fn from_wire(
    request: wire::PlanFetchRequest,
) -> Result<(RepoKey, Actor, PlanRequest), FieldError> {
    let key = request.repo.ok_or(FieldError { field: "repo", problem: "is missing" })?;
    let plan = PlanRequest {
        wants: ids("wants", &request.wants)?,
        haves: ids("haves", &request.haves)?,
        shape: shape(request.shape.unwrap_or_default())?,
        done: request.done,
        plan_when_ready: request.want_plan_when_ready,
    };
    Ok((key, request.actor.unwrap_or_default(), plan))
}

fn shape(shape: wire::Shape) -> Result<Shape, FieldError> {
    Ok(Shape {
        depth: shape.depth,
        deepen_relative: shape.deepen_relative,
        deepen_since: (shape.deepen_since != 0).then_some(shape.deepen_since),
        deepen_not: shape.deepen_not.iter().map(|name| name.to_vec()).collect(),
        shallow: ids("shallow", &shape.shallow)?,
        include_tag: shape.include_tag,
    })
}

fn ids(field: &'static str, given: &[Bytes]) -> Result<Vec<ObjectId>, FieldError> {
    if given.len() > IDS_MAX {
        return Err(FieldError { field, problem: "are more than 262,144" });
    }
    given.iter().map(|id| object_id(field, id)).collect()
}

pub(super) fn to_wire(answer: PlanAnswer) -> wire::PlanFetchResponse {
    match answer {
        PlanAnswer::Refused(want) => wire::PlanFetchResponse {
            refused_want: Bytes::copy_from_slice(want.as_bytes()),
            ..wire::PlanFetchResponse::default()
        },
        PlanAnswer::Round { acks, ready, plan } => wire::PlanFetchResponse {
            acks: bytes(&acks),
            ready,
            plan: plan.map(plan_to_wire),
            ..wire::PlanFetchResponse::default()
        },
    }
}

fn plan_to_wire(plan: FetchPlan) -> wire::FetchPlan {
    wire::FetchPlan {
        manifest_version: plan.manifest_version.0,
        packs: plan.packs.iter().map(selection).collect(),
        extra_objects: bytes(&plan.extra_objects),
        tree_roots: bytes(&plan.tree_roots),
        boundary_commits: bytes(&plan.boundary_commits),
        boundary_trees: bytes(&plan.boundary_trees),
        held_trees: bytes(&plan.held_trees),
        shallow: bytes(&plan.shallow),
        unshallow: bytes(&plan.unshallow),
        common: bytes(&plan.common),
        commit_count: plan.commit_count,
    }
}

fn selection(selection: &PackSelection) -> wire::PackSelection {
    let pack_id = Bytes::copy_from_slice(&selection.pack.0);
    match &selection.rows {
        Rows::All => wire::PackSelection { pack_id, all: true, commit_rows: Bytes::new() },
        Rows::Some(rows) => {
            let mut commit_rows = Vec::with_capacity(rows.serialized_size());
            rows.serialize_into(&mut commit_rows).expect("because a Vec grows as needed");
            wire::PackSelection { pack_id, all: false, commit_rows: commit_rows.into() }
        }
    }
}

fn bytes(ids: &[ObjectId]) -> Vec<Bytes> {
    ids.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use gitstratum_core::PackId;
    use roaring::RoaringBitmap;

    use super::*;

    #[test]
    fn rows_travel_as_a_portable_bitmap() {
        let rows: RoaringBitmap = [1, 70_000].into_iter().collect();
        let plan = FetchPlan {
            packs: vec![PackSelection { pack: PackId([7; 16]), rows: Rows::Some(rows.clone()) }],
            ..FetchPlan::default()
        };
        let answer = PlanAnswer::Round { acks: vec![], ready: true, plan: Some(plan) };
        let sent = to_wire(answer).plan.unwrap().packs.remove(0);
        assert!(!sent.all);
        assert_eq!(RoaringBitmap::deserialize_from(&sent.commit_rows[..]).unwrap(), rows);
    }

    #[test]
    fn a_malformed_id_names_its_field() {
        let request = wire::PlanFetchRequest {
            repo: Some(RepoKey::default()),
            haves: vec![Bytes::from_static(b"short")],
            ..wire::PlanFetchRequest::default()
        };
        assert_eq!(from_wire(request).map_err(|error| error.field).err(), Some("haves"));
    }
}
