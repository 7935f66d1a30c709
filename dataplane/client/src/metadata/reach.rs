//! Whether a partition can answer at all. A call may take long for good reasons, and a
//! voter that hangs says nothing: so the voters are asked beside the calls that are not
//! answered soon, each of which knows whether it has a majority (P-A8). All calls that wait
//! for a partition share what its voters say.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use gitstratum_core::{NodeId, PartitionId};
use gitstratum_process::{Task, spawn};
use gitstratum_proto::metadata::v1::SegmentStatesRequest;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Request;

use super::{HEDGE_AFTER, PAUSE_LONGEST, Partitions, has_no_quorum};

/// Longest that a call goes on while the voters that answer have no majority, and no voter
/// has said otherwise: with the first pause below the 2 s in which a minority has to refuse.
const OUT_OF_REACH_AFTER: Duration = Duration::from_millis(1_450);
/// How long the word of a voter that has a majority counts.
const WITHIN_REACH_FOR: Duration = Duration::from_secs(1);

/// Asks the voters of a partition for as long as somebody holds it.
pub(super) struct Probe {
    heard: watch::Receiver<Heard>,
    _asking: Task<Infallible>,
}

/// When the voters last spoke.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// One had a majority.
    within_reach: Option<Instant>,
    /// One had none.
    refused: Option<Instant>,
}

/// What a voter says when it is asked to confirm a read of nothing.
enum Word {
    Majority,
    NoMajority,
    /// Nothing, or something else.
    Other,
}

impl Heard {
    /// From when on the partition is out of reach for who has waited since `began`, as far as is
    /// known now; `None` while no voter has said so.
    fn out_of_reach_at(self, began: Instant) -> Option<Instant> {
        let since = self.within_reach.map_or(began, |at| at.max(began));
        self.refused.filter(|at| *at >= since).map(|_| since + OUT_OF_REACH_AFTER)
    }
}

impl Partitions {
    /// Returns once a voter of `partition` has said that it has no majority within its
    /// reach, and none that it has one, for [`OUT_OF_REACH_AFTER`]; while that is not so,
    /// never.
    pub(super) async fn out_of_reach(&self, partition: PartitionId) {
        sleep(HEDGE_AFTER).await;
        let (began, probe) = (Instant::now(), self.probe(partition));
        let mut heard = probe.heard.clone();
        loop {
            let at = heard.borrow_and_update().out_of_reach_at(began);
            tokio::select! {
                changed = heard.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                () = sleep_until(at.unwrap_or(began)), if at.is_some() => return,
            }
        }
    }

    /// The one probe of `partition`.
    fn probe(&self, partition: PartitionId) -> Arc<Probe> {
        let mut probes = self.inner.probes.lock();
        if let Some(probe) = probes.get(&partition).and_then(std::sync::Weak::upgrade) {
            return probe;
        }
        let (telling, heard) = watch::channel(Heard::default());
        let asking = self.clone().ask_voters(partition, telling);
        let probe = Arc::new(Probe { heard, _asking: spawn("partition probe", asking) });
        probes.insert(partition, Arc::downgrade(&probe));
        probe
    }

    /// Asks the voters again and again.
    async fn ask_voters(self, partition: PartitionId, telling: watch::Sender<Heard>) -> Infallible {
        loop {
            let voters = self.voters(partition).into_iter();
            let mut asked: FuturesUnordered<_> =
                voters.map(|node| self.ask_voter(partition, node, Duration::ZERO)).collect();
            while let Some((node, word)) = asked.next().await {
                match word {
                    Word::Majority => {
                        telling.send_modify(|heard| heard.within_reach = Some(Instant::now()));
                        break;
                    }
                    Word::NoMajority => {
                        telling.send_modify(|heard| heard.refused = Some(Instant::now()));
                    }
                    Word::Other => {}
                }
                asked.push(self.ask_voter(partition, node, PAUSE_LONGEST));
            }
            drop(asked);
            sleep(WITHIN_REACH_FOR).await;
        }
    }

    /// Lets `node` confirm a read of nothing, after a pause.
    async fn ask_voter(
        &self,
        partition: PartitionId,
        node: NodeId,
        pause: Duration,
    ) -> (NodeId, Word) {
        sleep(pause).await;
        let nothing = SegmentStatesRequest { partition: partition.0, segments: Vec::new() };
        let mut client = self.client(node);
        let answer = timeout(OUT_OF_REACH_AFTER, client.segment_states(Request::new(nothing)));
        let word = match answer.await {
            Ok(Ok(_)) => Word::Majority,
            Ok(Err(status)) if has_no_quorum(&status) => Word::NoMajority,
            Ok(Err(_)) | Err(_) => Word::Other,
        };
        (node, word)
    }
}
