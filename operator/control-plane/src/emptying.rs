//! Nodes on their way out: fenced in every partition, watched until nothing names them (S20).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use gitstratum_client::cluster::{Feed, Publisher, Snapshot};
use gitstratum_client::metadata::{self, Partitions};
use gitstratum_core::{Clock, NodeId, PartitionId, UnixMillis};
use gitstratum_identity::Dialer;
use gitstratum_process::Drain;
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::metadata::v1 as parts;
use gitstratum_state::State;
use gitstratum_state::record::NodeState;
use parking_lot::Mutex;

use crate::error::Error;
use crate::plane::Plane;
use crate::wire::layout;

/// How often it is looked what there is to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A partition that took long to answer, for it reads all its manifests, is asked again after
/// so many times as long.
const PAUSE_FACTOR: u32 = 20;
/// Partitions asked at a time.
const ASKED_AT_ONCE: usize = 16;

/// Fences nodes in the partitions and asks what still names them.
pub(crate) struct Emptier {
    partitions: Partitions,
    publisher: Publisher,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// What the partitions have said. Kept in memory: all of it can be asked again.
#[derive(Debug, Default)]
struct Seen {
    uses: BTreeMap<NodeId, Uses>,
    /// Nodes whose fence of that number is lifted everywhere.
    freed: BTreeSet<(NodeId, u64)>,
}

/// What still names a node.
#[derive(Clone, Debug, Default)]
struct Uses {
    since: UnixMillis,
    /// Bytes when all partitions had said so for the first time.
    first_bytes: Option<u64>,
    by_partition: BTreeMap<PartitionId, Use>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Use {
    fence: u64,
    segments: u64,
    bytes: u64,
    lost: u64,
    /// Monotonic time before which it need not be asked again.
    good_until: Duration,
}

impl Use {
    /// Whether it still tells what is to be known at `now`. Under one fence less and less names
    /// a node (S20): what has come to nothing stays so.
    fn is_good(&self, number: u64, now: Duration) -> bool {
        self.fence == number && (self.segments == 0 || now < self.good_until)
    }
}

/// How an answer may be one of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// It may, for people to see how far it is.
    Watching,
    /// It must be of now: something is decided by it.
    Deciding,
}

/// A node and the number of its fence, or of the command that lifted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fenced {
    pub(crate) node: NodeId,
    pub(crate) number: u64,
}

impl Emptier {
    pub(crate) fn new(dialer: Arc<dyn Dialer>, clock: Arc<dyn Clock>) -> Self {
        let (publisher, feed) = Feed::channel();
        let partitions = Partitions::new(dialer, feed);
        Self { partitions, publisher, clock, seen: Mutex::default() }
    }

    /// The way to the partitions, by the layout that was published last.
    pub(crate) const fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    /// Fences `fenced` in `partition`, unless it is, and asks what names it.
    async fn look(
        &self,
        partition: PartitionId,
        fenced: Fenced,
        look: Look,
    ) -> Result<Use, metadata::Error> {
        let Fenced { node, number } = fenced;
        let known = self.known(partition, node);
        let asked_at = self.clock.monotonic();
        if let Some(known) = known.filter(|known| known.is_good(number, asked_at))
            && look == Look::Watching
        {
            return Ok(known);
        }
        if known.is_none_or(|known| known.fence < number) {
            let fence = parts::FenceNodeRequest { partition: partition.0, node: node.0, number };
            self.partitions.fence_node(partition, fence).await?;
        }
        let ask = parts::ShowNodeUseRequest { partition: partition.0, node: node.0 };
        let found = self.partitions.show_node_use(partition, ask).await?;
        let now = self.clock.monotonic();
        let good_until = now + now.saturating_sub(asked_at) * PAUSE_FACTOR;
        Ok(Use { good_until, ..read(&found) })
    }

    fn known(&self, partition: PartitionId, node: NodeId) -> Option<Use> {
        self.seen.lock().uses.get(&node)?.by_partition.get(&partition).copied()
    }

    /// Asks every partition of `snapshot` about `fenced`; those that did not answer keep what
    /// they said before.
    async fn look_everywhere(&self, fenced: Fenced, look: Look) -> Result<(), Error> {
        let (all, now) = (self.partitions.all(), self.clock.wall());
        let count = all.len();
        let mut answers = futures::stream::iter(all)
            .map(|partition| async move { (partition, self.look(partition, fenced, look).await) })
            .buffer_unordered(ASKED_AT_ONCE);
        let mut failed = None;
        while let Some((partition, answer)) = answers.next().await {
            match answer {
                Ok(found) => self.note(fenced.node, (partition, found), count, now),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), |error| Err(Error::Partition(error)))
    }

    fn note(&self, node: NodeId, found: (PartitionId, Use), count: usize, now: UnixMillis) {
        let mut seen = self.seen.lock();
        let uses = seen.uses.entry(node).or_insert_with(|| Uses { since: now, ..Uses::default() });
        uses.by_partition.insert(found.0, found.1);
        if uses.first_bytes.is_none() && uses.by_partition.len() == count {
            uses.first_bytes = Some(uses.total().bytes);
        }
    }

    /// Those of `free` whose fence may yet stand somewhere.
    fn yet_fenced(&self, free: Vec<Fenced>) -> Vec<Fenced> {
        let seen = self.seen.lock();
        let is_lifted = |fenced: &Fenced| seen.freed.contains(&(fenced.node, fenced.number));
        free.into_iter().filter(|fenced| !is_lifted(fenced)).collect()
    }

    /// Lifts the fence of a node everywhere.
    async fn free(&self, fenced: Fenced) -> Result<(), Error> {
        let Fenced { node, number } = fenced;
        let free = |partition: PartitionId| async move {
            let ask = parts::UnfenceNodeRequest { partition: partition.0, node: node.0, number };
            self.partitions.unfence_node(partition, ask).await
        };
        let mut answers =
            futures::stream::iter(self.partitions.all()).map(free).buffer_unordered(ASKED_AT_ONCE);
        while let Some(answer) = answers.next().await {
            answer.map_err(Error::Partition)?;
        }
        let mut seen = self.seen.lock();
        seen.uses.remove(&node);
        seen.freed.insert((node, number));
        Ok(())
    }

    /// How far the emptying of a node is.
    pub(crate) fn progress(&self, fenced: Fenced, partitions: usize) -> wire::Emptying {
        let seen = self.seen.lock();
        let uses = seen.uses.get(&fenced.node).cloned().unwrap_or_default();
        uses.to_wire(fenced, partitions)
    }
}

impl Uses {
    fn total(&self) -> Use {
        let sum = |sum: Use, one: &Use| Use {
            fence: sum.fence,
            segments: sum.segments + one.segments,
            bytes: sum.bytes + one.bytes,
            lost: sum.lost + one.lost,
            ..sum
        };
        self.by_partition.values().fold(Use::default(), sum)
    }

    fn to_wire(&self, fenced: Fenced, partitions: usize) -> wire::Emptying {
        let is_fenced = |found: &&Use| found.fence == fenced.number;
        let heard = self.by_partition.values().filter(is_fenced).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let Use { segments, bytes, lost, .. } = self.total();
        wire::Emptying {
            node: fenced.node.0,
            segments,
            bytes,
            lost,
            partitions_heard: count(heard),
            partitions: count(partitions),
            moved_bytes: self.first_bytes.unwrap_or(bytes).saturating_sub(bytes),
            since_millis: self.since.0,
            clear: heard == partitions && segments == 0,
        }
    }
}

fn read(found: &parts::ShowNodeUseResponse) -> Use {
    Use {
        fence: found.fence_number,
        segments: found.segments,
        bytes: found.bytes,
        lost: found.lost_count,
        good_until: Duration::ZERO,
    }
}

/// Nodes that are to be fenced, and those whose fence is to be lifted.
fn wanted(state: &State) -> (Vec<Fenced>, Vec<Fenced>) {
    let numbered = state.nodes().filter(|node| node.fence > 0 && node.state != NodeState::Removed);
    let (draining, free): (Vec<_>, Vec<_>) = numbered.partition(|node| node.is_draining);
    let fenced =
        |node: &gitstratum_state::record::Node| Fenced { node: node.id, number: node.fence };
    (draining.into_iter().map(fenced).collect(), free.into_iter().map(fenced).collect())
}

/// Nodes that are being emptied.
pub(crate) fn draining(state: &State) -> Vec<Fenced> {
    wanted(state).0
}

/// Looks after nodes on their way out while this voter leads, until `drain` starts.
pub(crate) async fn run(plane: Arc<Plane>, drain: Drain) {
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if plane.leading().is_err() {
            continue;
        }
        tokio::select! {
            biased;
            () = drain.started() => return,
            looked = look(&plane) => if let Err(error) = looked {
                tracing::debug!(%error, "not every partition was asked about nodes being emptied");
            }
        }
    }
}

async fn look(plane: &Plane) -> Result<(), Error> {
    let (draining, free) = plane.read(wanted).await?;
    let free = plane.emptier.yet_fenced(free);
    if draining.is_empty() && free.is_empty() {
        return Ok(());
    }
    publish(plane).await?;
    let mut result = Ok(());
    for fenced in draining {
        result = plane.emptier.look_everywhere(fenced, Look::Watching).await.and(result);
    }
    for fenced in free {
        result = plane.emptier.free(fenced).await.and(result);
    }
    result
}

/// Lets the emptier find the partitions by the layout as it is now.
pub(crate) async fn publish(plane: &Plane) -> Result<(), Error> {
    let (version, layout) = plane.read(|state| (state.version().0, layout(state))).await?;
    let update = wire::SnapshotUpdate { version, layout: Some(layout), ..<_>::default() };
    plane.emptier.publisher.publish(Snapshot::empty().apply(&update));
    Ok(())
}

/// Segments of `fenced` that are on no node that lives, with their partitions, as far as
/// answers name them.
///
/// # Errors
/// When a partition did not answer.
pub(crate) async fn lost(
    plane: &Plane,
    fenced: Fenced,
) -> Result<Vec<(PartitionId, parts::LostSegment)>, Error> {
    let partitions = &plane.emptier.partitions;
    let mut lost = Vec::new();
    for partition in partitions.all() {
        let ask = parts::ShowNodeUseRequest { partition: partition.0, node: fenced.node.0 };
        let found = partitions.show_node_use(partition, ask).await.map_err(Error::Partition)?;
        lost.extend(found.lost.into_iter().map(|segment| (partition, segment)));
    }
    Ok(lost)
}

/// Gives a segment up that is on no node that lives; whether it was.
///
/// # Errors
/// When the partition did not answer.
pub(crate) async fn give_up(
    plane: &Plane,
    partition: PartitionId,
    request: parts::AcceptLossRequest,
) -> Result<bool, Error> {
    let given = plane.emptier.partitions.accept_loss(partition, request).await;
    given.map(|given| given.accepted).map_err(Error::Partition)
}

/// Asks every partition now what names `fenced`.
///
/// # Errors
/// When one did not answer: nothing is known then.
pub(crate) async fn ask(plane: &Plane, fenced: Fenced) -> Result<wire::Emptying, Error> {
    publish(plane).await?;
    plane.emptier.look_everywhere(fenced, Look::Deciding).await?;
    Ok(plane.emptier.progress(fenced, plane.emptier.partitions.all().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCED: Fenced = Fenced { node: NodeId(4), number: 9 };

    fn uses(found: &[(u64, u64)]) -> Uses {
        let one = |(partition, (fence, segments)): (usize, &(u64, u64))| {
            let partition = PartitionId(u32::try_from(partition).unwrap());
            (
                partition,
                Use { fence: *fence, segments: *segments, bytes: *segments, ..Use::default() },
            )
        };
        let by_partition = found.iter().enumerate().map(one).collect();
        Uses { by_partition, first_bytes: Some(10), ..Uses::default() }
    }

    #[test]
    fn s20_what_names_nobody_under_a_fence_is_not_asked_again() {
        let now = Duration::from_secs(10);
        let found = Use { fence: 9, good_until: now, ..Use::default() };
        assert!(found.is_good(9, now * 9));
        assert!(!found.is_good(8, now * 9), "under another fence it may be named again");
        let left = Use { segments: 1, ..found };
        assert!(left.is_good(9, now / 2), "it took long to say so");
        assert!(!left.is_good(9, now));
    }

    #[test]
    fn s20_a_node_is_clear_when_every_partition_says_so_under_its_fence() {
        let clear = |found: &[(u64, u64)]| uses(found).to_wire(FENCED, 2).clear;
        assert!(clear(&[(9, 0), (9, 0)]));
        assert!(!clear(&[(9, 0)]), "one was not heard");
        assert!(!clear(&[(9, 0), (8, 0)]), "that was read before the fence");
        assert!(!clear(&[(9, 0), (9, 1)]));
        let shown = uses(&[(9, 2), (9, 1)]).to_wire(FENCED, 2);
        assert_eq!((shown.segments, shown.moved_bytes, shown.partitions_heard), (3, 7, 2));
    }
}
