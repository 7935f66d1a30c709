use gitstratum_client::cluster::Feed;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{NodeId, PartitionId};
use gitstratum_process::spawn;
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::metadata::v1::{
    ClaimKind, CloseClaimRequest, OpenClaimRequest, ShowClaimRequest, ShowClaimResponse,
};

use super::Error;

/// Times that a claim is asked for, while others open and end theirs.
const TRIES: usize = 3;
/// `Node.state` of nodes that may well go on: up, and not heard of for some seconds.
const STATES_ALIVE: [u32; 2] = [2, 3];

/// The claim that a run works under (S35). Dropped, it is closed: what was written under it and
/// is not listed is garbage then, and swept (S12).
pub(super) struct Claim {
    partitions: Partitions,
    repo: RepoKey,
    pub(super) number: u64,
    has_ended: bool,
}

impl Claim {
    /// Opens the claim, or takes over one whose holder does not go on: this node, which is known
    /// to have no run on the repository, or one that is down.
    pub(super) async fn open(
        (partitions, feed): (&Partitions, &Feed),
        node: NodeId,
        repo: RepoKey,
        kind: ClaimKind,
    ) -> Result<Self, Error> {
        let partition = PartitionId(repo.partition);
        let mut takes_over = 0;
        for _ in 0..TRIES {
            let request = OpenClaimRequest { repo: Some(repo), kind: kind.into(), takes_over };
            let answer = partitions.open_claim(partition, request).await?;
            if answer.granted {
                let partitions = partitions.clone();
                return Ok(Self { partitions, repo, number: answer.claim, has_ended: false });
            }
            if answer.claim == 0 && takes_over == 0 {
                return Err(Error::Refused { why: answer.refused });
            }
            let holder = NodeId(answer.holder);
            if answer.claim != 0 && holder != node && is_alive(feed, holder) {
                return Err(Error::Held { node: holder });
            }
            takes_over = if answer.kind() == kind { answer.claim } else { 0 };
            if takes_over == 0 && answer.claim != 0 {
                // Of another sort: nothing of it can be gone on with.
                close(partitions, &repo, answer.claim).await?;
            }
        }
        Err(Error::Refused { why: "other runs begin and end here; try again".to_owned() })
    }

    /// What the run works from.
    pub(super) async fn show(&self) -> Result<ShowClaimResponse, Error> {
        let request = ShowClaimRequest { repo: Some(self.repo), claim: self.number };
        let shown = self.partitions.show_claim(PartitionId(self.repo.partition), request).await?;
        match shown.open {
            true => Ok(shown),
            false => Err(Error::Refused { why: "the claim has ended".to_owned() }),
        }
    }

    /// The swap has ended it.
    pub(super) fn forget(mut self) {
        self.has_ended = true;
    }

    /// Ends it. One that cannot be ended is taken over, or ended, by the next run.
    pub(super) async fn end(mut self) {
        match close(&self.partitions, &self.repo, self.number).await {
            Ok(()) => self.has_ended = true,
            Err(error) => {
                let (repo, claim) = (self.repo.repo_id, self.number);
                tracing::warn!(repo, claim, %error, "a claim could not be ended yet");
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (partitions, repo, number) = (self.partitions.clone(), self.repo, self.number);
        // One that stays open is taken over by the next run.
        let closing = async move {
            if let Err(error) = close(&partitions, &repo, number).await {
                tracing::warn!(repo = repo.repo_id, claim = number, %error, "a claim stays open");
            }
        };
        spawn("closing a claim", closing).detach();
    }
}

async fn close(partitions: &Partitions, repo: &RepoKey, claim: u64) -> Result<(), Error> {
    let RepoKey { partition, repo_id, .. } = *repo;
    let request = CloseClaimRequest { partition, repo_id, claim };
    partitions.close_claim(PartitionId(partition), request).await?;
    Ok(())
}

fn is_alive(feed: &Feed, node: NodeId) -> bool {
    let snapshot = feed.current();
    let mut nodes = snapshot.layout().nodes.iter();
    nodes.any(|each| each.id == node.0 && STATES_ALIVE.contains(&each.state))
}
