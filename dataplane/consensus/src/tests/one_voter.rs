//! A group of one: what is acknowledged survives whatever happens to the process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{ErrorKind, NodeId, SystemClock};
use gitstratum_store::testing::{Event, RecordingEngine};
use gitstratum_store::{
    Batch, Durability, Engine, Fault, FaultyEngine, MemoryEngine, RocksEngine, RocksMemory,
    RocksOptions,
};
use tokio::task::JoinSet;

use crate::meta::{self, LOG, META, STATE};
use crate::testing::Register;
use crate::{
    Config, Error, Group, GroupId, Host, HostOptions, NoNetwork, ProposeError, ReadError, families,
};

const NODE: NodeId = NodeId(1);
const GROUP: GroupId = GroupId(1);
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn host_with(engine: Arc<dyn Engine>, config: Config) -> Arc<Host> {
    Host::start(HostOptions {
        node: NODE,
        engine,
        network: Arc::new(NoNetwork),
        clock: SystemClock::new(),
        config,
    })
    .unwrap()
}

fn host(engine: Arc<dyn Engine>) -> Arc<Host> {
    host_with(engine, Config::default())
}

async fn open(host: &Host) -> Group<Register> {
    let group = host.open(GROUP, Register::new()).await.unwrap();
    group.initialize(&BTreeSet::from([NODE])).await.unwrap();
    group.wait_for_leader(PATIENCE).await.unwrap();
    group
}

fn commands(group: &Group<Register>) -> Vec<Bytes> {
    group.read(|_, state| Register::commands(state)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_applied_answered_and_read() {
    let host = host(MemoryEngine::new(&families()));
    let group = open(&host).await;
    let first = group.propose("a").await.unwrap();
    assert_eq!(first.bytes, "1");
    let again = group.propose("a").await.unwrap();
    assert_eq!(again.bytes, "again");
    assert!(again.index > first.index);
    assert!(group.read_barrier().await.unwrap() >= again.index);
    assert_eq!(group.read(|machine, _| machine.count()), 1);
    assert_eq!(commands(&group), ["a"]);
    assert!(group.is_leader());
    assert!(matches!(host.open(GROUP, Register::new()).await, Err(Error::Open { group: GROUP })));
    host.shutdown().await;
    let stopped = group.propose("b").await.unwrap_err();
    assert!(matches!(stopped, ProposeError::Stopped { .. }));
    assert!(!stopped.is_unknown(), "it was certainly not proposed");
    assert!(matches!(group.read_barrier().await, Err(ReadError::Stopped { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn initialize_happens_once() {
    let engine = MemoryEngine::new(&families());
    let first = host(engine.clone());
    let group = open(&first).await;
    group.propose("a").await.unwrap();
    group.initialize(&BTreeSet::from([NODE, NodeId(2)])).await.unwrap();
    assert_eq!(group.status().voters, BTreeSet::from([NODE]));
    first.shutdown().await;
    let second = host(engine);
    let group = second.open(GROUP, Register::new()).await.unwrap();
    group.wait_for_leader(Duration::from_millis(500)).await.unwrap();
    group.read_barrier().await.unwrap();
    assert_eq!(commands(&group), ["a"]);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_shut_down_is_stopped_and_can_be_opened_again() {
    let host = host(MemoryEngine::new(&families()));
    let group = open(&host).await;
    group.propose("a").await.unwrap();
    group.shutdown().await;
    let mut status = group.watch();
    let stopped = status.wait_for(|status| status.is_stopped()).await.unwrap().clone();
    assert_eq!((stopped.leader, stopped.failed), (None, None));
    assert_eq!(host.stats().groups, 0);
    let again = open(&host).await;
    again.read_barrier().await.unwrap();
    assert_eq!(commands(&again), ["a"]);
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_d2_a_killed_process_loses_no_acknowledged_proposal_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let open_engine = |path: &std::path::Path| {
        RocksEngine::open(RocksOptions {
            path: path.to_owned(),
            families: families().to_vec(),
            memory: RocksMemory::new(8 << 20, 8 << 20),
        })
        .unwrap()
    };
    let killed = directory.path().join("killed");
    std::fs::create_dir(&killed).unwrap();
    let path = directory.path().join("engine");
    let first = host(open_engine(&path));
    let group = open(&first).await;
    for number in 0..50 {
        group.propose(format!("{number:02}")).await.unwrap();
    }
    // What a killed process leaves behind, taken while it runs: the newest log last, for
    // it alone still grows.
    let mut names: Vec<_> =
        std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_by_key(|name| name.to_string_lossy().ends_with(".log"));
    for name in names {
        std::fs::copy(path.join(&name), killed.join(&name)).unwrap();
    }
    first.shutdown().await;
    let second = host(open_engine(&killed));
    let group = open(&second).await;
    group.read_barrier().await.unwrap();
    assert_eq!(commands(&group).len(), 50);
    second.shutdown().await;
}

/// Cuts the power between any two moments of a busy group.
#[tokio::test(flavor = "multi_thread")]
async fn p_d3_a_power_cut_at_any_moment_loses_no_acknowledged_proposal() {
    const ROUNDS: u64 = 25;
    let mut engine = MemoryEngine::new(&families());
    let mut acknowledged: BTreeSet<Bytes> = BTreeSet::new();
    let mut last_index = crate::LogIndex(0);
    for round in 0..ROUNDS {
        let host = host(engine.clone());
        let group = open(&host).await;
        group.read_barrier().await.unwrap();
        assert!(group.last_applied() >= last_index, "the log never goes back");
        let present: BTreeSet<Bytes> = commands(&group).into_iter().collect();
        assert!(acknowledged.is_subset(&present), "round {round}");
        let mut writers = JoinSet::new();
        for writer in 0..4u64 {
            let group = group.clone();
            writers.spawn(async move {
                let mut done = Vec::new();
                for number in 0.. {
                    let command = Bytes::from(format!("{round}-{writer}-{number}"));
                    match group.propose(command.clone()).await {
                        Ok(reply) => done.push((command, reply.index)),
                        Err(error) => {
                            let stopped = matches!(error, ProposeError::Stopped { .. });
                            assert!(error.is_unknown() || stopped, "{error}");
                            break;
                        }
                    }
                }
                done
            });
        }
        let mut applied = group.watch_applied();
        let enough = crate::LogIndex(group.last_applied().0 + 1 + round * 3);
        let busy = applied.wait_for(|index| *index >= Some(enough));
        tokio::time::timeout(PATIENCE, busy).await.unwrap().unwrap();
        engine = engine.crash();
        while let Some(done) = writers.join_next().await {
            for (command, index) in done.unwrap() {
                acknowledged.insert(command);
                last_index = last_index.max(index);
            }
        }
        host.shutdown().await;
    }
    assert!(acknowledged.len() as u64 > ROUNDS, "{}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn s13_gs_cp_27_an_acknowledgement_follows_one_sync_of_its_entry() {
    let engine = RecordingEngine::new(MemoryEngine::new(&families()));
    let host = host(engine.clone());
    let group = open(&host).await;
    group.read_barrier().await.unwrap();
    let before = engine.events().len();
    let syncs = host.stats().commit.syncs_total;
    group.propose("a").await.unwrap();
    let events = engine.events().split_off(before);
    let wrote = |family| {
        let is_write =
            |event: &Event| matches!(event, Event::Write(into) if into.contains(&family));
        events.iter().position(is_write).expect("because it was written")
    };
    let sync = events.iter().position(|event| *event == Event::Sync).unwrap();
    assert!(wrote(LOG) < sync && sync < wrote(STATE), "{events:?}");
    let state = events.iter().rfind(|event| **event == Event::Write(vec![META, STATE]));
    assert!(state.is_some(), "s40: state and position in one batch: {events:?}");
    assert_eq!(host.stats().commit.syncs_total, syncs + 1);
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_while_a_sync_is_held_up() {
    let engine = RecordingEngine::new(MemoryEngine::new(&families()));
    let host = host(engine.clone());
    let group = open(&host).await;
    group.read_barrier().await.unwrap();
    let before = group.last_applied();
    let gate = engine.hold_syncs();
    let mut proposals = JoinSet::new();
    let proposer = group.clone();
    proposals.spawn(async move { proposer.propose("a").await });
    while host.stats().commit.syncing_for.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(group.last_applied(), before);
    assert!(commands(&group).is_empty());
    drop(gate);
    proposals.join_next().await.unwrap().unwrap().unwrap();
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_d5_a_failed_sync_ends_the_group_and_nothing_more_is_acknowledged() {
    let memory = MemoryEngine::new(&families());
    let engine = FaultyEngine::new(memory.clone());
    let first = host(engine.clone());
    let group = open(&first).await;
    group.propose("a").await.unwrap();
    engine.fail_sync(1, Fault::Io);
    let failed = group.propose("b").await.unwrap_err();
    assert!(failed.is_unknown());
    assert_eq!(failed.kind(), ErrorKind::Unavailable);
    assert!(group.propose("c").await.is_err());
    assert!(group.read_barrier().await.is_err());
    let mut status = group.watch();
    let status = status.wait_for(|status| status.is_stopped()).await.unwrap().clone();
    assert!(status.failed.is_some(), "{status:?}");
    first.shutdown().await;
    let next = host(memory.crash());
    let group = open(&next).await;
    group.read_barrier().await.unwrap();
    assert!(commands(&group).contains(&Bytes::from("a")));
    next.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_156_a_full_disk_stops_the_group_which_opens_again_when_space_returns() {
    let engine = FaultyEngine::new(MemoryEngine::new(&families()));
    let host = host(engine.clone());
    let group = open(&host).await;
    group.propose("a").await.unwrap();
    engine.fail_write(1, Fault::Full);
    let ProposeError::Unknown { cause: Some(cause), .. } = group.propose("b").await.unwrap_err()
    else {
        panic!("the outcome is unknown and has a cause");
    };
    assert_eq!(cause.kind(), ErrorKind::Busy);
    assert_eq!(commands(&group), ["a"], "what is applied can still be read");
    group.shutdown().await;
    let again = open(&host).await;
    again.propose("c").await.unwrap();
    assert_eq!(commands(&again), ["a", "c"]);
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_25_the_log_stays_bounded_across_restarts() {
    let config = Config { log_entries_max: 40, log_entries_kept: 10, ..Config::default() };
    let mut engine = MemoryEngine::new(&families());
    for round in 0..6 {
        let host = host_with(engine.clone(), config.clone());
        let group = open(&host).await;
        for number in 0..30 {
            group.propose(format!("{round}-{number}")).await.unwrap();
        }
        if round > 1 {
            let mut status = group.watch();
            let purged = status.wait_for(|status| status.purged.is_some());
            tokio::time::timeout(PATIENCE, purged).await.unwrap().unwrap();
        }
        let range = meta::entries_from(GROUP, 0);
        let length = gitstratum_store::Reader::scan(&*engine, LOG, &range, 1_000).unwrap().len();
        assert!(length <= 40 + 31, "round {round}: {length}");
        host.shutdown().await;
        engine = engine.crash();
    }
    let host = host_with(engine, config);
    let group = open(&host).await;
    group.read_barrier().await.unwrap();
    assert_eq!(group.read(|machine, _| machine.count()), 180);
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_state_and_commands_stop_the_group_by_name() {
    let engine = MemoryEngine::new(&families());
    let first = host(engine.clone());
    let group = open(&first).await;
    group.propose("a").await.unwrap();
    first.shutdown().await;
    let mut batch = Batch::new();
    batch.put(META, meta::Record::Position.key(GROUP), "damaged");
    engine.write(batch, Durability::Synced).unwrap();
    let second = host(engine.clone());
    let error = second.open(GROUP, Register::new()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("state position is damaged"), "{error}");
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_applied_stops_the_group_and_says_why() {
    let host = host(MemoryEngine::new(&families()));
    let group = open(&host).await;
    // The register cannot apply an empty command.
    let ProposeError::Unknown { cause: Some(cause), .. } = group.propose("").await.unwrap_err()
    else {
        panic!("the outcome is unknown and has a cause");
    };
    assert_eq!(cause.kind(), ErrorKind::Corrupt);
    assert!(matches!(&*cause, Error::Machine { .. }), "{cause}");
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_above_the_limit_is_refused() {
    let limit = 1 << 10;
    let config = Config { command_bytes_max: limit, ..Config::default() };
    let host = host_with(MemoryEngine::new(&families()), config);
    let group = open(&host).await;
    group.propose(vec![1; limit - 1]).await.unwrap();
    group.propose(vec![1; limit]).await.unwrap();
    let refused = group.propose(vec![1; limit + 1]).await.unwrap_err();
    assert!(matches!(refused, ProposeError::TooLarge { .. }));
    assert!(!refused.is_unknown());
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_host_share_syncs_and_keep_apart() {
    const GROUPS: u64 = 4;
    let host = host(MemoryEngine::new(&families()));
    let mut groups = Vec::new();
    for id in 0..GROUPS {
        let group = host.open(GroupId(id), Register::new()).await.unwrap();
        group.initialize(&BTreeSet::from([NODE])).await.unwrap();
        group.wait_for_leader(PATIENCE).await.unwrap();
        groups.push(group);
    }
    let mut writers = JoinSet::new();
    for (id, group) in groups.iter().enumerate() {
        for writer in 0..16 {
            let group = group.clone();
            writers.spawn(async move {
                group.propose(format!("{id}-{writer}")).await.unwrap();
            });
        }
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    for (id, group) in groups.iter().enumerate() {
        let found = commands(group);
        assert_eq!(found.len(), 16);
        assert!(found.iter().all(|command| command.starts_with(format!("{id}-").as_bytes())));
    }
    host.shutdown().await;
}
