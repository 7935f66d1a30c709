//! A group of three in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{NodeId, SystemClock};
use gitstratum_store::MemoryEngine;
use gitstratum_store::testing::RecordingEngine;
use parking_lot::Mutex;

use crate::testing::{LocalNetwork, Register};
use crate::{
    Config, Group, GroupId, Host, HostOptions, LogIndex, ProposeError, ReadError, Role, families,
};

const GROUP: GroupId = GroupId(9);
const PATIENCE: Duration = Duration::from_secs(20);

fn config() -> Config {
    Config {
        heartbeat_interval: Duration::from_millis(50),
        election_timeout_min: Duration::from_millis(350),
        election_timeout_max: Duration::from_millis(650),
        log_entries_max: 60,
        log_entries_kept: 10,
        snapshot_chunk_bytes: 256,
        ..Config::default()
    }
}

struct Node {
    id: NodeId,
    memory: Arc<MemoryEngine>,
    engine: Arc<RecordingEngine>,
    host: Arc<Host>,
    group: Group<Register>,
}

struct Cluster {
    network: Arc<LocalNetwork>,
    nodes: Vec<Node>,
}

async fn start(network: &Arc<LocalNetwork>, id: NodeId, memory: Arc<MemoryEngine>) -> Node {
    let engine = RecordingEngine::new(memory.clone());
    let host = Host::start(HostOptions {
        node: id,
        engine: engine.clone(),
        network: network.from(id),
        clock: SystemClock::new(),
        config: config(),
    })
    .unwrap();
    network.join(id, &host);
    let group = host.open(GROUP, Register::new()).await.unwrap();
    Node { id, memory, engine, host, group }
}

impl Cluster {
    async fn of_three() -> Self {
        let network = LocalNetwork::new();
        let mut nodes = Vec::new();
        for id in 1..=3 {
            nodes.push(start(&network, NodeId(id), MemoryEngine::new(&families())).await);
        }
        let voters: BTreeSet<NodeId> = nodes.iter().map(|node| node.id).collect();
        nodes[0].group.initialize(&voters).await.unwrap();
        let cluster = Self { network, nodes };
        cluster.propose("first").await;
        cluster
    }

    /// Proposes to whoever leads until it is acknowledged; repeating is harmless here.
    async fn propose(&self, command: impl Into<Bytes>) -> LogIndex {
        let command = command.into();
        let proposing = async {
            loop {
                for node in &self.nodes {
                    if let Ok(reply) = node.group.propose(command.clone()).await {
                        return reply.index;
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, proposing).await.expect("because a majority is up")
    }

    fn leader(&self) -> usize {
        let leads = |node: &Node| node.group.is_leader();
        self.nodes.iter().position(leads).expect("because a proposal was just acknowledged")
    }

    fn follower(&self) -> usize {
        (self.leader() + 1) % 3
    }

    /// Cuts the power of a node and starts it again.
    async fn crash(&mut self, place: usize) {
        let node = &self.nodes[place];
        let memory = node.memory.crash();
        node.host.shutdown().await;
        self.nodes[place] = start(&self.network, node.id, memory).await;
    }

    /// Waits until all replicas have applied `index` and compares their states.
    async fn check_equal(&self, index: LogIndex) {
        let mut hashes = BTreeSet::new();
        for node in &self.nodes {
            let mut applied = node.group.watch_applied();
            let reached = applied.wait_for(|applied| *applied >= Some(index));
            tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
            hashes.insert(node.group.state_hash().await.unwrap());
        }
        assert_eq!(hashes.len(), 1, "one index, one state: {hashes:?}");
    }

    async fn stop(self) {
        for node in &self.nodes {
            node.host.shutdown().await;
        }
    }
}

fn count(node: &Node) -> u64 {
    node.group.read(|machine, _| machine.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_38_the_same_log_gives_the_same_state_on_every_node() {
    let cluster = Cluster::of_three().await;
    let mut last = LogIndex(0);
    for number in 0..30 {
        last = cluster.propose(format!("{}", number % 20)).await;
    }
    cluster.check_equal(last).await;
    assert_eq!(count(&cluster.nodes[0]), 21);
    cluster.stop().await;
}

/// GS-MD-13, RV-C2.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_refuses_proposals_naming_the_leader_and_answers_linearizable_reads() {
    let cluster = Cluster::of_three().await;
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let refused = cluster.nodes[follower].group.propose("x").await.unwrap_err();
    let expected = cluster.nodes[leader].id;
    assert!(
        matches!(refused, ProposeError::NotLeader { leader: Some(node), .. } if node == expected),
        "{refused}"
    );
    for number in 0..20u64 {
        cluster.nodes[leader].group.propose(format!("{number}")).await.unwrap();
        cluster.nodes[follower].group.read_barrier().await.unwrap();
        assert_eq!(count(&cluster.nodes[follower]), number + 2, "p_c5: bound 0");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_reads_on_a_follower_share_one_question() {
    const READS: u64 = 200;
    let cluster = Cluster::of_three().await;
    let group = &cluster.nodes[cluster.follower()].group;
    let reading = async {
        loop {
            let before = cluster.network.messages();
            let reads = (0..READS).map(|_| group.read_barrier());
            let reads = futures::future::join_all(reads).await;
            // A slow machine may lose its leader for a moment.
            if reads.iter().all(Result::is_ok) {
                return cluster.network.messages() - before;
            }
        }
    };
    let sent = tokio::time::timeout(PATIENCE, reading).await.unwrap();
    assert!(sent < READS, "{sent} messages");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_01_p_d2_power_cuts_of_one_node_after_another_lose_nothing() {
    let mut cluster = Cluster::of_three().await;
    let mut last = LogIndex(0);
    for round in 0..6 {
        for number in 0..10 {
            last = cluster.propose(format!("{round}-{number}")).await;
        }
        let leader = cluster.leader();
        cluster.crash(if round % 2 == 0 { leader } else { (leader + 1) % 3 }).await;
    }
    cluster.check_equal(last).await;
    assert_eq!(count(&cluster.nodes[0]), 61);
    cluster.stop().await;
}

/// A majority may sync an entry before the leader does. If the leader then forgets it and
/// leads on in the same term, two entries get one index.
#[tokio::test(flavor = "multi_thread")]
async fn s23_a_restarted_leader_does_not_lead_on_in_the_term_it_forgot_entries_of() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader();
    let engine = Arc::clone(&cluster.nodes[leader].engine);
    let gate = engine.hold_syncs();
    let old = &cluster.nodes[leader];
    let term = old.group.status().term;
    let proposed = tokio::time::timeout(PATIENCE, old.group.propose("forgotten")).await;
    proposed.unwrap().expect("because two voters of three have synced it");
    let memory = old.memory.crash();
    drop(gate);
    old.host.shutdown().await;
    cluster.nodes[leader] = start(&cluster.network, cluster.nodes[leader].id, memory).await;
    let last = cluster.propose("after").await;
    cluster.check_equal(last).await;
    assert!(cluster.nodes[leader].group.status().term > term);
    assert_eq!(count(&cluster.nodes[leader]), 3, "nothing acknowledged is lost");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_d3_a_power_cut_of_all_nodes_at_once_loses_nothing() {
    let mut cluster = Cluster::of_three().await;
    for number in 0..20 {
        cluster.propose(format!("{number}")).await;
    }
    let memories: Vec<_> = cluster.nodes.iter().map(|node| node.memory.crash()).collect();
    for (place, memory) in memories.into_iter().enumerate() {
        let node = &cluster.nodes[place];
        node.host.shutdown().await;
        cluster.nodes[place] = start(&cluster.network, node.id, memory).await;
    }
    let last = cluster.propose("after").await;
    cluster.check_equal(last).await;
    assert_eq!(count(&cluster.nodes[0]), 22);
    cluster.stop().await;
}

/// RV-C3.
#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_01_p_c4_a_leader_cut_off_answers_no_read_and_acknowledges_nothing() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader();
    let old = &cluster.nodes[leader];
    cluster.network.cut(old.id);
    let read = old.group.read_barrier().await;
    let expected = matches!(
        read,
        Err(ReadError::Timeout { .. } | ReadError::NoQuorum { .. } | ReadError::NoLeader { .. })
    );
    assert!(expected, "{read:?}");
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    let next = async {
        loop {
            for place in others {
                if let Ok(reply) = cluster.nodes[place].group.propose("during").await {
                    return reply.index;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let index = tokio::time::timeout(PATIENCE, next).await.unwrap();
    let proposed = tokio::time::timeout(Duration::from_secs(1), old.group.propose("lost")).await;
    assert!(!matches!(proposed, Ok(Ok(_))), "{proposed:?}");
    cluster.network.heal(old.id);
    cluster.check_equal(index).await;
    cluster.stop().await;
}

/// Leaders cut off one after the other. Half of the failovers are done within the 2 s: what a
/// machine that is busy elsewhere adds to one of them is none of the log's.
#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_05_a_term_has_one_leader_and_the_next_one_takes_over_within_2_s() {
    let cluster = Cluster::of_three().await;
    let leaders: Arc<Mutex<BTreeMap<u64, BTreeSet<NodeId>>>> = Arc::default();
    let watch = |node: &Node| {
        let (mut status, id, leaders) = (node.group.watch(), node.id, Arc::clone(&leaders));
        gitstratum_process::spawn("leaders seen", async move {
            loop {
                let (term, role) = {
                    let seen = status.borrow_and_update();
                    (seen.term, seen.role)
                };
                if role == Role::Leader {
                    leaders.lock().entry(term).or_default().insert(id);
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
        })
    };
    let watching: Vec<_> = cluster.nodes.iter().map(watch).collect();
    let mut took = Vec::new();
    for failover in 0..8 {
        let gone = cluster.leader();
        let began = tokio::time::Instant::now();
        cluster.network.cut(cluster.nodes[gone].id);
        let others = [(gone + 1) % 3, (gone + 2) % 3];
        let next = async {
            loop {
                for place in others {
                    let group = &cluster.nodes[place].group;
                    if let Ok(reply) = group.propose(format!("{failover}")).await {
                        return reply.index;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let index = tokio::time::timeout(PATIENCE, next).await.expect("two are a majority");
        took.push(began.elapsed());
        cluster.network.heal(cluster.nodes[gone].id);
        cluster.check_equal(index).await;
    }
    drop(watching);
    took.sort_unstable();
    eprintln!("a leader that is cut off is followed by the next after {took:?}");
    assert!(took[took.len() / 2] < Duration::from_secs(2), "{took:?}");
    let leaders = leaders.lock().clone();
    assert!(leaders.len() > 8, "one at least for each: {leaders:?}");
    assert!(leaders.values().all(|seen| seen.len() == 1), "{leaders:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_25_a_node_far_behind_recovers_from_a_snapshot() {
    let cluster = Cluster::of_three().await;
    let behind = cluster.follower();
    cluster.network.cut(cluster.nodes[behind].id);
    let before = cluster.nodes[behind].group.last_applied();
    for number in 0..100 {
        cluster.propose(format!("{number}")).await;
    }
    let leader = &cluster.nodes[cluster.leader()];
    let mut status = leader.group.watch();
    let purged = status.wait_for(|status| status.purged > Some(before));
    tokio::time::timeout(PATIENCE, purged).await.unwrap().unwrap();
    cluster.network.heal(cluster.nodes[behind].id);
    let last = cluster.propose("after").await;
    cluster.check_equal(last).await;
    assert_eq!(count(&cluster.nodes[behind]), 102, "the machine was loaded anew");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_learns_from_a_snapshot_and_takes_a_vote() {
    let mut cluster = Cluster::of_three().await;
    for number in 0..100 {
        cluster.propose(format!("{number}")).await;
    }
    let fourth = start(&cluster.network, NodeId(4), MemoryEngine::new(&families())).await;
    cluster.nodes.push(fourth);
    let gone = cluster.follower();
    let leader = cluster.nodes[cluster.leader()].group.clone();
    let fourth = BTreeSet::from([NodeId(4)]);
    assert_eq!(leader.add_learners(&fourth, PATIENCE).await.unwrap(), fourth);
    let gone = cluster.nodes.remove(gone);
    let voters: BTreeSet<NodeId> = cluster.nodes.iter().map(|node| node.id).collect();
    leader.change_voters(&voters).await.unwrap();
    gone.host.shutdown().await;
    let last = cluster.propose("after").await;
    cluster.check_equal(last).await;
    assert_eq!(leader.status().voters, voters);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gs_cp_36_a_node_that_does_not_answer_or_lags_gets_no_vote() {
    let mut cluster = Cluster::of_three().await;
    for number in 0..100 {
        cluster.propose(format!("{number}")).await;
    }
    let leader = cluster.nodes[cluster.leader()].group.clone();
    let (three, new) = (leader.status().voters, BTreeSet::from([NodeId(4), NodeId(5)]));
    let five: BTreeSet<NodeId> = three.union(&new).copied().collect();
    let fifth = start(&cluster.network, NodeId(5), MemoryEngine::new(&families())).await;
    cluster.nodes.push(fifth);
    let ready = leader.add_learners(&new, Duration::from_secs(2)).await.unwrap();
    assert_eq!(ready, BTreeSet::from([NodeId(5)]), "nobody runs node 4");
    let refused = leader.change_voters(&five).await.unwrap_err();
    assert!(matches!(&refused, crate::Error::Membership { .. }), "{refused}");
    assert_eq!(leader.status().voters, three);
    let fourth = start(&cluster.network, NodeId(4), MemoryEngine::new(&families())).await;
    cluster.nodes.push(fourth);
    assert_eq!(leader.add_learners(&new, PATIENCE).await.unwrap(), new);
    leader.change_voters(&five).await.unwrap();
    let last = cluster.propose("after").await;
    cluster.check_equal(last).await;
    assert_eq!(leader.status().voters, five);
    assert!(!leader.status().is_joint);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_where_it_is_sent() {
    let cluster = Cluster::of_three().await;
    let target = &cluster.nodes[cluster.follower()];
    let old = cluster.nodes[cluster.leader()].group.clone();
    old.transfer_leader(target.id).await.unwrap();
    let mut status = target.group.watch();
    let moved =
        status.wait_for(|status| status.leader.is_some_and(|leader| leader.node == target.id));
    tokio::time::timeout(PATIENCE, moved).await.unwrap().unwrap();
    cluster.propose("after").await;
    assert!(target.group.is_leader());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_another_node_or_from_a_liar_is_refused() {
    let cluster = Cluster::of_three().await;
    let host = &cluster.nodes[0].host;
    let request = crate::wire::Request {
        group: GROUP.0,
        from: 2,
        to: 3,
        ask: Some(crate::wire::Ask::ReadIndex(crate::wire::ReadIndexAsk {})),
        to_replica: 0,
    };
    let message: Bytes = prost::Message::encode_to_vec(&request).into();
    assert!(host.receive(NodeId(2), message).await.is_err(), "it is for node 3");
    let request = crate::wire::Request { to: 1, ..request };
    let message: Bytes = prost::Message::encode_to_vec(&request).into();
    assert!(host.receive(NodeId(3), message.clone()).await.is_err(), "node 2 did not send it");
    assert!(host.receive(NodeId(2), message).await.is_ok());
    assert!(host.receive(NodeId(2), Bytes::from_static(b"\xff\xff")).await.is_err());
    cluster.stop().await;
}

/// Everything that a replica without a majority is asked ends within 2 s: what was under way
/// when it was cut off, and what comes later.
#[tokio::test(flavor = "multi_thread")]
async fn p_a8_a_replica_that_is_cut_off_refuses_within_2_s() {
    const SOON: Duration = Duration::from_secs(2);
    let cluster = Cluster::of_three().await;
    let (leader, follower) = (cluster.leader(), cluster.follower());
    for cut in [leader, follower] {
        let group = &cluster.nodes[cut].group;
        assert!(group.has_quorum());
        cluster.network.cut(cluster.nodes[cut].id);
        let (asked, read) = tokio::join!(
            tokio::time::timeout(SOON, group.propose(format!("under way at {cut}"))),
            tokio::time::timeout(SOON, group.read_barrier()),
        );
        let (asked, read) = (asked.unwrap().unwrap_err(), read.unwrap().unwrap_err());
        if cut == leader {
            assert!(asked.is_of_quorum() && asked.is_unknown(), "{asked}");
        }
        let expected = matches!(read, ReadError::NoQuorum { .. } | ReadError::NoLeader { .. });
        assert!(expected, "{read}");
        let knows = async {
            while group.has_quorum() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, knows).await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(!group.propose("later").await.unwrap_err().is_unknown());
        assert!(group.read_barrier().await.is_err());
        assert!(began.elapsed() < SOON / 4, "after {:?}", began.elapsed());
        cluster.network.heal(cluster.nodes[cut].id);
        let last = cluster.propose(format!("healed {cut}")).await;
        cluster.check_equal(last).await;
    }
    let found = cluster.nodes[0].group.read(|_, state| Register::commands(state)).unwrap();
    assert!(!found.iter().any(|command| command == "later"), "it was refused as not proposed");
    cluster.stop().await;
}

/// A node that stops hands over first: nothing that is proposed meanwhile waits for an
/// election, and it is not handed the leadership back.
#[tokio::test(flavor = "multi_thread")]
async fn s39_a_node_that_leaves_hands_over_and_is_given_nothing_back() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader();
    let old = &cluster.nodes[leader];
    let began = tokio::time::Instant::now();
    assert_eq!(old.host.leave(PATIENCE).await, 0);
    cluster.propose("after").await;
    // An election alone would take longer than that.
    assert!(began.elapsed() < config().election_timeout_min, "{:?}", began.elapsed());
    let next = &cluster.nodes[cluster.leader()];
    assert!(next.id != old.id);
    let refused = next.group.transfer_leader(old.id).await.unwrap_err();
    assert!(refused.to_string().contains("about to stop"), "{refused}");
    let last = cluster.propose("still led").await;
    assert!(next.group.is_leader());
    cluster.check_equal(last).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s39_leadership_is_not_sent_to_a_voter_that_does_not_answer() {
    let cluster = Cluster::of_three().await;
    let leader = &cluster.nodes[cluster.leader()];
    let target = &cluster.nodes[cluster.follower()];
    cluster.network.cut(target.id);
    assert!(leader.group.transfer_leader(target.id).await.is_err());
    leader.group.propose("goes on").await.unwrap();
    cluster.stop().await;
}

/// A leader whose disk hangs: others lead within P-A3's 10 s, and what is proposed goes on.
#[tokio::test(flavor = "multi_thread")]
async fn s39_a_leader_whose_disk_stalls_hands_over_and_is_told_to_exit() {
    let cluster = Cluster::of_three().await;
    let stalled = cluster.leader();
    let node = &cluster.nodes[stalled];
    let gate = node.engine.hold_syncs();
    let host = Arc::clone(&node.host);
    let mut watching = tokio::task::JoinSet::new();
    watching.spawn(async move { host.stalled().await });
    let others = [(stalled + 1) % 3, (stalled + 2) % 3];
    let next = async {
        loop {
            // Starts a sync that does not end.
            drop(tokio::time::timeout(Duration::from_millis(10), node.group.propose("late")).await);
            for place in others {
                if cluster.nodes[place].group.propose("during").await.is_ok() {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), next).await.unwrap();
    let took = tokio::time::timeout(PATIENCE, watching.join_next()).await.unwrap();
    assert!(took.unwrap().unwrap() >= Duration::from_secs(3));
    drop(gate);
    let last = cluster.propose("after").await;
    cluster.check_equal(last).await;
    cluster.stop().await;
}

/// A leader that was deposed while it sent a snapshot speaks for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn p_a8_a_snapshot_of_a_leader_of_the_past_is_no_sign_of_a_majority() {
    use crate::wire;
    let cluster = Cluster::of_three().await;
    let place = cluster.follower();
    let (node, from) = (&cluster.nodes[place], cluster.nodes[(place + 1) % 3].id);
    cluster.network.cut(node.id);
    let knows = async {
        while node.group.has_quorum() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, knows).await.unwrap();
    for (term, is_sign) in [(0, false), (99, true)] {
        let vote = wire::Vote { term, node: from.0, committed: true };
        let chunk = Bytes::from_static(b"cut short");
        let ask = Some(wire::Ask::Snapshot(wire::SnapshotAsk { vote, transfer: 1, chunk }));
        let (from_node, to) = (from.0, node.id.0);
        let request = wire::Request { group: GROUP.0, from: from_node, to, to_replica: 0, ask };
        let message: Bytes = prost::Message::encode_to_vec(&request).into();
        node.host.receive(from, message).await.unwrap();
        assert_eq!(node.group.has_quorum(), is_sign, "term {term}");
    }
    cluster.network.heal(node.id);
    cluster.stop().await;
}
