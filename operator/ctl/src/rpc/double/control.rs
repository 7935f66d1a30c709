use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::control::v1::control_server::Control;
use tonic::{Request, Response, Status};

use super::{PAGE_SIZE, Rpc, World};

type Answer<T> = Result<Response<T>, Status>;

/// Live, in messages.
const LIVE: u32 = 1;
/// Deleted, in messages.
const DELETED: u32 = 2;

#[tonic::async_trait]
impl Control for Rpc {
    type AuditStream = BoxStream<'static, Result<wire::AuditLine, Status>>;

    async fn who_am_i(&self, _: Request<()>) -> Answer<wire::UserRecord> {
        let world = self.world().await?;
        world.users.first().cloned().map(Response::new).ok_or_else(|| missing("user", "me"))
    }

    async fn create_repository(
        &self,
        request: Request<wire::CreateRepositoryRequest>,
    ) -> Answer<wire::Repository> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        if let Ok(at) = world.repository(&request.path, LIVE) {
            if request.if_not_exists {
                return Ok(Response::new(world.repositories[at].clone()));
            }
            let message = format!("repository `{}` exists already", request.path);
            return Err(Status::failed_precondition(message));
        }
        let made = wire::Repository {
            id: 100 + world.repositories.len() as u64,
            path: request.path,
            object_format: request.object_format.max(1),
            default_branch: request.default_branch,
            public: request.public,
            description: request.description,
            state: LIVE,
            ..wire::Repository::default()
        };
        world.repositories.push(made.clone());
        Ok(Response::new(made))
    }

    async fn list_repositories(
        &self,
        request: Request<wire::ListRepositoriesRequest>,
    ) -> Answer<wire::ListRepositoriesResponse> {
        let (world, request) = (self.world().await?, request.into_inner());
        let state = if request.deleted { DELETED } else { LIVE };
        let owner = format!("{}/", request.owner);
        let wanted = world.repositories.iter().filter(|repository| {
            repository.state == state
                && (request.owner.is_empty() || repository.path.starts_with(&owner))
        });
        let (repositories, next_page_token) = page(wanted.cloned(), &request.page_token);
        Ok(Response::new(wire::ListRepositoriesResponse { repositories, next_page_token }))
    }

    async fn get_repository(
        &self,
        request: Request<wire::GetRepositoryRequest>,
    ) -> Answer<wire::Repository> {
        let world = self.world().await?;
        let at = world.repository(&request.into_inner().path, LIVE)?;
        Ok(Response::new(world.repositories[at].clone()))
    }

    async fn set_repository(
        &self,
        request: Request<wire::SetRepositoryRequest>,
    ) -> Answer<wire::Repository> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        let at = world.repository(&request.path, LIVE)?;
        let repository = &mut world.repositories[at];
        repository.public = request.public.unwrap_or(repository.public);
        if let Some(branch) = request.default_branch {
            repository.default_branch = branch;
        }
        if let Some(description) = request.description {
            repository.description = description;
        }
        Ok(Response::new(repository.clone()))
    }

    async fn rename_repository(
        &self,
        request: Request<wire::RenameRepositoryRequest>,
    ) -> Answer<wire::Repository> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        let at = world.repository(&request.path, LIVE)?;
        world.repositories[at].path = request.new_path;
        Ok(Response::new(world.repositories[at].clone()))
    }

    async fn delete_repository(
        &self,
        request: Request<wire::DeleteRepositoryRequest>,
    ) -> Answer<wire::Repository> {
        let mut world = self.world().await?;
        let at = world.repository(&request.into_inner().path, LIVE)?;
        world.repositories[at].state = DELETED;
        Ok(Response::new(world.repositories[at].clone()))
    }

    async fn undelete_repository(
        &self,
        request: Request<wire::UndeleteRepositoryRequest>,
    ) -> Answer<wire::Repository> {
        let mut world = self.world().await?;
        let at = world.repository(&request.into_inner().path, DELETED)?;
        world.repositories[at].state = LIVE;
        Ok(Response::new(world.repositories[at].clone()))
    }

    async fn create_user(
        &self,
        request: Request<wire::CreateUserRequest>,
    ) -> Answer<wire::UserRecord> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        let (name, email) = (request.name, request.email);
        let user = wire::UserRecord { id: 9, name, email, ..wire::UserRecord::default() };
        world.users.push(user.clone());
        Ok(Response::new(user))
    }

    async fn list_users(
        &self,
        request: Request<wire::ListUsersRequest>,
    ) -> Answer<wire::ListUsersResponse> {
        let (world, request) = (self.world().await?, request.into_inner());
        let (users, next_page_token) = page(world.users.iter().cloned(), &request.page_token);
        Ok(Response::new(wire::ListUsersResponse { users, next_page_token }))
    }

    async fn get_user(&self, request: Request<wire::GetUserRequest>) -> Answer<wire::UserRecord> {
        let world = self.world().await?;
        let at = world.user(&request.into_inner().name)?;
        Ok(Response::new(world.users[at].clone()))
    }

    async fn delete_user(&self, request: Request<wire::DeleteUserRequest>) -> Answer<()> {
        let mut world = self.world().await?;
        let at = world.user(&request.into_inner().name)?;
        world.users.remove(at);
        Ok(Response::new(()))
    }

    async fn add_key(&self, request: Request<wire::AddKeyRequest>) -> Answer<wire::SshKey> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        let at = world.user(&request.user)?;
        let mut words = request.public_key.splitn(3, ' ');
        let public_key = words.by_ref().take(2).collect::<Vec<_>>().join(" ");
        let key = wire::SshKey {
            fingerprint: format!("SHA256:{}", public_key.len()),
            public_key,
            comment: words.next().unwrap_or_default().to_owned(),
        };
        world.users[at].keys.push(key.clone());
        Ok(Response::new(key))
    }

    async fn remove_key(&self, request: Request<wire::RemoveKeyRequest>) -> Answer<()> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        let at = world.user(&request.user)?;
        world.users[at].keys.retain(|key| key.fingerprint != request.fingerprint);
        Ok(Response::new(()))
    }

    async fn create_token(
        &self,
        request: Request<wire::CreateTokenRequest>,
    ) -> Answer<wire::CreateTokenResponse> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        let lifetime_millis = request.lifetime_seconds * 1_000;
        let record = wire::TokenRecord {
            id: format!("{:016x}", world.tokens.len() + 1),
            user: request.user,
            scope: request.scope,
            repositories: request.repositories,
            expires_millis: lifetime_millis,
            ..wire::TokenRecord::default()
        };
        world.tokens.push(record.clone());
        let token = "gst_made".to_owned();
        Ok(Response::new(wire::CreateTokenResponse { token, record: Some(record) }))
    }

    async fn list_tokens(
        &self,
        request: Request<wire::ListTokensRequest>,
    ) -> Answer<wire::ListTokensResponse> {
        let (world, user) = (self.world().await?, request.into_inner().user);
        let tokens = world.tokens.iter().filter(|token| token.user == user);
        let tokens = tokens.cloned().collect();
        Ok(Response::new(wire::ListTokensResponse { tokens }))
    }

    async fn revoke_token(&self, request: Request<wire::RevokeTokenRequest>) -> Answer<()> {
        let (mut world, id) = (self.world().await?, request.into_inner().id);
        let before = world.tokens.len();
        world.tokens.retain(|token| token.id != id);
        if world.tokens.len() == before {
            Err(missing("token", &id))
        } else {
            Ok(Response::new(()))
        }
    }

    async fn validate_token(
        &self,
        _: Request<wire::ValidateTokenRequest>,
    ) -> Answer<wire::ValidateTokenResponse> {
        Ok(Response::new(wire::ValidateTokenResponse::default()))
    }

    async fn grant(&self, request: Request<wire::GrantRequest>) -> Answer<()> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        world.user(&request.user)?;
        let (user, subject) = (request.user, request.subject);
        let role = role_number(&request.role);
        world.grants.push(wire::GrantRecord {
            user,
            subject,
            role,
            ..wire::GrantRecord::default()
        });
        Ok(Response::new(()))
    }

    async fn revoke(&self, request: Request<wire::GrantRequest>) -> Answer<()> {
        let (mut world, request) = (self.world().await?, request.into_inner());
        let is_it = |grant: &wire::GrantRecord| {
            grant.user == request.user
                && grant.subject == request.subject
                && grant.role == role_number(&request.role)
        };
        let at = world.grants.iter().position(is_it);
        let at = at.ok_or_else(|| missing("grant", &request.subject))?;
        world.grants.remove(at);
        Ok(Response::new(()))
    }

    async fn list_grants(
        &self,
        request: Request<wire::ListGrantsRequest>,
    ) -> Answer<wire::ListGrantsResponse> {
        let (world, subject) = (self.world().await?, request.into_inner().subject);
        let is_wanted = |grant: &&wire::GrantRecord| subject.is_empty() || grant.subject == subject;
        let grants = world.grants.iter().filter(is_wanted).cloned().collect();
        Ok(Response::new(wire::ListGrantsResponse { grants }))
    }

    async fn get_cluster_state(&self, _: Request<()>) -> Answer<wire::ClusterState> {
        Ok(Response::new(self.world().await?.cluster.clone()))
    }

    async fn audit(&self, request: Request<wire::AuditRequest>) -> Answer<Self::AuditStream> {
        let (world, request) = (self.world().await?, request.into_inner());
        let lines: Vec<_> = world
            .audit
            .iter()
            .filter(|line| line.index > request.after_index)
            .filter(|line| line.wall_millis >= request.since_millis)
            .cloned()
            .map(Ok)
            .collect();
        Ok(Response::new(stream::iter(lines).boxed()))
    }
}

impl World {
    fn repository(&self, path: &str, state: u32) -> Result<usize, Status> {
        let is_it =
            |repository: &wire::Repository| repository.path == path && repository.state == state;
        let at = self.repositories.iter().position(is_it);
        at.ok_or_else(|| missing("repository", path))
    }

    fn user(&self, name: &str) -> Result<usize, Status> {
        let at = self.users.iter().position(|user| user.name == name);
        at.ok_or_else(|| missing("user", name))
    }
}

fn missing(what: &str, name: &str) -> Status {
    Status::not_found(format!("{what} `{name}` does not exist"))
}

fn role_number(role: &str) -> u32 {
    let place = ["read", "write", "maintain", "admin"].iter().position(|known| *known == role);
    place.map_or(0, |place| u32::try_from(place + 1).unwrap_or_default())
}

/// The page that begins at `token`, and the next one's.
fn page<T>(all: impl Iterator<Item = T>, token: &str) -> (Vec<T>, String) {
    let from: usize = token.parse().unwrap_or_default();
    let mut rest = all.skip(from).peekable();
    let page: Vec<T> = rest.by_ref().take(PAGE_SIZE).collect();
    let next = rest.peek().map(|_| (from + page.len()).to_string());
    (page, next.unwrap_or_default())
}
