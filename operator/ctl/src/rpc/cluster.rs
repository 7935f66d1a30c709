//! The cluster as a whole, and the stores of a node behind its own socket.

use bytes::Bytes;
use futures::future::join_all;
use gitstratum_core::{ErrorKind, NodeId, SegmentId};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::metadata::v1::metadata_client::MetadataClient;
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

    /// Leaders, terms and sizes of the partitions, as each node that answers sees them.
    pub async fn partitions(&self) -> Vec<(NodeId, Result<metadata::v1::StatusResponse, Error>)> {
        let asked = self.stores.iter().filter_map(|store| {
            let channel = store.metadata.clone()?;
            Some(async move {
                let mut client = MetadataClient::new(channel);
                let request = metadata::v1::StatusRequest::default();
                (store.node, self.within(CALL_DEADLINE, client.status(request)).await)
            })
        });
        join_all(asked).await
    }

    /// The same without checksums; where a node leads, it has confirmed that.
    pub async fn confirmed_partitions(&self) -> Vec<metadata::v1::PartitionStatus> {
        let asked = self.stores.iter().filter_map(|store| {
            let mut client = MetadataClient::new(store.metadata.clone()?);
            let request = metadata::v1::StatusRequest { brief: true, confirm: true };
            Some(async move { self.within(CALL_DEADLINE, client.status(request)).await })
        });
        let answers = join_all(asked).await.into_iter().filter_map(Result::ok);
        answers.flat_map(|answer| answer.partitions).filter(|known| known.confirmed).collect()
    }

    /// How full each object store is.
    pub async fn object_stores(&self) -> Vec<(NodeId, Result<object::v1::StatusResponse, Error>)> {
        let stores = self.stores.iter().filter(|store| store.object.is_some());
        let asked = stores.map(async |store| {
            let request = object::v1::StatusRequest {};
            let call = self.object(store.node, async |client| client.status(request).await);
            (store.node, call.await)
        });
        join_all(asked).await
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

    /// Reads and verifies `segments` whole, in the object store of `node`.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn verify(
        &self,
        node: NodeId,
        segments: &[SegmentId],
    ) -> Result<Answers<object::v1::VerifyResult>, Error> {
        let segment_ids = segments.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
        let request = object::v1::VerifyRequest { segment_ids };
        let stream = self.object(node, async |client| client.verify(request).await).await?;
        Ok(self.answers(stream))
    }

    /// Has `node` do a run; the answer tells how far it is. Dropped, the run ends.
    ///
    /// # Errors
    /// As [`Self::cluster_state`].
    pub async fn run(
        &self,
        node: NodeId,
        request: object::v1::RunRequest,
    ) -> Result<Answers<object::v1::RunProgress>, Error> {
        let stream = self.object(node, async |client| client.run(request).await).await?;
        Ok(self.answers(stream))
    }

    /// Whether the object store of `node` can be asked.
    pub fn has_store(&self, node: NodeId) -> bool {
        self.object_store(node).is_some()
    }
}
