//! The operator's calls to the control plane.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use gitstratum_client::grpc::{self, Channel};
use gitstratum_core::{NodeId, ProcessRole};
use gitstratum_identity::{Peer, Service};
use gitstratum_proto::common::v1::RepoKey;
use gitstratum_proto::control::v1::administration_client::AdministrationClient;
use gitstratum_proto::control::v1::control_client::ControlClient;
use gitstratum_proto::control::v1::fleet_client::FleetClient;
use gitstratum_proto::control::v1::{
    CreateRepositoryRequest, GetRepositoryRequest, Node, NodeRequest, RegisterNodeRequest,
    RemoveNodeRequest, SetSettingRequest,
};
use parking_lot::Mutex;
use tonic::Request;

use super::{Change, Progress};
use crate::clock::elapsed;
use crate::events;
use crate::network::SimDialer;
use crate::node::Cluster;
use crate::world::Draw;

/// Longest wait for one answer, and pause before the next try.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Repositories that are made at most until one lies beside the first.
const REPOSITORIES_MAX: usize = 64;
/// Dropped objects go while the run lasts.
const RETENTION: (&str, &str) = ("object.gcRetention", "10s");

/// The operator, with the first user's token.
pub(crate) struct Operator {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) draw: Draw,
    pub(crate) progress: Arc<Mutex<Progress>>,
}

impl Operator {
    fn channel(&self, role: ProcessRole, node: NodeId) -> Channel {
        let founders = self.cluster.founders();
        let to = founders[self.draw.index(founders.len())];
        let peer = Peer { cluster: self.cluster.id, role, node };
        let away = Arc::clone(&self.cluster.is_control_away);
        grpc::channel(Arc::new(SimDialer { peer, away }), to, Service::Control)
    }

    fn asked<T>(&self, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.cluster.founding.admin_token.expose());
        request.metadata_mut().insert("authorization", bearer.parse().context("the token")?);
        Ok(request)
    }

    /// Has dropped objects go soon, and makes repositories until one lies in the partition of `first`.
    pub(crate) async fn prepare(self, first: &str) -> Result<()> {
        let mut control = ControlClient::new(self.channel(ProcessRole::Frontend, NodeId(0)));
        let get = GetRepositoryRequest { path: first.to_owned() };
        let found = control.get_repository(self.asked(get)?).await?.into_inner();
        let (beside, name_version) = (found.partition, found.name_version);
        let key = RepoKey { repo_id: found.id, partition: beside, name_version };
        self.progress.lock().repo = Some(key);
        let set = SetSettingRequest { key: RETENTION.0.into(), value: RETENTION.1.into() };
        let channel = self.channel(ProcessRole::Frontend, NodeId(0));
        AdministrationClient::new(channel).set_setting(self.asked(set)?).await?;
        for number in 0..REPOSITORIES_MAX {
            let path = format!("private/notes-{number}");
            let create = CreateRepositoryRequest {
                path: path.clone(),
                if_not_exists: true,
                ..CreateRepositoryRequest::default()
            };
            let made = control.create_repository(self.asked(create)?).await?.into_inner();
            if made.partition == beside {
                self.progress.lock().private = Some(path);
                return Ok(());
            }
        }
        bail!("{REPOSITORIES_MAX} repositories, and none beside the first")
    }

    /// Makes the changes of `plan`, each as long as it takes.
    pub(crate) async fn run(self, begun: Duration, plan: Vec<(Duration, Change)>) -> Result<()> {
        let mut joined = Vec::new();
        for (at, change) in plan {
            tokio::time::sleep((begun + at).saturating_sub(elapsed())).await;
            loop {
                let made = tokio::time::timeout(ANSWER_WITHIN, self.make(change, &mut joined));
                let made = made.await.context("no answer in time").flatten();
                // Without a backtrace, which says where the program was built and run.
                let told = made.as_ref().map_err(|error| format!("{error:#}"));
                events::story(|| format!("{change:?}: {told:?}"));
                if made.is_ok() {
                    self.progress.lock().changes += 1;
                    break;
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
        Ok(())
    }

    async fn make(&self, change: Change, joined: &mut Vec<NodeId>) -> Result<()> {
        let founders = self.cluster.founders();
        let of = |at: usize| joined.get(at).map(|node| node.0).context("nobody joined");
        let channel = self.channel(ProcessRole::Frontend, NodeId(0));
        let mut administration = AdministrationClient::new(channel);
        match change {
            Change::Join => {
                let node = self.admit().await?;
                joined.push(node);
                self.progress.lock().admitted.push(node);
            }
            Change::Drain(at) => {
                let asked = self.asked(NodeRequest { node: founders[at].0 })?;
                administration.drain_node(asked).await?;
            }
            Change::Undrain(at) => {
                let asked = self.asked(NodeRequest { node: founders[at].0 })?;
                administration.undrain_node(asked).await?;
            }
            Change::DrainJoined(at) => {
                let asked = self.asked(NodeRequest { node: of(at)? })?;
                administration.drain_node(asked).await?;
            }
            Change::RemoveJoined(at) => {
                let node = of(at)?;
                let asked = self.asked(RemoveNodeRequest { node, accept_loss: false })?;
                administration.remove_node(asked).await?;
                self.progress.lock().removed.push(NodeId(node));
            }
        }
        Ok(())
    }

    /// Has a new node registered, as enrolment does.
    async fn admit(&self) -> Result<NodeId> {
        let mut fleet = FleetClient::new(self.channel(ProcessRole::Agent, NodeId(0)));
        let roles = ["frontend", "metadata", "object"].map(str::to_owned).to_vec();
        let node = Node { roles, address: "local".to_owned(), weight: 1, ..Node::default() };
        let asked = RegisterNodeRequest { node: Some(node) };
        let registered = fleet.register_node(Request::new(asked)).await?.into_inner();
        Ok(NodeId(registered.node))
    }
}
