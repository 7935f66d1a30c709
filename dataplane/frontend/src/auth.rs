//! Who a caller is, from what it shows: an access token over HTTP, a key over SSH.
//! Decided from the local snapshot, no call is made (design §7). What a caller may do
//! in a repository is not decided here but by `client::cluster::allowed`.

mod header;
mod throttle;

use std::net::IpAddr;

use bytes::Bytes;
use gitstratum_client::cluster::Snapshot;
use gitstratum_core::{Token, UnixMillis, UserId};
use gitstratum_process::RequestId;
use gitstratum_proto::common::v1::Actor;
use gitstratum_proto::control::v1::UserRecord;
use subtle::ConstantTimeEq as _;

use crate::conversation::Caller;

pub(crate) use header::Presented;
pub(crate) use throttle::{Throttle, Verdict, source_of};

/// `Actor.scope` of a credential that is not limited: an SSH key.
const SCOPE_ALL: u32 = 3;

/// What is noted of a request besides who makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The request's id.
    pub request: RequestId,
    /// The client's address.
    pub client: IpAddr,
}

/// A credential that is not good: unknown, expired, of a suspended user. Nobody is told
/// which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// A caller without credentials.
pub(crate) fn anonymous(snapshot: &Snapshot, origin: Origin) -> Caller {
    caller(snapshot, origin, Actor::default())
}

/// The caller that `token` makes.
pub(crate) fn by_token(
    snapshot: &Snapshot,
    token: &Token,
    now: UnixMillis,
    origin: Origin,
) -> Result<Caller, Refused> {
    let hash = token.hash();
    let record = snapshot.token(&hash).ok_or(Refused)?;
    // The table was searched by hash of a secret of 256 bits: its timing tells nothing.
    // The comparison that decides takes the same time for every token.
    if !bool::from(record.hash.as_ref().ct_eq(&hash)) {
        return Err(Refused);
    }
    if record.expires_millis != 0 && record.expires_millis <= now.0 {
        return Err(Refused);
    }
    let user = snapshot.user(UserId(record.user_id)).ok_or(Refused)?;
    let credential = Bytes::copy_from_slice(&hash);
    Ok(caller(snapshot, origin, actor(&user, record.scope, credential)?))
}

/// The caller that owns the SSH key with `fingerprint` (`SHA256:…`), whose possession
/// has been proved.
pub(crate) fn by_key(
    snapshot: &Snapshot,
    fingerprint: &str,
    origin: Origin,
) -> Result<Caller, Refused> {
    let user = snapshot.key(fingerprint).ok_or(Refused)?;
    let credential = Bytes::copy_from_slice(fingerprint.as_bytes());
    Ok(caller(snapshot, origin, actor(&user, SCOPE_ALL, credential)?))
}

/// Whether a user who may log in has registered the key with `fingerprint`.
pub(crate) fn knows_key(snapshot: &Snapshot, fingerprint: &str) -> bool {
    snapshot.key(fingerprint).is_some_and(|user| !user.suspended)
}

fn actor(user: &UserRecord, scope: u32, credential: Bytes) -> Result<Actor, Refused> {
    if user.suspended {
        return Err(Refused);
    }
    let user_name = user.name.clone();
    Ok(Actor { user_id: user.id, user_name, scope, credential, ..Actor::default() })
}

fn caller(snapshot: &Snapshot, origin: Origin, actor: Actor) -> Caller {
    let actor = Actor {
        grants_version: snapshot.version().0,
        request_id: origin.request.to_string(),
        client_addr: origin.client.to_string(),
        ..actor
    };
    Caller { actor, request: origin.request }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::SeededEntropy;
    use gitstratum_proto::control::v1::{SnapshotUpdate, SshKey, TokenRecord};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn token(seed: u64) -> Token {
        Token::generate(&*SeededEntropy::new(seed))
    }

    fn record(seed: u64, user_id: u64, expires_millis: u64) -> TokenRecord {
        let hash = token(seed).hash().to_vec().into();
        TokenRecord { hash, user_id, scope: 2, expires_millis, ..Default::default() }
    }

    fn user(id: u64, name: &str) -> UserRecord {
        let key = SshKey { fingerprint: format!("SHA256:{name}"), ..Default::default() };
        UserRecord { id, name: name.to_owned(), keys: vec![key], ..Default::default() }
    }

    fn snapshot() -> Snapshot {
        let gone = UserRecord { suspended: true, ..user(2, "gone") };
        Snapshot::empty().apply(&SnapshotUpdate {
            version: 7,
            users: vec![user(1, "ann"), gone],
            tokens: vec![
                record(1, 1, 0),
                record(2, 1, 1_000),
                record(3, 1, 1_001),
                record(4, 2, 0),
            ],
            ..Default::default()
        })
    }

    fn origin() -> Origin {
        let request = RequestId::parse("00000000000000ab").unwrap();
        Origin { request, client: IpAddr::from([127, 0, 0, 1]) }
    }

    #[test]
    fn bad_input_124_only_known_unexpired_tokens_of_active_users_count() {
        let try_token = |seed| by_token(&snapshot(), &token(seed), NOW, origin());
        assert_eq!(try_token(1).unwrap().name(), "ann");
        assert_eq!(try_token(2).unwrap_err(), Refused, "expired at this very moment");
        assert!(try_token(3).is_ok(), "one millisecond to live");
        assert_eq!(try_token(4).unwrap_err(), Refused, "suspended");
        assert_eq!(try_token(5).unwrap_err(), Refused, "unknown");
    }

    #[test]
    fn s44_the_actor_says_by_what_it_was_decided() {
        let actor = by_token(&snapshot(), &token(1), NOW, origin()).unwrap().actor;
        assert_eq!((actor.user_id, actor.scope, actor.grants_version), (1, 2, 7));
        assert_eq!(actor.credential, token(1).hash().to_vec());
        assert_eq!(actor.request_id, "00000000000000ab");
        assert_eq!(actor.client_addr, "127.0.0.1");
    }

    #[test]
    fn p_s3_a_suspended_users_key_is_no_key() {
        assert!(by_key(&snapshot(), "SHA256:ann", origin()).is_ok());
        assert!(by_key(&snapshot(), "SHA256:gone", origin()).is_err());
        assert!(!knows_key(&snapshot(), "SHA256:gone") && !knows_key(&snapshot(), "SHA256:no"));
    }

    #[test]
    fn nobody_is_user_zero_without_a_name() {
        let caller = anonymous(&snapshot(), origin());
        assert_eq!((caller.actor.user_id, caller.name()), (0, "-"));
    }
}
