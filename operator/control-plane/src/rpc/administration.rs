use std::sync::Arc;

use gitstratum_core::NodeId;
use gitstratum_proto::control::v1 as wire_v1;
use gitstratum_proto::control::v1::administration_server::Administration;
use gitstratum_state::command::{Change, DrainNode, EnterRing, SetSetting, UndrainNode};
use gitstratum_state::{Refusal, RingChange, State, Subject, Verb};
use tonic::{Request, Response, Status};

use super::{Api, answer};
use crate::call::{Call, Intent};
use crate::error::Error;
use crate::removal::{self, Loss};
use crate::{emptying, enrol, nodes, rebalance, ring, settings, wire};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Administration for Api {
    async fn get_hash_ring(&self, request: Request<()>) -> Answer<wire_v1::HashRing> {
        let call = self.enter(&request);
        answer("get_hash_ring", call.request_id, async move {
            see(&call, "ring.show", ring::show).await
        })
        .await
    }

    async fn plan_ring(
        &self,
        request: Request<wire_v1::PlanRingRequest>,
    ) -> Answer<wire_v1::RingPlan> {
        let call = self.enter(&request);
        let wire_v1::PlanRingRequest { add, remove } = request.into_inner();
        let ids = |ids: Vec<u64>| ids.into_iter().map(NodeId).collect();
        let change = RingChange { add: ids(add), remove: ids(remove) };
        answer("plan_ring", call.request_id, async move {
            let fleet = Arc::clone(&call.plane.fleet);
            see(&call, "ring.plan", move |state| ring::plan(state, &change, &fleet)).await
        })
        .await
    }

    async fn drain_node(&self, request: Request<wire_v1::NodeRequest>) -> Answer<wire_v1::Node> {
        let call = self.enter(&request);
        let id = request.into_inner().node;
        let change = Change::DrainNode(DrainNode { id });
        answer("drain_node", call.request_id, change_node(call, id, change)).await
    }

    async fn undrain_node(&self, request: Request<wire_v1::NodeRequest>) -> Answer<wire_v1::Node> {
        let call = self.enter(&request);
        let id = request.into_inner().node;
        let change = Change::UndrainNode(UndrainNode { id });
        answer("undrain_node", call.request_id, change_node(call, id, change)).await
    }

    async fn remove_node(
        &self,
        request: Request<wire_v1::RemoveNodeRequest>,
    ) -> Answer<wire_v1::Node> {
        let call = self.enter(&request);
        let wire_v1::RemoveNodeRequest { node, accept_loss } = request.into_inner();
        let loss = if accept_loss { Loss::Accepted } else { Loss::Refused };
        answer("remove_node", call.request_id, async move {
            let change = removal::prepare(&call, NodeId(node), loss).await?;
            change_node(call, node, change).await
        })
        .await
    }

    async fn rotate_join_token(
        &self,
        request: Request<()>,
    ) -> Answer<wire_v1::RotateJoinTokenResponse> {
        let call = self.enter(&request);
        answer("rotate_join_token", call.request_id, enrol::rotate_token(call)).await
    }

    async fn get_rebalance(&self, request: Request<()>) -> Answer<wire_v1::Rebalance> {
        let call = self.enter(&request);
        answer("get_rebalance", call.request_id, show_rebalance(call)).await
    }

    async fn start_rebalance(&self, request: Request<()>) -> Answer<wire_v1::Rebalance> {
        let call = self.enter(&request);
        answer("start_rebalance", call.request_id, start_rebalance(call)).await
    }

    async fn stop_rebalance(&self, request: Request<()>) -> Answer<wire_v1::Rebalance> {
        let call = self.enter(&request);
        answer("stop_rebalance", call.request_id, async move {
            call.change(rebalance::moves("off")).await?;
            show_rebalance(call).await
        })
        .await
    }

    async fn list_settings(&self, request: Request<()>) -> Answer<wire_v1::ListSettingsResponse> {
        let call = self.enter(&request);
        answer("list_settings", call.request_id, async move {
            see(&call, "setting.list", |state| Ok(settings::list(state))).await
        })
        .await
    }

    async fn set_setting(
        &self,
        request: Request<wire_v1::SetSettingRequest>,
    ) -> Answer<wire_v1::SettingRecord> {
        let call = self.enter(&request);
        let wire_v1::SetSettingRequest { key, value } = request.into_inner();
        answer("set_setting", call.request_id, async move {
            call.change(Change::SetSetting(SetSetting { key: key.clone(), value })).await?;
            see(&call, "setting.show", move |state| settings::show(state, &key)).await
        })
        .await
    }
}

/// Looks at what is for cluster admins to see.
async fn see<R: Send + 'static>(
    call: &Call,
    action: &'static str,
    look: impl FnOnce(&State) -> Result<R, Refusal> + Send + 'static,
) -> Result<R, Error> {
    call.look(Intent::new(action, ""), |caller, state| {
        state.authorize(caller, Verb::See, Subject::Cluster)?;
        look(state)
    })
    .await
}

async fn change_node(call: Call, id: u64, change: Change) -> Result<wire_v1::Node, Error> {
    call.change(change).await?;
    let found = see(&call, "node.show", move |state| {
        let missing = || Refusal::Missing { what: "node", name: NodeId(id).to_string() };
        state.node(NodeId(id)).map(wire::node).ok_or_else(missing)
    });
    let mut node = found.await?;
    nodes::add_sights(&call.plane.fleet, std::slice::from_mut(&mut node));
    Ok(node)
}

async fn show_rebalance(call: Call) -> Result<wire_v1::Rebalance, Error> {
    let fleet = Arc::clone(&call.plane.fleet);
    let shown = see(&call, "rebalance.show", move |state| {
        let fenced = emptying::draining(state);
        let partitions = state.layout().partitions.len();
        rebalance::show(state, &fleet).map(|shown| (shown, fenced, partitions))
    });
    let (mut shown, fenced, partitions) = shown.await?;
    let progress = |fenced| call.plane.emptier.progress(fenced, partitions);
    shown.emptying = fenced.into_iter().map(progress).collect();
    Ok(shown)
}

/// Every node that waits comes in; who comes while this runs waits for the next time.
async fn start_rebalance(call: Call) -> Result<wire_v1::Rebalance, Error> {
    call.change(rebalance::moves("on")).await?;
    let waiting =
        see(&call, "rebalance.start", |state| Ok(state.waiting().collect::<Vec<_>>())).await?;
    for node in waiting {
        call.change(Change::EnterRing(EnterRing { id: node.0 })).await?;
    }
    show_rebalance(call).await
}
