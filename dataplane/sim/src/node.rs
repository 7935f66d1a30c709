//! A node: what stays while its processes come and go.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gitstratum_control_plane::Founding;
use gitstratum_core::{ClusterId, NodeId, SeededEntropy};

use crate::clock::SimClock;
use crate::disk::Disk;
use crate::events;
use crate::roles::Process;

/// What all nodes are of.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) founding: Founding,
    is_founded: AtomicBool,
}

impl Cluster {
    pub(crate) fn new(founding: Founding) -> Arc<Self> {
        Arc::new(Self { id: founding.cluster, founding, is_founded: AtomicBool::new(false) })
    }

    /// Whether the cluster is written down beside the data.
    pub(crate) fn is_founded(&self) -> bool {
        self.is_founded.load(Ordering::SeqCst)
    }

    pub(crate) fn note_founded(&self) {
        events::story(|| "the cluster is founded".to_owned());
        self.is_founded.store(true, Ordering::SeqCst);
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.founding.nodes.clone()
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
}

impl SimNode {
    pub(crate) fn is_first(&self) -> bool {
        self.cluster.founding.nodes.first() == Some(&self.id)
    }

    /// One start: runs until a part of it ends, or it is killed.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        events::story(|| format!("node {} starts", self.id));
        let id = self.id;
        let ended = Process::new(self).run().await;
        events::story(|| match &ended {
            Ok(()) => format!("node {id} ends"),
            Err(error) => format!("node {id} ends: {error:#}"),
        });
        ended
    }
}
