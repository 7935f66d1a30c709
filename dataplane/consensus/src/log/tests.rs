use gitstratum_core::SystemClock;
use gitstratum_store::{Durability, MemoryEngine};
use openraft::EntryPayload;
use openraft::vote::leader_id_std::CommittedLeaderId;

use openraft::storage::{IOFlushed, RaftLogReader as _, RaftLogStorage as _};

use super::storage::READ_BYTES_MAX;
use super::*;
use crate::command::Opaque;
use crate::host::families;
use crate::meta::META;
use crate::raft::Types;

const GROUP: GroupId = GroupId(3);

fn id(term: u64, index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId::new(term), index }
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    Entry::new(id(term, index), EntryPayload::Normal(Opaque(vec![7; bytes].into())))
}

fn open(engine: &Arc<MemoryEngine>) -> Result<LogStore, Error> {
    let engine: Arc<dyn Engine> = Arc::clone(engine) as Arc<dyn Engine>;
    LogStore::open(Context {
        replica: 1,
        group: GROUP,
        engine: Arc::clone(&engine),
        committer: Committer::start(engine, SystemClock::new(), Default::default()).unwrap(),
        failure: Failure::default(),
    })
}

async fn append(log: &mut LogStore, entries: Vec<Entry>) {
    use openraft::type_config::TypeConfigExt as _;
    let (sender, synced) = Types::oneshot();
    log.append(entries, IOFlushed::signal(sender)).await.unwrap();
    synced.await.unwrap().unwrap();
}

async fn indexes(log: &mut LogStore) -> Vec<(u64, u64)> {
    let entries = log.try_get_log_entries(..).await.unwrap();
    entries.iter().map(|entry| (entry.log_id.leader_id.term, entry.log_id.index)).collect()
}

#[tokio::test]
async fn gs_cp_27_vote_and_log_survive_a_power_cut() {
    let engine = MemoryEngine::new(&families());
    let mut log = open(&engine).unwrap();
    log.save_vote(&Vote::new_committed(4, 1)).await.unwrap();
    append(&mut log, (0..5).map(|index| entry(4, index, 100)).collect()).await;
    log.save_committed(Some(id(4, 3))).await.unwrap();
    append(&mut log, vec![entry(4, 5, 100)]).await;
    let length = log.length();
    let mut log = open(&engine.crash()).unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(4, 1)));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(4, 3)));
    assert_eq!(indexes(&mut log).await.len(), 6);
    assert_eq!(log.length(), length);
}

#[tokio::test]
async fn a_cut_log_takes_other_entries_at_the_same_indexes() {
    let engine = MemoryEngine::new(&families());
    let mut log = open(&engine).unwrap();
    append(&mut log, (0..4).map(|index| entry(1, index, 100)).collect()).await;
    log.truncate_after(Some(id(1, 1))).await.unwrap();
    assert_eq!(indexes(&mut log).await, [(1, 0), (1, 1)]);
    append(&mut log, vec![entry(2, 2, 100)]).await;
    assert_eq!(indexes(&mut log).await, [(1, 0), (1, 1), (2, 2)]);
    let mut log = open(&engine.crash()).unwrap();
    assert_eq!(indexes(&mut log).await, [(1, 0), (1, 1), (2, 2)]);
}

#[tokio::test]
async fn gs_cp_25_length_counts_what_the_log_holds_and_purging_shortens_it() {
    let engine = MemoryEngine::new(&families());
    let mut log = open(&engine).unwrap();
    append(&mut log, (0..10).map(|index| entry(1, index, 1_000)).collect()).await;
    let before = log.length();
    assert_eq!(before.entries, 10);
    assert!((10_000..11_000).contains(&before.bytes), "{}", before.bytes);
    let few = Length { entries: 3, bytes: u64::MAX };
    assert_eq!(log.purge_point(few), Some(6));
    let small = Length { entries: u64::MAX, bytes: before.bytes / 2 + 100 };
    assert_eq!(log.purge_point(small), Some(4));
    assert_eq!(log.purge_point(before), None);
    log.purge(id(1, 6)).await.unwrap();
    assert_eq!(log.length().entries, 3);
    let mut log = open(&engine.crash()).unwrap();
    assert_eq!(log.length().entries, 3);
    assert_eq!(indexes(&mut log).await, [(1, 7), (1, 8), (1, 9)]);
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 6)), Some(id(1, 9))));
}

#[tokio::test]
async fn reads_for_peers_are_bounded_and_end_when_another_leads() {
    let engine = MemoryEngine::new(&families());
    let mut log = open(&engine).unwrap();
    log.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
    let large = READ_BYTES_MAX / 3;
    append(&mut log, (0..10).map(|index| entry(1, index, large)).collect()).await;
    let some = log.limited_get_log_entries(0, 10).await.unwrap();
    assert!((1..10).contains(&some.len()), "{}", some.len());
    assert_eq!(some[0].log_id, id(1, 0));
    assert_eq!(log.limited_get_log_entries(8, 10).await.unwrap().len(), 2);
    log.save_vote(&Vote::new(2, 9)).await.unwrap();
    assert!(log.limited_get_log_entries(0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn damage_in_the_log_names_group_and_entry() {
    for damage in ["flip", "remove", "swap"] {
        let engine = MemoryEngine::new(&families());
        let mut log = open(&engine).unwrap();
        append(&mut log, (0..5).map(|index| entry(1, index, 100)).collect()).await;
        let key = |index| meta::entry_key(GROUP, index);
        let value = |index| engine.get(LOG, &key(index)).unwrap().unwrap();
        let mut batch = Batch::new();
        match damage {
            "flip" => {
                let mut bytes = value(2).to_vec();
                bytes[50] ^= 1;
                batch.put(LOG, key(2), bytes);
            }
            "remove" => batch.delete(LOG, key(2)),
            _ => {
                batch.put(LOG, key(2), value(3));
                batch.put(LOG, key(3), value(2));
            }
        }
        engine.write(batch, Durability::Synced).unwrap();
        let error = open(&engine).err().expect("because the log is damaged");
        assert!(
            matches!(error, Error::Log { group: GROUP, index: LogIndex(2), .. }),
            "{damage}: {error}"
        );
        assert_eq!(error.kind(), gitstratum_core::ErrorKind::Corrupt);
    }
}

#[tokio::test]
async fn damage_in_the_vote_names_it() {
    let engine = MemoryEngine::new(&families());
    let mut log = open(&engine).unwrap();
    log.save_vote(&Vote::new(4, 1)).await.unwrap();
    let mut batch = Batch::new();
    batch.put(META, Record::Vote.key(GROUP), "\u{1}damaged");
    engine.write(batch, Durability::Synced).unwrap();
    let error = open(&engine).err().expect("because the vote is damaged");
    assert!(error.to_string().contains("vote is damaged"), "{error}");
}
