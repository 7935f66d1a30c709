//! Voters that follow the layout (S39): four nodes in one process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::cluster::{Feed, News, Publisher};
use gitstratum_consensus::testing::LocalNetwork;
use gitstratum_consensus::{Config as ConsensusConfig, GroupId, Host, HostOptions, families};
use gitstratum_core::{GrantsVersion, NodeId, PartitionId, RepoId, SystemClock};
use gitstratum_process::{Drain, DrainTrigger, Metrics, TaskGroup};
use gitstratum_proto::control::v1::{Layout, PartitionPlacement, Repository, SnapshotUpdate};
use gitstratum_store::MemoryEngine;

use super::rig::{PARTITION, config, eventually, repository};
use crate::testing::{ScriptedCopies, ScriptedPlanner};
use crate::{Deps, Service, WithChecksums};

/// Longest that a service may take to end.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A metadata node.
pub(super) struct Member {
    pub(super) service: Arc<Service>,
    host: Arc<Host>,
    publisher: Publisher,
    trigger: DrainTrigger,
    tasks: TaskGroup,
}

impl Member {
    pub(super) fn start(network: &Arc<LocalNetwork>, node: NodeId) -> Self {
        let (publisher, feed) = Feed::channel();
        let heartbeat_interval = Duration::from_millis(50);
        let host = Host::start(HostOptions {
            node,
            engine: MemoryEngine::new(&families()),
            network: network.from(node),
            clock: SystemClock::new(),
            config: ConsensusConfig { heartbeat_interval, ..ConsensusConfig::default() },
        })
        .unwrap();
        network.join(node, &host);
        let deps = Deps {
            node,
            host: Arc::clone(&host),
            feed,
            clock: SystemClock::new(),
            planner: ScriptedPlanner::new(),
            copies: ScriptedCopies::new(),
            metrics: Metrics::new(),
        };
        let service = Service::new(config(Duration::from_millis(100)), deps).unwrap();
        let (trigger, drain) = Drain::new();
        let mut tasks = TaskGroup::new("metadata node");
        tasks.spawn(Arc::clone(&service).run(drain));
        Self { service, host, publisher, trigger, tasks }
    }

    pub(super) fn publish(&self, update: &SnapshotUpdate) {
        self.publisher.publish(self.publisher.current().apply(update));
    }

    /// The control plane is there.
    fn hear(&self) {
        self.hear_since(Duration::ZERO);
    }

    /// The control plane was there so long ago.
    fn hear_since(&self, silent: Duration) {
        self.publisher.tell(News { silent, grace: Duration::from_secs(3_600) });
    }

    /// Who votes in the partition, as this node says; nobody if it has not opened it.
    async fn voters(&self) -> BTreeSet<u64> {
        let all = self.service.status(WithChecksums::No).await;
        let own = all.into_iter().find(|status| status.partition == PARTITION.0);
        own.filter(|status| status.voters_settled)
            .map(|status| status.voters.into_iter().collect())
            .unwrap_or_default()
    }

    /// Whether this node's replica of the partition has anything, or the group members.
    async fn is_begun(&self) -> bool {
        let group = GroupId(u64::from(PARTITION.0));
        let all = self.service.status(WithChecksums::No).await;
        self.host.holds(group).await.unwrap()
            || all.into_iter().any(|status| !status.voters.is_empty() || status.leader > 0)
    }

    /// Who leads, as far as this node knows.
    async fn leader(&self) -> Option<u64> {
        let all = self.service.status(WithChecksums::No).await;
        let own = all.into_iter().find(|status| status.partition == PARTITION.0);
        own.map(|status| status.leader).filter(|leader| *leader > 0)
    }

    /// Nothing of the partition is here.
    async fn is_free(&self) -> bool {
        let group = GroupId(u64::from(PARTITION.0));
        self.service.partitions().is_empty() && !self.host.holds(group).await.unwrap()
    }

    pub(super) async fn stop(self) {
        let Self { host, trigger, tasks, .. } = self;
        trigger.start();
        tasks.drain(STOP_WITHIN).await;
        host.shutdown().await;
    }
}

pub(super) fn placed(version: u64, voters: &[u64], epoch: u64) -> SnapshotUpdate {
    let placement = PartitionPlacement {
        partition: PARTITION.0,
        voters: voters.to_vec(),
        preferred_leader: voters[0],
        epoch,
        ..PartitionPlacement::default()
    };
    let layout = Layout { epoch, partitions: vec![placement], ..Layout::default() };
    let repositories = vec![repository(1, "ann/x")];
    SnapshotUpdate { version, layout: Some(layout), repositories, ..SnapshotUpdate::default() }
}

pub(super) async fn wait_for_voters(members: &[Member], wanted: &[u64]) {
    let wanted: BTreeSet<u64> = wanted.iter().copied().collect();
    eventually(async || {
        members.iter().for_each(Member::hear);
        for (node, member) in (1..).zip(members) {
            let is_so = match wanted.contains(&node) {
                true => member.voters().await == wanted,
                false => member.is_free().await,
            };
            if !is_so {
                return false;
            }
        }
        true
    })
    .await;
}

/// Waits until another than `gone` leads, by the word of somebody else.
pub(super) async fn leader_beside(members: &[Member], gone: u64) -> u64 {
    let found = async {
        loop {
            members.iter().for_each(Member::hear);
            for (_, member) in (1..).zip(members).filter(|(node, _)| *node != gone) {
                if let Some(leader) = member.leader().await.filter(|leader| *leader != gone) {
                    return leader;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(STOP_WITHIN, found).await.expect("because a majority is there")
}

/// RV-H2: a replica that was taken away is gone, by its own word and by that of those who stay.
#[tokio::test(flavor = "multi_thread")]
async fn s39_voters_follow_the_layout_and_who_votes_no_more_has_nothing_left() {
    let network = LocalNetwork::new();
    let members: Vec<Member> = (1..=4).map(|node| Member::start(&network, NodeId(node))).collect();
    let publish = |update: &SnapshotUpdate| {
        members.iter().for_each(|member| member.publish(update));
    };
    publish(&placed(3, &[1, 2, 3], 0));
    wait_for_voters(&members, &[1, 2, 3]).await;
    let mut applied = members[0].service.applied();
    let reached = applied.wait_for(|applied| *applied >= GrantsVersion(3));
    tokio::time::timeout(STOP_WITHIN, reached).await.unwrap().unwrap();

    // The leader's place goes to another, which is to lead.
    publish(&placed(4, &[4, 2, 3], 2));
    wait_for_voters(&members, &[2, 3, 4]).await;
    eventually(async || {
        let found = members[3].service.list_repositories(PartitionId(PARTITION.0)).await;
        found.is_ok_and(|found| found.records == [RepoId(1)])
    })
    .await;

    // And back: a new replica of the node that had left.
    publish(&placed(5, &[1, 2, 3], 3));
    wait_for_voters(&members, &[1, 2, 3]).await;
    for member in members {
        member.stop().await;
    }
}

/// Those who have the group by then came after the founding, and know nothing of who comes back.
#[tokio::test(flavor = "multi_thread")]
async fn s39_s23_newcomers_take_in_who_they_never_saw() {
    let network = LocalNetwork::new();
    let members: Vec<Member> = (1..=5).map(|node| Member::start(&network, NodeId(node))).collect();
    let steps = [[1, 2, 3], [4, 2, 3], [4, 5, 3], [4, 5, 2], [4, 5, 1], [3, 5, 1]];
    for (epoch, voters) in (0..).zip(steps) {
        members.iter().for_each(|member| member.publish(&placed(3 + epoch, &voters, epoch)));
        wait_for_voters(&members, &voters).await;
    }
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s39_nothing_moves_until_the_control_plane_is_heard_again() {
    let network = LocalNetwork::new();
    let members: Vec<Member> = (1..=4).map(|node| Member::start(&network, NodeId(node))).collect();
    members.iter().for_each(|member| member.publish(&placed(3, &[1, 2, 3], 0)));
    wait_for_voters(&members, &[1, 2, 3]).await;
    for member in &members {
        member.hear_since(Duration::from_secs(60));
        member.publish(&placed(4, &[4, 2, 3], 2));
    }
    let before = BTreeSet::from([1, 2, 3]);
    let rounds =
        || members[..3].iter().map(|member| member.service.placing_rounds(PARTITION)).min();
    let begun = rounds().unwrap();
    // Whoever leads has looked at the layout ten times.
    eventually(async || {
        for member in &members[1..3] {
            assert_eq!(member.voters().await, before);
        }
        rounds().unwrap() >= begun + 10
    })
    .await;
    assert!(!members[0].is_free().await, "it gives nothing up that it votes in");
    wait_for_voters(&members, &[2, 3, 4]).await;
    for member in members {
        member.stop().await;
    }
}

/// The leader is gone between the two steps of the change, or before them: the next one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn s39_a_change_that_a_leader_did_not_finish_is_finished_by_the_next() {
    let network = LocalNetwork::new();
    let members: Vec<Member> = (1..=4).map(|node| Member::start(&network, NodeId(node))).collect();
    members.iter().for_each(|member| member.publish(&placed(3, &[1, 2, 3], 0)));
    wait_for_voters(&members, &[1, 2, 3]).await;
    members.iter().for_each(|member| member.publish(&placed(4, &[2, 3, 4], 2)));
    // Whoever leads is cut off for a while, three times, wherever the change is by then.
    for _ in 0..3 {
        let leader = leader_beside(&members, 0).await;
        network.cut(NodeId(leader));
        leader_beside(&members, leader).await;
        network.heal(NodeId(leader));
    }
    wait_for_voters(&members, &[2, 3, 4]).await;
    for member in members {
        member.stop().await;
    }
}

/// Nodes that are to vote in a group that nobody has begun do not begin it either.
#[tokio::test(flavor = "multi_thread")]
async fn s39_only_a_voter_of_the_founding_begins_a_group() {
    let network = LocalNetwork::new();
    let members: Vec<Member> = (1..=3).map(|node| Member::start(&network, NodeId(node))).collect();
    members.iter().for_each(|member| member.publish(&placed(3, &[1, 2, 3], 2)));
    // Whoever opens a group begins it before it is seen to be open.
    eventually(async || members.iter().all(|member| !member.service.partitions().is_empty())).await;
    for member in &members {
        assert!(!member.is_begun().await);
    }
    for member in members {
        member.stop().await;
    }
}

/// Node 1 waits for a vote in one partition, for nobody moves votes now: what it votes in has the
/// directory's rows all the same, and it says so.
#[tokio::test(flavor = "multi_thread")]
async fn s39_s43_a_partition_that_is_learned_holds_up_no_rows_of_others() {
    let network = LocalNetwork::new();
    let members: Vec<Member> = (1..=4).map(|node| Member::start(&network, NodeId(node))).collect();
    members[1..].iter().for_each(|member| member.publish(&placed(3, &[2, 3, 4], 0)));
    eventually(async || members[3].voters().await == BTreeSet::from([2, 3, 4])).await;
    let other = PartitionId(PARTITION.0 + 1);
    let own = PartitionPlacement {
        partition: other.0,
        voters: vec![1],
        preferred_leader: 1,
        ..PartitionPlacement::default()
    };
    let mut update = placed(4, &[1, 3, 4], 2);
    update.layout.get_or_insert_default().partitions.push(own);
    update.repositories.push(Repository { partition: other.0, ..repository(2, "ann/y") });
    members[0].publish(&update);
    eventually(async || members[0].service.list_repositories(other).await.is_ok()).await;
    eventually(async || {
        let found = members[0].service.list_repositories(other).await;
        found.is_ok_and(|found| found.records == [RepoId(2)])
    })
    .await;
    eventually(async || *members[0].service.applied().borrow() >= GrantsVersion(4)).await;
    assert!(!members[0].voters().await.contains(&1), "it learns yet");
    for member in members {
        member.stop().await;
    }
}
