use futures::future::join_all;
use gitstratum_core::{GrantsVersion, Incarnation, NodeId, SegmentId};
use gitstratum_process::failpoint;
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::object::v1::PullRequest;
use prost::Message;

use super::{Crew, Nodes};
use crate::error::Error;
use crate::partition::entry::ChangeOwners;
use crate::partition::{Change, OwnersAnswer};

/// One listed segment and its owners as they were read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    pub(crate) segment: SegmentId,
    pub(crate) owners: Vec<(NodeId, Incarnation)>,
    pub(crate) list: u64,
}

impl Job {
    /// The job of segment `id` in the pack that lists it.
    pub(crate) fn of(pack: &Pack, id: SegmentId) -> Option<Self> {
        let mut all = Self::all(pack).into_iter().rev();
        all.find(|job| job.segment == id)
    }

    /// The jobs of all segments of a pack. One without owners was given up.
    pub(super) fn all(pack: &Pack) -> Vec<Self> {
        let segments = pack.segments.iter().filter(|segment| !segment.owners.is_empty());
        let job = |segment: &gitstratum_proto::common::v1::Segment| {
            let owners = segment.owners.iter().zip(&segment.incarnations);
            let owners = owners.map(|(node, number)| (NodeId(*node), Incarnation(*number)));
            Some(Self {
                segment: SegmentId::from_slice(&segment.segment_id)?,
                owners: owners.collect(),
                list: segment.list_number,
            })
        };
        segments.filter_map(job).collect()
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.owners.iter().map(|(node, _)| *node).collect()
    }

    pub(super) fn is_settled(&self, nodes: &Nodes) -> bool {
        nodes.is_settled(self.segment, &self.nodes())
    }

    /// The list that follows once `pulled` have made copies, under these incarnations; `None` when
    /// it names the same nodes.
    pub(crate) fn change(
        &self,
        nodes: &Nodes,
        pulled: impl IntoIterator<Item = (NodeId, Incarnation)>,
    ) -> Option<ChangeOwners> {
        let mut holders = self.owners.clone();
        holders.extend(pulled);
        let held: Vec<NodeId> = holders.iter().map(|(node, _)| *node).collect();
        let next = nodes.settled(self.segment, &held);
        let owners = self.nodes();
        if next.len() == owners.len() && next.iter().all(|node| owners.contains(node)) {
            return None;
        }
        let next = next.iter().filter_map(|node| holders.iter().find(|(held, _)| held == node));
        let (owners, incarnations) = next.map(|(node, number)| (node.0, number.0)).unzip();
        Some(ChangeOwners {
            segment_id: self.segment.0.to_vec().into(),
            list_number: self.list,
            owners,
            incarnations,
            replication_factor: u32::try_from(nodes.copies).unwrap_or(u32::MAX),
        })
    }
}

impl Crew {
    /// Has copies made where they are wanted, then changes the list (S19). Whether it changed.
    pub(super) async fn mend(&self, nodes: &Nodes, job: Job) -> Result<bool, Error> {
        let wanted = self.answering(nodes.wanted(job.segment, &job.nodes()));
        let pulls = wanted.iter().map(|node| self.pull(nodes, *node, &job));
        let pulled = join_all(pulls).await.into_iter().flatten();
        let Some(change) = job.change(nodes, pulled) else { return Ok(false) };
        failpoint!("metadata.owners.before_change");
        let answer = self.hosted.propose(Change::ChangeOwners(change), GrantsVersion(0)).await?;
        failpoint!("metadata.owners.after_change");
        let partition = self.hosted.partition;
        let answer = OwnersAnswer::decode(answer).map_err(|_| Error::Answer { partition })?;
        Ok(answer.changed)
    }

    /// A node's copy, made from those that hold the segment: those first that should answer.
    async fn pull(&self, nodes: &Nodes, node: NodeId, job: &Job) -> Option<(NodeId, Incarnation)> {
        let mut from = job.nodes();
        from.sort_by_key(|node| nodes.down.contains(node));
        let order = PullRequest {
            partition: self.hosted.partition.0,
            term: self.hosted.leading_term().ok()?,
            segment_id: job.segment.0.to_vec().into(),
            from: from.iter().map(|node| node.0).collect(),
            list_number: job.list,
        };
        let pulled = self.deps.copies.pull(node, order).await;
        self.note_answer(node, pulled.as_ref().err().map(|error| error.kind()));
        match pulled {
            Ok(written) => Some((node, written.incarnation)),
            Err(error) => {
                tracing::debug!(segment = %job.segment, %error, "no copy was made");
                None
            }
        }
    }
}
