use gitstratum_core::{GrantsVersion, PartitionId, RepoId, Version};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::control::v1::{Repository, SnapshotUpdate};
use gitstratum_proto::metadata::v1::{GetRefsRequest, Refusal, UpdateRefsRequest};

use super::rig::{
    ANN, MAIN, PARTITION, Rig, command, eventually, listing, push, repo_key, repository, verdicts,
};
use crate::WithRefs;

#[tokio::test]
async fn s43_pushes_to_a_new_repository_work_once_its_version_is_reported() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let made = Repository { name_version: 6, version: 6, ..repository(5, "ann/new") };
    let update =
        SnapshotUpdate { version: 6, repositories: vec![made], ..SnapshotUpdate::default() };
    rig.publish(update).await;
    assert_eq!(*rig.double.service.applied().borrow(), GrantsVersion(6));
    let key = RepoKey { repo_id: 5, name_version: 6, ..repo_key() };
    let request =
        UpdateRefsRequest { repo: Some(key), ..push(session, 1, vec![command(MAIN, 0, 1)]) };
    assert_eq!(verdicts(&rig.push(request).await), [Refusal::None]);
}

#[tokio::test]
async fn s43_a_directory_that_says_nothing_new_makes_no_entry() {
    let rig = Rig::start().await;
    let before = rig.syncs();
    rig.publish(SnapshotUpdate { version: 5, ..SnapshotUpdate::default() }).await;
    assert_eq!(rig.syncs(), before);
    let rig = rig.crash().await;
    let restarted = rig.syncs();
    rig.publish(SnapshotUpdate { version: 6, ..SnapshotUpdate::default() }).await;
    assert_eq!(rig.syncs(), restarted);
}

#[tokio::test]
async fn s43_head_follows_the_directory() {
    let rig = Rig::start().await;
    let trunk =
        Repository { default_branch: "trunk".to_owned(), version: 6, ..repository(1, "ann/x") };
    let update =
        SnapshotUpdate { version: 6, repositories: vec![trunk], ..SnapshotUpdate::default() };
    rig.publish(update).await;
    let answer = rig.get(listing(ANN)).await.unwrap().remove(0);
    assert_eq!(answer.head, "refs/heads/trunk");
}

#[tokio::test]
async fn gs_md_12_a_repository_lives_in_its_partition_only() {
    let rig = Rig::start().await;
    let list = async |partition| {
        let found = rig.double.service.list_repositories(PartitionId(partition)).await.unwrap();
        found.records
    };
    assert_eq!((list(1).await, list(2).await), (vec![RepoId(1)], vec![RepoId(2)]));
    let wrong = RepoKey { partition: 2, ..repo_key() };
    let asked = GetRefsRequest { repo: Some(wrong), ..listing(ANN) };
    assert!(rig.get(asked).await.is_err());
    let nowhere = RepoKey { partition: 7, ..repo_key() };
    let asked = GetRefsRequest { repo: Some(nowhere), ..listing(ANN) };
    let kind = rig.get(asked).await.unwrap_err().kind();
    assert_eq!(kind, gitstratum_core::ErrorKind::Unavailable);
}

#[tokio::test]
async fn gs_md_02_17_a_repositorys_record_is_whole() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    let record = rig.double.service.repository(PARTITION, RepoId(1), WithRefs::Yes).await;
    let record = record.unwrap().unwrap();
    assert_eq!((&record.path[..], record.state, record.refs_count), ("ann/x", 1, 1));
    assert_eq!((record.refs.len(), record.packs.len(), record.size_bytes), (1, 1, 100));
    let none = rig.double.service.repository(PARTITION, RepoId(9), WithRefs::Yes).await;
    assert!(none.unwrap().is_none());
}

#[tokio::test]
async fn s14_the_state_has_the_same_checksum_after_a_restart() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    let checksums = async |rig: &Rig| {
        let status = rig.double.service.status(crate::WithChecksums::Yes).await;
        status.into_iter().map(|status| status.state_checksum).collect::<Vec<_>>()
    };
    let before = checksums(&rig).await;
    assert_eq!(before.len(), 2);
    assert_ne!(before[0], before[1]);
    let rig = rig.crash().await;
    eventually(async || {
        rig.clock.advance(std::time::Duration::from_secs(10));
        checksums(&rig).await == before
    })
    .await;
}

#[tokio::test]
async fn s41_every_push_has_its_audit_lines() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1), command("refs/heads/b", 9, 1)])).await;
    rig.push(super::rig::by(12, push(session, 2, vec![command(MAIN, 1, 2)]))).await;
    let (lines, next) = rig.double.service.audit(PARTITION, Version(0)).await.unwrap();
    assert!(next.is_none());
    let seen: Vec<_> = lines.iter().map(|l| (&l.actor[..], &l.action[..], &l.result[..])).collect();
    let expected = [
        ("user10", "ref.create", "ok"),
        ("user10", "ref.update", "stale"),
        ("user12", "push", "gone"),
    ];
    assert_eq!(seen, expected);
    assert!(lines[0].subject.starts_with("ann/x refs/heads/main none 0101"));
    let after = Version(lines[0].index);
    let (rest, _) = rig.double.service.audit(PARTITION, after).await.unwrap();
    assert_eq!(rest.len(), 1);
}
