use std::time::Duration;

use gitstratum_core::ObjectKind;
use gitstratum_proto::metadata::v1::{NewTarget, Refusal, SegmentQuery, UpdateRefsRequest};

use super::rig::{
    BOB, MAIN, NODE, OTHER_NODE, PARTITION, Rig, bare, by, command, commit, config, eventually, id,
    pack, push, verdicts,
};
use crate::Config;

#[tokio::test]
async fn s13_a_push_costs_exactly_one_sync_of_the_log() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    for number in 1..=3 {
        let before = rig.syncs();
        let name = format!("refs/heads/{number}");
        let answer = rig.push(push(session, number, vec![command(&name, 0, 1)])).await;
        assert_eq!(verdicts(&answer), [Refusal::None]);
        assert_eq!(rig.syncs() - before, 1);
    }
}

#[tokio::test]
async fn s13_an_acknowledged_push_survives_a_power_cut() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    let rig = rig.crash().await;
    assert_eq!(rig.refs().await, [(MAIN.to_owned(), 1)]);
}

#[tokio::test]
async fn s11_a_repeat_is_answered_from_its_record_also_after_a_restart() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let request = push(session, 1, vec![command(MAIN, 0, 1)]);
    let first = rig.push(request.clone()).await;
    rig.push(bare(session, 2, vec![command(MAIN, 1, 0)])).await;
    assert_eq!(rig.push(request.clone()).await, first);
    let rig = rig.crash().await;
    assert_eq!(rig.push(request).await, first);
}

#[tokio::test]
async fn s11_a_caller_that_goes_away_at_any_moment_and_comes_again_is_applied_once() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    for number in 1..=40 {
        let name = format!("refs/heads/{number}");
        let request = push(session, number, vec![command(&name, 0, 1)]);
        let mut going = Box::pin(rig.double.service.update_refs(NODE, request.clone()));
        for _ in 0..number {
            if futures::poll!(going.as_mut()).is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(20)).await;
        }
        drop(going);
        let answer = rig.push(request).await;
        assert_eq!(verdicts(&answer), [Refusal::None]);
        assert_eq!(answer.push_sequence, number);
    }
}

#[tokio::test]
async fn s11_two_copies_of_a_push_at_once_are_applied_once() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let request = push(session, 1, vec![command(MAIN, 0, 1)]);
    let (first, second) = tokio::join!(rig.push(request.clone()), rig.push(request));
    assert_eq!(first, second);
    assert_eq!(first.push_sequence, 1);
}

#[tokio::test]
async fn bad_input_097_gs_md_21_of_many_who_swap_the_same_ref_one_wins() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    let pushes = (2..22).map(|number| {
        let byte = u8::try_from(number).unwrap();
        rig.push(push(session, number, vec![command(MAIN, 1, byte)]))
    });
    let answers = futures::future::join_all(pushes).await;
    let won = answers.iter().filter(|answer| verdicts(answer) == [Refusal::None]).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn s11_s44_a_denial_of_a_sent_push_is_an_entry_that_closes_its_number() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let request = push(session, 1, vec![command(MAIN, 0, 1)]);
    let denied = rig.push(by(12, request.clone())).await;
    assert_eq!(denied.refusal(), Refusal::Gone);
    assert!(denied.version > 0);
    // Whoever sends it again, with whatever rights, gets the recorded answer.
    assert_eq!(rig.push(request).await, denied);
    let query = SegmentQuery {
        segment_id: vec![1; 16].into(),
        session,
        push_number: 1,
        ..SegmentQuery::default()
    };
    let states = rig.double.service.segment_states(PARTITION, vec![query]).await.unwrap();
    assert!(states.records[0].writer_closed && !states.records[0].listed);
}

#[tokio::test]
async fn bad_input_054_and_079_what_a_push_leans_on_must_be_reachable() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.planner.member(id(8));
    let leaning = |number, byte: u8| UpdateRefsRequest {
        rests_on: vec![vec![byte; 20].into()],
        ..push(session, number, vec![command(MAIN, 0, 1)])
    };
    // Stored but unreachable, and stored nowhere: one text.
    let (stored, missing) = (rig.push(leaning(1, 8)).await, rig.push(leaning(2, 9)).await);
    assert_eq!(stored.refusal(), Refusal::MissingObject);
    assert_eq!(stored.message, missing.message);
    rig.planner.reachable(id(9), ObjectKind::Blob);
    assert_eq!(verdicts(&rig.push(leaning(3, 9)).await), [Refusal::None]);
}

#[tokio::test]
async fn bad_input_089_a_new_id_must_be_in_the_pack_or_reachable() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    rig.planner.member(id(8));
    let commands = vec![
        command("refs/heads/tip", 0, 1),
        command("refs/heads/member", 0, 8),
        command("refs/heads/missing", 0, 9),
    ];
    let answer = rig.push(bare(session, 2, commands)).await;
    assert_eq!(verdicts(&answer), [Refusal::None, Refusal::MissingObject, Refusal::MissingObject]);
    assert_eq!(answer.results[1].message, answer.results[2].message);
}

#[tokio::test]
async fn bad_input_090_a_branch_points_at_a_commit_and_a_tag_at_anything() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.planner.reachable(id(5), ObjectKind::Blob);
    rig.planner.tag(id(6), id(7));
    let mut request = push(
        session,
        1,
        vec![
            command("refs/heads/tree", 0, 1),
            command("refs/heads/blob", 0, 5),
            command("refs/tags/blob", 0, 5),
            command("refs/tags/outside", 0, 6),
            command("refs/tags/inside", 0, 3),
        ],
    );
    let tag = NewTarget { kind: 4, peeled: vec![4; 20].into() };
    let tree = NewTarget { kind: 2, ..NewTarget::default() };
    let outside = NewTarget::default();
    request.targets = vec![tree, outside.clone(), outside.clone(), outside, tag];
    let answer = rig.push(request).await;
    let expected = [Refusal::Kind, Refusal::Kind, Refusal::None, Refusal::None, Refusal::None];
    assert_eq!(verdicts(&answer), expected);
    let listed = rig.get(super::rig::listing(super::rig::ANN)).await.unwrap();
    let peeled: Vec<_> = listed[0].refs.iter().map(|r| r.peeled.first().copied()).collect();
    assert_eq!(peeled, [None, Some(4), Some(7)]);
}

#[tokio::test]
async fn bad_input_081_082_093_094_names_that_nobody_may_write() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    let commands = vec![
        command("HEAD", 0, 1),
        command("refs/heads/a..b", 0, 1),
        command("refs/gs/x", 0, 1),
        command("refs/replace/x", 0, 1),
        command("refs/pull/1/head", 0, 1),
        command(MAIN, 1, 0),
    ];
    let answer = rig.push(bare(session, 2, commands)).await;
    assert_eq!(verdicts(&answer), [Refusal::Policy; 6]);
    assert_eq!(rig.refs().await, [(MAIN.to_owned(), 1)]);
}

#[tokio::test]
async fn bad_input_096_ten_thousand_and_one_commands_are_refused() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let commands = |count: u32| {
        (0..count).map(|n| command(&format!("refs/tags/{n}"), 0, 1)).collect::<Vec<_>>()
    };
    let answer = rig.push(push(session, 1, commands(10_001))).await;
    assert_eq!(answer.refusal(), Refusal::Policy);
    let answer = rig.push(push(session, 2, commands(10_000))).await;
    assert!(verdicts(&answer).iter().all(|refusal| *refusal == Refusal::None));
}

#[tokio::test]
async fn bad_input_092_deleting_what_is_missing_depends_on_whether_its_old_id_is_known() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.planner.member(id(8));
    let commands = vec![
        command("refs/heads/null", 0, 0),
        command("refs/heads/known", 8, 0),
        command("refs/heads/unknown", 9, 0),
    ];
    let answer = rig.push(bare(session, 1, commands)).await;
    assert_eq!(verdicts(&answer), [Refusal::None, Refusal::Stale, Refusal::None]);
    assert!(answer.results[2].message.starts_with("warning: "));
}

#[tokio::test]
async fn gs_cp_08_forcing_the_default_branch_needs_maintain() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1), command("refs/heads/b", 0, 1)])).await;
    rig.planner.ancestor(id(1), id(2));
    let forward = by(BOB, push(session, 2, vec![command(MAIN, 1, 2)]));
    assert_eq!(verdicts(&rig.push(forward).await), [Refusal::None]);
    let forced = push(session, 3, vec![command(MAIN, 2, 3), command("refs/heads/b", 1, 3)]);
    let answer = rig.push(by(BOB, forced)).await;
    assert_eq!(verdicts(&answer), [Refusal::Denied, Refusal::None]);
    let by_ann = push(session, 4, vec![command(MAIN, 2, 3)]);
    assert_eq!(verdicts(&rig.push(by_ann).await), [Refusal::None]);
}

#[tokio::test]
async fn a_push_of_new_commits_by_an_owner_asks_nothing_of_the_history() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    rig.push(push(session, 2, vec![command(MAIN, 1, 2)])).await;
    assert_eq!(rig.planner.questions(), 0);
}

#[tokio::test]
async fn s10_a_session_is_its_frontends_own() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let stolen = push(session, 1, vec![command(MAIN, 0, 1)]);
    let refused = rig.double.service.update_refs(OTHER_NODE, stolen.clone()).await;
    assert_eq!(refused.unwrap_err().kind(), gitstratum_core::ErrorKind::Denied);
    assert_eq!(verdicts(&rig.push(stolen).await), [Refusal::None]);
}

#[tokio::test]
async fn s11_a_push_in_a_closed_session_is_unknown() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let closing = gitstratum_core::SessionId(session);
    rig.double.service.close_session(PARTITION, OTHER_NODE, closing).await.unwrap();
    let first = rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    assert_eq!(verdicts(&first), [Refusal::None]);
    rig.double.service.close_session(PARTITION, NODE, closing).await.unwrap();
    let late = rig.push(push(session, 2, vec![command(MAIN, 1, 2)])).await;
    assert_eq!(late.refusal(), Refusal::Unknown);
}

#[tokio::test]
async fn s35_a_push_to_a_repository_with_too_many_packs_waits_then_is_busy() {
    let slow = config(Duration::from_secs(3_600));
    let rig = Rig::start_with(Config { live_packs_max: 1, ..slow }).await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    let answer = rig.push(push(session, 2, vec![command(MAIN, 1, 2)])).await;
    assert_eq!(answer.refusal(), Refusal::Busy);
}

#[tokio::test]
async fn s23_a_node_that_restarted_is_asked_again() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let incarnation = gitstratum_core::Incarnation(2);
    rig.double.service.show_incarnation(PARTITION, NODE, incarnation).await.unwrap();
    let request = push(session, 1, vec![command(MAIN, 0, 1)]);
    assert_eq!(rig.push(request.clone()).await.refusal(), Refusal::UnderQuorum);
    let mut again = UpdateRefsRequest { attempt: 2, ..request };
    let mut pack = pack(1);
    pack.segments[0].incarnations = vec![2];
    again.pack = Some(pack);
    assert_eq!(verdicts(&rig.push(again).await), [Refusal::None]);
}

#[tokio::test]
async fn a_malformed_push_is_refused_and_closed() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let sha256 = |number| {
        let mut request = push(session, number, vec![command(MAIN, 0, 1)]);
        request.commands[0].new = vec![1; 32].into();
        request
    };
    assert_eq!(rig.push(sha256(1)).await.refusal(), Refusal::Policy);
    let mut no_segments = push(session, 2, vec![command(MAIN, 0, 1)]);
    no_segments.pack.as_mut().unwrap().segments.clear();
    assert_eq!(rig.push(no_segments).await.refusal(), Refusal::Policy);
    let mut odd_kind = push(session, 3, vec![command(MAIN, 0, 1)]);
    odd_kind.targets = vec![NewTarget { kind: 9, ..commit() }];
    assert_eq!(rig.push(odd_kind).await.refusal(), Refusal::Policy);
    assert!(rig.refs().await.is_empty());
}

#[tokio::test]
async fn gs_mx_08_the_metric_equals_the_refs_stored() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let commands = (0..7).map(|n| command(&format!("refs/tags/{n}"), 0, 1)).collect();
    rig.push(push(session, 1, commands)).await;
    rig.push(bare(session, 2, vec![command("refs/tags/3", 1, 0)])).await;
    let shows = |rig: &Rig, line: &str| rig.double.metrics.render().lines().any(|l| l == line);
    assert!(shows(&rig, "gitstratum_metadata_refs_total 6"));
    let rig = rig.crash().await;
    eventually(async || shows(&rig, "gitstratum_metadata_refs_total 6")).await;
}
