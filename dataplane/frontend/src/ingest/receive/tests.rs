use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use gitstratum_core::{ErrorKind, ManualClock, ObjectFormat, ObjectId, ObjectKind, UnixMillis};
use gitstratum_git::testing::{PackBuilder, Trailer, empty_stored_blocks};
use proptest::prelude::*;

use super::*;
use crate::ingest::testing::{History, Rig, SHA1, input_of, silent_input, waiting_input};

async fn take(rig: &Rig, pack: Bytes) -> Result<Received, Error> {
    take_from(rig, &mut input_of(vec![pack]), Rounds::Stateless).await
}

async fn take_from(rig: &Rig, input: &mut Input, rounds: Rounds) -> Result<Received, Error> {
    let total = rig.context.config.push_memory_bytes_max;
    let mut memory = Memory::new(rig.context.memory_budget.clone(), total);
    let incoming = Incoming { input, first: Bytes::new(), rounds };
    receive(&rig.context, incoming, SHA1, &mut memory).await
}

/// The words that refuse a pack, once everything that it took is free again.
async fn refusal(rig: &Rig, pack: Vec<u8>) -> String {
    let error = match take(rig, pack.into()).await {
        Ok(_) => panic!("the pack was taken"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    wait_until_free(rig).await;
    error.words()
}

/// The scanner's thread lets go of the spool a moment after the push has failed.
async fn wait_until_free(rig: &Rig) {
    for _ in 0..1_000 {
        if rig.is_free() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a failed push holds disk or memory");
}

fn empty() -> PackBuilder {
    PackBuilder::new(SHA1)
}

fn blob(content: &[u8]) -> PackBuilder {
    empty().object(ObjectKind::Blob, content)
}

#[tokio::test]
async fn gs_fe_08_a_pack_is_spooled_as_it_came() {
    let rig = Rig::new();
    let pack = History::line(3).pack();
    let taken = take(&rig, pack.clone()).await.unwrap();
    assert_eq!(taken.scanned.entries.len(), 10);
    let mut spooled = vec![0; pack.len()];
    taken.spool.read_at(0, &mut spooled).unwrap();
    assert_eq!(spooled, pack);
    drop(taken);
    wait_until_free(&rig).await;
}

#[tokio::test]
async fn a_client_that_waits_for_its_report_does_not_keep_the_pack_from_ending() {
    let rig = Rig::new();
    let mut input = waiting_input(vec![History::line(1).pack()]);
    assert!(take_from(&rig, &mut input, Rounds::Stateful).await.is_ok());
}

#[tokio::test]
async fn bad_input_040_to_043_headers_that_are_none_are_refused() {
    let rig = Rig::new();
    assert!(refusal(&rig, blob(b"x").magic(*b"PUCK").build()).await.contains("not a pack"));
    assert!(refusal(&rig, blob(b"x").version(9).build()).await.contains("version 9"));
    refusal(&rig, blob(b"x").count(2).build()).await;
    refusal(&rig, blob(b"x").object(ObjectKind::Blob, b"y").count(1).build()).await;
    let limit = refusal(&rig, empty().count(u32::MAX).build()).await;
    assert!(limit.contains("4294967295 objects, the limit is 4000000"), "{limit}");
    for kind in [0_u8, 5] {
        let words = refusal(&rig, empty().raw(vec![kind << 4], vec![0; 9]).build()).await;
        assert!(words.contains(&format!("object type {kind} does not exist")), "{words}");
    }
}

#[tokio::test]
async fn bad_input_044_and_045_sizes_that_lie_are_refused() {
    let rig = Rig::new();
    let body = gitstratum_git::testing::deflate(b"tiny");
    for size in [1 << 60, 5, 3] {
        refusal(&rig, empty().object_claiming(ObjectKind::Blob, size, body.clone()).build()).await;
    }
}

#[tokio::test]
async fn bad_input_047_stored_blocks_of_nothing_are_valid_and_a_bad_sum_is_not() {
    let rig = Rig::new();
    let nothing = empty().object_claiming(ObjectKind::Blob, 0, empty_stored_blocks(1_000));
    assert!(take(&rig, nothing.build().into()).await.is_ok());
    let mut body = gitstratum_git::testing::deflate(b"four");
    *body.last_mut().unwrap() ^= 1;
    refusal(&rig, empty().object_claiming(ObjectKind::Blob, 4, body).build()).await;
}

#[tokio::test]
async fn bad_input_048_distances_to_no_entry_are_refused() {
    let rig = Rig::new();
    for distance in [1, 7, 1_000_000] {
        let words = refusal(&rig, blob(b"base").ofs_delta_at(distance, b"\x04\x04").build()).await;
        assert!(words.contains("has no base"), "{words}");
    }
}

#[tokio::test]
async fn bad_input_058_wrong_trailers_and_trailing_bytes_are_refused() {
    let rig = Rig::new();
    assert!(refusal(&rig, blob(b"x").trailer(Trailer::Wrong).build()).await.contains("checksum"));
    refusal(&rig, blob(b"x").trailer(Trailer::Missing).build()).await;
    assert!(refusal(&rig, blob(b"x").trailing(b"!").build()).await.contains("trailing"));
    let apart = vec![Bytes::from(blob(b"x").build()), Bytes::from_static(b"!")];
    let error = take_from(&rig, &mut input_of(apart), Rounds::Stateless).await.err().unwrap();
    assert!(error.words().contains("trailing"));
}

#[tokio::test]
async fn bad_input_059_and_080_limits_hold_one_below_at_and_one_above() {
    let rig = Rig::with(|config| (config.objects_max, config.object_bytes_max) = (4, 100));
    let many = |count| {
        (0..count).fold(empty(), |pack, n: u32| pack.object(ObjectKind::Blob, &n.to_be_bytes()))
    };
    for count in [3, 4] {
        assert!(take(&rig, many(count).build().into()).await.is_ok());
    }
    assert!(refusal(&rig, many(5).build()).await.contains("the limit is 4"));
    for size in [99, 100] {
        assert!(take(&rig, blob(&vec![7; size]).build().into()).await.is_ok());
    }
    let words = refusal(&rig, blob(&[7; 101]).build()).await;
    assert!(words.contains("object at 12 has 101 bytes, the limit is 100"), "{words}");
}

#[tokio::test]
async fn a_pack_has_its_limit_of_bytes() {
    let pack = History::line(2).pack();
    for (limit, is_taken) in [(pack.len() - 1, false), (pack.len(), true), (pack.len() + 1, true)] {
        let rig = Rig::with(|config| config.pack_bytes_max = limit as u64);
        assert_eq!(take(&rig, pack.clone()).await.is_ok(), is_taken, "{limit}");
    }
}

#[tokio::test]
async fn bad_input_060_a_push_that_creates_and_sends_no_pack_is_refused() {
    let rig = Rig::new();
    assert!(refusal(&rig, Vec::new()).await.contains("unfinished pack header"));
}

#[tokio::test]
async fn bad_input_061_a_stream_that_stalls_is_cut_and_leaves_nothing() {
    let rig = Rig::new();
    let pack = History::line(3).pack();
    let most = pack.slice(..pack.len() * 99 / 100);
    let mut input = silent_input(vec![most], Duration::from_millis(200));
    let error = take_from(&rig, &mut input, Rounds::Stateful).await;
    assert!(matches!(error.err(), Some(Error::Input { .. })));
    wait_until_free(&rig).await;
    assert_eq!(std::fs::read_dir(rig.folder.path()).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn gs_fe_08_a_client_may_compress_for_minutes_before_its_pack() {
    let clock = ManualClock::new(UnixMillis(0));
    let late = || {
        let pause = tokio::time::sleep(Duration::from_secs(300));
        futures::stream::once(async move {
            pause.await;
            Ok(Bytes::from_static(b"PACK"))
        })
    };
    let idle = Duration::from_secs(60);
    let mut input = Input::new(late().boxed(), idle, u64::MAX);
    assert_eq!(begin(&mut input, clock.as_ref()).await.unwrap(), "PACK");
    // As long as that and no longer.
    let mut input = Input::new(late().boxed(), idle, u64::MAX);
    let waiting = begin(&mut input, clock.as_ref());
    let much_later = async {
        tokio::time::sleep(idle / 2).await;
        clock.advance(BEGINS_WITHIN);
    };
    let (ended, ()) = tokio::join!(waiting, much_later);
    assert!(matches!(ended, Err(Error::Input { .. })));
}

#[test]
fn bad_input_061_a_client_that_drips_is_too_slow() {
    let clock = ManualClock::new(UnixMillis(0));
    let mut pace = Pace::new(clock.clone());
    let span = |pace: &mut Pace, bytes| {
        clock.advance(PACE_SPAN);
        pace.note(bytes)
    };
    span(&mut pace, 30 * 1024 + 1).unwrap();
    span(&mut pace, 30 * 1024).unwrap();
    assert!(matches!(span(&mut pace, 30 * 1024 - 1), Err(Error::TooSlow { .. })));
}

#[test]
fn a_client_that_compresses_before_it_sends_is_not_too_slow() {
    let clock = ManualClock::new(UnixMillis(0));
    let mut pace = Pace::new(clock.clone());
    clock.advance(PACE_SPAN * 2);
    pace.note(12).unwrap();
    clock.advance(PACE_SPAN);
    assert!(matches!(pace.note(1), Err(Error::TooSlow { .. })));
}

#[tokio::test]
async fn bad_input_062_a_push_without_spool_space_gets_busy_within_its_wait() {
    let rig = Rig::with(|config| config.budget_wait = Duration::from_millis(100));
    let _others = rig.context.spool_budget.reserve(128 * 1024 * 1024).await.unwrap();
    let taking = take(&rig, History::line(1).pack());
    let error = tokio::time::timeout(Duration::from_secs(1), taking).await.unwrap().err();
    assert_eq!(error.unwrap().kind(), ErrorKind::Busy);
}

#[tokio::test]
async fn a_spooled_pack_is_scanned_again_alike() {
    let rig = Rig::new();
    let pack = History::line(4).pack();
    let Received { spool, scanned } = take(&rig, pack.clone()).await.unwrap();
    let again = rescan(&spool, scanned.pack_len, SHA1, rig.context.limits()).unwrap();
    assert_eq!(again.trailer, scanned.trailer);
    assert_eq!(again.entries.len(), scanned.entries.len());
}

#[tokio::test]
async fn a_pack_of_the_other_format_is_refused() {
    let rig = Rig::new();
    let base = ObjectId::from_bytes(ObjectFormat::Sha256, &[1; 32]).unwrap();
    let pack = PackBuilder::new(ObjectFormat::Sha256).ref_delta(base, b"\x01\x01\x01x");
    refusal(&rig, pack.build()).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_pack_cut_into_any_pieces_is_the_same_pack(
        cuts in proptest::collection::vec(1_usize..200, 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new();
            let mut rest = History::line(5).pack();
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(rest.split_to(cut.min(rest.len())));
            }
            pieces.push(rest);
            let mut input = input_of(pieces);
            let taken = take_from(&rig, &mut input, Rounds::Stateless).await.unwrap();
            assert_eq!(taken.scanned.entries.len(), 16);
        });
    }
}
