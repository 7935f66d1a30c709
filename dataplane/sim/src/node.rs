//! A node: what stays while its processes come and go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gitstratum_control_plane::Founding;
use gitstratum_core::{ClusterId, NodeId, SeededEntropy};
use gitstratum_proto::metadata::v1::PartitionStatus;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};

use crate::checks::Broken;
use crate::clock::SimClock;
use crate::disk::Disk;
use crate::events;
use crate::late::Late;
use crate::roles::Process;

/// What all nodes are of.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) founding: Founding,
    is_founded: AtomicBool,
    /// Set while nobody reaches the control plane.
    pub(crate) is_control_away: Arc<AtomicBool>,
    leads: Mutex<Leads>,
}

/// Who leads what, as the nodes see it.
#[derive(Default)]
struct Leads {
    /// By partition and term.
    leaders: BTreeMap<(u32, u64), u64>,
    /// What its leader saw last of each partition.
    statuses: BTreeMap<u32, PartitionStatus>,
    broken: Option<Broken>,
}

impl Cluster {
    pub(crate) fn new(founding: Founding) -> Arc<Self> {
        Arc::new(Self {
            id: founding.cluster,
            founding,
            is_founded: AtomicBool::new(false),
            is_control_away: Arc::default(),
            leads: Mutex::default(),
        })
    }

    /// Whether the cluster is written down beside the data.
    pub(crate) fn is_founded(&self) -> bool {
        self.is_founded.load(Ordering::SeqCst)
    }

    pub(crate) fn note_founded(&self) {
        events::story(|| "the cluster is founded".to_owned());
        self.is_founded.store(true, Ordering::SeqCst);
    }

    /// Those that founded it: they are its control plane.
    pub(crate) fn founders(&self) -> Vec<NodeId> {
        self.founding.nodes.clone()
    }

    /// `node` leads as `status` says. A term has one leader (S13).
    pub(crate) fn note_leader(&self, node: NodeId, status: PartitionStatus) {
        let mut leads = self.leads.lock();
        let other = leads.leaders.insert((status.partition, status.term), node.0);
        if let Some(other) = other.filter(|other| *other != node.0) {
            let (partition, term) = (status.partition, status.term);
            let what =
                format!("of partition {partition}, term {term}: {} and {node}", NodeId(other));
            leads.broken.get_or_insert(Broken::new("a-term-has-one-leader", what));
        }
        leads.statuses.insert(status.partition, status);
    }

    /// How often the leader of a partition changed.
    pub(crate) fn leader_changes(&self) -> usize {
        let leads = self.leads.lock();
        leads.leaders.len().saturating_sub(leads.statuses.len())
    }

    /// What the leader of each partition saw last.
    pub(crate) fn statuses(&self) -> BTreeMap<u32, PartitionStatus> {
        self.leads.lock().statuses.clone()
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.leads.lock().broken.clone()
    }
}

/// One node.
pub(crate) struct SimNode {
    pub(crate) id: NodeId,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) entropy: Arc<SeededEntropy>,
    /// Where packs are spooled: the machine's own disk, for nothing of it outlives a push.
    pub(crate) spool: PathBuf,
    /// Larger segments lie in files.
    pub(crate) inline_bytes_max: usize,
    /// What it has yet to send.
    pub(crate) late: Arc<Late>,
    /// What its process runs on.
    pub(crate) runtime: Mutex<Option<Id>>,
}

impl SimNode {
    pub(crate) fn is_first(&self) -> bool {
        self.cluster.founding.nodes.first() == Some(&self.id)
    }

    pub(crate) fn is_founder(&self) -> bool {
        self.cluster.founding.nodes.contains(&self.id)
    }

    /// One start: runs until a part of it ends, or it is killed.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        events::story(|| format!("node {} starts", self.id));
        let runtime = Handle::current().id();
        *self.runtime.lock() = Some(runtime);
        self.late.is_of(runtime);
        let id = self.id;
        let ended = gitstratum_process::pausable(Process::new(self).run()).await;
        events::story(|| match &ended {
            Ok(()) => format!("node {id} ends"),
            Err(error) => format!("node {id} ends: {error:#}"),
        });
        ended
    }
}
