//! What the partitions' leaders say of their voters, and the moves that follow (S39).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{NodeId, PartitionId};
use gitstratum_process::Drain;
use gitstratum_proto::metadata::v1::{PartitionStatus, StatusResponse};
use gitstratum_state::command::{Change, Origin};
use gitstratum_state::record::Placement;

use crate::emptying;
use crate::error::Error;
use crate::placement::{Ground, Standing};
use crate::plane::Plane;

/// How often it is looked whether a vote is to move.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of a look.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// A vote was moved, or all are where they should be.
    Done,
    /// A vote is to move, once these have followed the layout.
    Waits(Vec<PartitionId>),
}

/// Moves votes where this voter leads, until `drain` starts.
pub(crate) async fn run(plane: Arc<Plane>, drain: Drain) {
    let mut told: Option<String> = None;
    let mut waited = Look::Done;
    let mut rest = Rest::default();
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if plane.leading().is_err() {
            continue;
        }
        let moved = tokio::select! {
            biased;
            () = drain.started() => return,
            moved = look(&plane, &mut rest) => moved,
        };
        // What stays as it is is told once.
        let failed = moved.as_ref().err().map(ToString::to_string);
        if let Some(error) = failed.as_ref().filter(|_| failed != told) {
            tracing::warn!(error, "voters of partitions were not placed");
        }
        told = failed;
        let look = moved.unwrap_or(Look::Done);
        if let Look::Waits(partitions) = &look
            && look != waited
        {
            tracing::info!(?partitions, "votes move once these are as the layout says");
        }
        waited = look;
    }
}

/// Layout and nodes as they were when nothing was to be moved.
#[derive(Default)]
struct Rest(Option<Ground>);

impl Rest {
    /// Whether there is nothing to move. Looked for only where something has changed since.
    fn is_at(&mut self, ground: &Ground) -> bool {
        if self.0.as_ref() == Some(ground) {
            return true;
        }
        let is_at_rest = ground.next(&ground.settled()).is_none();
        self.0 = is_at_rest.then(|| ground.clone());
        is_at_rest
    }
}

/// Names one partition's voters anew, if that is due. The partitions are asked only if there is
/// anything to move.
async fn look(plane: &Plane, rest: &mut Rest) -> Result<Look, Error> {
    let ground = plane.read(Ground::of).await?;
    if rest.is_at(&ground) {
        return Ok(Look::Done);
    }
    let settled = ground.settled();
    let standings = ask(plane, &ground).await?;
    let Some(step) = ground.next(&standings) else {
        let is_behind =
            |partition: &PartitionId| standings.get(partition) != settled.get(partition);
        return Ok(Look::Waits(settled.keys().copied().filter(is_behind).collect()));
    };
    let (partition, voters) = (step.partition, step.voters.clone());
    let outcome = plane.propose(Origin::system(), Change::PlacePartition(step)).await?;
    outcome.result.map_err(Error::Refused)?;
    let voters: Vec<String> = voters.iter().map(|voter| NodeId(*voter).to_string()).collect();
    tracing::info!(partition, ?voters, "a partition's voters are placed anew");
    Ok(Look::Done)
}

/// In how many partitions `node` still votes, or may, for the leader has not said.
///
/// # Errors
/// When the state cannot be read.
pub(crate) async fn votes(plane: &Plane, node: NodeId) -> Result<usize, Error> {
    let ground = plane.read(Ground::of).await?;
    if !ground.seats.iter().any(|seat| seat.node == node) {
        return Ok(0);
    }
    let standings = ask(plane, &ground).await?;
    Ok(ground.places.iter().filter(|place| may_vote(&standings, place, node)).count())
}

/// Whether `node` may be one of the voters. A membership that is not committed may be taken back.
fn may_vote(standings: &BTreeMap<PartitionId, Standing>, place: &Placement, node: NodeId) -> bool {
    let found = standings.get(&place.partition);
    !found.is_some_and(|found| found.is_settled && !found.voters.contains(&node))
}

/// What those say that lead, and have confirmed it. One that is held to be down may answer yet.
async fn ask(plane: &Plane, ground: &Ground) -> Result<BTreeMap<PartitionId, Standing>, Error> {
    emptying::publish(plane).await?;
    let partitions: &Partitions = plane.emptier.partitions();
    let asked = ground.seats.iter().map(|seat| partitions.confirmed_status(seat.node));
    let hear = |known, answer| heard(known, answer, &ground.places);
    let known = join_all(asked).await.into_iter().flatten().fold(BTreeMap::new(), hear);
    Ok(known.into_iter().map(|(partition, (_, standing))| (partition, standing)).collect())
}

/// Of two that say they lead the one of the later term does. Nothing is settled by the word of one
/// that has not confirmed it, or that goes by a layout of before: it may yet do what that said.
fn heard(
    mut known: BTreeMap<PartitionId, (u64, Standing)>,
    answer: StatusResponse,
    places: &[Placement],
) -> BTreeMap<PartitionId, (u64, Standing)> {
    let leads = |status: &&PartitionStatus| status.leader == answer.node;
    for status in answer.partitions.iter().filter(leads) {
        let partition = PartitionId(status.partition);
        if known.get(&partition).is_some_and(|(term, _)| *term > status.term) {
            continue;
        }
        let voters = status.voters.iter().copied().map(NodeId).collect();
        let goes_by = |place: &Placement| {
            place.partition == partition && place.epoch.0 <= status.placement_epoch
        };
        let is_known = status.confirmed && places.iter().any(goes_by);
        let standing = Standing { voters, is_settled: status.voters_settled && is_known };
        known.insert(partition, (status.term, standing));
    }
    known
}

#[cfg(test)]
mod tests {
    use gitstratum_core::Epoch;

    use super::*;
    use crate::placement::Seat;

    fn place(voters: &[u64], epoch: u64) -> Placement {
        let voters: Vec<NodeId> = voters.iter().copied().map(NodeId).collect();
        let (partition, preferred_leader) = (PartitionId(1), voters[0]);
        Placement { partition, voters, preferred_leader, epoch: Epoch(epoch), leaving: Vec::new() }
    }

    /// Node 1 leads, by its word and that of a majority.
    fn leads(voters: &[u64], placement_epoch: u64) -> PartitionStatus {
        PartitionStatus {
            partition: 1,
            leader: 1,
            term: 7,
            voters: voters.to_vec(),
            voters_settled: true,
            confirmed: true,
            placement_epoch,
            ..Default::default()
        }
    }

    #[test]
    fn s39_what_is_at_rest_is_looked_at_again_once_layout_or_nodes_change() {
        let seat =
            |node| Seat { node: NodeId(node), zone: String::new(), is_up: true, is_leaving: false };
        let seats = (1..=3).map(seat).collect();
        let mut ground = Ground { seats, places: vec![place(&[1, 2, 3], 0)], epoch: 1 };
        let mut rest = Rest::default();
        assert!(rest.is_at(&ground) && rest.0.is_some() && rest.is_at(&ground));
        ground.seats.push(seat(4));
        ground.seats[0].is_leaving = true;
        assert!(!rest.is_at(&ground) && rest.0.is_none(), "node 4 takes the vote of node 1");
    }

    /// Node 3 is out by an entry that is not committed, by the word of a leader of the past, and by
    /// that of one that does not know the layout yet: it may have to vote.
    #[test]
    fn s39_gs_cp_40_a_node_votes_until_a_leader_has_confirmed_that_it_does_not() {
        let place = place(&[1, 2, 4], 6);
        let votes = |status: PartitionStatus| {
            let answer = StatusResponse { node: 1, partitions: vec![status] };
            let heard = heard(BTreeMap::new(), answer, std::slice::from_ref(&place));
            let standings = heard.into_iter().map(|(id, (_, standing))| (id, standing)).collect();
            may_vote(&standings, &place, NodeId(3))
        };
        let now = || leads(&[1, 2, 4], 6);
        assert!(!votes(now()));
        assert!(votes(PartitionStatus { voters_settled: false, ..now() }), "not committed");
        assert!(votes(PartitionStatus { confirmed: false, ..now() }), "a leader of the past");
        assert!(votes(PartitionStatus { placement_epoch: 5, ..now() }), "by an older layout");
        assert!(votes(leads(&[1, 2, 3], 6)));
        assert!(may_vote(&BTreeMap::new(), &place, NodeId(3)), "nobody says so");
    }

    #[test]
    fn s39_of_two_leaders_the_later_one_is_believed_and_followers_are_not() {
        let says = |node: u64, leader: u64, term: u64, voters: &[u64]| {
            let voters = voters.to_vec();
            let status =
                PartitionStatus { partition: 1, leader, term, voters, ..Default::default() };
            StatusResponse { node, partitions: vec![status] }
        };
        let answers =
            [says(1, 1, 7, &[1, 2, 4]), says(2, 2, 6, &[1, 2, 3]), says(3, 1, 9, &[1, 2, 3])];
        let hear = |known, answer| heard(known, answer, &[]);
        let known = answers.into_iter().fold(BTreeMap::new(), hear);
        let (_, standing) = &known[&PartitionId(1)];
        assert_eq!(standing.voters, [1, 2, 4].map(NodeId).into());
    }
}
