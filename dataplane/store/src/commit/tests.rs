use std::sync::Arc;

use gitstratum_core::SystemClock;

use super::*;
use crate::engine::{Family, KeyRange, Reader};
use crate::testing::{Event, RecordingEngine};
use crate::{Fault, FaultyEngine, MemoryEngine};

const ROWS: Family = Family("rows");

fn put(key: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(ROWS, key.to_be_bytes().to_vec(), "value");
    batch
}

fn start(engine: Arc<dyn Engine>) -> Arc<Committer> {
    Committer::start(engine, SystemClock::new(), Config::default()).unwrap()
}

#[tokio::test]
async fn s13_an_answer_follows_the_sync_of_its_batch() {
    let engine = RecordingEngine::new(MemoryEngine::new(&[ROWS]));
    let committer = start(engine.clone());
    committer.commit(put(1), Durability::Synced).await.unwrap();
    assert_eq!(engine.events(), [Event::Write(vec![ROWS]), Event::Sync]);
    committer.commit(put(2), Durability::Buffered).await.unwrap();
    assert_eq!(engine.events().len(), 3, "a buffered batch is not synced");
    assert_eq!(committer.stats().syncs_total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_batches_share_syncs_and_keep_their_order() {
    const WRITERS: u64 = 64;
    let memory = MemoryEngine::new(&[ROWS]);
    let engine = RecordingEngine::new(memory.clone());
    // The first sync waits until all others are queued, so what follows is one group.
    let gate = engine.hold_syncs();
    let committer = start(engine.clone());
    let mut tasks = tokio::task::JoinSet::new();
    for key in 0..WRITERS {
        let committer = Arc::clone(&committer);
        tasks.spawn(async move { committer.commit(put(key), Durability::Synced).await });
    }
    while committer.stats().waiting + committer.stats().batches_total < WRITERS {
        tokio::task::yield_now().await;
    }
    drop(gate);
    while let Some(result) = tasks.join_next().await {
        result.unwrap().unwrap();
    }
    assert!(committer.stats().syncs_total <= WRITERS / 2, "fewer than 0.5 syncs an answer");
    let after = memory.crash();
    assert_eq!(after.scan(ROWS, &KeyRange::all(), 1_000).unwrap().len() as u64, WRITERS);
}

#[tokio::test]
async fn p_d5_after_a_failed_sync_nothing_is_acknowledged() {
    let engine = FaultyEngine::new(MemoryEngine::new(&[ROWS]));
    engine.fail_sync(2, Fault::Io);
    let committer = start(engine);
    committer.commit(put(1), Durability::Synced).await.unwrap();
    assert!(committer.commit(put(2), Durability::Synced).await.is_err());
    let refused = committer.commit(put(3), Durability::Synced).await;
    assert!(matches!(refused, Err(Error::Engine(engine::Error::Poisoned { .. }))));
    assert!(committer.commit(put(4), Durability::Buffered).await.is_err());
}

#[tokio::test]
async fn a_stopped_committer_has_written_what_it_took() {
    let memory = MemoryEngine::new(&[ROWS]);
    let committer = start(memory.clone());
    let done: Done = Box::new(|_| {});
    committer.submit(&Lane::default(), put(1), Durability::Synced, done).await.unwrap();
    committer.stop();
    assert!(matches!(committer.commit(put(2), Durability::Synced).await, Err(Error::Stopped)));
    assert_eq!(memory.crash().scan(ROWS, &KeyRange::all(), 10).unwrap().len(), 1);
}

#[tokio::test]
async fn p_d6_behind_a_batch_that_failed_none_of_its_lane_is_written() {
    let memory = MemoryEngine::new(&[ROWS]);
    let engine = FaultyEngine::new(memory.clone());
    let committer = start(engine.clone());
    let (log, other) = (Lane::default(), Lane::default());
    committer.commit_in(&log, put(1), Durability::Synced).await.unwrap();
    engine.fail_write(1, Fault::Full);
    assert!(committer.commit_in(&log, put(2), Durability::Synced).await.is_err());
    // The disk has room again.
    let behind = committer.commit_in(&log, put(3), Durability::Synced).await;
    assert!(matches!(behind, Err(Error::Earlier)), "{behind:?}");
    committer.commit_in(&other, put(4), Durability::Synced).await.unwrap();
    let rows = memory.scan(ROWS, &KeyRange::all(), 10).unwrap();
    assert_eq!(rows.len(), 2, "entries 1 and 4");
}
