use gitstratum_core::ErrorKind;
use gitstratum_proto::common::v1::{Actor, RepoKey};
use gitstratum_proto::control::v1::{GrantRecord, Repository, SnapshotUpdate};
use gitstratum_proto::metadata::v1::{GetRefsRequest, Refusal, UpdateRefsRequest};

use super::rig::{
    ANN, BOB, EVE, MAIN, Rig, actor, by, command, listing, push, repo_key, repository, verdicts,
};
use crate::Error;
use crate::planner::PlanRequest;

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn s44_a_repository_that_may_not_be_seen_looks_like_one_that_is_not() {
    let rig = Rig::start().await;
    let hidden = rig.get(listing(EVE)).await.unwrap_err();
    let missing =
        GetRefsRequest { repo: Some(RepoKey { repo_id: 99, ..repo_key() }), ..listing(EVE) };
    let missing = rig.get(missing).await.unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::NotFound);
    assert_eq!(hidden.to_string(), missing.to_string());
    let plan = rig.double.service.plan_fetch(repo_key(), actor(EVE), PlanRequest::default());
    assert_eq!(kind(plan.await), Some(ErrorKind::NotFound));
    assert_eq!(kind(rig.get(listing(0)).await), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn s44_a_reader_may_not_push() {
    let rig = Rig::start().await;
    let grant = GrantRecord { user_id: BOB, role: 1, repo_id: 1, ..GrantRecord::default() };
    let update = SnapshotUpdate { version: 4, grants: vec![grant], ..SnapshotUpdate::default() };
    rig.publish(update).await;
    assert!(rig.get(listing(BOB)).await.is_ok());
    let for_push = GetRefsRequest { for_push: true, ..listing(BOB) };
    assert_eq!(kind(rig.get(for_push).await), Some(ErrorKind::Denied));
    let session = rig.open_session().await;
    let answer = rig.push(by(BOB, push(session, 1, vec![command(MAIN, 0, 1)]))).await;
    assert_eq!(answer.refusal(), Refusal::Denied);
}

#[tokio::test]
async fn s44_a_revocation_that_only_the_partition_has_seen_counts() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let request = push(session, 1, vec![command(MAIN, 0, 1)]);
    // The frontend decided at version 3; the leader has version 4, without the grant.
    let gone = GrantRecord { user_id: BOB, repo_id: 1, ..GrantRecord::default() };
    let update =
        SnapshotUpdate { version: 4, grants_gone: vec![gone], ..SnapshotUpdate::default() };
    rig.publish(update).await;
    assert_eq!(rig.push(by(BOB, request)).await.refusal(), Refusal::Gone);
}

#[tokio::test]
async fn s11_s44_without_the_callers_grants_a_read_is_busy_and_a_push_is_denied_by_an_entry() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let newer = Actor { grants_version: 4, ..actor(ANN) };
    let number = |number| UpdateRefsRequest {
        actor: Some(newer.clone()),
        ..push(session, number, vec![command(MAIN, 0, 1)])
    };
    let denied = rig.push(number(1)).await;
    assert_eq!(denied.refusal(), Refusal::Busy);
    assert!(denied.version > 0 && denied.message.contains("latest grants"), "{denied:?}");
    let reading = GetRefsRequest { actor: Some(newer.clone()), ..listing(ANN) };
    assert_eq!(kind(rig.get(reading.clone()).await), Some(ErrorKind::Busy));
    // Once they are here the number stays closed, and the next one goes through.
    rig.publish(SnapshotUpdate { version: 4, ..SnapshotUpdate::default() }).await;
    assert_eq!(rig.push(number(1)).await, denied);
    assert_eq!(verdicts(&rig.push(number(2)).await), [Refusal::None]);
    assert!(rig.get(reading).await.is_ok());
}

#[tokio::test]
async fn s11_s44_a_push_that_is_in_the_log_is_not_denied_for_grants_that_are_not_here_yet() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let request = push(session, 1, vec![command(MAIN, 0, 1)]);
    let applied = rig.push(request.clone()).await;
    let newer = Actor { grants_version: 4, ..actor(ANN) };
    assert_eq!(rig.push(UpdateRefsRequest { actor: Some(newer), ..request }).await, applied);
}

#[tokio::test]
async fn s11_a_push_checked_at_a_version_that_is_not_here_yet_is_denied_by_an_entry() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let ahead = UpdateRefsRequest {
        checked_version: 1_000_000,
        ..push(session, 1, vec![command(MAIN, 0, 1)])
    };
    let denied = rig.push(ahead).await;
    assert!(denied.refusal() == Refusal::Busy && denied.version > 0, "{denied:?}");
}

#[tokio::test]
async fn s44_a_voter_older_than_the_groups_grants_does_not_answer() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.publish(SnapshotUpdate { version: 9, ..SnapshotUpdate::default() }).await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    // An older snapshot comes back, as after a restart without news.
    let older = SnapshotUpdate { version: 5, ..rig.publisher.current().to_update() };
    rig.publisher.publish(rig.publisher.current().apply(&older));
    assert_eq!(kind(rig.get(listing(ANN)).await), Some(ErrorKind::Busy));
}

#[tokio::test]
async fn s42_a_request_with_an_older_name_is_refused_and_one_with_a_newer_waits() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let named = |version| GetRefsRequest {
        repo: Some(RepoKey { name_version: version, ..repo_key() }),
        ..listing(ANN)
    };
    assert_eq!(kind(rig.get(named(7)).await), Some(ErrorKind::Busy));
    let renamed = Repository { name_version: 7, version: 7, ..repository(1, "ann/z") };
    let update =
        SnapshotUpdate { version: 7, repositories: vec![renamed], ..SnapshotUpdate::default() };
    rig.publish(update).await;
    assert!(rig.get(named(7)).await.is_ok());
    assert_eq!(kind(rig.get(named(3)).await), Some(ErrorKind::Conflict));
    let old = push(session, 1, vec![command(MAIN, 0, 1)]);
    assert_eq!(rig.push(old).await.refusal(), Refusal::Gone);
}

#[tokio::test]
async fn s42_a_deleted_repository_is_not_served() {
    let rig = Rig::start().await;
    let deleted = Repository { state: 2, name_version: 8, version: 8, ..repository(1, "ann/x") };
    let update =
        SnapshotUpdate { version: 8, repositories: vec![deleted], ..SnapshotUpdate::default() };
    rig.publish(update).await;
    assert_eq!(kind(rig.get(listing(ANN)).await), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn s24_a_replaced_tip_reaches_the_planner_and_a_deleted_one_does_not() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command("refs/heads/b", 0, 1)])).await;
    rig.push(push(session, 2, vec![command("refs/heads/b", 1, 2)])).await;
    let want = |byte| PlanRequest { wants: vec![super::rig::id(byte)], ..PlanRequest::default() };
    let plan = |byte| rig.double.service.plan_fetch(repo_key(), actor(ANN), want(byte));
    let is_served = |answer| !matches!(answer, crate::planner::PlanAnswer::Refused(_));
    assert!(is_served(plan(1).await.unwrap()));
    rig.push(super::rig::bare(session, 3, vec![command("refs/heads/b", 2, 0)])).await;
    assert!(!is_served(plan(1).await.unwrap()));
    assert!(!is_served(plan(2).await.unwrap()));
}
