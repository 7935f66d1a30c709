//! Runs on a repository (S35).

use gitstratum_core::PartitionId;
use gitstratum_proto::metadata::v1 as wire;

use super::{Error, PLAN, Partitions, READ, SESSION, UPDATE};

impl Partitions {
    /// Opens a claim for the calling node, or takes the open one over.
    ///
    /// # Errors
    /// After the last try.
    pub async fn open_claim(
        &self,
        partition: PartitionId,
        request: wire::OpenClaimRequest,
    ) -> Result<wire::OpenClaimResponse, Error> {
        self.call(partition, SESSION, request, |mut client, request| async move {
            client.open_claim(request).await
        })
        .await
    }

    /// What a run under a claim works from.
    ///
    /// # Errors
    /// After the last try.
    pub async fn show_claim(
        &self,
        partition: PartitionId,
        request: wire::ShowClaimRequest,
    ) -> Result<wire::ShowClaimResponse, Error> {
        self.call(partition, PLAN, request, |mut client, request| async move {
            client.show_claim(request).await
        })
        .await
    }

    /// Ends a claim; harmless when it has ended.
    ///
    /// # Errors
    /// After the last try.
    pub async fn close_claim(
        &self,
        partition: PartitionId,
        request: wire::CloseClaimRequest,
    ) -> Result<wire::CloseClaimResponse, Error> {
        self.call(partition, SESSION, request, |mut client, request| async move {
            client.close_claim(request).await
        })
        .await
    }

    /// Swaps packs. The same may be asked again: it is done once.
    ///
    /// # Errors
    /// After the last try; it may have been done.
    pub async fn swap(
        &self,
        partition: PartitionId,
        request: wire::SwapRequest,
    ) -> Result<wire::SwapResponse, Error> {
        self.call(partition, UPDATE, request, |mut client, request| async move {
            client.swap(request).await
        })
        .await
    }

    /// A repository's record, by a linearizable read; its refs are not for the caller.
    ///
    /// # Errors
    /// After the last try.
    pub async fn repository(
        &self,
        partition: PartitionId,
        request: wire::GetRepositoryRequest,
    ) -> Result<wire::RepositoryRecord, Error> {
        self.call(partition, READ, request, |mut client, request| async move {
            client.get_repository(request).await
        })
        .await
    }
}
