//! Three voters whose network is bad and not gone (bad input 159), in virtual time on one thread: what
//! is counted are elections, and how long a proposal takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{NodeId, SystemClock};
use gitstratum_process::run_blocking_in_line;
use gitstratum_store::MemoryEngine;
use parking_lot::Mutex;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, timeout};

use crate::testing::{LocalNetwork, Register, seed_elections};
use crate::{Config, Group, GroupId, Host, HostOptions, families};

const GROUP: GroupId = GroupId(9);
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const LINKS: [(NodeId, NodeId); 3] =
    [(NODES[0], NODES[1]), (NODES[1], NODES[2]), (NODES[2], NODES[0])];
/// For how long the network is bad.
const BAD_FOR: Duration = Duration::from_secs(60);
/// More terms than that in a minute are an election storm.
const TERMS_MAX: u64 = 5;
/// Within what somebody takes a proposal (P-A2).
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// Within what a voter without a majority refuses (P-A8).
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// Messages of more bytes are lost on a narrow way: heartbeats and votes have fewer.
const NARROW_BYTES: usize = 200;
const SEEDS: std::ops::Range<u64> = 0..2;
/// Longer than what passes a narrow way.
const COMMAND: &str = "again again again again again again again again again again again again again again \
    again again again again again again again again again again again again again again again again";
/// One at a time: other tests beside these count in real time.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `test` on a thread of its own, where time goes on only when all wait.
fn virtually<F: Future<Output = ()>>(seed: u64, test: impl FnOnce() -> F + Send + 'static) {
    let _turn = TURN.lock();
    let run = move || {
        run_blocking_in_line();
        seed_elections(seed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test());
    };
    std::thread::spawn(run).join().expect("because the test has not failed");
}

/// Three voters with the limits of the product.
struct Three {
    network: Arc<LocalNetwork>,
    hosts: Vec<Arc<Host>>,
    groups: Vec<Group<Register>>,
}

impl Three {
    async fn start() -> Self {
        let (network, mut hosts, mut groups) = (LocalNetwork::new(), Vec::new(), Vec::new());
        for node in NODES {
            let host = Host::start(HostOptions {
                node,
                engine: MemoryEngine::new(&families()),
                network: network.from(node),
                clock: SystemClock::new(),
                config: Config::default(),
            })
            .unwrap();
            network.join(node, &host);
            groups.push(host.open(GROUP, Register::new()).await.unwrap());
            hosts.push(host);
        }
        groups[0].initialize(&BTreeSet::from(NODES)).await.unwrap();
        let three = Self { network, hosts, groups };
        three.propose().await;
        // All have heard of the leader.
        sleep(Duration::from_secs(2)).await;
        three
    }

    /// A proposal that somebody takes; how long that took.
    async fn propose(&self) -> Duration {
        let began = Instant::now();
        let proposing = async {
            loop {
                for group in &self.groups {
                    // As a caller that goes on with another voter: the command is idempotent.
                    let tried = timeout(Duration::from_secs(1), group.propose(COMMAND)).await;
                    if matches!(tried, Ok(Ok(_))) {
                        return;
                    }
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(TAKEN_WITHIN, proposing).await.expect("nobody takes a proposal");
        began.elapsed()
    }

    fn term(&self) -> u64 {
        self.groups.iter().map(|group| group.status().term).max().unwrap()
    }

    /// Proposes all the time while the network is as bad as `worsen` makes it; the elections.
    async fn suffer(&self, worsen: impl Future<Output = ()>) -> u64 {
        let before = self.term();
        let working = async {
            loop {
                self.propose().await;
                sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = worsen => {}
            () = working => unreachable!("it goes on"),
        }
        self.term() - before
    }

    async fn stop(self) {
        for host in &self.hosts {
            host.shutdown().await;
        }
    }
}

/// A link that is there for a second and gone for the next.
async fn flap(network: &LocalNetwork, ways: &[(NodeId, NodeId)]) {
    let began = Instant::now();
    while began.elapsed() < BAD_FOR {
        ways.iter().for_each(|(from, to)| network.silence(*from, *to));
        sleep(Duration::from_secs(1)).await;
        ways.iter().for_each(|(from, to)| network.unsilence(*from, *to));
        sleep(Duration::from_secs(1)).await;
    }
}

#[test]
fn bad_input_159_a_link_that_flaps_makes_no_election_storm() {
    for seed in SEEDS {
        virtually(seed, move || async move {
            for (one, other) in LINKS {
                for ways in [&[(one, other), (other, one)][..], &[(one, other)], &[(other, one)]] {
                    let three = Three::start().await;
                    let terms = three.suffer(flap(&three.network, ways)).await;
                    assert!(terms <= TERMS_MAX, "seed {seed}, {ways:?}: {terms} terms");
                    three.stop().await;
                }
            }
        });
    }
}

#[test]
fn bad_input_159_a_way_that_stays_cut_makes_no_election_storm() {
    for seed in SEEDS {
        virtually(seed, move || async move {
            for (one, other) in LINKS.into_iter().chain(LINKS.map(|(one, other)| (other, one))) {
                let three = Three::start().await;
                three.network.silence(one, other);
                let terms = three.suffer(sleep(BAD_FOR)).await;
                assert!(terms <= TERMS_MAX, "seed {seed}, {one} to {other}: {terms} terms");
                three.stop().await;
            }
        });
    }
}

#[test]
fn bad_input_159_losses_of_5_percent_and_50_ms_stop_nobody() {
    for seed in SEEDS {
        virtually(seed, move || async move {
            for (percent, round_trip) in [(5, 0), (0, 50), (5, 50)] {
                let three = Three::start().await;
                three.network.lose(percent, seed);
                three.network.slow(Duration::from_millis(round_trip / 2));
                let terms = three.suffer(sleep(BAD_FOR)).await;
                assert!(terms <= TERMS_MAX, "seed {seed}: {percent} %, {round_trip} ms: {terms}");
                three.stop().await;
            }
        });
    }
}

/// Round trips of 200 ms: an answer has 300.
#[test]
fn bad_input_159_p_a2_200_ms_between_nodes_stop_nobody() {
    for seed in SEEDS {
        virtually(seed, move || async move {
            let three = Three::start().await;
            three.network.slow(Duration::from_millis(100));
            let terms = three.suffer(sleep(BAD_FOR)).await;
            assert!(terms <= TERMS_MAX, "seed {seed}: {terms} terms");
            for group in &three.groups {
                group.read_barrier().await.expect("a read takes no longer than its limit");
            }
            // An election is round trips too.
            let leader = three.groups.iter().find(|group| group.is_leader()).unwrap().node();
            three.network.cut(leader);
            three.propose().await;
            three.network.heal(leader);
            three.propose().await;
            three.stop().await;
        });
    }
}

/// Too long a way for any leader: nobody has a majority, each says so within 2 s (P-A8), and it is over
/// when the network is well again. That elections are few meanwhile is not so.
#[test]
fn bad_input_159_p_a8_with_500_ms_between_nodes_all_is_refused_soon_and_comes_back() {
    for seed in SEEDS {
        virtually(seed, move || async move {
            let three = Three::start().await;
            three.network.slow(Duration::from_millis(250));
            sleep(Duration::from_secs(5)).await;
            let began = Instant::now();
            while began.elapsed() < BAD_FOR {
                for group in &three.groups {
                    let asked = Instant::now();
                    let read = group.read_barrier().await;
                    assert!(read.is_err(), "seed {seed}: nobody can know that it leads");
                    let took = asked.elapsed();
                    assert!(took <= REFUSED_WITHIN, "seed {seed}: refused after {took:?}");
                }
                sleep(Duration::from_millis(200)).await;
            }
            three.network.slow(Duration::ZERO);
            three.propose().await;
            three.stop().await;
        });
    }
}

/// Heartbeats are small and pass, entries are not and do not: another leads (a black hole of
/// large packets), reads beside or not, and it is no storm.
#[test]
fn bad_input_159_p_a2_a_leader_whose_large_messages_are_lost_hands_over() {
    for seed in SEEDS {
        for reads in [false, true] {
            virtually(seed, move || async move {
                let three = Three::start().await;
                let leads = |group: &&Group<Register>| group.is_leader();
                let leader = three.groups.iter().find(leads).unwrap().clone();
                three.network.narrow(leader.node(), NARROW_BYTES);
                let reading = async {
                    loop {
                        drop(leader.read_barrier().await);
                        sleep(Duration::from_millis(10)).await;
                    }
                };
                let terms = tokio::select! {
                    terms = three.suffer(sleep(BAD_FOR)) => terms,
                    () = reading, if reads => unreachable!("it goes on"),
                };
                assert!(!leader.is_leader(), "seed {seed}: it leads and nobody follows");
                assert!(terms <= TERMS_MAX, "seed {seed}: {terms} terms");
                three.network.widen(leader.node());
                three.propose().await;
                sleep(Duration::from_secs(1)).await;
                leader.read_barrier().await.expect("it has caught up");
                three.stop().await;
            });
        }
    }
}

/// More reads on a follower than may wait for the leader's answer, which never comes: all end in time.
#[test]
fn p_a8_p_l1_65_536_reads_wait_for_a_leader_that_is_silent_and_more_wait_for_those() {
    virtually(0, || async {
        const READS: usize = 65_536 + 1_000;
        let three = Three::start().await;
        let follower = three.groups.iter().find(|group| !group.is_leader()).unwrap();
        for other in NODES.into_iter().filter(|node| *node != follower.node()) {
            three.network.silence(follower.node(), other);
            three.network.silence(other, follower.node());
        }
        let began = Instant::now();
        let reads = (0..READS).map(|_| follower.read_barrier());
        let mut reads = unconstrained(futures::future::join_all(reads));
        assert!(futures::poll!(&mut reads).is_pending());
        assert_eq!(follower.reads().waiting(), 65_536, "the others wait outside");
        let ended = reads.await;
        assert!(ended.iter().all(Result::is_err), "nobody can confirm a read");
        assert!(began.elapsed() <= REFUSED_WITHIN, "after {:?}", began.elapsed());
        three.stop().await;
    });
}
