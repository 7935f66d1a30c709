//! Whether a partition can answer at all. A call may take long for good reasons, and a
//! voter that hangs says nothing: so the voters are asked beside a call that is not
//! answered soon, each of which knows whether it has a majority (P-A8).

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use gitstratum_core::{NodeId, PartitionId};
use gitstratum_proto::metadata::v1::SegmentStatesRequest;
use tonic::{Request, Status};

use super::{HEDGE_AFTER, PAUSE_LONGEST, Partitions, has_no_quorum};

/// Longest that a call goes on while the voters that answer have no majority, and no voter
/// has said otherwise: with the first pause below the 2 s in which a minority has to refuse.
const OUT_OF_REACH_AFTER: Duration = Duration::from_millis(1_450);
/// How long the word of a voter that has a majority counts.
const WITHIN_REACH_FOR: Duration = Duration::from_secs(1);

impl Partitions {
    /// Returns once a voter of `partition` has said that it has no majority within its
    /// reach, and none that it has one, for [`OUT_OF_REACH_AFTER`]; while that is not so,
    /// never.
    pub(super) async fn out_of_reach(&self, partition: PartitionId) {
        tokio::time::sleep(HEDGE_AFTER).await;
        loop {
            let mut is_refused = false;
            let finding = self.find_majority(partition, &mut is_refused);
            match tokio::time::timeout(OUT_OF_REACH_AFTER, finding).await {
                Ok(()) => tokio::time::sleep(WITHIN_REACH_FOR).await,
                Err(_) if is_refused => return,
                Err(_) => {}
            }
        }
    }

    /// Asks the voters again and again until one has confirmed that it has a majority;
    /// `is_refused` becomes whether one has said that it has none.
    async fn find_majority(&self, partition: PartitionId, is_refused: &mut bool) {
        let voters = self.voters(partition).into_iter();
        let mut asked: FuturesUnordered<_> =
            voters.map(|node| self.ask_voter(partition, node, Duration::ZERO)).collect();
        while let Some((node, answer)) = asked.next().await {
            let Err(status) = answer else { return };
            *is_refused |= has_no_quorum(&status);
            asked.push(self.ask_voter(partition, node, PAUSE_LONGEST));
        }
        std::future::pending().await
    }

    /// Lets `node` confirm a read of nothing, after a pause.
    async fn ask_voter(
        &self,
        partition: PartitionId,
        node: NodeId,
        pause: Duration,
    ) -> (NodeId, Result<(), Status>) {
        tokio::time::sleep(pause).await;
        let nothing = SegmentStatesRequest { partition: partition.0, segments: Vec::new() };
        let answer = self.client(node).segment_states(Request::new(nothing)).await;
        (node, answer.map(drop))
    }
}
