//! Nodes, ring and settings.

use gitstratum_core::{NodeId, Token, UnixMillis};
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::control::v1::administration_client::AdministrationClient;
use tonic::{Response, Status};

use super::{Authorized, CALL_DEADLINE, Connection, REMOVAL_DEADLINE};
use crate::Error;
use crate::node::Node;
use crate::rebalance::Rebalance;
use crate::ring::{Plan, Ring};
use crate::setting::Setting;

/// What the names of flags begin with on the wire.
const FLAG_PREFIX: &str = "flag.";

impl Connection {
    /// The nodes, those that were removed too.
    ///
    /// # Errors
    /// See [`Error`]; so for all calls here.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        Ok(self.cluster_state().await?.nodes.into_iter().map(Node::from).collect())
    }

    /// The ring.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn ring(&self) -> Result<Ring, Error> {
        let ring = self.administration(async |client| client.get_hash_ring(()).await).await;
        ring.map(Ring::from)
    }

    /// What it would move if nodes came into the ring or left it.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn plan_ring(&self, add: &[NodeId], remove: &[NodeId]) -> Result<Plan, Error> {
        let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
        let request = wire::PlanRingRequest { add: ids(add), remove: ids(remove) };
        let plan = self.administration(async |client| client.plan_ring(request).await).await;
        plan.map(Plan::from)
    }

    /// Begins to empty a node.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn drain_node(&self, node: NodeId) -> Result<Node, Error> {
        let request = wire::NodeRequest { node: node.0 };
        let done = self.administration(async |client| client.drain_node(request).await).await;
        done.map(Node::from)
    }

    /// Lets a node that was being emptied take segments again.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn undrain_node(&self, node: NodeId) -> Result<Node, Error> {
        let request = wire::NodeRequest { node: node.0 };
        let done = self.administration(async |client| client.undrain_node(request).await).await;
        done.map(Node::from)
    }

    /// Takes a node out for good that nothing names any more.
    ///
    /// # Errors
    /// As [`Self::nodes`]; what is left on it, and what to do.
    pub async fn remove_node(&self, request: wire::RemoveNodeRequest) -> Result<Node, Error> {
        let mut client = self.administration_client();
        let done = self.within(REMOVAL_DEADLINE, client.remove_node(request)).await;
        done.map(Node::from)
    }

    /// Replaces the token by which nodes enrol; the new one is shown once.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn rotate_join_token(&self) -> Result<Token, Error> {
        let made = self.administration(async |client| client.rotate_join_token(()).await).await?;
        Token::parse(&made.token).map_err(|_| self.wrong("no join token"))
    }

    /// What waits and what is being emptied, `now`.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn rebalance(&self, now: UnixMillis) -> Result<Rebalance, Error> {
        let found = self.administration(async |client| client.get_rebalance(()).await).await;
        found.map(|found| Rebalance::new(found, now))
    }

    /// Lets the nodes that wait into the ring.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn start_rebalance(&self, now: UnixMillis) -> Result<Rebalance, Error> {
        let found = self.administration(async |client| client.start_rebalance(()).await).await;
        found.map(|found| Rebalance::new(found, now))
    }

    /// Holds copies where they are.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn stop_rebalance(&self, now: UnixMillis) -> Result<Rebalance, Error> {
        let found = self.administration(async |client| client.stop_rebalance(()).await).await;
        found.map(|found| Rebalance::new(found, now))
    }

    /// All settings.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn settings(&self) -> Result<Vec<Setting>, Error> {
        self.named_settings(|setting| !setting.is_flag).await
    }

    /// All flags.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn flags(&self) -> Result<Vec<Setting>, Error> {
        self.named_settings(|setting| setting.is_flag).await
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn set_setting(&self, key: &str, value: &str) -> Result<Setting, Error> {
        let request = wire::SetSettingRequest { key: key.to_owned(), value: value.to_owned() };
        let done = self.administration(async |client| client.set_setting(request).await).await;
        done.map(Setting::from)
    }

    /// Sets a flag.
    ///
    /// # Errors
    /// As [`Self::nodes`].
    pub async fn set_flag(&self, name: &str, value: &str) -> Result<Setting, Error> {
        let set = self.set_setting(&format!("{FLAG_PREFIX}{name}"), value).await?;
        Ok(Setting { key: name.to_owned(), ..set })
    }

    async fn named_settings(
        &self,
        is_wanted: impl Fn(&wire::SettingRecord) -> bool,
    ) -> Result<Vec<Setting>, Error> {
        let found = self.administration(async |client| client.list_settings(()).await).await?;
        Ok(found.settings.into_iter().filter(is_wanted).map(Setting::from).collect())
    }

    async fn administration<T>(
        &self,
        call: impl AsyncFnOnce(&mut AdministrationClient<Authorized>) -> Result<Response<T>, Status>,
    ) -> Result<T, Error> {
        let mut client = self.administration_client();
        self.within(CALL_DEADLINE, call(&mut client)).await
    }

    fn administration_client(&self) -> AdministrationClient<Authorized> {
        let client = AdministrationClient::new(self.control.clone());
        client.max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}
