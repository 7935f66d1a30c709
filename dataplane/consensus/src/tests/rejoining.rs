//! Disks that were emptied or rolled back while their node was down (S23).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use gitstratum_core::{NodeId, SystemClock};
use gitstratum_store::MemoryEngine;
use prost::Message as _;
use tokio::sync::watch;

use crate::network::BoxFuture;
use crate::testing::{LocalNetwork, Register};
use crate::wire::{self, Ask};
use crate::{
    Config, Electorate, Error, Group, GroupId, Host, HostOptions, LogIndex, Network, NetworkError,
    Status, families,
};

const GROUP: GroupId = GroupId(4);
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    id: NodeId,
    memory: Arc<MemoryEngine>,
    host: Arc<Host>,
    group: Group<Register>,
}

fn voters() -> BTreeSet<NodeId> {
    (1..=3).map(NodeId).collect()
}

fn host(network: &Arc<LocalNetwork>, id: NodeId, memory: &Arc<MemoryEngine>) -> Arc<Host> {
    host_on(network, network.from(id), id, memory)
}

fn host_on(
    network: &Arc<LocalNetwork>,
    way: Arc<dyn Network>,
    id: NodeId,
    memory: &Arc<MemoryEngine>,
) -> Arc<Host> {
    let config = Config {
        heartbeat_interval: Duration::from_millis(50),
        log_entries_max: 60,
        log_entries_kept: 10,
        ..Config::default()
    };
    let host = Host::start(HostOptions {
        node: id,
        engine: Arc::clone(memory) as _,
        network: way,
        clock: SystemClock::new(),
        config,
    })
    .unwrap();
    network.join(id, &host);
    host
}

/// A way on which refused wishes to be taken in are counted.
struct Joins {
    way: Arc<dyn Network>,
    refused: watch::Sender<u32>,
}

impl Network for Joins {
    fn send(
        &self,
        group: GroupId,
        target: NodeId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
        let request = wire::Request::decode(message.clone()).unwrap();
        let sent = self.way.send(group, target, message);
        if !matches!(request.ask, Some(Ask::Join(_))) {
            return sent;
        }
        let refused = self.refused.clone();
        Box::pin(async move {
            let answer = sent.await?;
            let response = wire::Response::decode(answer.clone()).unwrap();
            if matches!(response.answer, Some(wire::Answer::Refused(_))) {
                refused.send_modify(|refused| *refused += 1);
            }
            Ok(answer)
        })
    }
}

/// Starts all hosts first: they ask each other.
async fn start(network: &Arc<LocalNetwork>, disks: &[(NodeId, Arc<MemoryEngine>)]) -> Vec<Node> {
    let hosts: Vec<_> =
        disks.iter().map(|(id, memory)| (*id, memory, host(network, *id, memory))).collect();
    let opening = hosts.into_iter().map(|(id, memory, host)| async move {
        let group = open(&host).await;
        Node { id, memory: Arc::clone(memory), host, group }
    });
    join_all(opening).await
}

async fn open(host: &Host) -> Group<Register> {
    let opened = async {
        loop {
            match host.open_among(GROUP, Register::new(), &voters()).await {
                Err(Error::NotAdmitted { .. }) => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.expect("because a majority answers")
}

/// The one that leads.
async fn leader(nodes: &[Node]) -> Group<Register> {
    let leading = async {
        loop {
            if let Some(node) = nodes.iter().find(|node| node.group.is_leader()) {
                return node.group.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, leading).await.expect("because a majority is up")
}

/// Those of a group whose voters change: `voters` are to be, `leaving` vote until then.
fn electorate(voters: &[u64], leaving: &[u64]) -> Electorate {
    let nodes = |of: &[u64]| of.iter().copied().map(NodeId).collect();
    Electorate { voters: nodes(voters), leaving: nodes(leaving) }
}

/// Opens the group on a node where its voters are not those of the founding any more.
async fn open_later(host: &Host, electorate: &Electorate) -> Group<Register> {
    let opened = async {
        loop {
            match host.open_later(GROUP, Register::new(), electorate).await {
                Err(Error::NotAdmitted { .. }) => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.expect("because a majority answers")
}

async fn of_three() -> (Arc<LocalNetwork>, Vec<Node>) {
    let network = LocalNetwork::new();
    let disks: Vec<_> =
        voters().into_iter().map(|id| (id, MemoryEngine::new(&families()))).collect();
    let nodes = start(&network, &disks).await;
    assert!(nodes.iter().all(|node| node.group.is_new()));
    nodes[0].group.initialize(&voters()).await.unwrap();
    propose(&nodes, "first").await;
    (network, nodes)
}

async fn propose(nodes: &[Node], command: &str) -> LogIndex {
    let proposing = async {
        loop {
            for node in nodes {
                if let Ok(reply) = node.group.propose(command.to_owned()).await {
                    return reply.index;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, proposing).await.expect("because a majority is up")
}

async fn applied(node: &Node, index: LogIndex) {
    let mut applied = node.group.watch_applied();
    let reached = applied.wait_for(|applied| *applied >= Some(index));
    tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
}

async fn equal(nodes: &[Node], index: LogIndex) {
    for node in nodes {
        applied(node, index).await;
    }
    let agreeing = async {
        loop {
            let mut states = BTreeSet::new();
            for node in nodes {
                states.insert(node.group.state_hash().await.unwrap());
            }
            let indexes: BTreeSet<_> = states.iter().map(|(index, _)| index).collect();
            // A leader that was elected meanwhile begins with an entry of its own.
            if indexes.len() == 1 {
                return states;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let states = tokio::time::timeout(PATIENCE, agreeing).await.expect("entries end");
    assert_eq!(states.len(), 1, "{states:?}");
}

/// Starts node `place` again on another disk.
async fn restart(
    network: &Arc<LocalNetwork>,
    nodes: &mut [Node],
    place: usize,
    disk: Arc<MemoryEngine>,
) {
    nodes[place].host.shutdown().await;
    let mut started = start(network, &[(nodes[place].id, disk)]).await;
    nodes[place] = started.remove(0);
}

/// The node's new replica has a vote: with it and one other there is a majority.
async fn has_a_vote(network: &Arc<LocalNetwork>, nodes: &[Node], place: usize) {
    let taken_in = async {
        while !nodes[place].group.has_vote() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken_in).await.expect("it is taken in");
    assert_eq!(nodes[place].group.status().voters, voters());
    let other = nodes[(place + 1) % 3].id;
    network.cut(other);
    let last = propose(nodes, &format!("without {other}")).await;
    network.heal(other);
    equal(nodes, last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s23_a_replica_whose_disk_was_emptied_joins_anew() {
    let (network, mut nodes) = of_three().await;
    for number in 0..100 {
        propose(&nodes, &number.to_string()).await;
    }
    for place in 0..3 {
        let empty = MemoryEngine::new(&families());
        restart(&network, &mut nodes, place, empty).await;
        assert!(!nodes[place].group.is_new(), "it must not begin the group again");
        has_a_vote(&network, &nodes, place).await;
    }
    // Once more: the replica of a later life has nothing over one of the first.
    let empty = MemoryEngine::new(&families());
    restart(&network, &mut nodes, 0, empty).await;
    has_a_vote(&network, &nodes, 0).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s23_a_replica_whose_disk_was_rolled_back_is_destroyed_and_joins_anew() {
    let (network, mut nodes) = of_three().await;
    let last = propose(&nodes, "in the copy").await;
    applied(&nodes[1], last).await;
    nodes[1].host.shutdown().await;
    let (copy, disk) = (nodes[1].memory.crash(), nodes[1].memory.crash());
    restart(&network, &mut nodes, 1, disk).await;
    let later = propose(&nodes, "not in the copy").await;
    applied(&nodes[1], later).await;
    restart(&network, &mut nodes, 1, copy).await;
    has_a_vote(&network, &nodes, 1).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}

/// Whoever changes the voters meanwhile gives the vote to the new replica, never to the dead
/// one.
#[tokio::test(flavor = "multi_thread")]
async fn s23_gs_cp_36_an_emptied_node_is_made_a_voter_by_its_new_replica() {
    let (network, mut nodes) = of_three().await;
    let leader = leader(&nodes).await;
    let place = nodes.iter().position(|node| node.id != leader.node()).unwrap();
    let emptied = BTreeSet::from([nodes[place].id]);
    let rest: BTreeSet<NodeId> = voters().difference(&emptied).copied().collect();
    leader.change_voters(&rest).await.unwrap();
    restart(&network, &mut nodes, place, MemoryEngine::new(&families())).await;
    let changing = async {
        loop {
            let ready = leader.add_learners(&emptied, Duration::from_secs(1)).await;
            if ready.is_ok_and(|ready| ready == emptied)
                && leader.change_voters(&voters()).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changing).await.expect("it gets a vote");
    has_a_vote(&network, &nodes, place).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}

/// It gives up what it has only once the leader says so, and comes back as a new replica.
#[tokio::test(flavor = "multi_thread")]
async fn s39_s23_a_node_that_votes_no_more_forgets_the_group_and_may_come_back() {
    let (network, mut nodes) = of_three().await;
    for number in 0..100 {
        propose(&nodes, &number.to_string()).await;
    }
    let leader = leader(&nodes).await;
    let place = nodes.iter().position(|node| node.id != leader.node()).unwrap();
    let (leaving, host) = (nodes[place].id, Arc::clone(&nodes[place].host));
    let rest: BTreeSet<NodeId> = voters().into_iter().filter(|node| *node != leaving).collect();
    assert!(!host.is_left_out(GROUP, &rest).await.unwrap(), "it has a vote");
    leader.change_voters(&rest).await.unwrap();
    network.cut(leaving);
    assert!(!host.is_left_out(GROUP, &rest).await.unwrap(), "nobody says so");
    network.heal(leaving);
    let left_out = async {
        while !host.is_left_out(GROUP, &rest).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left_out).await.expect("because the leader says so");
    assert!(matches!(host.forget(GROUP).await, Err(Error::Open { .. })), "it is open");
    nodes[place].group.shutdown().await;
    assert!(host.holds(GROUP).await.unwrap());
    host.forget(GROUP).await.unwrap();
    assert!(!host.holds(GROUP).await.unwrap());
    propose(&nodes, "without it").await;
    nodes[place].group = open(&host).await;
    assert!(!nodes[place].group.is_new(), "it must not begin the group again");
    has_a_vote(&network, &nodes, place).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}

/// Whether the newcomer has opened the group yet.
#[derive(PartialEq, Eq)]
enum Newcomer {
    Open,
    Virgin,
}

/// Node 4 is to vote in place of node 1; what 1 and 3 saw of node 2 it never did. Of a node 2 that
/// was rolled back it must not say that nothing is missing.
async fn vouches_for_nobody(newcomer: Newcomer) {
    let (network, mut nodes) = of_three().await;
    nodes[1].host.shutdown().await;
    let (copy, disk) = (nodes[1].memory.crash(), nodes[1].memory.crash());
    restart(&network, &mut nodes, 1, disk).await;
    propose(&nodes, "not in the copy").await;
    nodes[1].host.shutdown().await;
    let now = electorate(&[2, 3, 4], &[1]);
    let fourth = host(&network, NodeId(4), &MemoryEngine::new(&families()));
    if newcomer == Newcomer::Open {
        assert!(!open_later(&fourth, &now).await.is_new());
    }
    // Either of them knows better.
    network.cut(NodeId(1));
    network.cut(NodeId(3));
    let rolled_back = host(&network, NodeId(2), &copy);
    for _ in 0..3 {
        let opened = rolled_back.open_later(GROUP, Register::new(), &now).await;
        assert!(matches!(opened, Err(Error::NotAdmitted { .. })), "node 4 does not know");
    }
    for host in [&nodes[0].host, &nodes[2].host, &fourth, &rolled_back] {
        host.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s23_s39_a_new_voter_vouches_for_nobody_whose_start_it_was_not_shown() {
    vouches_for_nobody(Newcomer::Open).await;
}

/// The same before it has even opened the group: nothing on its disk says that it came later.
#[tokio::test(flavor = "multi_thread")]
async fn s23_s39_a_new_voter_that_has_not_opened_yet_vouches_for_nobody() {
    vouches_for_nobody(Newcomer::Virgin).await;
}

/// Nodes 1 to 3 vote, 4 is to take the place of 1 and has only just started. All of 1 to 3 have
/// ended.
async fn before_a_move() -> (Arc<LocalNetwork>, Vec<Node>) {
    let (network, nodes) = of_three().await;
    let last = propose(&nodes, "before").await;
    equal(&nodes, last).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
    (network, nodes)
}

/// Starts a node of a group whose voters change: all hosts first, for they answer each other.
async fn start_moving(
    network: &Arc<LocalNetwork>,
    disks: &[&Node],
    moving: &Electorate,
) -> Vec<Node> {
    let hosts: Vec<_> = disks
        .iter()
        .map(|node| (node.id, Arc::clone(&node.memory), host(network, node.id, &node.memory)))
        .collect();
    let opening = hosts.into_iter().map(|(id, memory, host)| async move {
        let group = open_later(&host, moving).await;
        Node { id, memory, host, group }
    });
    join_all(opening).await
}

/// The group is as it was before the move, and one of its voters is down: the newcomer knows
/// nobody, and the two that are left are a majority.
#[tokio::test(flavor = "multi_thread")]
async fn s23_s39_who_leaves_and_one_other_voter_are_admitted_while_one_is_down() {
    let (network, nodes) = before_a_move().await;
    network.cut(NodeId(3));
    let fourth = host(&network, NodeId(4), &MemoryEngine::new(&families()));
    let started =
        start_moving(&network, &[&nodes[0], &nodes[1]], &electorate(&[4, 2, 3], &[1])).await;
    propose(&started, "by 1 and 2").await;
    for host in started.iter().map(|node| &node.host).chain([&fourth]) {
        host.shutdown().await;
    }
}

/// The newcomer is dead and another voter is down: who is to leave vouches for who stays.
#[tokio::test(flavor = "multi_thread")]
async fn s23_s39_who_stays_is_admitted_by_the_word_of_who_leaves() {
    let (network, nodes) = before_a_move().await;
    network.cut(NodeId(3));
    network.cut(NodeId(4));
    // It only answers: its own group is not open.
    let leaving = host(&network, NodeId(1), &nodes[0].memory);
    let moving = electorate(&[4, 2, 3], &[1]);
    let started = start_moving(&network, &[&nodes[1]], &moving).await;
    // A majority of no membership, alone: without the word of who leaves it is not admitted.
    started[0].host.shutdown().await;
    leaving.shutdown().await;
    network.cut(NodeId(1));
    let alone = host(&network, NodeId(2), &started[0].memory);
    let opened = alone.open_later(GROUP, Register::new(), &moving).await;
    assert!(matches!(opened.err(), Some(Error::NotAdmitted { answers: 0, needed: 1, .. })));
    alone.shutdown().await;
}

/// A learner that is to be no voter after all is gone, and one that takes another's place comes
/// in by the change that leaves the other out: its asking is no second way.
#[tokio::test(flavor = "multi_thread")]
async fn s39_a_change_of_voters_leaves_no_learner_behind_and_is_one_change() {
    let (network, nodes) = of_three().await;
    let leader = leader(&nodes).await;
    let others: Vec<NodeId> = voters().into_iter().filter(|id| *id != leader.node()).collect();
    let voters_now = BTreeSet::from([leader.node(), others[0], NodeId(4)]);
    let now = Electorate { voters: voters_now, leaving: [others[1]].into() };
    leader.follow_voters(&now);
    let (refused, mut refusals) = watch::channel(0);
    let way = Arc::new(Joins { way: network.from(NodeId(4)), refused });
    let fourth = host_on(&network, way, NodeId(4), &MemoryEngine::new(&families()));
    let group = open_later(&fourth, &now).await;
    let learning = async {
        let new = BTreeSet::from([NodeId(4)]);
        while leader.add_learners(&new, PATIENCE).await.ok() != Some(new.clone()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, learning).await.expect("it learns");
    let mut status = leader.watch();
    let learns = |status: &Status| status.learners == BTreeSet::from([NodeId(4)]);
    tokio::time::timeout(PATIENCE, status.wait_for(learns)).await.unwrap().unwrap();
    // It asks all three again and again, the leader too; the entry is behind what that has begun.
    let before = *refusals.borrow();
    let asked = refusals.wait_for(|refusals| *refusals >= before + 6);
    tokio::time::timeout(PATIENCE, asked).await.unwrap().unwrap();
    propose(&nodes, "after it has asked").await;
    assert_eq!(leader.status().voters, voters());
    leader.change_voters(&voters()).await.unwrap();
    let is_gone = |status: &Status| status.learners.is_empty() && status.voters == voters();
    tokio::time::timeout(PATIENCE, status.wait_for(is_gone)).await.unwrap().unwrap();
    drop(group);
    fourth.shutdown().await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}

/// A node that started by the layout of before, when node 4 had been named already, is shown to it
/// once it is told: else node 4 would know an older start of it, and vouch for that.
#[tokio::test(flavor = "multi_thread")]
async fn s23_s39_a_start_is_shown_to_who_is_named_later() {
    let (network, nodes) = of_three().await;
    let fourth = host(&network, NodeId(4), &MemoryEngine::new(&families()));
    let knows = async || {
        let ask = Some(Ask::Known(wire::KnownAsk { is_later: true }));
        let request = wire::Request { group: GROUP.0, from: 2, to: 4, to_replica: 0, ask };
        let answer = fourth.receive(NodeId(2), request.encode_to_vec().into()).await.unwrap();
        let answer = wire::Response::decode(answer).unwrap().answer;
        matches!(answer, Some(wire::Answer::Known(known)) if known.number == 1)
    };
    assert!(!knows().await);
    nodes[1].group.follow_voters(&electorate(&[4, 2, 3], &[1]));
    let shown = async {
        while !knows().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("it is shown");
    for host in nodes.iter().map(|node| &node.host).chain([&fourth]) {
        host.shutdown().await;
    }
}

/// It is a learner yet, and the layout has given it up: that it asks makes it no fourth voter. Where
/// no layout says who votes, a member that came later may ask.
#[tokio::test(flavor = "multi_thread")]
async fn s39_s23_a_learner_that_was_given_up_is_not_taken_in_because_it_asks() {
    let (network, nodes) = of_three().await;
    let leader = leader(&nodes).await;
    let asked = nodes.iter().find(|node| node.id == leader.node()).unwrap();
    let fourth = host(&network, NodeId(4), &MemoryEngine::new(&families()));
    // Of the founding, and one besides: it does not ask to be taken in by itself.
    let opened = fourth.open_among(GROUP, Register::new(), &voters()).await.unwrap();
    assert!(!opened.has_vote());
    let new = BTreeSet::from([NodeId(4)]);
    let learning = async {
        while leader.add_learners(&new, PATIENCE).await.ok() != Some(new.clone()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, learning).await.expect("it learns");
    leader.follow_voters(&Electorate { voters: voters(), ..Electorate::default() });
    let ask = Some(Ask::Join(wire::JoinAsk { replica: 4, life: 1 }));
    let (from, to) = (4, asked.id.0);
    let request = wire::Request { group: GROUP.0, from, to, to_replica: 0, ask };
    let answer = asked.host.receive(NodeId(4), request.encode_to_vec().into()).await.unwrap();
    let answer = wire::Response::decode(answer).unwrap().answer;
    assert!(matches!(answer, Some(wire::Answer::Refused(_))), "{answer:?}");
    for host in nodes.iter().map(|node| &node.host).chain([&fourth]) {
        host.shutdown().await;
    }
}

/// What was synced is there again, replicas go on as they are, and all know each other.
#[tokio::test(flavor = "multi_thread")]
async fn s23_a_loss_of_all_power_destroys_nobody() {
    let (network, mut nodes) = of_three().await;
    for round in 0..4 {
        let last = propose(&nodes, &format!("round {round}")).await;
        equal(&nodes, last).await;
        let disks: Vec<_> = nodes.iter().map(|node| (node.id, node.memory.crash())).collect();
        for node in &nodes {
            node.host.shutdown().await;
        }
        nodes = start(&network, &disks).await;
        let kept = nodes.iter().filter(|node| node.group.status().last_log >= last).count();
        assert!(kept >= 2, "round {round}: {kept} of three kept an acknowledged entry");
        assert!(nodes.iter().all(|node| !node.group.is_new()));
    }
    let last = propose(&nodes, "after").await;
    equal(&nodes, last).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}

/// Without the word of a majority nobody votes.
#[tokio::test(flavor = "multi_thread")]
async fn s23_a_replica_that_no_peer_answers_is_not_admitted() {
    let (network, nodes) = of_three().await;
    let disk = nodes[2].memory.crash();
    for node in &nodes {
        node.host.shutdown().await;
    }
    drop(nodes);
    let alone = host(&network, NodeId(3), &disk);
    let opened = alone.open_among(GROUP, Register::new(), &voters()).await;
    assert!(matches!(opened.err(), Some(Error::NotAdmitted { answers: 0, needed: 1, .. })));
    alone.shutdown().await;
}

/// One that joined later asks those that were there: with it they are four, and it is one.
#[tokio::test(flavor = "multi_thread")]
async fn s23_one_that_is_not_among_those_that_it_asks_needs_a_majority_with_itself() {
    let network = LocalNetwork::new();
    let hosts: Vec<_> = (1..=4)
        .map(|id| (NodeId(id), MemoryEngine::new(&families())))
        .map(|(id, disk)| host(&network, id, &disk))
        .collect();
    for away in [2, 3] {
        network.cut(NodeId(away));
    }
    let alone = hosts[3].open_among(GROUP, Register::new(), &voters()).await;
    assert!(matches!(alone.err(), Some(Error::NotAdmitted { answers: 1, needed: 2, .. })));
    network.heal(NodeId(2));
    assert!(hosts[3].open_among(GROUP, Register::new(), &voters()).await.is_ok());
    join_all(hosts.iter().map(|host| host.shutdown())).await;
}

/// A way on which one node does not hear what is asked about starts.
struct Unheard {
    way: Arc<dyn Network>,
    by: NodeId,
}

impl Network for Unheard {
    fn send(
        &self,
        group: GroupId,
        target: NodeId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
        let request = wire::Request::decode(message.clone()).unwrap();
        if target == self.by && matches!(request.ask, Some(Ask::Known(_))) {
            return Box::pin(async { Err(NetworkError::Lost("it is slow".to_owned())) });
        }
        self.way.send(group, target, message)
    }
}

/// The third node's disk as it was two starts ago; only node 2 was shown those.
async fn rolled_back(network: &Arc<LocalNetwork>, nodes: &mut [Node]) -> Arc<MemoryEngine> {
    let last = propose(nodes, "in the copy").await;
    applied(&nodes[2], last).await;
    let copy = nodes[2].memory.crash();
    network.cut(NodeId(1));
    for _ in 0..2 {
        let disk = nodes[2].memory.crash();
        restart(network, nodes, 2, disk).await;
    }
    let later = propose(nodes, "not in the copy").await;
    applied(&nodes[2], later).await;
    nodes[2].host.shutdown().await;
    network.heal(NodeId(1));
    // Nothing is lost, whoever votes: node 1 has it too.
    let last = propose(&nodes[..2], "on the others").await;
    applied(&nodes[0], last).await;
    if nodes[1].group.is_leader() {
        // It knows how far node 3 was.
        nodes[1].group.transfer_leader(NodeId(1)).await.unwrap();
    }
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn s23_a_replica_of_which_a_peer_was_shown_a_later_start_is_destroyed_before_it_votes() {
    let (network, mut nodes) = of_three().await;
    let copy = rolled_back(&network, &mut nodes).await;
    let way = Arc::new(Unheard { way: network.from(NodeId(3)), by: NodeId(2) });
    let host = host_on(&network, way, NodeId(3), &copy);
    let refused = host.open_among(GROUP, Register::new(), &voters()).await;
    assert!(matches!(refused.err(), Some(Error::NotAdmitted { .. })), "node 2 knows better");
    let group = open(&host).await;
    nodes[2] = Node { id: NodeId(3), memory: copy, host, group };
    has_a_vote(&network, &nodes, 2).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}

/// The one that knew it is away: the other was never shown it, but has the group.
#[tokio::test(flavor = "multi_thread")]
async fn s23_an_empty_disk_is_no_first_start_beside_a_group_that_has_begun() {
    let network = LocalNetwork::new();
    let disks: Vec<_> =
        voters().into_iter().map(|id| (id, MemoryEngine::new(&families()))).collect();
    network.cut(NodeId(3));
    let hosts: Vec<_> = disks[..2].iter().map(|(id, disk)| host(&network, *id, disk)).collect();
    let groups = join_all(hosts.iter().map(|host| open(host))).await;
    groups[0].initialize(&voters()).await.unwrap();
    network.heal(NodeId(3));
    network.cut(NodeId(2));
    let late = host(&network, NodeId(3), &disks[2].1);
    let group = open(&late).await;
    assert!(!group.is_new() && !group.has_vote());
    let elected = tokio::time::timeout(Duration::from_secs(3), group.wait_for_leader(PATIENCE));
    assert!(elected.await.is_err(), "it has no vote to give");
    network.heal(NodeId(2));
    let taken_in = async {
        while !group.has_vote() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken_in).await.expect("it is taken in");
    join_all(hosts.iter().chain([&late]).map(|host| host.shutdown())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s23_a_replica_ends_when_a_peer_comes_back_that_was_shown_a_later_start() {
    let (network, mut nodes) = of_three().await;
    let copy = rolled_back(&network, &mut nodes).await;
    network.cut(NodeId(2));
    let mut started = start(&network, &[(NodeId(3), copy)]).await;
    nodes[2] = started.remove(0);
    network.heal(NodeId(2));
    let failed = tokio::time::timeout(PATIENCE, nodes[2].host.failed()).await;
    let cause = failed.expect("because node 2 is shown the start");
    assert!(matches!(*cause, Error::RolledBack { group: GROUP }), "{cause}");
    assert!(nodes[2].group.propose("late".to_owned()).await.is_err());
    // Whoever answers the next start, it is a new replica.
    network.cut(NodeId(2));
    let disk = nodes[2].memory.crash();
    restart(&network, &mut nodes, 2, disk).await;
    assert!(!nodes[2].group.has_vote());
    network.heal(NodeId(2));
    has_a_vote(&network, &nodes, 2).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s23_a_replica_of_an_earlier_life_is_not_taken_in_in_place_of_a_later_one() {
    let (network, mut nodes) = of_three().await;
    for _ in 0..2 {
        let empty = MemoryEngine::new(&families());
        restart(&network, &mut nodes, 2, empty).await;
        has_a_vote(&network, &nodes, 2).await;
    }
    for asked in &nodes[..2] {
        let ask = Some(Ask::Join(wire::JoinAsk { replica: (1 << 63) | 7, life: 1 }));
        let to = asked.id.0;
        let request = wire::Request { group: GROUP.0, from: 3, to, to_replica: 0, ask };
        let late = asked.host.receive(NodeId(3), request.encode_to_vec().into()).await.unwrap();
        let late = wire::Response::decode(late).unwrap().answer;
        assert_eq!(late, Some(wire::Answer::Refused("a later life was shown".to_owned())));
    }
    has_a_vote(&network, &nodes, 2).await;
    for node in &nodes {
        node.host.shutdown().await;
    }
}
