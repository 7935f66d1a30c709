use std::time::Duration;

use gitstratum_core::{PartitionId, SessionId, Version};
use gitstratum_proto::metadata::v1::{Refusal, SegmentQuery, SessionRenewal};

use super::rig::{
    MAIN, NODE, OTHER_NODE, PARTITION, Rig, command, config, eventually, push, verdicts,
};

fn renewal(session: u64, floor: u64) -> SessionRenewal {
    SessionRenewal { partition: PARTITION.0, session, least_version: 5, floor }
}

async fn is_open(rig: &Rig, session: u64) -> bool {
    let states = rig.double.service.renew_sessions(NODE, vec![renewal(session, 0)]).await;
    states[0].open
}

async fn sessions_open(rig: &Rig) -> u64 {
    let status = rig.double.service.status(crate::WithChecksums::Yes).await;
    status.iter().find(|status| status.partition == PARTITION.0).unwrap().sessions
}

#[tokio::test]
async fn s10_a_session_that_is_not_renewed_is_closed_by_an_entry() {
    let rig = Rig::start_with(config(Duration::from_millis(5))).await;
    let session = rig.open_session().await;
    assert!(is_open(&rig, session).await);
    eventually(async || {
        rig.clock.advance(Duration::from_secs(1));
        sessions_open(&rig).await == 0
    })
    .await;
    assert!(!is_open(&rig, session).await);
    let late = rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    assert_eq!(late.refusal(), Refusal::Unknown);
}

#[tokio::test]
async fn s10_a_renewed_session_stays_open() {
    let rig = Rig::start_with(config(Duration::from_millis(5))).await;
    let (kept, lost) = (rig.open_session().await, rig.open_session().await);
    // Both timers run once the keeper has looked at a state in which both are open.
    let telling = |session| SessionRenewal { least_version: lost, ..renewal(session, 0) };
    eventually(async || {
        rig.double.service.renew_sessions(NODE, vec![telling(kept), telling(lost)]).await;
        rig.double.service.least_version_used(PARTITION) == Some(Version(lost))
    })
    .await;
    for _ in 0..8 {
        rig.clock.advance(Duration::from_secs(2));
        assert!(is_open(&rig, kept).await);
    }
    eventually(async || sessions_open(&rig).await == 1).await;
    assert!(is_open(&rig, kept).await);
    assert!(!is_open(&rig, lost).await);
}

#[tokio::test]
async fn s10_a_renewal_is_for_ones_own_session_and_for_partitions_led_here() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let foreign = rig.double.service.renew_sessions(OTHER_NODE, vec![renewal(session, 0)]).await;
    assert!(!foreign[0].open);
    let elsewhere = SessionRenewal { partition: 77, ..renewal(session, 0) };
    let states =
        rig.double.service.renew_sessions(NODE, vec![elsewhere, renewal(session, 0)]).await;
    assert_eq!(states.iter().map(|s| (s.partition, s.open)).collect::<Vec<_>>(), [(1, true)]);
    assert!(states[0].version >= session);
}

#[tokio::test]
async fn s10_s12_a_renewed_floor_counts_once_it_is_committed() {
    let rig = Rig::start_with(config(Duration::from_millis(5))).await;
    let session = rig.open_session().await;
    let closed = async || {
        let query = SegmentQuery {
            segment_id: vec![7; 16].into(),
            session,
            push_number: 3,
            ..SegmentQuery::default()
        };
        let states = rig.double.service.segment_states(PARTITION, vec![query]).await.unwrap();
        states.records[0].writer_closed
    };
    assert!(!closed().await);
    eventually(async || {
        rig.double.service.renew_sessions(NODE, vec![renewal(session, 4)]).await;
        closed().await
    })
    .await;
    // What is below is unknown, what is not goes through.
    let below = rig.push(push(session, 3, vec![command(MAIN, 0, 1)])).await;
    assert_eq!(below.refusal(), Refusal::Unknown);
    let above = rig.push(push(session, 4, vec![command(MAIN, 0, 1)])).await;
    assert_eq!(verdicts(&above), [Refusal::None]);
}

#[tokio::test]
async fn s10_a_session_outlives_a_restart_of_the_leader() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let rig = rig.crash().await;
    assert!(is_open(&rig, session).await);
    rig.double.service.close_session(PARTITION, NODE, SessionId(session)).await.unwrap();
    assert!(!is_open(&rig, session).await);
}

#[tokio::test]
async fn s14_log_time_goes_on_while_a_window_is_open_and_then_rests() {
    let rig = Rig::start_with(config(Duration::from_millis(5))).await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    rig.push(push(session, 2, vec![command(MAIN, 1, 2)])).await;
    let applied = async || {
        let status = rig.double.service.status(crate::WithChecksums::Yes).await;
        status.iter().find(|status| status.partition == PARTITION.0).unwrap().applied
    };
    // The replaced tip's grace is a minute: an entry each six seconds of the leader's clock.
    for _ in 0..11 {
        let before = applied().await;
        rig.clock.advance(Duration::from_secs(6));
        rig.double.service.renew_sessions(NODE, vec![renewal(session, 0)]).await;
        eventually(async || applied().await > before).await;
    }
    // It is over: only renewals are left, and they are no entries.
    let rested = applied().await;
    rig.clock.advance(Duration::from_secs(9));
    rig.double.service.renew_sessions(NODE, vec![renewal(session, 0)]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(applied().await, rested);
}

#[tokio::test]
async fn s23_an_incarnation_is_shown_by_an_entry_once() {
    let rig = Rig::start().await;
    let shown = gitstratum_core::Incarnation(4);
    let partition = PartitionId(2);
    rig.double.service.show_incarnation(partition, OTHER_NODE, shown).await.unwrap();
    let before = rig.syncs();
    rig.double.service.show_incarnation(partition, OTHER_NODE, shown).await.unwrap();
    assert_eq!(rig.syncs(), before);
}
