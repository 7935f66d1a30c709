//! What agents were told, and bringing a control plane back from that.

use futures::future::join_all;
use gitstratum_client::cluster::Snapshot;
use gitstratum_core::NodeId;
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::agent::v1::WatchRequest;
use gitstratum_proto::agent::v1::agent_client::AgentClient;
use gitstratum_proto::control::v1::recovery_client::RecoveryClient;
use gitstratum_proto::control::v1::{RecoverRequest, RecoverResponse, SnapshotUpdate};
use tonic::transport::Channel;

use super::{CALL_DEADLINE, Connection};
use crate::Error;

/// Name that this program gives itself at an agent's socket.
const ROLE: &str = "ctl";

impl Connection {
    /// All that each node of this machine was told of the control plane's state.
    pub(crate) async fn told(&self) -> Vec<(NodeId, Result<SnapshotUpdate, Error>)> {
        let asked = self.stores.iter().filter_map(|store| {
            let channel = store.agent.clone()?;
            Some(async move { (store.node, self.told_to(channel).await) })
        });
        join_all(asked).await
    }

    async fn told_to(&self, channel: Channel) -> Result<SnapshotUpdate, Error> {
        let mut client = AgentClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request = WatchRequest { role: ROLE.to_owned(), from_version: 0 };
        let stream = self.within(CALL_DEADLINE, client.watch(request)).await?;
        let mut answers = self.answers(stream);
        let mut held = Snapshot::empty();
        while let Some(update) = answers.next().await? {
            held = held.apply(&update);
            if !update.more {
                return Ok(held.to_update());
            }
        }
        let problem = "it ended before all was said".to_owned();
        Err(Error::Answer { place: self.place().to_owned(), problem })
    }

    /// Has the control plane brought back from `snapshot`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn recover(&self, snapshot: SnapshotUpdate) -> Result<RecoverResponse, Error> {
        let mut client = RecoveryClient::new(self.control.clone());
        let request = RecoverRequest { snapshot: Some(snapshot) };
        self.within(CALL_DEADLINE, client.recover(request)).await
    }
}
