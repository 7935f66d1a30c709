//! The cluster as a whole, and the stores of a node behind its own socket.

use bytes::Bytes;
use gitstratum_core::{ErrorKind, SegmentId};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::{control, metadata, object};

use super::{Answers, CALL_DEADLINE, CHECK_DEADLINE, Connection};
use crate::Error;

impl Connection {
    /// Nodes, layout and leaders as the control plane sees them.
    ///
    /// # Errors
    /// See [`Error`]; so for all calls here.
    pub async fn cluster_state(&self) -> Result<control::v1::ClusterState, Error> {
        self.control(async |client| client.get_cluster_state(()).await).await
    }

    /// Lines of the control plane's audit log.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn audit(
        &self,
        request: control::v1::AuditRequest,
    ) -> Result<Answers<control::v1::AuditLine>, Error> {
        let stream = self.control(async |client| client.audit(request).await).await?;
        Ok(self.answers(stream))
    }

    /// Lines of a partition's audit log after log index `after`.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn partition_audit(
        &self,
        partition: u32,
        after: u64,
    ) -> Result<Answers<metadata::v1::AuditLine>, Error> {
        let request = metadata::v1::AuditRequest { partition, after };
        let call = self.metadata(CALL_DEADLINE, async |client| client.audit(request).await);
        Ok(self.answers(call.await?))
    }

    /// Leaders, terms and sizes of the partitions.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn partitions(&self) -> Result<metadata::v1::StatusResponse, Error> {
        let request = metadata::v1::StatusRequest {};
        self.metadata(CALL_DEADLINE, async |client| client.status(request).await).await
    }

    /// How full the object store is.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn object_store(&self) -> Result<object::v1::StatusResponse, Error> {
        let request = object::v1::StatusRequest {};
        self.object(async |client| client.status(request).await).await
    }

    /// Records of all repositories of a partition, with their manifests.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn records(
        &self,
        partition: u32,
    ) -> Result<Answers<metadata::v1::RepositoryRecord>, Error> {
        let request = metadata::v1::ListRepositoriesRequest { partition };
        let call =
            self.metadata(CALL_DEADLINE, async |client| client.list_repositories(request).await);
        Ok(self.answers(call.await?))
    }

    /// The partition's record of one repository; none when it has none.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn record(
        &self,
        key: RepoKey,
    ) -> Result<Option<metadata::v1::RepositoryRecord>, Error> {
        let request = metadata::v1::GetRepositoryRequest { repo: Some(key) };
        let call =
            self.metadata(CALL_DEADLINE, async |client| client.get_repository(request).await);
        match call.await {
            Ok(record) => Ok(Some(record)),
            Err(Error::Refused { kind: ErrorKind::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Walks one repository from its refs.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn check_repository(
        &self,
        key: RepoKey,
    ) -> Result<metadata::v1::CheckRepositoryResponse, Error> {
        let request = metadata::v1::CheckRepositoryRequest { repo: Some(key) };
        self.metadata(CHECK_DEADLINE, async |client| client.check_repository(request).await).await
    }

    /// Reads and verifies `segments` whole, in the object store behind this connection.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn verify(
        &self,
        segments: &[SegmentId],
    ) -> Result<Answers<object::v1::VerifyResult>, Error> {
        let segment_ids = segments.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
        let request = object::v1::VerifyRequest { segment_ids };
        let stream = self.object(async |client| client.verify(request).await).await?;
        Ok(self.answers(stream))
    }
}
