use gitstratum_core::Version;
use gitstratum_proto::metadata::v1::{Consistency, GetRefsRequest, GetRefsResponse};
use prost::Message;

use super::rig::{ANN, MAIN, Rig, bare, command, listing, push};

/// Bytes that a message of an answer may have, with the overhead of the last ref or pack.
const MESSAGE_MAX: usize = (1 << 20) + (64 << 10);

fn names(answers: &[GetRefsResponse]) -> Vec<String> {
    let refs = answers.iter().flat_map(|answer| &answer.refs);
    refs.map(|r| String::from_utf8_lossy(&r.name).into_owned()).collect()
}

/// The metric's lines for hits and misses.
fn cache(rig: &Rig) -> (u64, u64) {
    let page = rig.double.metrics.render();
    let value = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    (
        value("gitstratum_metadata_refs_cache_hits_total"),
        value("gitstratum_metadata_refs_cache_misses_total"),
    )
}

#[tokio::test]
async fn s51_an_empty_repository_answers_head_and_versions() {
    let rig = Rig::start().await;
    let answers = rig.get(listing(ANN)).await.unwrap();
    let [answer] = &answers[..] else { panic!("one message: {answers:?}") };
    assert_eq!((&answer.head[..], answer.object_format), (MAIN.as_bytes(), 1));
    assert!(answer.last && answer.refs.is_empty() && answer.refs_version > 0);
    assert!(!answer.refs_are_changes && !answer.packs_are_changes);
}

#[tokio::test]
async fn s31_s51_who_holds_a_version_receives_the_changes() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let commands = vec![command(MAIN, 0, 1), command("refs/heads/b", 0, 1)];
    rig.push(push(session, 1, commands)).await;
    let first = rig.get(listing(ANN)).await.unwrap().remove(0);
    assert_eq!((first.refs.len(), first.packs.len()), (2, 1));
    rig.push(push(session, 2, vec![command(MAIN, 1, 2)])).await;
    rig.push(bare(session, 3, vec![command("refs/heads/b", 1, 0)])).await;
    let held = GetRefsRequest {
        held_refs_version: first.refs_version,
        held_manifest_version: first.manifest_version,
        ..listing(ANN)
    };
    let next = rig.get(held).await.unwrap().remove(0);
    assert!(next.refs_are_changes && next.packs_are_changes);
    assert_eq!(next.refs.iter().map(|r| r.target[0]).collect::<Vec<_>>(), [2]);
    assert_eq!(next.deleted, [&b"refs/heads/b"[..]]);
    assert_eq!(next.packs.iter().map(|p| p.pack_id[0]).collect::<Vec<_>>(), [2]);
    let current = GetRefsRequest {
        held_refs_version: next.refs_version,
        held_manifest_version: next.manifest_version,
        ..listing(ANN)
    };
    let nothing = rig.get(current).await.unwrap().remove(0);
    assert!(nothing.refs.is_empty() && nothing.packs.is_empty() && nothing.last);
}

#[tokio::test]
async fn s31_a_version_never_given_out_gets_everything() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    let strange = GetRefsRequest {
        held_refs_version: 1_000_000,
        held_manifest_version: 1_000_000,
        ..listing(ANN)
    };
    let answer = rig.get(strange).await.unwrap().remove(0);
    assert!(!answer.refs_are_changes && !answer.packs_are_changes);
    assert_eq!((answer.refs.len(), answer.packs.len()), (1, 1));
}

#[tokio::test]
async fn gs_md_20_a_long_listing_comes_in_bounded_messages_of_one_version() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let mut expected = Vec::new();
    for batch in 0..4 {
        let made = (0..9_000).map(|n| format!("refs/tags/{batch}-{n:05}-{}", "x".repeat(40)));
        let made: Vec<_> = made.collect();
        let commands = made.iter().map(|name| command(name, 0, 1)).collect();
        rig.push(push(session, batch + 1, commands)).await;
        expected.extend(made);
    }
    expected.sort();
    let answer = rig.double.service.get_refs(listing(ANN)).await.unwrap();
    // A push that comes while the answer is being read does not show in it.
    rig.push(push(session, 9, vec![command("refs/tags/later", 0, 1)])).await;
    let messages: Vec<_> = answer.collect();
    assert!(messages.len() > 2);
    assert!(messages.iter().all(|message| message.encoded_len() <= MESSAGE_MAX));
    assert_eq!(messages.iter().filter(|message| message.last).count(), 1);
    assert_eq!(names(&messages), expected);
    let tail = GetRefsRequest { held_refs_version: messages[0].refs_version, ..listing(ANN) };
    assert_eq!(names(&rig.get(tail).await.unwrap()), ["refs/tags/later"]);
}

#[tokio::test]
async fn gs_md_01_refs_are_listed_in_order_whether_held_or_loaded_in_pages() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    for batch in 0..4 {
        let commands =
            (0..5_000).map(|n| command(&format!("refs/tags/{batch}-{n}"), 0, 1)).collect();
        rig.push(push(session, batch + 1, commands)).await;
    }
    let before = names(&rig.get(listing(ANN)).await.unwrap());
    assert!(before.is_sorted() && before.len() == 20_000);
    let rig = rig.crash().await;
    assert_eq!(names(&rig.get(listing(ANN)).await.unwrap()), before);
}

#[tokio::test]
async fn gs_md_08_gs_mx_10_a_listing_held_in_memory_is_a_hit_also_after_a_push() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    assert_eq!(cache(&rig), (0, 0));
    rig.get(listing(ANN)).await.unwrap();
    assert_eq!(cache(&rig), (0, 1));
    rig.push(push(session, 2, vec![command(MAIN, 1, 2)])).await;
    assert_eq!(rig.refs().await, [(MAIN.to_owned(), 2)]);
    assert_eq!(cache(&rig), (1, 1));
    let page = rig.double.metrics.render();
    assert!(page.contains("gitstratum_metadata_refs_cache_hit_ratio 0.5"), "{page}");
}

#[tokio::test]
async fn s31_prefixes_are_range_scans_and_each_ref_comes_once() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let all = ["refs/heads/a", "refs/heads/ab", "refs/heads/b", "refs/tags/a", "refs/x"];
    let commands = all.iter().map(|name| command(name, 0, 1)).collect();
    rig.push(push(session, 1, commands)).await;
    let prefixes = ["refs/tags/", "refs/heads/a", "refs/heads/ab", "refs/none"];
    let request = GetRefsRequest {
        prefixes: prefixes.iter().map(|prefix| prefix.as_bytes().to_vec().into()).collect(),
        ..listing(ANN)
    };
    let expected = ["refs/heads/a", "refs/heads/ab", "refs/tags/a"];
    assert_eq!(names(&rig.get(request.clone()).await.unwrap()), expected);
    assert_eq!(cache(&rig), (0, 0));
    // The same from a list that is held, and never as a difference.
    let whole = rig.get(listing(ANN)).await.unwrap();
    let held = GetRefsRequest { held_refs_version: whole[0].refs_version, ..request };
    let answer = rig.get(held).await.unwrap();
    assert_eq!(names(&answer), expected);
    assert!(!answer[0].refs_are_changes);
}

#[tokio::test]
async fn gs_md_27_one_and_quorum_are_chosen_by_each_call() {
    let rig = Rig::start().await;
    let session = rig.open_session().await;
    let pushed = rig.push(push(session, 1, vec![command(MAIN, 0, 1)])).await;
    for consistency in [Consistency::One, Consistency::Quorum] {
        let request = GetRefsRequest { consistency: consistency.into(), ..listing(ANN) };
        let answer = rig.get(request).await.unwrap().remove(0);
        assert!(Version(answer.refs_version) >= Version(pushed.version));
    }
}
