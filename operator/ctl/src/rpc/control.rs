//! Repositories, users, tokens and grants, as the control plane answers.

use gitstratum_core::RepoPath;
use gitstratum_proto::control::v1 as wire;

use super::Connection;
use crate::Error;
use crate::grant::Grant;
use crate::repository::Repository;
use crate::token::{NewToken, Token};
use crate::user::{Key, User};

/// Records in one page.
const PAGE_SIZE: u32 = 1_000;
/// Most pages of one list: ten times what a cluster can hold.
const PAGES_MAX: usize = 10_000;

/// Which repositories a list is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Those of this owner; none: of all.
    pub owner: Option<String>,
    /// Those that are deleted and can be brought back, instead of those that are live.
    pub deleted: bool,
}

impl Connection {
    /// Whose token this is.
    ///
    /// # Errors
    /// [`Error::NotSignedIn`] when the token is good for nothing.
    pub async fn who_am_i(&self) -> Result<User, Error> {
        self.control(async |client| client.who_am_i(()).await).await.map(User::from)
    }

    /// Makes a repository; returns once pushes to it work.
    ///
    /// # Errors
    /// See [`Error`]; so for all calls here.
    pub async fn create_repository(
        &self,
        request: wire::CreateRepositoryRequest,
    ) -> Result<Repository, Error> {
        let made = self.control(async |client| client.create_repository(request).await).await;
        made.map(Repository::from)
    }

    /// All repositories that `listed` describes, through all pages.
    ///
    /// # Errors
    /// [`Error::Answer`] when the pages do not end.
    pub async fn repositories(&self, listed: &Listed) -> Result<Vec<Repository>, Error> {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let request = wire::ListRepositoriesRequest {
                page_size: PAGE_SIZE,
                page_token,
                owner: listed.owner.clone().unwrap_or_default(),
                deleted: listed.deleted,
            };
            let page = self.control(async |client| client.list_repositories(request).await).await?;
            found.extend(page.repositories.into_iter().map(Repository::from));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
        Err(self.endless("repositories"))
    }

    /// The live repository at `path`.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn repository(&self, path: &RepoPath) -> Result<Repository, Error> {
        let request = wire::GetRepositoryRequest { path: path.to_string() };
        let found = self.control(async |client| client.get_repository(request).await).await;
        found.map(Repository::from)
    }

    /// Changes settings of a repository.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn set_repository(
        &self,
        request: wire::SetRepositoryRequest,
    ) -> Result<Repository, Error> {
        let set = self.control(async |client| client.set_repository(request).await).await;
        set.map(Repository::from)
    }

    /// Gives a repository another path.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn rename_repository(
        &self,
        request: wire::RenameRepositoryRequest,
    ) -> Result<Repository, Error> {
        let renamed = self.control(async |client| client.rename_repository(request).await).await;
        renamed.map(Repository::from)
    }

    /// Deletes a repository, so that it can be brought back for a while.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn delete_repository(&self, path: &RepoPath) -> Result<Repository, Error> {
        let request = wire::DeleteRepositoryRequest { path: path.to_string() };
        let deleted = self.control(async |client| client.delete_repository(request).await).await;
        deleted.map(Repository::from)
    }

    /// Brings a deleted repository back.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn undelete_repository(
        &self,
        request: wire::UndeleteRepositoryRequest,
    ) -> Result<Repository, Error> {
        let back = self.control(async |client| client.undelete_repository(request).await).await;
        back.map(Repository::from)
    }

    /// Makes a user.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn create_user(&self, request: wire::CreateUserRequest) -> Result<User, Error> {
        self.control(async |client| client.create_user(request).await).await.map(User::from)
    }

    /// All users, through all pages.
    ///
    /// # Errors
    /// [`Error::Answer`] when the pages do not end.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let request = wire::ListUsersRequest { page_size: PAGE_SIZE, page_token };
            let page = self.control(async |client| client.list_users(request).await).await?;
            found.extend(page.users.into_iter().map(User::from));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
        Err(self.endless("users"))
    }

    /// The user called `name`.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn user(&self, name: &str) -> Result<User, Error> {
        let request = wire::GetUserRequest { name: name.to_owned() };
        self.control(async |client| client.get_user(request).await).await.map(User::from)
    }

    /// Deletes a user, with keys, tokens and grants.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn delete_user(&self, name: &str) -> Result<(), Error> {
        let request = wire::DeleteUserRequest { name: name.to_owned() };
        self.control(async |client| client.delete_user(request).await).await
    }

    /// Gives a user an SSH key.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn add_key(&self, request: wire::AddKeyRequest) -> Result<Key, Error> {
        self.control(async |client| client.add_key(request).await).await.map(Key::from)
    }

    /// Takes an SSH key from a user.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn remove_key(&self, request: wire::RemoveKeyRequest) -> Result<(), Error> {
        self.control(async |client| client.remove_key(request).await).await
    }

    /// Makes a token. The answer alone has its secret.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn create_token(&self, request: wire::CreateTokenRequest) -> Result<NewToken, Error> {
        let made = self.control(async |client| client.create_token(request).await).await?;
        let record = made.record.ok_or_else(|| self.wrong("a token without a record"))?;
        Ok(NewToken { token: made.token, record: Token::from(record) })
    }

    /// The tokens of `user`; empty: the asker's own.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn tokens(&self, user: &str) -> Result<Vec<Token>, Error> {
        let request = wire::ListTokensRequest { user: user.to_owned() };
        let found = self.control(async |client| client.list_tokens(request).await).await?;
        Ok(found.tokens.into_iter().map(Token::from).collect())
    }

    /// Ends a token.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        let request = wire::RevokeTokenRequest { id: id.to_owned() };
        self.control(async |client| client.revoke_token(request).await).await
    }

    /// Gives a role.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn grant(&self, request: wire::GrantRequest) -> Result<(), Error> {
        self.control(async |client| client.grant(request).await).await
    }

    /// Takes a role.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn revoke(&self, request: wire::GrantRequest) -> Result<(), Error> {
        self.control(async |client| client.revoke(request).await).await
    }

    /// The grants on `subject`; empty: all that the asker may see.
    ///
    /// # Errors
    /// As [`Self::create_repository`].
    pub async fn grants(&self, subject: &str) -> Result<Vec<Grant>, Error> {
        let request = wire::ListGrantsRequest { subject: subject.to_owned() };
        let found = self.control(async |client| client.list_grants(request).await).await?;
        Ok(found.grants.into_iter().map(Grant::from).collect())
    }

    fn endless(&self, what: &str) -> Error {
        self.wrong(&format!("more than {PAGES_MAX} pages of {what}"))
    }

    pub(super) fn wrong(&self, problem: &str) -> Error {
        Error::Answer { place: self.place.clone(), problem: problem.to_owned() }
    }
}
