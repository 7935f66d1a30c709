//! What object nodes show and ask of the copies they hold: incarnations (S23), inventories
//! and losses (S21).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_client::inventory;
use gitstratum_core::{Clock, GrantsVersion, Incarnation, NodeId, PartitionId, SegmentId};
use gitstratum_process::{Task, failpoint, spawn};
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::{
    CompareInventoryRequest, CompareInventoryResponse, InventoryBranch, LostCopy,
};
use gitstratum_proto::{FieldError, segment_id};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;

use super::Service;
use super::hosted::Hosted;
use crate::error::Error;
use crate::partition::entry::{CopyLost, LoseCopies, ShowIncarnation};
use crate::partition::{Change, LossAnswer, query};

/// Manifest rows read between two chances for entries to be applied.
const MANIFESTS_PAGE: usize = 256;
/// How long the list of a node's segments answers the steps of one comparison. What a comparison
/// finds is asked about again before anything is done, so that an older list does no harm.
const LIST_KEPT: Duration = Duration::from_secs(10);
/// Lists kept at once, 16 bytes a segment each.
const LISTS_MAX: usize = 16;
/// Copies in one report.
const LOST_MAX: usize = 4_096;

/// Segments that partitions list for nodes, sorted, while they are compared.
#[derive(Default)]
pub(super) struct Lists(Mutex<BTreeMap<Whose, List>>);

/// The partition, the node, and the number under which the node compares: what a partition has
/// listed for it since an earlier start may be what this one has lost.
type Whose = (PartitionId, NodeId, Incarnation);

/// One of them. It is read once for all who ask, and to its end also when they have gone: a
/// large partition takes longer than they wait.
struct List {
    /// When it was asked for last.
    used: Duration,
    /// Nothing while it is being read; closed with nothing when that failed.
    read: watch::Receiver<Option<Read>>,
    /// Ends with the list.
    _reading: Task<()>,
}

#[derive(Clone)]
struct Read {
    at: Duration,
    segments: Arc<Vec<SegmentId>>,
}

impl List {
    fn is_fresh(&self, now: Duration) -> bool {
        match &*self.read.borrow() {
            Some(read) => now.saturating_sub(self.used.max(read.at)) < LIST_KEPT,
            None => self.read.has_changed().is_ok(),
        }
    }
}

impl Service {
    /// The object node `node` shows its incarnation to the partition, and may acknowledge segments
    /// for it under that number afterwards (S23); 0 only asks. Returns the highest shown.
    ///
    /// # Errors
    /// [`Error::NotLeader`] and retryable ones.
    pub async fn show_incarnation(
        &self,
        partition: PartitionId,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<Incarnation, Error> {
        let hosted = self.hosted(partition)?;
        hosted.leading_term()?;
        hosted.barrier().await?;
        let shown = incarnation_of(&hosted, node).await?;
        if shown >= incarnation {
            return Ok(shown);
        }
        let show = ShowIncarnation { node: node.0, incarnation: incarnation.0 };
        failpoint!("metadata.incarnation.before_show");
        hosted.propose(Change::ShowIncarnation(show), GrantsVersion(0)).await?;
        incarnation_of(&hosted, node).await
    }

    /// Compares what the object node `node` holds with what the partition lists for it (S21).
    ///
    /// # Errors
    /// When the request is malformed or the read cannot be confirmed.
    pub async fn compare_inventory(
        &self,
        partition: PartitionId,
        node: NodeId,
        request: CompareInventoryRequest,
    ) -> Result<CompareInventoryResponse, Error> {
        let depth = request.prefix.len();
        if depth > inventory::PREFIX_BYTES_MAX {
            return Err(FieldError { field: "prefix", problem: "is longer than an id" }.into());
        }
        let hosted = self.hosted(partition)?;
        let incarnation = Incarnation(request.incarnation);
        let listed = self.listed_for(&hosted, (node, incarnation)).await?;
        let comparing = gitstratum_process::blocking(move || compare(&listed, &request));
        comparing.await.map_err(|_| Error::CutOff { partition })
    }

    /// The object node `node` has lost copies: they go on the repair list (S21). Returns how many
    /// were still listed as its own.
    ///
    /// # Errors
    /// As [`Service::show_incarnation`].
    pub async fn report_lost(
        &self,
        partition: PartitionId,
        node: NodeId,
        copies: Vec<LostCopy>,
    ) -> Result<u32, Error> {
        if copies.len() > LOST_MAX {
            return Err(FieldError { field: "copies", problem: "are more than 4,096" }.into());
        }
        for copy in &copies {
            segment_id("segment_id", &copy.segment_id)?;
        }
        let hosted = self.hosted(partition)?;
        let lost = |copy: LostCopy| CopyLost {
            segment_id: copy.segment_id,
            list_number: copy.list_number,
        };
        let change = LoseCopies {
            node: node.0,
            copies: copies.into_iter().map(lost).collect(),
            replication_factor: self.deps.feed.current().layout().replication_factor.max(1),
        };
        failpoint!("metadata.loss.before_propose");
        let answer = hosted.propose(Change::LoseCopies(change), GrantsVersion(0)).await?;
        failpoint!("metadata.loss.after_propose");
        self.lists.forget(partition, node);
        let answer = LossAnswer::decode(answer).map_err(|_| Error::Answer { partition })?;
        if answer.noted > 0 {
            tracing::warn!(
                partition = partition.0,
                %node,
                copies = answer.noted,
                "an owner has lost copies; they are on the repair list"
            );
        }
        Ok(answer.noted)
    }

    async fn listed_for(
        &self,
        hosted: &Arc<Hosted>,
        (node, incarnation): (NodeId, Incarnation),
    ) -> Result<Arc<Vec<SegmentId>>, Error> {
        let partition = hosted.partition;
        let begin = || read_beside(Arc::clone(hosted), node, Arc::clone(&self.deps.clock));
        let now = self.deps.clock.monotonic();
        let mut reading = self.lists.list((partition, node, incarnation), now, begin);
        let read = reading.wait_for(Option::is_some).await;
        let read = read.ok().and_then(|read| read.clone());
        read.map(|read| read.segments).ok_or(Error::CutOff { partition })
    }
}

impl Lists {
    /// The list, which `begin` reads if it is not there; others that nobody asked for of late go.
    fn list(
        &self,
        key: Whose,
        now: Duration,
        begin: impl FnOnce() -> List,
    ) -> watch::Receiver<Option<Read>> {
        let mut lists = self.0.lock();
        lists.retain(|_, list| list.is_fresh(now));
        if lists.len() >= LISTS_MAX && !lists.contains_key(&key) {
            let oldest = lists.iter().min_by_key(|(_, list)| list.used).map(|(key, _)| *key);
            oldest.map(|oldest| lists.remove(&oldest));
        }
        let list = lists.entry(key).or_insert_with(begin);
        list.used = now;
        list.read.clone()
    }

    fn forget(&self, partition: PartitionId, node: NodeId) {
        self.0.lock().retain(|(of, for_whom, _), _| (*of, *for_whom) != (partition, node));
    }
}

fn read_beside(hosted: Arc<Hosted>, node: NodeId, clock: Arc<dyn Clock>) -> List {
    let (sender, read) = watch::channel(None);
    let used = clock.monotonic();
    let reading = spawn("list of segments", async move {
        match read_all(&hosted, node).await {
            Ok(segments) => {
                let (at, segments) = (clock.monotonic(), Arc::new(segments));
                sender.send_replace(Some(Read { at, segments }));
            }
            Err(error) => {
                let partition = hosted.partition;
                tracing::debug!(%partition, %node, %error, "a list was not read");
            }
        }
    });
    List { used, read, _reading: reading }
}

async fn incarnation_of(hosted: &Hosted, node: NodeId) -> Result<Incarnation, Error> {
    hosted.read(move |rows| query::incarnation(rows, node)).await.map(Incarnation)
}

async fn read_all(hosted: &Hosted, node: NodeId) -> Result<Vec<SegmentId>, Error> {
    hosted.barrier().await?;
    let mut all = Vec::new();
    let mut after: Option<Bytes> = None;
    loop {
        let from = after.take();
        let page = hosted.read(move |rows| query::packs_page(rows, from.as_ref(), MANIFESTS_PAGE));
        let page = page.await?;
        all.extend(page.packs.iter().flat_map(|(_, pack)| segments_of(pack, node)));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    all.sort_unstable();
    Ok(all)
}

fn segments_of(pack: &Pack, node: NodeId) -> impl Iterator<Item = SegmentId> {
    let owned = pack.segments.iter().filter(move |segment| segment.owners.contains(&node.0));
    owned.filter_map(|segment| SegmentId::from_slice(&segment.segment_id))
}

fn compare(listed: &[SegmentId], request: &CompareInventoryRequest) -> CompareInventoryResponse {
    let depth = request.prefix.len();
    let listed = inventory::below(listed, &request.prefix);
    let mut answer = CompareInventoryResponse::default();
    if request.held.as_ref() == Some(&inventory::summary(listed, depth)) {
        answer.equal = true;
    } else if inventory::is_leaf(listed, depth) {
        answer.segment_ids = listed.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
    } else {
        let branch = |(byte, run): (u8, &[SegmentId])| InventoryBranch {
            byte: byte.into(),
            listed: Some(inventory::summary(run, depth + 1)),
        };
        answer.branches = inventory::branches(listed, depth).into_iter().map(branch).collect();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(used: u64, read: Option<u64>) -> (watch::Sender<Option<Read>>, List) {
        let read = read.map(|at| Read { at: Duration::from_secs(at), segments: Arc::default() });
        let (sender, read) = watch::channel(read);
        let used = Duration::from_secs(used);
        (sender, List { used, read, _reading: spawn("nothing", async {}) })
    }

    #[tokio::test]
    async fn s21_a_list_that_takes_long_is_read_once_and_used_when_it_is_there() {
        let (lists, key) = (Lists::default(), (PartitionId(1), NodeId(1), Incarnation(1)));
        let ask = |at| {
            let mut has_begun = false;
            let asked = lists.list(key, Duration::from_secs(at), || {
                has_begun = true;
                let (sender, list) = list(at, None);
                // A reading that goes on for as long as the test.
                std::mem::forget(sender);
                list
            });
            (has_begun, asked)
        };
        assert!(ask(0).0);
        assert!(!ask(60).0, "who comes later waits for the same reading");
        let (sender, read) = list(0, Some(60));
        lists.0.lock().insert(key, read);
        drop(sender);
        let (has_begun, asked) = ask(60 + LIST_KEPT.as_secs() - 1);
        assert!(!has_begun && asked.borrow().is_some());
        assert!(!ask(60 + 2 * LIST_KEPT.as_secs() - 2).0, "each use keeps it");
        assert!(ask(60 + 4 * LIST_KEPT.as_secs()).0);
        let (failed, unread) = list(0, None);
        lists.0.lock().insert(key, unread);
        drop(failed);
        assert!(ask(61).0, "what failed is tried anew");
    }

    #[tokio::test]
    async fn s21_a_list_read_for_an_earlier_start_is_not_used() {
        let lists = Lists::default();
        let begins = |start| {
            let mut has_begun = false;
            let whose = (PartitionId(1), NodeId(1), Incarnation(start));
            lists.list(whose, Duration::ZERO, || {
                has_begun = true;
                list(0, Some(0)).1
            });
            has_begun
        };
        assert_eq!([1, 1, 2, 2].map(begins), [true, false, true, false]);
        lists.forget(PartitionId(1), NodeId(1));
        assert!(lists.0.lock().is_empty());
    }

    #[tokio::test]
    async fn lists_are_bounded_and_the_one_longest_unused_goes() {
        let lists = Lists::default();
        let partitions = u32::try_from(LISTS_MAX).unwrap() + 1;
        for partition in 0..partitions {
            let key = (PartitionId(partition), NodeId(1), Incarnation(1));
            let at = Duration::from_millis(partition.into());
            lists.list(key, at, || list(0, Some(0)).1);
        }
        let held: Vec<u32> = lists.0.lock().keys().map(|(partition, ..)| partition.0).collect();
        assert_eq!(held, (1..partitions).collect::<Vec<_>>());
    }
}
