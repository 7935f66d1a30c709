mod double;

use std::time::Duration;

use gitstratum_core::ObjectKind;
use gitstratum_git::testing::{PackBuilder, commit, tree};
use gitstratum_proto::metadata::v1::Refusal;

use self::double::{Heard, Request, Script, Stage};
use super::*;
use crate::ingest::testing::{History, Mood, Rig, SHA1, silent_input, waiting_input};

const MAIN: &str = "refs/heads/main";

fn first_push(history: &History) -> Request {
    Request::new().create(MAIN, history.tip()).pack(history.pack())
}

/// A repository with two commits on main.
async fn grown() -> (Stage, History) {
    let (stage, history) = (Stage::new(), History::line(2));
    let (served, heard) = stage.push(first_push(&history), None).await;
    assert_eq!(heard.report, ["unpack ok", "ok refs/heads/main"]);
    assert!(served.unwrap().failure.is_none());
    stage.partition.forget();
    stage.rig.nodes.forget_calls();
    (stage, history)
}

/// One commit more on top of `held`.
fn next_push(held: &History) -> (Request, History) {
    let next = History::line(held.commits.len() + 1);
    let pack = next.pack_from(held.objects.len());
    (Request::new().update(MAIN, held.tip(), next.tip()).pack(pack), next)
}

fn failure(served: &Result<Served, Error>) -> ErrorKind {
    served.as_ref().unwrap().failure.as_ref().unwrap().kind()
}

fn missing() -> Heard {
    let ng = "ng refs/heads/main missing necessary objects".to_owned();
    Heard { report: vec!["unpack ok".to_owned(), ng], ..Heard::default() }
}

#[tokio::test]
async fn gs_fe_36_calls_of_a_push_two_of_metadata_and_owners_per_segment() {
    let (stage, history) = grown().await;
    let view = stage.partition.look();
    let (request, next) = next_push(&history);
    let (served, heard) = stage.push(request, Some(view)).await;
    assert_eq!(heard.report, ["unpack ok", "ok refs/heads/main"]);
    assert_eq!(stage.partition.get("main"), Some(next.tip()));
    let asked = stage.partition.asked();
    assert_eq!((asked.views, asked.updates.len()), (0, 1), "the advertisement was the other");
    let calls = stage.rig.nodes.calls();
    assert_eq!(calls.writes, 3, "owners of one segment");
    assert!(calls.reads <= 3, "{} look-ups", calls.reads);
    let served = served.unwrap();
    assert_eq!((served.objects, served.refs), (3, 1));
}

#[tokio::test]
async fn s13_the_entry_carries_all_that_apply_needs() {
    let (stage, history) = grown().await;
    let (request, next) = next_push(&history);
    stage.push(request, None).await.0.unwrap();
    let sent = stage.partition.asked().updates.remove(0);
    assert_eq!((sent.session, sent.push_number, sent.attempt, sent.floor), (40, 2, 1, 2));
    let pack = sent.pack.unwrap();
    assert_eq!((pack.session, pack.push_number), (40, 2));
    assert!(pack.segments.iter().all(|s| s.owners.len() == 3 && s.incarnations.len() == 3));
    assert_eq!(pack.checked_version, sent.checked_version);
    let parent = Bytes::copy_from_slice(history.tip().as_bytes());
    assert!(sent.rests_on.contains(&parent));
    assert_eq!(sent.targets.len(), 1);
    assert_eq!(sent.targets[0].kind, ObjectKind::Commit as u32);
    assert_eq!(sent.commands[0].new, next.tip().as_bytes());
    assert_eq!(sent.actor.unwrap().user_name, "ann");
}

#[tokio::test]
async fn a_client_reads_of_progress_unless_it_wants_quiet() {
    let history = History::line(2);
    let stage = Stage::new();
    let (_, heard) = stage.push(first_push(&history), None).await;
    let expected = ["Checking and storing 7 objects"];
    assert_eq!(heard.progress, expected);
    let stage = Stage::new();
    let quiet = first_push(&history).asking("report-status side-band-64k quiet");
    assert!(stage.push(quiet, None).await.1.progress.is_empty());
    let stage = Stage::new();
    let plain = first_push(&history).asking("report-status");
    let (_, heard) = stage.push(plain, None).await;
    assert_eq!(heard.report, ["unpack ok", "ok refs/heads/main"]);
}

#[tokio::test]
async fn bad_input_060_a_push_that_only_deletes_sends_no_pack() {
    let (stage, history) = grown().await;
    let delete = Request::new().delete(MAIN, history.tip());
    let waiting = waiting_input(delete.pieces());
    let (served, heard) = stage.converse(waiting, Rounds::Stateful, None).await;
    assert_eq!(heard.report, ["unpack ok", "ok refs/heads/main"]);
    assert_eq!(stage.partition.get("main"), None);
    assert_eq!(stage.rig.nodes.calls().writes, 0);
    assert!(stage.partition.asked().updates[0].pack.is_none());
    assert!(served.unwrap().failure.is_none());
}

#[tokio::test]
async fn a_ref_is_set_to_a_known_object_by_an_empty_pack() {
    let (stage, history) = grown().await;
    let empty = Bytes::from(PackBuilder::new(SHA1).build());
    let request = Request::new().create("refs/heads/other", history.commits[0]).pack(empty);
    let (_, heard) = stage.push(request, None).await;
    assert_eq!(heard.report, ["unpack ok", "ok refs/heads/other"]);
    let sent = stage.partition.asked().updates.remove(0);
    assert!(sent.pack.is_none() && sent.targets[0].kind == 0);
    assert_eq!(stage.rig.nodes.calls().writes, 0);
}

#[tokio::test]
async fn bad_input_040_to_058_a_bad_pack_fails_every_ref_and_leaves_nothing() {
    let stage = Stage::new();
    let history = History::line(1);
    let mut pack = history.pack().to_vec();
    *pack.last_mut().unwrap() ^= 1;
    let request = first_push(&history).create("refs/heads/b", history.tip()).pack(pack.into());
    let (served, heard) = stage.push(request, None).await;
    assert!(heard.report[0].starts_with("unpack pack checksum is"), "{heard:?}");
    let each = ["ng refs/heads/main unpacker error", "ng refs/heads/b unpacker error"];
    assert_eq!(heard.report[1..], each);
    assert_eq!(failure(&served), ErrorKind::Invalid);
    assert!(stage.partition.asked().updates.is_empty());
    assert_eq!(stage.rig.nodes.calls().writes, 0);
}

#[tokio::test]
async fn a_client_that_goes_on_sending_a_bad_pack_gets_its_report() {
    let stage = Stage::new();
    let history = History::line(1);
    let mut pack = history.pack().to_vec();
    pack[0] ^= 1;
    pack.extend(std::iter::repeat_n(0, 1024 * 1024));
    let (_, heard) = stage.push(first_push(&history).pack(pack.into()), None).await;
    assert!(heard.report[0].starts_with("unpack not a pack"), "{heard:?}");
}

#[tokio::test]
async fn bad_input_053_054_and_075_missing_and_unreachable_look_the_same() {
    let (stage, history) = grown().await;
    let (request, _) = next_push(&history);
    let empty = Stage::new();
    let (served, mut not_there) = empty.push(request.clone(), None).await;
    assert_eq!(failure(&served), ErrorKind::Invalid);
    stage.partition.answer([Script::Refuse(Refusal::MissingObject)]);
    let (served, mut not_reachable) = stage.push(request, None).await;
    assert_eq!(failure(&served), ErrorKind::Invalid);
    not_there.progress.clear();
    not_reachable.progress.clear();
    assert_eq!(not_there, missing());
    assert_eq!(not_reachable, missing());
}

#[tokio::test]
async fn bad_input_063_a_rule_that_is_broken_is_named() {
    let mut history = History::default();
    let blob = history.add(ObjectKind::Blob, b"x".to_vec());
    let root = history.add(ObjectKind::Tree, tree(&[("100644", b".git", blob)]));
    let tip = history.add(ObjectKind::Commit, commit(&root, &[], "bad\n"));
    history.commits.push(tip);
    let (_, heard) = Stage::new().push(first_push(&history), None).await;
    assert!(heard.report[0].contains("hasDotgit"), "{heard:?}");
}

#[tokio::test]
async fn bad_input_081_to_094_bad_names_are_refused_and_good_ones_go_on() {
    let stage = Stage::new();
    let history = History::line(1);
    let request = Request::new()
        .create("refs/heads/a..b", history.tip())
        .create(MAIN, history.tip())
        .create("refs/gs/secret", history.tip())
        .create("HEAD", history.tip())
        .pack(history.pack());
    let (_, heard) = stage.push(request, None).await;
    let expected = [
        "unpack ok",
        "ng refs/heads/a..b funny refname: contains .. or @{",
        "ok refs/heads/main",
        "ng refs/gs/secret deny updating a hidden ref",
        "ng HEAD funny refname: not under refs/",
    ];
    assert_eq!(heard.report, expected);
    assert_eq!(stage.partition.asked().updates[0].commands.len(), 1);
}

#[tokio::test]
async fn bad_input_091_and_095_refused_whole_nothing_is_sent() {
    let history = History::line(1);
    let twice = first_push(&history).create(MAIN, history.tip());
    let stage = Stage::new();
    let (_, heard) = stage.push(twice, None).await;
    let ng = "ng refs/heads/main the same ref is named twice";
    assert_eq!(heard.report, ["unpack ok", ng, ng]);
    let atomic = first_push(&history)
        .create("refs/gs/x", history.tip())
        .asking("report-status side-band-64k atomic");
    let (_, heard) = stage.push(atomic, None).await;
    let expected = [
        "unpack ok",
        "ng refs/heads/main atomic push failure",
        "ng refs/gs/x deny updating a hidden ref",
    ];
    assert_eq!(heard.report, expected);
    assert!(stage.partition.asked().updates.is_empty());
}

#[tokio::test]
async fn bad_input_088_a_stale_ref_is_refused_without_where_it_is() {
    let (stage, history) = grown().await;
    let request = Request::new().update(MAIN, history.commits[0], history.tip());
    let empty = Bytes::from(PackBuilder::new(SHA1).build());
    let (served, heard) = stage.push(request.pack(empty), None).await;
    assert_eq!(heard.report, ["unpack ok", "ng refs/heads/main fetch first"]);
    assert_eq!(failure(&served), ErrorKind::Conflict);
}

#[tokio::test]
async fn bad_input_086_a_case_twin_is_told() {
    let (stage, history) = grown().await;
    let empty = Bytes::from(PackBuilder::new(SHA1).build());
    let request = Request::new().create("refs/heads/Main", history.tip()).pack(empty);
    let (_, heard) = stage.push(request, None).await;
    assert!(heard.progress.iter().any(|line| line.contains("differ only by case")), "{heard:?}");
}

#[tokio::test]
async fn s15_a_push_whose_ground_moved_is_checked_again_and_sent_again() {
    let (stage, history) = grown().await;
    let (request, next) = next_push(&history);
    stage.partition.answer([Script::Refuse(Refusal::DropCounter)]);
    let (_, heard) = stage.push(request, None).await;
    assert_eq!(heard.report, ["unpack ok", "ok refs/heads/main"]);
    let sent = stage.partition.asked().updates;
    let tries: Vec<_> = sent.iter().map(|each| (each.push_number, each.attempt)).collect();
    assert_eq!(tries, [(2, 1), (2, 2)]);
    assert!(sent[1].checked_version > sent[0].checked_version);
    assert_eq!(sent[0].pack.as_ref().unwrap().segments, sent[1].pack.as_ref().unwrap().segments);
    assert_eq!(stage.partition.get("main"), Some(next.tip()));
    assert_eq!(stage.rig.nodes.calls().writes, 3, "nothing was stored twice");
}

#[tokio::test]
async fn s15_what_a_push_rests_on_is_looked_for_again() {
    let (stage, history) = grown().await;
    let (request, _) = next_push(&history);
    stage.partition.answer([Script::LosePacks]);
    let (_, mut heard) = stage.push(request, None).await;
    heard.progress.clear();
    assert_eq!(heard, missing());
}

#[tokio::test]
async fn s15_a_push_is_not_sent_for_ever() {
    let (stage, history) = grown().await;
    stage.partition.answer(vec![Script::Refuse(Refusal::DropCounter); 20]);
    let (served, heard) = stage.push(next_push(&history).0, None).await;
    assert_eq!(failure(&served), ErrorKind::Busy);
    assert!(heard.report[1].contains("changes too fast"), "{heard:?}");
    assert_eq!(stage.partition.asked().updates.len(), 6);
}

#[tokio::test]
async fn s20_a_push_whose_copies_are_too_few_is_stored_again() {
    let (stage, history) = grown().await;
    stage.partition.answer([Script::Refuse(Refusal::UnderQuorum)]);
    let (_, heard) = stage.push(next_push(&history).0, None).await;
    assert_eq!(heard.report[1], "ok refs/heads/main");
    let sent = stage.partition.asked().updates;
    assert_eq!((sent[1].push_number, sent[1].attempt), (2, 2));
    assert_eq!(stage.rig.nodes.calls().writes, 6);
    assert_ne!(sent[0].pack.as_ref().unwrap().pack_id, sent[1].pack.as_ref().unwrap().pack_id);
}

#[tokio::test]
async fn s8_what_is_stored_and_unreachable_is_answered_by_the_new_pack() {
    let (stage, history) = grown().await;
    stage.partition.answer([Script::Refuse(Refusal::MissingObject)]);
    let again = Request::new().create("refs/heads/again", history.tip()).pack(history.pack());
    let (_, heard) = stage.push(again, None).await;
    assert_eq!(heard.report, ["unpack ok", "ok refs/heads/again"]);
    let sent = stage.partition.asked().updates;
    let tries: Vec<_> = sent.iter().map(|each| (each.push_number, each.attempt)).collect();
    assert_eq!(tries, [(2, 1), (3, 1)], "a denial closes the number");
    let (first, second) = (sent[0].pack.as_ref().unwrap(), sent[1].pack.as_ref().unwrap());
    assert_eq!((first.shadowed_count, second.shadowed_count), (7, 0));
    assert_eq!((sent[0].rests_on.len(), sent[1].rests_on.len()), (7, 0));
    assert_eq!((first.overlaps.len(), second.overlaps.len()), (0, 1));
    assert_eq!(second.push_number, 3);
}

#[tokio::test]
async fn s11_an_unknown_outcome_is_no_refusal() {
    for script in [Script::Silence, Script::Refuse(Refusal::Unknown)] {
        let (stage, history) = grown().await;
        stage.partition.answer([script]);
        let (served, heard) = stage.push(next_push(&history).0, None).await;
        assert!(heard.report.is_empty(), "{heard:?}");
        assert!(heard.fatal.unwrap().contains("unknown"));
        assert_eq!(failure(&served), ErrorKind::Unavailable);
        assert_eq!(stage.partition.asked().updates.len(), 1, "nothing is sent again");
        tokio::task::yield_now().await;
        assert!(stage.rig.nodes.calls().given_up.is_empty(), "it may be listed");
    }
}

#[tokio::test]
async fn s51_a_held_view_that_is_too_old_is_renewed_once() {
    let (stage, history) = grown().await;
    let old = crate::ingest::testing::view(0, Vec::new());
    let (_, heard) = stage.push(next_push(&history).0, Some(old)).await;
    assert_eq!(heard.report, ["unpack ok", "ok refs/heads/main"]);
    assert_eq!(stage.partition.asked().views, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_takes_its_push_along() {
    let stage = Stage::new();
    for node in 1..=3 {
        stage.rig.nodes.set_mood(node, Mood::Hangs);
    }
    let history = History::line(1);
    let input = crate::ingest::testing::input_of(first_push(&history).pieces());
    let serving = stage.converse(input, Rounds::Stateless, None);
    assert!(tokio::time::timeout(Duration::from_secs(1), serving).await.is_err());
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.rig.nodes.calls().given_up.len(), 3);
    assert!(stage.rig.is_free());
}

#[tokio::test(start_paused = true)]
async fn below_write_quorum_a_push_is_refused_and_given_up() {
    let stage = Stage::new();
    for node in 1..=2 {
        stage.rig.nodes.set_mood(node, Mood::Refuses(ErrorKind::Unavailable));
    }
    let (served, heard) = stage.push(first_push(&History::line(1)), None).await;
    assert!(heard.report[0].contains("cannot store enough copies"), "{heard:?}");
    assert_eq!(heard.report[1], "ng refs/heads/main unpacker error");
    assert_eq!(failure(&served), ErrorKind::Unavailable);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!stage.rig.nodes.calls().given_up.is_empty());
    assert!(stage.partition.asked().updates.is_empty());
}

#[tokio::test]
async fn bad_input_061_a_silent_client_is_its_carriers() {
    let stage = Stage::new();
    let mut pieces = first_push(&History::line(1)).pieces();
    let last = pieces.pop().unwrap();
    pieces.push(last.slice(..last.len() - 30));
    let input = silent_input(pieces, Duration::from_millis(200));
    let (served, heard) = stage.converse(input, Rounds::Stateful, None).await;
    assert!(served.unwrap_err().is_idle());
    assert_eq!(heard, Heard::default());
}

#[tokio::test]
async fn a_client_that_only_tries_hears_nothing() {
    let stage = Stage::new();
    let (served, heard) = stage.push(Request::new(), None).await;
    assert!(served.unwrap().failure.is_none());
    assert_eq!(heard, Heard::default());
}

#[tokio::test]
async fn push_options_reach_the_leader() {
    let stage = Stage::on(Rig::new());
    let history = History::line(1);
    let line = format!(
        "{} {} {MAIN}\0report-status side-band-64k push-options",
        ObjectId::null(SHA1),
        history.tip()
    );
    let text = format!("{:04x}{line}0000000bci.skip0000", line.len() + 4);
    let input = crate::ingest::testing::input_of(vec![text.into(), history.pack()]);
    stage.converse(input, Rounds::Stateless, None).await.0.unwrap();
    assert_eq!(stage.partition.asked().updates[0].push_options, ["ci.skip"]);
}
