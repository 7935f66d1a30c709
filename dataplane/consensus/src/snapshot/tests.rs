use gitstratum_store::{Batch, Durability, KeyRange, MemoryEngine};

use super::*;
use crate::error::Error;
use crate::host::families;
use crate::meta::{META, Record};
use crate::seal;

const GROUP: GroupId = GroupId(5);

fn put_state(engine: &MemoryEngine, generation: u64, rows: u32) {
    let mut batch = Batch::new();
    let prefix = meta::state_prefix(GROUP, generation);
    for number in 0..rows {
        let key = [&prefix[..], &number.to_be_bytes()].concat();
        batch.put(STATE, key, vec![number as u8; 100]);
    }
    let position = wire::Position { generation, ..wire::Position::default() };
    let key = Record::Position.key(GROUP);
    batch.put(META, key.clone(), seal::seal(&key, &position));
    engine.write(batch, Durability::Buffered).unwrap();
}

async fn chunks(engine: Arc<MemoryEngine>) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    let mut stream = stream(Source { group: GROUP, engine, chunk_bytes: 1_000 });
    while let Some(chunk) = stream.recv().await {
        chunks.push(chunk.unwrap());
    }
    chunks
}

fn take(engine: &Arc<MemoryEngine>, chunks: &[Bytes]) -> Result<Option<Received>, Error> {
    let mut receiver = Receiver::new(GROUP, Arc::clone(engine) as Arc<dyn Engine>, 9);
    let mut last = None;
    for chunk in chunks {
        last = receiver.take(chunk)?;
    }
    Ok(last)
}

#[tokio::test]
async fn s40_gs_md_15_a_snapshot_arrives_as_it_was_when_it_was_begun() {
    let engine = MemoryEngine::new(&families());
    put_state(&engine, 2, 50);
    let mut stream = stream(Source { group: GROUP, engine: engine.clone(), chunk_bytes: 1_000 });
    let mut sent = vec![stream.recv().await.unwrap().unwrap()];
    put_state(&engine, 2, 60);
    while let Some(chunk) = stream.recv().await {
        sent.push(chunk.unwrap());
    }
    assert!(sent.len() > 5, "rows come in several chunks");
    let peer = MemoryEngine::new(&families());
    let received = take(&peer, &sent).unwrap().unwrap();
    assert_eq!(received.generation, 9);
    let rows = |engine: &MemoryEngine, generation| {
        let range = KeyRange::prefix(meta::state_prefix(GROUP, generation));
        let rows = engine.scan(STATE, &range, 1_000).unwrap();
        rows.into_iter().map(|(key, value)| (key.slice(16..), value)).collect::<Vec<_>>()
    };
    assert_eq!(rows(&peer, 9).len(), 50);
    assert_eq!(rows(&peer, 9)[..], rows(&engine, 2)[..50]);
}

#[tokio::test]
async fn bad_input_158_a_damaged_or_cut_snapshot_is_refused() {
    let engine = MemoryEngine::new(&families());
    put_state(&engine, 2, 50);
    let good = chunks(engine).await;
    let peer = MemoryEngine::new(&families());
    for place in 0..good.len() {
        let mut flipped = good.clone();
        let mut bytes = flipped[place].to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        flipped[place] = bytes.into();
        assert!(matches!(take(&peer, &flipped), Err(Error::Snapshot { .. })), "{place}");
        let mut without = good.clone();
        without.remove(place);
        let is_last = place == good.len() - 1;
        assert_eq!(take(&peer, &without).is_ok_and(|end| end.is_none()), is_last, "{place}");
    }
    let mut swapped = good.clone();
    swapped.swap(1, 2);
    assert!(matches!(take(&peer, &swapped), Err(Error::Snapshot { .. })));
    let mut newer = good;
    let mut bytes = newer[0].to_vec();
    bytes[0] = 2;
    newer[0] = bytes.into();
    let error = take(&peer, &newer).err().unwrap();
    assert!(error.to_string().contains("version 2 is newer"), "{error}");
}

#[tokio::test]
async fn a_chunk_with_a_sound_checksum_and_wrong_rows_is_refused_at_the_end() {
    let engine = MemoryEngine::new(&families());
    put_state(&engine, 2, 50);
    let mut sent = chunks(engine).await;
    let mut chunk: wire::Chunk = seal::open(&place(GROUP, 1), &sent[1]).unwrap();
    chunk.rows.pop();
    sent[1] = seal::seal(&place(GROUP, 1), &chunk);
    let peer = MemoryEngine::new(&families());
    assert!(matches!(take(&peer, &sent), Err(Error::Snapshot { .. })));
}

#[tokio::test]
async fn a_given_up_snapshot_leaves_no_rows() {
    let engine = MemoryEngine::new(&families());
    put_state(&engine, 2, 50);
    let sent = chunks(engine).await;
    let peer = MemoryEngine::new(&families());
    put_state(&peer, 8, 3);
    let mut receiver = Receiver::new(GROUP, peer.clone(), 9);
    for chunk in &sent[..3] {
        receiver.take(chunk).unwrap();
    }
    assert!(peer.scan(STATE, &KeyRange::all(), 100).unwrap().len() > 3);
    receiver.discard().unwrap();
    assert_eq!(peer.scan(STATE, &KeyRange::all(), 100).unwrap().len(), 3);
}
