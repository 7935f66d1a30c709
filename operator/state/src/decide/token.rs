use gitstratum_core::{RepoId, UnixMillis, UserId};

use super::names::parse_path;
use super::user::find;
use super::{Desk, Plan};
use crate::command::{CreateToken, RevokeToken};
use crate::outcome::Reply;
use crate::record::{Scope, Token, TokenId};
use crate::state::Mutation;
use crate::{Refusal, Subject, Verb};

/// Tokens of a user that have not expired.
const TOKENS_PER_USER_MAX: usize = 1_000;
/// Repositories that a token can be limited to.
const REPOSITORIES_PER_TOKEN_MAX: usize = 100;
/// Longest life of a token that ends: ten years, in seconds.
const LIFETIME_SECONDS_MAX: u64 = 10 * 366 * 24 * 60 * 60;

pub(super) fn create(desk: &Desk<'_>, create: &CreateToken) -> Result<Plan, Refusal> {
    let scope = Scope::from_wire(create.scope)
        .ok_or_else(|| Refusal::invalid("scope", "is not read, write or admin"))?;
    let hash: [u8; 32] = create
        .hash
        .as_slice()
        .try_into()
        .map_err(|_| Refusal::invalid("token hash", "has not 32 bytes"))?;
    let expires = expiry(desk.at.wall, create.lifetime_seconds)?;
    desk.require(Verb::Manage, Subject::User(&create.user))?;
    let user = find(desk, &create.user)?;
    if desk.state.token_by_id(TokenId::of(&hash)).is_some() {
        return Err(Refusal::exists("token", TokenId::of(&hash).to_string()));
    }
    let repositories = limit_to(desk, &create.repositories)?;
    let mut mutations = make_room(desk, user.id, &user.name)?;
    let (created, version) = (desk.at.wall, desk.at.stamp());
    let token = Token { hash, user: user.id, scope, repositories, expires, created, version };
    mutations.push(Mutation::PutToken(token));
    Ok(Plan::new(Reply::Token(hash), mutations))
}

pub(super) fn revoke(desk: &Desk<'_>, revoke: &RevokeToken) -> Result<Plan, Refusal> {
    let missing = || Refusal::missing("token", &revoke.id);
    let id = TokenId::parse(&revoke.id).ok_or_else(missing)?;
    // Who may manage no user at all is told why; others are not told whose tokens there are.
    let Some(token) = desk.state.token_by_id(id) else {
        desk.require(Verb::Manage, Subject::User("")).map_err(|error| hide(error, &revoke.id))?;
        return Err(missing());
    };
    let name = desk.state.user_by_id(token.user).map_or("", |user| user.name.as_str());
    desk.require(Verb::Manage, Subject::User(name)).map_err(|error| hide(error, &revoke.id))?;
    Ok(Plan::new(Reply::Done, vec![Mutation::RemoveToken(token.hash)]))
}

/// A token of somebody else's is as absent as none.
fn hide(error: Refusal, id: &str) -> Refusal {
    match error {
        Refusal::Missing { .. } => Refusal::missing("token", id),
        other => other,
    }
}

fn expiry(now: UnixMillis, lifetime_seconds: u64) -> Result<Option<UnixMillis>, Refusal> {
    if lifetime_seconds == 0 {
        return Ok(None);
    }
    if lifetime_seconds > LIFETIME_SECONDS_MAX {
        return Err(Refusal::invalid("lifetime", "is longer than ten years"));
    }
    Ok(Some(UnixMillis(now.0.saturating_add(lifetime_seconds * 1_000))))
}

/// The repositories at `paths`, each of which the asker may see.
fn limit_to(desk: &Desk<'_>, paths: &[String]) -> Result<Vec<RepoId>, Refusal> {
    if paths.len() > REPOSITORIES_PER_TOKEN_MAX {
        return Err(Refusal::invalid("repositories", "are more than 100"));
    }
    let mut ids = Vec::with_capacity(paths.len());
    for path in paths {
        let path = parse_path(path)?;
        ids.push(desk.repository(Verb::See, &path)?.id);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Drops the user's expired tokens; fails if too many are left.
fn make_room(desk: &Desk<'_>, user: UserId, name: &str) -> Result<Vec<Mutation>, Refusal> {
    let (expired, valid): (Vec<_>, Vec<_>) =
        desk.state.tokens_of(user).partition(|token| token.is_expired(desk.at.wall));
    if valid.len() >= TOKENS_PER_USER_MAX {
        let (limit, of) = (TOKENS_PER_USER_MAX, "tokens");
        return Err(Refusal::Full { what: format!("user `{name}`"), limit, of });
    }
    Ok(expired.into_iter().map(|token| Mutation::RemoveToken(token.hash)).collect())
}
