//! However a group ends, every proposal ends with it, or at its deadline.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_store::testing::RecordingEngine;
use gitstratum_store::{Fault, FaultyEngine, MemoryEngine};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::one_voter::host_with;
use crate::testing::Register;
use crate::{
    Config, Error, Group, GroupId, Host, LogIndex, MachineError, ProposeError, State, StateMachine,
    StateWriter, families,
};

const NODE: NodeId = NodeId(1);
const GROUP: GroupId = GroupId(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// Proposers at a time: enough that some are always between two steps of a proposal.
const PROPOSERS: u64 = 16;

/// How a group comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    Shutdown,
    FailedSync,
    FailedWrite,
}

async fn open(host: &Host) -> Group<Register> {
    let group = host.open(GROUP, Register::new()).await.unwrap();
    group.initialize(&BTreeSet::from([NODE])).await.unwrap();
    group.wait_for_leader(PATIENCE).await.unwrap();
    group
}

/// Proposes until the group takes no more; returns how it said so.
async fn propose_on(group: Group<Register>, proposer: u64) -> ProposeError {
    for number in 0u64.. {
        if let Err(error) = group.propose(format!("{proposer}-{number}")).await {
            return error;
        }
    }
    unreachable!("a proposer never runs out of numbers");
}

/// Ends a busy group by `end`; every proposal must end with it.
async fn end_busy_group(end: End, round: u64) {
    let engine = FaultyEngine::new(MemoryEngine::new(&families()));
    // Only the end of the group may end a proposal, not its deadline.
    let config = Config { propose_timeout: PATIENCE * 10, ..Config::default() };
    let host = host_with(engine.clone(), config);
    let group = open(&host).await;
    let mut proposers = JoinSet::new();
    for proposer in 0..PROPOSERS {
        proposers.spawn(propose_on(group.clone(), proposer));
    }
    let mut applied = group.watch_applied();
    let busy = applied.wait_for(|index| *index >= Some(LogIndex(3 + round % 50)));
    tokio::time::timeout(PATIENCE, busy).await.unwrap().unwrap();
    match end {
        End::Shutdown => group.shutdown().await,
        End::FailedSync => engine.fail_sync(1, Fault::Io),
        End::FailedWrite => engine.fail_write(1, Fault::Full),
    }
    let all = async {
        while let Some(ended) = proposers.join_next().await {
            let error = ended.unwrap();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
    };
    let ended = tokio::time::timeout(PATIENCE, all).await;
    assert!(ended.is_ok(), "round {round}, {end:?}: a proposal outlived its group");
    host.shutdown().await;
}

/// What openraft asserts of its peers it asserts by panics: the node must not go on without the
/// group, as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_task_panicked_has_failed() {
    let host = host_with(MemoryEngine::new(&families()), Config::default());
    let group = open(&host).await;
    assert!(group.failure().is_none());
    let panics = |raft: crate::raft::Raft<Register>| async move {
        raft.with_raft_state(|_| panic!("for this test")).await
    };
    group.driver().call(panics).await;
    let mut status = group.watch();
    let stopped = status.wait_for(|status| status.is_stopped());
    tokio::time::timeout(PATIENCE, stopped).await.unwrap().unwrap();
    let failing = async {
        while group.failure().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, failing).await.expect("it is told");
    let refused = group.propose("more").await.unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped { cause: Some(_), .. }), "{refused}");
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s11_every_proposal_ends_with_its_group() {
    const ROUNDS: u64 = 60;
    for round in 0..ROUNDS {
        let ends = [End::Shutdown, End::FailedSync, End::FailedWrite];
        end_busy_group(ends[round as usize % ends.len()], round).await;
    }
}

/// Both kinds of refusal, and that they say the truth: what was refused as not proposed is
/// in no state, whenever one looks. The group is opened again at once, on the same commit
/// thread: what the old one left in its queue would lie in the log of the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s11_what_is_refused_as_not_proposed_is_never_applied() {
    const ROUNDS: u64 = 20;
    let engine = MemoryEngine::new(&families());
    for round in 0..ROUNDS {
        let host = host_with(engine.clone(), Config::default());
        let group = open(&host).await;
        let mut proposers = JoinSet::new();
        for proposer in 0..PROPOSERS {
            let group = group.clone();
            proposers.spawn(async move {
                let (mut acknowledged, mut refused) = (Vec::new(), None);
                for number in 0u64.. {
                    let command = format!("{round}-{proposer}-{number}");
                    match group.propose(command.clone()).await {
                        Ok(_) => acknowledged.push(command),
                        Err(error) => {
                            refused = (!error.is_unknown()).then_some(command);
                            break;
                        }
                    }
                }
                (acknowledged, refused)
            });
        }
        let mut applied = group.watch_applied();
        let enough = LogIndex(group.last_applied().0 + 20);
        let busy = applied.wait_for(|index| *index >= Some(enough));
        tokio::time::timeout(PATIENCE, busy).await.unwrap().unwrap();
        group.shutdown().await;
        let (mut acknowledged, mut refused) = (Vec::new(), vec![format!("{round}-late")]);
        let late = group.propose(refused[0].clone()).await.unwrap_err();
        assert!(matches!(late, ProposeError::Stopped { cause: None, .. }), "{late}");
        let all = async {
            while let Some(done) = proposers.join_next().await {
                let (kept, not) = done.unwrap();
                acknowledged.extend(kept);
                refused.extend(not);
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap();
        let again = open(&host).await;
        again.read_barrier().await.unwrap();
        let found = again.read(|_, state| Register::commands(state)).unwrap();
        let is_there = |command: &String| found.iter().any(|kept| kept == command.as_bytes());
        assert!(acknowledged.iter().all(is_there), "round {round}");
        assert!(!refused.iter().any(is_there), "round {round}");
        host.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s11_a_proposal_that_takes_too_long_is_unknown_at_its_deadline() {
    let engine = RecordingEngine::new(MemoryEngine::new(&families()));
    let config = Config { propose_timeout: Duration::from_millis(100), ..Config::default() };
    let host = host_with(engine.clone(), config);
    let group = open(&host).await;
    group.read_barrier().await.unwrap();
    let gate = engine.hold_syncs();
    let late = tokio::time::timeout(PATIENCE, group.propose("a")).await.unwrap().unwrap_err();
    assert!(late.is_unknown());
    let ProposeError::Unknown { cause: Some(cause), .. } = late else {
        panic!("the outcome is unknown and has a cause");
    };
    assert!(matches!(&*cause, Error::Timeout { .. }), "{cause}");
    drop(gate);
    // Unknown is what it was: the disk comes back, and it is applied after all.
    let mut applied = group.watch_applied();
    let there = async {
        while group.read(|machine, _| machine.count()) == 0 {
            applied.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap();
    host.shutdown().await;
}

/// A register whose `apply` waits at a gate until the other end is dropped.
struct Gated {
    register: Register,
    entered: mpsc::Sender<()>,
    gate: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl StateMachine for Gated {
    fn load(&mut self, state: &State<'_>) -> Result<(), MachineError> {
        self.register.load(state)
    }

    fn apply(
        &mut self,
        index: LogIndex,
        command: &Bytes,
        state: &mut StateWriter<'_>,
    ) -> Result<Bytes, MachineError> {
        let _is_first = self.entered.try_send(());
        let _is_open = self.gate.lock().recv();
        self.register.apply(index, command, state)
    }
}

/// openraft leaves the batch under way behind when its task ends. Written after the group
/// was opened again, it would put older rows over newer ones.
#[tokio::test(flavor = "multi_thread")]
async fn s40_nothing_is_written_for_a_group_once_it_is_shut_down() {
    const SHORT: Duration = Duration::from_millis(300);
    let host = host_with(MemoryEngine::new(&families()), Config::default());
    let (sender, mut entered) = mpsc::channel(1);
    let (closed, gate) = std::sync::mpsc::channel();
    let machine = Gated { register: Register::new(), entered: sender, gate: Mutex::new(gate) };
    let group = host.open(GROUP, machine).await.unwrap();
    group.initialize(&BTreeSet::from([NODE])).await.unwrap();
    group.wait_for_leader(PATIENCE).await.unwrap();
    let mut calls = JoinSet::new();
    let proposer = group.clone();
    calls.spawn(async move { drop(proposer.propose("a").await) });
    tokio::time::timeout(PATIENCE, entered.recv()).await.unwrap().unwrap();
    let stopping = group.clone();
    calls.spawn(async move { stopping.shutdown().await });
    let proposal = tokio::time::timeout(PATIENCE, calls.join_next()).await.unwrap();
    proposal.unwrap().unwrap();
    let early = tokio::time::timeout(SHORT, calls.join_next()).await;
    assert!(early.is_err(), "it was shut down with a batch under way");
    drop(closed);
    tokio::time::timeout(PATIENCE, calls.join_next()).await.unwrap().unwrap().unwrap();
    let again = open(&host).await;
    again.read_barrier().await.unwrap();
    assert_eq!(again.read(|machine, _| machine.count()), 1);
    host.shutdown().await;
}

/// Leads at once, not after an election timeout, and keeps the members that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_existing_group_of_one_is_known_and_led_as_soon_as_it_is_open() {
    const REOPENINGS: u64 = 40;
    let config = Config {
        election_timeout_min: Duration::from_secs(300),
        election_timeout_max: Duration::from_secs(600),
        quorum_silence_max: Duration::from_secs(1_500),
        ..Config::default()
    };
    let host = host_with(MemoryEngine::new(&families()), config);
    let group = host.open(GROUP, Register::new()).await.unwrap();
    assert!(!group.is_initialized().await.unwrap());
    group.initialize(&BTreeSet::from([NODE])).await.unwrap();
    group.wait_for_leader(PATIENCE).await.unwrap();
    group.shutdown().await;
    for round in 0..REOPENINGS {
        let group = host.open(GROUP, Register::new()).await.unwrap();
        assert_eq!(group.status().voters, BTreeSet::from([NODE]), "round {round}");
        assert!(group.is_initialized().await.unwrap());
        let led = group.wait_for_leader(PATIENCE).await;
        assert!(led.is_ok(), "round {round}: {led:?}");
        group.initialize(&BTreeSet::from([NODE, NodeId(2)])).await.unwrap();
        assert_eq!(group.status().voters, BTreeSet::from([NODE]));
        group.shutdown().await;
    }
    host.shutdown().await;
}

/// Proposals that wait for a slow disk are bounded in bytes; what is beyond is refused, soon,
/// as not proposed, and all others have their outcome once the disk answers.
#[tokio::test(flavor = "multi_thread")]
async fn p_l1_proposals_under_way_are_bounded_in_bytes() {
    const BYTES: usize = 4 << 20;
    const FIT: u64 = 12;
    let engine = RecordingEngine::new(MemoryEngine::new(&families()));
    let host = host_with(engine.clone(), Config::default());
    let group = open(&host).await;
    group.read_barrier().await.unwrap();
    let gate = engine.hold_syncs();
    let before = group.status().last_log;
    let mut proposers = JoinSet::new();
    for number in 0..FIT + 8 {
        let group = group.clone();
        let mut command = vec![b'x'; BYTES];
        command[..8].copy_from_slice(&number.to_be_bytes());
        proposers.spawn(async move { group.propose(command).await });
    }
    for _ in 0..8 {
        let refused = tokio::time::timeout(PATIENCE, proposers.join_next()).await.unwrap();
        let refused = refused.unwrap().unwrap().unwrap_err();
        assert!(matches!(refused, ProposeError::Busy { .. }), "{refused}");
        assert!(!refused.is_unknown());
    }
    assert!(group.status().last_log.0 <= before.0 + FIT);
    drop(gate);
    while let Some(done) = proposers.join_next().await {
        done.unwrap().unwrap();
    }
    host.shutdown().await;
}
