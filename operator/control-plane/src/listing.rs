//! Lists in pages, as far as whoever asks may see them.

use gitstratum_core::{RepoId, RepoPath};
use gitstratum_proto::control::v1 as wire_v1;
use gitstratum_state::record::{Grant, GrantSubject, Repository};
use gitstratum_state::{Caller, Refusal, State, Subject, Verb};

use crate::wire;

/// Records of a page when none are asked for.
const PAGE_DEFAULT: usize = 100;
/// Most records of a page.
const PAGE_MAX: usize = 1_000;
/// Records looked at for one page: a page of somebody who may see few of many is short.
const SCAN_MAX: usize = 10_000;

/// Live repositories in order of path, or deleted ones in order of id.
pub(crate) fn repositories(
    state: &State,
    caller: &Caller<'_>,
    request: &wire_v1::ListRepositoriesRequest,
) -> Result<wire_v1::ListRepositoriesResponse, Refusal> {
    let token = request.page_token.as_str();
    let limit = page_size(request.page_size);
    let wanted = |repository: &&Repository| {
        let owner = request.owner.is_empty() || repository.path.owner() == request.owner;
        let visible = || state.authorize(caller, Verb::See, Subject::Repository(repository));
        owner && visible().is_ok()
    };
    let (found, next) = if request.deleted {
        let after = parse_token(token, RepoId::parse)?;
        page(state.deleted_after(after), limit, wanted, |repository| repository.id.to_string())
    } else {
        let after = parse_token(token, |text| RepoPath::parse(text).ok())?;
        let all = state.repositories_after(after.as_ref());
        page(all, limit, wanted, |repository| repository.path.as_str().to_owned())
    };
    Ok(wire_v1::ListRepositoriesResponse {
        repositories: found.into_iter().map(wire::repository).collect(),
        next_page_token: next,
    })
}

/// Users in order of name, for cluster admins.
pub(crate) fn users(
    state: &State,
    caller: &Caller<'_>,
    request: &wire_v1::ListUsersRequest,
) -> Result<wire_v1::ListUsersResponse, Refusal> {
    state.authorize(caller, Verb::See, Subject::Cluster)?;
    let token = request.page_token.as_str();
    let after = (!token.is_empty()).then_some(token);
    let limit = page_size(request.page_size);
    let (found, next) = page(state.users_after(after), limit, |_| true, |user| user.name.clone());
    let users = found.into_iter().map(wire::user).collect();
    Ok(wire_v1::ListUsersResponse { users, next_page_token: next })
}

/// Tokens of a user; an empty name is the caller's own.
pub(crate) fn tokens(
    state: &State,
    caller: &Caller<'_>,
    name: &str,
) -> Result<wire_v1::ListTokensResponse, Refusal> {
    let name = if name.is_empty() { &caller.user.name } else { name };
    let user = find_user(state, caller, name)?;
    let tokens = state.tokens_of(user.id).map(|token| wire::token(state, token)).collect();
    Ok(wire_v1::ListTokensResponse { tokens })
}

/// The user called `name`, for themselves and cluster admins.
pub(crate) fn find_user<'a>(
    state: &'a State,
    caller: &Caller<'_>,
    name: &str,
) -> Result<&'a gitstratum_state::record::User, Refusal> {
    state.authorize(caller, Verb::See, Subject::User(name))?;
    state.user(name).ok_or_else(|| Refusal::Missing { what: "user", name: name.to_owned() })
}

/// Grants for `OWNER` or `OWNER/NAME`, for admins of it. Without a subject: all for a
/// cluster admin, their own for anybody else.
pub(crate) fn grants(
    state: &State,
    caller: &Caller<'_>,
    subject: &str,
) -> Result<wire_v1::ListGrantsResponse, Refusal> {
    let found: Vec<&Grant> = if subject.is_empty() {
        match state.authorize(caller, Verb::See, Subject::Cluster) {
            Ok(()) => state.grants().collect(),
            Err(_) => state.grants_of(caller.user.id).collect(),
        }
    } else {
        let subject = find_subject(state, caller, subject)?;
        state.grants().filter(|grant| grant.key.subject == subject).collect()
    };
    let grants = found.into_iter().map(|grant| wire::grant(state, grant)).collect();
    Ok(wire_v1::ListGrantsResponse { grants })
}

fn find_subject(state: &State, caller: &Caller<'_>, text: &str) -> Result<GrantSubject, Refusal> {
    if text.contains('/') {
        let path = parse_path(text)?;
        let repository = state.repository_for(caller, Verb::Manage, &path)?;
        return Ok(GrantSubject::Repository(repository.id));
    }
    state.authorize(caller, Verb::Manage, Subject::Owner(text))?;
    Ok(GrantSubject::Owner(text.to_owned()))
}

/// The path in `text`.
pub(crate) fn parse_path(text: &str) -> Result<RepoPath, Refusal> {
    RepoPath::parse(text)
        .map_err(|error| Refusal::Invalid { field: "path", problem: error.to_string() })
}

fn page_size(asked: u32) -> usize {
    match usize::try_from(asked) {
        Ok(0) => PAGE_DEFAULT,
        Ok(asked) => asked.min(PAGE_MAX),
        Err(_) => PAGE_MAX,
    }
}

fn parse_token<T>(
    token: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let bad = || Refusal::Invalid { field: "page token", problem: "is not one of ours".to_owned() };
    parse(token).map(Some).ok_or_else(bad)
}

/// The first `limit` wanted records of `all`, and the token for what comes behind them:
/// empty at the end.
fn page<'a, T>(
    all: impl Iterator<Item = &'a T>,
    limit: usize,
    wanted: impl Fn(&&T) -> bool,
    name: impl Fn(&T) -> String,
) -> (Vec<&'a T>, String) {
    let mut found = Vec::new();
    for (place, record) in all.enumerate() {
        if wanted(&record) {
            found.push(record);
        }
        if found.len() >= limit || place + 1 >= SCAN_MAX {
            return (found, name(record));
        }
    }
    (found, String::new())
}
