use gitstratum_core::{Role, UserId};
use gitstratum_proto::common::v1::Actor;
use gitstratum_proto::control::v1::{Repository, TokenRecord, UserRecord};

use super::Snapshot;

/// How the bytes of an SSH key's fingerprint begin; a token's are a bare SHA-256.
const KEY_PREFIX: &[u8] = b"SHA256:";

/// The most that `actor` may do in `repository`; `None` when it may not even know
/// that the repository exists. The one decision of every Git operation, made by the
/// frontend and again by the partition (S44), from whatever snapshot each holds.
pub fn allowed(snapshot: &Snapshot, actor: &Actor, repository: &Repository) -> Option<Role> {
    let public = repository.public.then_some(Role::Read);
    if actor.user_id == 0 {
        return public;
    }
    let user = snapshot.user(UserId(actor.user_id)).filter(|user| !user.suspended)?;
    let ceiling = ceiling(snapshot, actor, &user, repository)?;
    let own = own_role(snapshot, &user, repository).map(|role| role.min(ceiling));
    own.max(public)
}

/// What the user's standing gives, before the credential limits it.
fn own_role(snapshot: &Snapshot, user: &UserRecord, repository: &Repository) -> Option<Role> {
    let owner = repository.path.split('/').next().unwrap_or_default();
    if user.cluster_admin || owner == user.name {
        return Some(Role::Admin);
    }
    snapshot.granted(UserId(user.id), repository)
}

/// What the credential allows at most; `None` when it is no longer this user's.
fn ceiling(
    snapshot: &Snapshot,
    actor: &Actor,
    user: &UserRecord,
    repository: &Repository,
) -> Option<Role> {
    if actor.credential.starts_with(KEY_PREFIX) {
        let fingerprint = std::str::from_utf8(&actor.credential).ok()?;
        let owner = snapshot.key(fingerprint)?;
        return (owner.id == user.id).then_some(Role::Admin);
    }
    let hash = <[u8; 32]>::try_from(actor.credential.as_ref()).ok()?;
    let token = snapshot.token(&hash).filter(|token| token.user_id == user.id)?;
    token_ceiling(&token, repository)
}

fn token_ceiling(token: &TokenRecord, repository: &Repository) -> Option<Role> {
    let listed = token.repository_ids.is_empty() || token.repository_ids.contains(&repository.id);
    if !listed {
        return repository.public.then_some(Role::Read);
    }
    match token.scope {
        1 => Some(Role::Read),
        2 => Some(Role::Maintain),
        3 => Some(Role::Admin),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_proto::control::v1::{GrantRecord, SnapshotUpdate, SshKey};

    use super::*;

    const ANN: u64 = 10;
    const BOB: u64 = 11;

    fn repository(id: u64, path: &str, public: bool) -> Repository {
        Repository { id, path: path.to_owned(), public, state: 1, ..Default::default() }
    }

    fn user(id: u64, name: &str) -> UserRecord {
        let key = SshKey { fingerprint: format!("SHA256:{name}"), ..Default::default() };
        UserRecord { id, name: name.to_owned(), keys: vec![key], ..Default::default() }
    }

    fn token(user_id: u64, byte: u8, scope: u32, repository_ids: Vec<u64>) -> TokenRecord {
        let hash = vec![byte; 32].into();
        TokenRecord { user_id, scope, hash, repository_ids, ..Default::default() }
    }

    fn snapshot() -> Snapshot {
        Snapshot::empty().apply(&SnapshotUpdate {
            users: vec![user(ANN, "ann"), user(BOB, "bob")],
            tokens: vec![
                token(BOB, 1, 1, vec![]),
                token(BOB, 2, 2, vec![]),
                token(BOB, 3, 3, vec![7]),
            ],
            grants: vec![GrantRecord { user_id: BOB, role: 2, repo_id: 1, ..Default::default() }],
            ..Default::default()
        })
    }

    fn by_key(user_id: u64, name: &str) -> Actor {
        let credential = format!("SHA256:{name}").into_bytes().into();
        Actor { user_id, credential, ..Default::default() }
    }

    fn by_token(user_id: u64, byte: u8) -> Actor {
        Actor { user_id, credential: vec![byte; 32].into(), ..Default::default() }
    }

    #[test]
    fn gs_cp_08_and_p_s4_role_matrix() {
        let view = snapshot();
        let private = repository(1, "ann/x", false);
        let other = repository(2, "ann/y", false);
        let public = repository(3, "ann/z", true);
        let nobody = Actor::default();
        let cases = [
            (&nobody, &private, None),
            (&nobody, &public, Some(Role::Read)),
            (&by_key(ANN, "ann"), &private, Some(Role::Admin)),
            (&by_key(BOB, "bob"), &private, Some(Role::Write)),
            (&by_key(BOB, "bob"), &other, None),
            (&by_key(BOB, "bob"), &public, Some(Role::Read)),
            (&by_key(BOB, "ann"), &private, None),
            (&by_token(BOB, 1), &private, Some(Role::Read)),
            (&by_token(BOB, 2), &private, Some(Role::Write)),
            (&by_token(BOB, 3), &private, None),
            (&by_token(BOB, 3), &public, Some(Role::Read)),
            (&by_token(ANN, 2), &private, None),
            (&by_token(BOB, 9), &private, None),
        ];
        for (actor, repository, expected) in cases {
            assert_eq!(
                allowed(&view, actor, repository),
                expected,
                "{actor:?} {}",
                repository.path
            );
        }
    }

    #[test]
    fn p_s3_a_suspended_user_loses_everything_but_what_anyone_may() {
        let mut ann = user(ANN, "ann");
        ann.suspended = true;
        let view = snapshot().apply(&SnapshotUpdate { users: vec![ann], ..Default::default() });
        assert_eq!(allowed(&view, &by_key(ANN, "ann"), &repository(1, "ann/x", false)), None);
    }
}
