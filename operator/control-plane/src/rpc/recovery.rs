use gitstratum_core::ProcessRole;
use gitstratum_identity::Peer;
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::control::v1::recovery_server::Recovery;
use tonic::{Request, Response, Status};

use super::{Api, answer};
use crate::recovery::recover;

#[tonic::async_trait]
impl Recovery for Api {
    async fn recover(
        &self,
        request: Request<wire::RecoverRequest>,
    ) -> Result<Response<wire::RecoverResponse>, Status> {
        // From people it comes by this machine's socket; other voters pass it on.
        let peer = request.extensions().get::<Peer>();
        if peer.is_some_and(|peer| peer.role != ProcessRole::Control) {
            return Err(Status::permission_denied("this is for the owner of the machine"));
        }
        let call = self.enter(&request);
        let plane = std::sync::Arc::clone(&self.plane);
        answer("recover", call.request_id, async move {
            recover(&plane, call.token.clone(), request.into_inner()).await
        })
        .await
    }
}
