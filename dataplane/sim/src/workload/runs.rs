//! Compactions and drop runs, asked for one after the other, now and then broken off (P-I4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use gitstratum_client::grpc;
use gitstratum_core::{NodeId, ProcessRole};
use gitstratum_identity::{Peer, Service};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::object::v1::object_client::ObjectClient;
use gitstratum_proto::object::v1::{RunKind, RunReport, RunRequest};
use parking_lot::Mutex;

use super::History;
use crate::events;
use crate::network::SimDialer;
use crate::node::Cluster;
use crate::world::Draw;

/// Pause between two runs at most.
const PAUSE_MAX_MILLIS: u64 = 3_000;
/// Longest wait for what a run says next, and for the end of one that is not broken off.
const WORD_WITHIN: Duration = Duration::from_secs(25);
pub(crate) const RUN_WITHIN: Duration = Duration::from_secs(30);
/// One run in so many is broken off by whoever asked for it.
const BROKEN_OFF_EVERY: u64 = 5;

/// Who has runs made on one repository.
pub(crate) struct Runner {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) repo: RepoKey,
    pub(crate) nodes: Arc<Mutex<Vec<NodeId>>>,
    pub(crate) draw: Draw,
    pub(crate) history: Arc<Mutex<History>>,
}

impl Runner {
    /// Asks for runs until it `is_over`.
    pub(crate) async fn run(self, is_over: Arc<AtomicBool>) -> Result<()> {
        while !is_over.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(self.draw.below(PAUSE_MAX_MILLIS))).await;
            let kind = [RunKind::Compaction, RunKind::Drop][self.draw.index(2)];
            let patience = match self.draw.below(BROKEN_OFF_EVERY) {
                0 => Duration::from_millis(self.draw.below(2_000)),
                _ => RUN_WITHIN,
            };
            drop(self.ask(kind, patience).await);
        }
        Ok(())
    }

    /// One run, by a node drawn or by the one that holds the claim; what came of it.
    pub(crate) async fn ask(&self, kind: RunKind, patience: Duration) -> Result<RunReport> {
        let node = {
            let nodes = self.nodes.lock();
            nodes[self.draw.index(nodes.len())]
        };
        let asked = async {
            match self.ask_one(node, kind).await? {
                Said::HeldBy(holder) => match self.ask_one(holder, kind).await? {
                    Said::Done(report) => Ok(report),
                    Said::HeldBy(other) => anyhow::bail!("{other} holds the claim, not {holder}"),
                },
                Said::Done(report) => Ok(report),
            }
        };
        let ended = tokio::time::timeout(patience, asked).await;
        let ended = ended.context("broken off").flatten();
        // Without a backtrace, which says where the program was built and run.
        let told = ended.as_ref().map_err(|error| format!("{error:#}"));
        events::story(|| format!("{kind:?} by {node}: {told:?}"));
        if let Ok(report) = &ended {
            let mut history = self.history.lock();
            history.runs += u64::from(report.changed);
            history.dropped += report.objects_dropped;
        }
        ended
    }

    async fn ask_one(&self, node: NodeId, kind: RunKind) -> Result<Said> {
        let peer = Peer { cluster: self.cluster.id, role: ProcessRole::Control, node: NodeId(0) };
        let away = Arc::clone(&self.cluster.is_control_away);
        let channel = grpc::channel(Arc::new(SimDialer { peer, away }), node, Service::Object);
        let request = RunRequest { repo: Some(self.repo), kind: kind.into(), dry_run: false };
        let mut client = ObjectClient::new(channel);
        let asked = tokio::time::timeout(WORD_WITHIN, client.run(request)).await;
        let mut words = asked.context("no answer")??.into_inner();
        loop {
            let word = tokio::time::timeout(WORD_WITHIN, words.message()).await;
            let word = word.context("no word more")??.context("a run that ended without one")?;
            if word.held_by != 0 {
                return Ok(Said::HeldBy(NodeId(word.held_by)));
            }
            if let Some(report) = word.report {
                return Ok(Said::Done(report));
            }
        }
    }
}

enum Said {
    Done(RunReport),
    HeldBy(NodeId),
}
