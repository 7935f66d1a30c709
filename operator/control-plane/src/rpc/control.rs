use std::sync::Arc;

use gitstratum_core::Token;
use gitstratum_process::spawn;
use gitstratum_proto::control::v1 as wire_v1;
use gitstratum_proto::control::v1::control_server::Control;
use gitstratum_state::command as ask;
use gitstratum_state::command::Change;
use gitstratum_state::{Subject, Verb};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::stream::TaskStream;
use super::{Api, answer, audit_stream, status};
use crate::call::{Call, Intent};
use crate::error::Error;
use crate::{accounts, listing, nodes, repositories, wire};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Control for Api {
    type AuditStream = TaskStream<wire_v1::AuditLine>;

    async fn who_am_i(&self, request: Request<()>) -> Answer<wire_v1::UserRecord> {
        let call = self.enter(&request);
        let intent = Intent::new("user.self", "");
        answer("who_am_i", call.request_id, async move {
            call.look(intent, |caller, _| Ok(wire::user(caller.user))).await
        })
        .await
    }

    async fn create_repository(
        &self,
        request: Request<wire_v1::CreateRepositoryRequest>,
    ) -> Answer<wire_v1::Repository> {
        let call = self.enter(&request);
        let id = call.request_id;
        answer("create_repository", id, repositories::create(call, request.into_inner())).await
    }

    async fn list_repositories(
        &self,
        request: Request<wire_v1::ListRepositoriesRequest>,
    ) -> Answer<wire_v1::ListRepositoriesResponse> {
        let call = self.enter(&request);
        let request = request.into_inner();
        let intent = Intent::new("repository.list", request.owner.clone());
        answer("list_repositories", call.request_id, async move {
            call.look(intent, move |caller, state| listing::repositories(state, caller, &request))
                .await
        })
        .await
    }

    async fn get_repository(
        &self,
        request: Request<wire_v1::GetRepositoryRequest>,
    ) -> Answer<wire_v1::Repository> {
        let call = self.enter(&request);
        let id = call.request_id;
        answer("get_repository", id, repositories::get(call, request.into_inner().path)).await
    }

    async fn set_repository(
        &self,
        request: Request<wire_v1::SetRepositoryRequest>,
    ) -> Answer<wire_v1::Repository> {
        let call = self.enter(&request);
        let wire_v1::SetRepositoryRequest { path, default_branch, public, description } =
            request.into_inner();
        let set = ask::SetRepository { path, default_branch, public, description };
        let id = call.request_id;
        answer("set_repository", id, repositories::change(call, Change::SetRepository(set))).await
    }

    async fn rename_repository(
        &self,
        request: Request<wire_v1::RenameRepositoryRequest>,
    ) -> Answer<wire_v1::Repository> {
        let call = self.enter(&request);
        let wire_v1::RenameRepositoryRequest { path, new_path } = request.into_inner();
        let change = Change::RenameRepository(ask::RenameRepository { path, new_path });
        answer("rename_repository", call.request_id, repositories::change(call, change)).await
    }

    async fn delete_repository(
        &self,
        request: Request<wire_v1::DeleteRepositoryRequest>,
    ) -> Answer<wire_v1::Repository> {
        let call = self.enter(&request);
        let path = request.into_inner().path;
        let change = Change::DeleteRepository(ask::DeleteRepository { path });
        answer("delete_repository", call.request_id, repositories::change(call, change)).await
    }

    async fn undelete_repository(
        &self,
        request: Request<wire_v1::UndeleteRepositoryRequest>,
    ) -> Answer<wire_v1::Repository> {
        let call = self.enter(&request);
        let wire_v1::UndeleteRepositoryRequest { id, path } = request.into_inner();
        let change = Change::UndeleteRepository(ask::UndeleteRepository { id, path });
        answer("undelete_repository", call.request_id, repositories::change(call, change)).await
    }

    async fn create_user(
        &self,
        request: Request<wire_v1::CreateUserRequest>,
    ) -> Answer<wire_v1::UserRecord> {
        let call = self.enter(&request);
        let id = call.request_id;
        answer("create_user", id, accounts::create_user(call, request.into_inner())).await
    }

    async fn list_users(
        &self,
        request: Request<wire_v1::ListUsersRequest>,
    ) -> Answer<wire_v1::ListUsersResponse> {
        let call = self.enter(&request);
        let request = request.into_inner();
        answer("list_users", call.request_id, async move {
            let intent = Intent::new("user.list", "");
            call.look(intent, move |caller, state| listing::users(state, caller, &request)).await
        })
        .await
    }

    async fn get_user(
        &self,
        request: Request<wire_v1::GetUserRequest>,
    ) -> Answer<wire_v1::UserRecord> {
        let call = self.enter(&request);
        let name = request.into_inner().name;
        let intent = Intent::new("user.show", name.clone());
        answer("get_user", call.request_id, async move {
            call.look(intent, move |caller, state| {
                listing::find_user(state, caller, &name).map(wire::user)
            })
            .await
        })
        .await
    }

    async fn delete_user(&self, request: Request<wire_v1::DeleteUserRequest>) -> Answer<()> {
        let call = self.enter(&request);
        let change = Change::DeleteUser(ask::DeleteUser { name: request.into_inner().name });
        answer("delete_user", call.request_id, accounts::change(call, change)).await
    }

    async fn add_key(&self, request: Request<wire_v1::AddKeyRequest>) -> Answer<wire_v1::SshKey> {
        let call = self.enter(&request);
        let id = call.request_id;
        answer("add_key", id, accounts::add_key(call, request.into_inner())).await
    }

    async fn remove_key(&self, request: Request<wire_v1::RemoveKeyRequest>) -> Answer<()> {
        let call = self.enter(&request);
        let wire_v1::RemoveKeyRequest { user, fingerprint } = request.into_inner();
        let change = Change::RemoveKey(ask::RemoveKey { user, fingerprint });
        answer("remove_key", call.request_id, accounts::change(call, change)).await
    }

    async fn create_token(
        &self,
        request: Request<wire_v1::CreateTokenRequest>,
    ) -> Answer<wire_v1::CreateTokenResponse> {
        let call = self.enter(&request);
        let id = call.request_id;
        answer("create_token", id, accounts::create_token(call, request.into_inner())).await
    }

    async fn list_tokens(
        &self,
        request: Request<wire_v1::ListTokensRequest>,
    ) -> Answer<wire_v1::ListTokensResponse> {
        let call = self.enter(&request);
        let name = request.into_inner().user;
        let intent = Intent::new("token.list", name.clone());
        answer("list_tokens", call.request_id, async move {
            call.look(intent, move |caller, state| listing::tokens(state, caller, &name)).await
        })
        .await
    }

    async fn revoke_token(&self, request: Request<wire_v1::RevokeTokenRequest>) -> Answer<()> {
        let call = self.enter(&request);
        let change = Change::RevokeToken(ask::RevokeToken { id: request.into_inner().id });
        answer("revoke_token", call.request_id, accounts::change(call, change)).await
    }

    async fn validate_token(
        &self,
        request: Request<wire_v1::ValidateTokenRequest>,
    ) -> Answer<wire_v1::ValidateTokenResponse> {
        let call = self.enter(&request);
        let token = Token::parse(&request.into_inner().token).ok();
        answer("validate_token", call.request_id, accounts::validate_token(call, token)).await
    }

    async fn grant(&self, request: Request<wire_v1::GrantRequest>) -> Answer<()> {
        let call = self.enter(&request);
        let wire_v1::GrantRequest { user, role, subject } = request.into_inner();
        let change = Change::GrantRole(ask::GrantRole { user, role, subject });
        answer("grant", call.request_id, accounts::change(call, change)).await
    }

    async fn revoke(&self, request: Request<wire_v1::GrantRequest>) -> Answer<()> {
        let call = self.enter(&request);
        let wire_v1::GrantRequest { user, role, subject } = request.into_inner();
        let change = Change::RevokeRole(ask::RevokeRole { user, role, subject });
        answer("revoke", call.request_id, accounts::change(call, change)).await
    }

    async fn list_grants(
        &self,
        request: Request<wire_v1::ListGrantsRequest>,
    ) -> Answer<wire_v1::ListGrantsResponse> {
        let call = self.enter(&request);
        let subject = request.into_inner().subject;
        let intent = Intent::new("grant.list", subject.clone());
        answer("list_grants", call.request_id, async move {
            call.look(intent, move |caller, state| listing::grants(state, caller, &subject)).await
        })
        .await
    }

    async fn get_cluster_state(&self, request: Request<()>) -> Answer<wire_v1::ClusterState> {
        let call = self.enter(&request);
        answer("get_cluster_state", call.request_id, cluster_state(call)).await
    }

    async fn audit(&self, request: Request<wire_v1::AuditRequest>) -> Answer<Self::AuditStream> {
        let call = self.enter(&request);
        let (asked, drain) = (request.into_inner(), self.drain.clone());
        answer("audit", call.request_id, async move {
            let allowed = |caller: &gitstratum_state::Caller<'_>,
                           state: &gitstratum_state::State| {
                state.authorize(caller, Verb::Manage, Subject::Cluster)
            };
            call.look(Intent::new("audit.show", ""), allowed).await?;
            let place = Arc::clone(&call.plane.streams)
                .try_acquire_owned()
                .map_err(|_| Error::Busy("streams of this control plane"))?;
            let (messages, receiver) = mpsc::channel(audit_stream::QUEUE_LINES);
            let task = spawn("audit stream", async move {
                let _place = place;
                let lines = messages.clone();
                if let Err(error) = audit_stream::run(&call, &asked, lines, drain).await {
                    drop(messages.send(Err(status(&error))).await);
                }
            });
            Ok(TaskStream::new(receiver, task))
        })
        .await
    }
}

async fn cluster_state(call: Call) -> Result<wire_v1::ClusterState, Error> {
    let intent = Intent::new("cluster.show", "");
    let mut cluster = call
        .look(intent, |caller, state| {
            state.authorize(caller, Verb::See, Subject::Cluster)?;
            Ok(wire::cluster(state))
        })
        .await?;
    let status = call.plane.group.status();
    cluster.term = status.term;
    cluster.leader = status.leader.map_or(0, |leader| leader.node.0);
    cluster.control_voters = status.voters.iter().map(|node| node.0).collect();
    nodes::add_sights(&call.plane.fleet, &mut cluster.nodes);
    Ok(cluster)
}
