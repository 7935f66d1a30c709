//! Calls about users, keys, tokens and grants.

use gitstratum_core::{ErrorKind, Token};
use gitstratum_proto::control::v1 as wire_v1;
use gitstratum_state::command::{AddKey, Change, CreateToken, CreateUser};
use gitstratum_state::{Refusal, Rejection, Reply};

use crate::call::{Call, Done, Intent};
use crate::error::Error;
use crate::wire;

/// Carries out a change that has nothing to show.
pub(crate) async fn change(call: Call, change: Change) -> Result<(), Error> {
    call.change(change).await.map(drop)
}

pub(crate) async fn create_user(
    call: Call,
    request: wire_v1::CreateUserRequest,
) -> Result<wire_v1::UserRecord, Error> {
    let wire_v1::CreateUserRequest { name, email } = request;
    let Done { reply } = call.change(Change::CreateUser(CreateUser { name, email })).await?;
    let Reply::User(id) = reply else { return Err(Error::Answer) };
    let found = call.plane.read(move |state| state.user_by_id(id).map(wire::user)).await?;
    found.ok_or_else(|| gone("user"))
}

pub(crate) async fn add_key(
    call: Call,
    request: wire_v1::AddKeyRequest,
) -> Result<wire_v1::SshKey, Error> {
    let wire_v1::AddKeyRequest { user, public_key } = request;
    let Done { reply } = call.change(Change::AddKey(AddKey { user, public_key })).await?;
    let Reply::Key(fingerprint) = reply else { return Err(Error::Answer) };
    let found = call
        .plane
        .read(move |state| {
            let user = state.user_of_key(&fingerprint)?;
            user.keys.iter().find(|key| key.fingerprint == fingerprint).map(wire::ssh_key)
        })
        .await?;
    found.ok_or_else(|| gone("key"))
}

/// Makes a token. Its text is in this answer and nowhere else.
pub(crate) async fn create_token(
    call: Call,
    request: wire_v1::CreateTokenRequest,
) -> Result<wire_v1::CreateTokenResponse, Error> {
    let token = Token::generate(&*call.plane.entropy);
    let hash = token.hash();
    let create = Change::CreateToken(CreateToken {
        user: request.user,
        hash: hash.to_vec(),
        scope: request.scope,
        repositories: request.repositories,
        lifetime_seconds: request.lifetime_seconds,
    });
    call.change(create).await?;
    let record = call
        .plane
        .read(move |state| state.token(&hash).map(|token| wire::token(state, token)))
        .await?;
    let record = Some(record.ok_or_else(|| gone("token"))?);
    Ok(wire_v1::CreateTokenResponse { token: token.expose().to_owned(), record })
}

/// Whether a token is good, for whoever holds it and has a good one themselves (GS-CP-06).
pub(crate) async fn validate_token(
    call: Call,
    token: Option<Token>,
) -> Result<wire_v1::ValidateTokenResponse, Error> {
    let now = call.plane.clock.wall();
    let answer = call
        .look(Intent::new("token.validate", ""), move |_, state| {
            let Some(hash) = token.map(|token| token.hash()) else { return Ok(None) };
            let Ok(caller) = state.caller(&hash, now) else { return Ok(None) };
            let expires = state.token(&hash).and_then(|token| token.expires);
            Ok(Some(wire_v1::ValidateTokenResponse {
                valid: true,
                user: caller.user.name.clone(),
                scope: caller.scope.to_wire(),
                expires_millis: expires.map_or(0, |expires| expires.0),
            }))
        })
        .await?;
    call.plane.metrics.count(if answer.is_some() { "token_valid" } else { "token_invalid" });
    Ok(answer.unwrap_or_default())
}

/// Made, and removed by somebody else before it could be shown.
fn gone(what: &'static str) -> Error {
    let refusal = Refusal::Missing { what, name: "made a moment ago".to_owned() };
    let rejection = Rejection::from(&refusal);
    debug_assert_eq!(rejection.kind, ErrorKind::NotFound);
    Error::Refused(rejection)
}
