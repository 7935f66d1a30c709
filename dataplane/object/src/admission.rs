//! Incarnations (S23): each partition admits this node for itself. The node raises its
//! number above its disk's and that partition's, makes it durable and shows it by an entry
//! before it acknowledges a segment of that partition; one partition without a quorum holds
//! up no other.

mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use gitstratum_client::metadata::{self, Partitions};
use gitstratum_core::{Incarnation, PartitionId};
use gitstratum_process::{Drain, failpoint};
use gitstratum_proto::metadata::v1::ShowIncarnationRequest;
use gitstratum_store::{Batch, Committer, Durability, Engine};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::error::Error;
use crate::segments::{STATE, Segments, blocking};
use row::Row;

/// How long a write waits until its partition has admitted this node.
const ADMISSION_WAIT: Duration = Duration::from_secs(5);
/// How often partitions that have not are asked again.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// Partitions asked at once.
const ASKED_AT_ONCE: usize = 32;

/// The number that this node shows to each partition.
pub(crate) struct Admissions {
    engine: Arc<dyn Engine>,
    committer: Arc<Committer>,
    partitions: Partitions,
    /// How often the node has started: a number is never below it.
    starts: Incarnation,
    /// Partitions that have admitted it, with their rows.
    admitted: RwLock<BTreeMap<PartitionId, Row>>,
    changed: watch::Sender<()>,
}

impl Admissions {
    /// No partition has admitted the node yet.
    pub(crate) fn new(
        (engine, committer): (Arc<dyn Engine>, Arc<Committer>),
        partitions: Partitions,
        starts: Incarnation,
    ) -> Self {
        Self {
            engine,
            committer,
            partitions,
            starts,
            admitted: RwLock::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// The number under which segments of `partition` are acknowledged; waits a while for it.
    ///
    /// # Errors
    /// [`Error::NotAdmitted`].
    pub(crate) async fn number(&self, partition: PartitionId) -> Result<Incarnation, Error> {
        let mut changed = self.changed.subscribe();
        let admitted = async {
            loop {
                if let Some(number) = self.admitted(partition) {
                    return number;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let admitted = tokio::time::timeout(ADMISSION_WAIT, admitted).await;
        admitted.map_err(|_| Error::NotAdmitted { partition })
    }

    /// The number under which `partition` has admitted this start of the node, if it has.
    pub(crate) fn admitted(&self, partition: PartitionId) -> Option<Incarnation> {
        self.admitted.read().get(&partition).map(|row| Incarnation(row.number))
    }

    /// Whether `partition` has admitted this start of the node.
    pub(crate) fn is_admitted(&self, partition: PartitionId) -> bool {
        self.admitted(partition).is_some()
    }

    /// The highest number in use; what the node started with before the first.
    pub(crate) fn highest(&self) -> Incarnation {
        let numbers = self.admitted.read().values().map(|row| Incarnation(row.number)).max();
        numbers.unwrap_or(self.starts)
    }

    /// Has itself admitted by every partition of the layout, until the drain starts. None waits
    /// for another.
    pub(crate) async fn run(self: Arc<Self>, segments: Arc<Segments>, drain: Drain) {
        let (mut asked, mut asking) = (BTreeSet::new(), FuturesUnordered::new());
        loop {
            for partition in self.waiting() {
                if asked.len() < ASKED_AT_ONCE && asked.insert(partition) {
                    asking.push(self.ask(partition, &segments));
                }
            }
            tokio::select! {
                biased;
                () = drain.started() => return,
                Some(partition) = asking.next() => {
                    asked.remove(&partition);
                }
                () = tokio::time::sleep(RETRY_EVERY) => {}
            }
        }
    }

    async fn ask(&self, partition: PartitionId, segments: &Arc<Segments>) -> PartitionId {
        if let Err(error) = self.admit(partition, segments).await {
            tracing::debug!(%partition, %error, "the partition has not admitted this node");
            if let AdmissionError::Disk(error) = &error {
                segments.note_rows(error);
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
        partition
    }

    fn waiting(&self) -> Vec<PartitionId> {
        let admitted = self.admitted.read();
        self.partitions.all().into_iter().filter(|id| !admitted.contains_key(id)).collect()
    }

    async fn admit(
        &self,
        partition: PartitionId,
        segments: &Arc<Segments>,
    ) -> Result<(), AdmissionError> {
        let seen = self.show(partition, Incarnation(0)).await?;
        let held = self.row(partition).await?.unwrap_or_default();
        // A volume that was emptied or rolled back: what is on it may be less than was
        // acknowledged, and nothing of it is served before it was verified again.
        let mut doubted = held.doubted || held.number < seen.0;
        if doubted {
            tracing::warn!(
                %partition, seen = seen.0, held = held.number,
                "this disk is older than what the partition has seen of it: verifying"
            );
            let segments = Arc::clone(segments);
            doubted = blocking(move || segments.doubt(partition)).await? > 0;
        }
        let number = Incarnation(held.number.max(seen.0) + 1).max(self.starts);
        let row = Row { number: number.0, doubted };
        self.keep(partition, row).await?;
        failpoint!("object.admission.before_show");
        let shown = self.show(partition, number).await?;
        if shown != number {
            return Err(AdmissionError::Passed { shown });
        }
        tracing::info!(%partition, incarnation = number.0, "the partition has admitted this node");
        self.admitted.write().insert(partition, row);
        self.changed.send_replace(());
        Ok(())
    }

    /// Partitions that have admitted this start of the node and whose rows say that not everything
    /// was verified. What there is to verify was put in doubt before.
    pub(crate) fn in_doubt(&self) -> Vec<PartitionId> {
        let admitted = self.admitted.read();
        admitted.iter().filter(|(_, row)| row.doubted).map(|(partition, _)| *partition).collect()
    }

    /// Everything of `partition`, which has admitted the node, that was in doubt was verified.
    pub(crate) async fn trust(&self, partition: PartitionId) -> Result<(), Error> {
        let held = self.admitted.read().get(&partition).copied();
        let Some(held) = held.filter(|row| row.doubted) else { return Ok(()) };
        let row = Row { doubted: false, ..held };
        self.keep(partition, row).await?;
        self.admitted.write().insert(partition, row);
        Ok(())
    }

    async fn show(
        &self,
        partition: PartitionId,
        number: Incarnation,
    ) -> Result<Incarnation, metadata::Error> {
        let request = ShowIncarnationRequest { partition: partition.0, incarnation: number.0 };
        let answer = self.partitions.show_incarnation(partition, request).await?;
        Ok(Incarnation(answer.shown))
    }

    async fn row(&self, partition: PartitionId) -> Result<Option<Row>, Error> {
        let engine = Arc::clone(&self.engine);
        let read = blocking(move || Ok(engine.get(STATE, &row::key(partition))?)).await?;
        read.map(|bytes| Row::decode(&bytes).ok_or(Error::StateRow { partition })).transpose()
    }

    async fn keep(&self, partition: PartitionId, row: Row) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.put(STATE, row::key(partition), row.encode());
        Ok(self.committer.commit(batch, Durability::Synced).await?)
    }
}

/// Why a partition has not admitted the node.
#[derive(Debug, thiserror::Error)]
enum AdmissionError {
    #[error(transparent)]
    Partition(#[from] metadata::Error),
    #[error(transparent)]
    Disk(#[from] Error),
    #[error("it has seen incarnation {shown} meanwhile")]
    Passed { shown: Incarnation },
}
