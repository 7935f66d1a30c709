//! What each of three voters answers, and what the loss of any one takes away: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gitstratum_consensus::testing::LocalNetwork;
use gitstratum_core::{ErrorKind, GrantsVersion, Incarnation, NodeId};
use gitstratum_process::TaskGroup;
use gitstratum_proto::control::v1::{Layout, SnapshotUpdate};
use gitstratum_proto::metadata::v1::{Consistency, GetRefsRequest, Refusal};

use super::placing::{Member, STOP_WITHIN, leader_beside, placed, wait_for_voters};
use super::rig::{
    ANN, MAIN, NODE, PARTITION, actor, command, id, listing, push, repo_key, user, verdicts,
};
use crate::Error;
use crate::planner::{PlanAnswer, PlanRequest};

const NODES: [u64; 3] = [1, 2, 3];

/// Three voters of a partition with one repository.
struct Three {
    network: Arc<LocalNetwork>,
    members: Vec<Member>,
}

impl Three {
    async fn start() -> Self {
        let network = LocalNetwork::new();
        let members: Vec<Member> =
            NODES.iter().map(|node| Member::start(&network, NodeId(*node))).collect();
        let update = placed(3, &NODES, 0);
        let layout = Layout { replication_factor: 1, ..update.layout.clone().unwrap() };
        let users = vec![user(ANN, "ann")];
        let update = SnapshotUpdate { users, layout: Some(layout), ..update };
        members.iter().for_each(|member| member.publish(&update));
        wait_for_voters(&members, &NODES).await;
        let three = Self { network, members };
        for member in &three.members {
            let mut applied = member.service.applied();
            let reached = applied.wait_for(|applied| *applied >= GrantsVersion(3));
            tokio::time::timeout(STOP_WITHIN, reached).await.unwrap().unwrap();
        }
        three
    }

    async fn leader_beside(&self, gone: u64) -> &Member {
        self.member(leader_beside(&self.members, gone).await)
    }

    fn member(&self, node: u64) -> &Member {
        &self.members[usize::try_from(node).unwrap() - 1]
    }

    /// Moves the branch to the commit of `byte`, through whoever leads and is not `gone`.
    async fn push(&self, byte: u8, gone: u64) {
        let session = soon(async || {
            let leader = self.leader_beside(gone).await;
            leader.service.open_session(PARTITION, NODE, Incarnation(1)).await
        });
        let request = push(session.await.0, byte.into(), vec![command(MAIN, byte - 1, byte)]);
        let pushed = soon(async || {
            let leader = self.leader_beside(gone).await;
            leader.service.update_refs(NODE, request.clone()).await
        });
        assert_eq!(verdicts(&pushed.await), [Refusal::None]);
    }

    /// Where the branch is, as `node` says.
    async fn tip(&self, node: u64, consistency: Consistency) -> Result<Option<u8>, Error> {
        let request = GetRefsRequest { consistency: consistency.into(), ..listing(ANN) };
        let answers: Vec<_> = self.member(node).service.get_refs(request).await?.collect();
        let mut refs = answers.iter().flat_map(|answer| &answer.refs);
        Ok(refs.find(|found| found.name == MAIN).map(|found| found.target[0]))
    }

    /// The same, linearizable, once `node` has heard of a leader.
    async fn acknowledged(&self, node: u64) -> Option<u8> {
        soon(|| self.tip(node, Consistency::Quorum)).await
    }

    /// Whether `node` plans a fetch of the commit of `byte`.
    async fn plans(&self, node: u64, byte: u8) -> bool {
        let request = PlanRequest { wants: vec![id(byte)], done: true, ..PlanRequest::default() };
        let service = &self.member(node).service;
        let planned = soon(|| service.plan_fetch(repo_key(), actor(ANN), request.clone())).await;
        !matches!(planned, PlanAnswer::Refused(_))
    }

    async fn stop(self) {
        for member in self.members {
            member.stop().await;
        }
    }
}

/// What `ask` is answered, once somebody leads: while nobody does a call may be refused for that.
async fn soon<T, F: Future<Output = Result<T, Error>>>(ask: impl Fn() -> F) -> T {
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(STOP_WITHIN, asking).await.expect("nobody leads")
}

/// Reads of a hot repository can go to each of its voters (S27): none is behind what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn gs_md_13_every_voter_lists_and_plans_what_was_just_acknowledged() {
    let three = Three::start().await;
    for byte in 1..=9 {
        three.push(byte, 0).await;
        for node in NODES {
            assert_eq!(three.acknowledged(node).await, Some(byte), "node {node}");
            assert!(three.plans(node, byte).await, "node {node}, commit {byte}");
        }
    }
    three.stop().await;
}

/// RF 3, any one gone, also the one that led: what was acknowledged is read from each of the others,
/// and the next push is taken.
#[tokio::test(flavor = "multi_thread")]
async fn gs_md_23_rv_c2_whichever_voter_is_lost_acknowledged_refs_are_read_and_moved() {
    let three = Three::start().await;
    three.push(1, 0).await;
    for (gone, byte) in NODES.into_iter().zip(1..) {
        three.network.cut(NodeId(gone));
        let leader = three.leader_beside(gone).await.service.node();
        assert_ne!(leader, NodeId(gone));
        for node in NODES.into_iter().filter(|node| *node != gone) {
            assert_eq!(three.acknowledged(node).await, Some(byte), "node {node} without {gone}");
        }
        three.push(byte + 1, gone).await;
        three.network.heal(NodeId(gone));
        assert_eq!(three.acknowledged(gone).await, Some(byte + 1), "node {gone} is back");
    }
    three.stop().await;
}

/// ONE is what this voter has, however old; QUORUM is refused where nobody can tell how old it is.
#[tokio::test(flavor = "multi_thread")]
async fn rv_h4_gs_md_27_a_voter_that_is_cut_off_answers_one_from_what_it_has_and_refuses_quorum() {
    let three = Three::start().await;
    three.push(1, 0).await;
    for node in NODES {
        assert_eq!(three.acknowledged(node).await, Some(1));
    }
    let leader = three.leader_beside(0).await.service.node();
    let alone = NODES.into_iter().find(|node| NodeId(*node) != leader).unwrap();
    three.network.cut(NodeId(alone));
    three.push(2, alone).await;
    assert_eq!(three.tip(alone, Consistency::One).await.unwrap(), Some(1));
    let refused = three.tip(alone, Consistency::Quorum).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    three.network.heal(NodeId(alone));
    assert_eq!(three.acknowledged(alone).await, Some(2));
    three.stop().await;
}

/// Requests of all kinds, on all nodes, while partitions are opened and given up there: nobody waits for
/// ever for somebody else's lock. A deadlock would stop the runtime's own clock, so another thread waits.
#[test]
fn rv_h1_requests_beside_changes_of_voters_never_stand_still() {
    let (done, ended) = std::sync::mpsc::channel();
    let running = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(4).enable_all().build().unwrap().block_on(requests_beside_changes());
        done.send(()).unwrap();
    });
    ended.recv_timeout(4 * STOP_WITHIN).expect("it stands still, or has failed");
    running.join().unwrap();
}

async fn requests_beside_changes() {
    let network = LocalNetwork::new();
    let members: Arc<Vec<Member>> =
        Arc::new((1..=4).map(|node| Member::start(&network, NodeId(node))).collect());
    let answered = Arc::new(AtomicUsize::new(0));
    let mut asking = TaskGroup::new("requests");
    for _ in 0..8 {
        let (members, answered) = (Arc::clone(&members), Arc::clone(&answered));
        asking.spawn(async move {
            loop {
                for member in members.iter() {
                    let service = &member.service;
                    // Most are refused: half of the nodes do not have the partition.
                    drop(service.get_refs(listing(ANN)).await.map(|answers| answers.count()));
                    let planned = PlanRequest::default();
                    drop(service.plan_fetch(repo_key(), actor(ANN), planned).await);
                    drop(service.list_repositories(PARTITION).await);
                    drop(service.status(crate::WithChecksums::No).await);
                    let _version = service.least_version_used(PARTITION);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                // A refusal waits for nothing: the others are to have their turn.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    for (epoch, voters) in (0..).zip([[1, 2, 3], [4, 2, 3], [4, 1, 3], [4, 1, 2], [1, 2, 3]]) {
        let before = answered.load(Ordering::Relaxed);
        members.iter().for_each(|member| member.publish(&placed(3 + epoch, &voters, epoch)));
        wait_for_voters(&members, &voters).await;
        assert!(answered.load(Ordering::Relaxed) > before, "requests go on meanwhile");
    }
    drop(asking);
    // What is left ends with the runtime.
}
