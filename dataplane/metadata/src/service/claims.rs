//! Runs on a repository: their claims, what they work from, and the swap that ends them
//! (S35–S37).

use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{GrantsVersion, NodeId, PartitionId, RepoId, Version, parse_span};
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::{
    ClaimKind, CloseClaimRequest, OpenClaimRequest, OpenClaimResponse, ShowClaimRequest,
    ShowClaimResponse, SwapRequest, SwapResponse,
};
use prost::Message;

use super::{Service, repo_key};
use crate::error::Error;
use crate::partition::entry::{CloseClaim, OpenClaim, Swap};
use crate::partition::{self, Change, ClaimAnswer, Rows, SwapAnswer, query};

/// The cluster's setting: how long dropped objects are kept.
const RETENTION: &str = "object.gcRetention";

impl Service {
    /// The object node `node` opens a claim, or takes the open one over (S35).
    ///
    /// # Errors
    /// [`Error::NotLeader`] and retryable ones; a refusal is in the answer.
    pub async fn open_claim(
        &self,
        node: NodeId,
        request: OpenClaimRequest,
    ) -> Result<OpenClaimResponse, Error> {
        let key = repo_key(request.repo)?;
        let partition = PartitionId(key.partition);
        let hosted = self.hosted(partition)?;
        let open = OpenClaim {
            repo_id: key.repo_id,
            kind: request.kind,
            node: node.0,
            takes_over: request.takes_over,
        };
        let answer = hosted.propose(Change::OpenClaim(open), GrantsVersion(0)).await?;
        let answer = ClaimAnswer::decode(answer).map_err(|_| Error::Answer { partition })?;
        let claim = answer.claim.unwrap_or_default();
        Ok(OpenClaimResponse {
            claim: claim.number,
            granted: answer.granted,
            holder: claim.node,
            kind: claim.kind,
            refused: answer.refused,
        })
    }

    /// What a run under a claim works from: the packs that are live, and for a drop run those and
    /// the tips of the very entry that started it (S15).
    ///
    /// # Errors
    /// When the read cannot be confirmed.
    pub async fn show_claim(&self, request: ShowClaimRequest) -> Result<ShowClaimResponse, Error> {
        let key = repo_key(request.repo)?;
        let hosted = self.hosted(PartitionId(key.partition))?;
        hosted.barrier().await?;
        let (repo, number) = (RepoId(key.repo_id), request.claim);
        hosted.read(move |rows| shown(rows, repo, number)).await
    }

    /// Ends a claim; one that is not open stays as it is.
    ///
    /// # Errors
    /// [`Error::NotLeader`] and retryable ones.
    pub async fn close_claim(&self, request: CloseClaimRequest) -> Result<(), Error> {
        let hosted = self.hosted(PartitionId(request.partition))?;
        let close = CloseClaim { repo_id: request.repo_id, claim: request.claim };
        hosted.propose(Change::CloseClaim(close), GrantsVersion(0)).await.map(drop)
    }

    /// Makes a swap, or answers its repeat (S35).
    ///
    /// # Errors
    /// [`Error::NotLeader`] and retryable ones, after which the same may be asked again.
    pub async fn swap(&self, request: SwapRequest) -> Result<SwapResponse, Error> {
        let partition = PartitionId(request.partition);
        let hosted = self.hosted(partition)?;
        let snapshot = self.deps.feed.current();
        let window = snapshot.setting(RETENTION).and_then(parse_span);
        let window = window.unwrap_or(self.config.cruft_window);
        let swap = Swap {
            repo_id: request.repo_id,
            claim: request.claim,
            inputs: request.inputs,
            outputs: request.outputs,
            cruft: request.cruft,
            cruft_window: millis(window),
            replication_factor: snapshot.layout().replication_factor.max(1),
        };
        let answer = hosted.propose(Change::Swap(swap), GrantsVersion(0)).await?;
        let answer = SwapAnswer::decode(answer).map_err(|_| Error::Answer { partition })?;
        let SwapAnswer { version, refused } = answer;
        Ok(SwapResponse { done: version > 0, version, refused })
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What a run under claim `number` works from, as `rows` have it.
pub(crate) fn shown(
    rows: &dyn Rows,
    repo: RepoId,
    number: u64,
) -> Result<ShowClaimResponse, partition::Error> {
    let claim = query::open_claim(rows, repo)?.filter(|row| row.number == number);
    let row = query::repository(rows, repo)?;
    let (Some(claim), Some(row)) = (claim, row) else { return Ok(ShowClaimResponse::default()) };
    let is_drop = claim.kind == i32::from(ClaimKind::Drop);
    let mut packs = query::packs_after(rows, repo, Version(0))?;
    // Runs read indexes and entries only.
    packs.iter_mut().for_each(|pack: &mut Pack| pack.inline_graph = Bytes::new());
    // What came later was checked against the new counter, and stays as it is.
    let is_input = |pack: &Pack| !is_drop || pack.listed_version <= claim.number;
    let (packs, later) = packs.into_iter().partition(is_input);
    let seen = if is_drop { row.manifest_version.min(claim.number) } else { row.manifest_version };
    Ok(ShowClaimResponse {
        open: true,
        manifest_version: seen,
        object_format: row.object_format,
        packs,
        later,
        tips: if is_drop { query::tips(rows, repo)? } else { Vec::new() },
    })
}
