use gitstratum_core::UserId;

use super::names::{check_email, check_user_name};
use super::{Desk, Plan};
use crate::command::{AddKey, CreateUser, DeleteUser, RemoveKey, SetUser};
use crate::outcome::Reply;
use crate::public_key::PublicKey;
use crate::record::{SshKey, User};
use crate::state::Mutation;
use crate::{Refusal, Subject, Verb};

/// Users of a cluster.
const USERS_MAX: usize = 1_000_000;
/// Keys of a user.
const KEYS_PER_USER_MAX: usize = 100;

pub(super) fn create(desk: &Desk<'_>, create: &CreateUser) -> Result<Plan, Refusal> {
    check_user_name(&create.name)?;
    check_email(&create.email)?;
    desk.require(Verb::Manage, Subject::Cluster)?;
    if desk.state.user(&create.name).is_some() {
        return Err(Refusal::exists("user", &create.name));
    }
    if desk.state.users.len() >= USERS_MAX {
        let (limit, of) = (USERS_MAX, "users");
        return Err(Refusal::Full { what: "cluster".to_owned(), limit, of });
    }
    let id = UserId::allocate(desk.at.generation, desk.at.index);
    let user = User {
        id,
        name: create.name.clone(),
        email: create.email.clone(),
        keys: Vec::new(),
        suspended: false,
        cluster_admin: false,
        version: desk.at.stamp(),
    };
    Ok(Plan::new(Reply::User(id), vec![Mutation::PutUser(user)]))
}

pub(super) fn set(desk: &Desk<'_>, set: &SetUser) -> Result<Plan, Refusal> {
    desk.require(Verb::Manage, Subject::Cluster)?;
    let old = find(desk, &set.name)?;
    let mut new = old.clone();
    if let Some(email) = &set.email {
        check_email(email)?;
        new.email.clone_from(email);
    }
    new.suspended = set.suspended.unwrap_or(new.suspended);
    new.cluster_admin = set.cluster_admin.unwrap_or(new.cluster_admin);
    if new.suspended || !new.cluster_admin {
        require_other_admin(desk, old)?;
    }
    replace(desk, old, new)
}

pub(super) fn delete(desk: &Desk<'_>, delete: &DeleteUser) -> Result<Plan, Refusal> {
    desk.require(Verb::Manage, Subject::Cluster)?;
    let user = find(desk, &delete.name)?;
    require_other_admin(desk, user)?;
    let tokens = desk.state.tokens_of(user.id).map(|token| Mutation::RemoveToken(token.hash));
    let grants =
        desk.state.grants_of(user.id).map(|grant| Mutation::RemoveGrant(grant.key.clone()));
    let mut mutations: Vec<_> = tokens.chain(grants).collect();
    mutations.push(Mutation::RemoveUser(user.id));
    Ok(Plan::new(Reply::Done, mutations))
}

pub(super) fn add_key(desk: &Desk<'_>, add: &AddKey) -> Result<Plan, Refusal> {
    let key = PublicKey::parse(&add.public_key)?;
    desk.require(Verb::Manage, Subject::User(&add.user))?;
    let old = find(desk, &add.user)?;
    match desk.state.user_of_key(&key.fingerprint) {
        Some(holder) if holder.id == old.id => {
            return Ok(Plan::unchanged(Reply::Key(key.fingerprint)));
        }
        // Whose it is is nobody else's business.
        Some(_) => return Err(Refusal::exists("key", key.fingerprint)),
        None => {}
    }
    if old.keys.len() >= KEYS_PER_USER_MAX {
        let (limit, of) = (KEYS_PER_USER_MAX, "keys");
        return Err(Refusal::Full { what: format!("user `{}`", old.name), limit, of });
    }
    let PublicKey { fingerprint, text: public_key, comment } = key;
    let mut new = old.clone();
    new.keys.push(SshKey { fingerprint: fingerprint.clone(), public_key, comment });
    new.version = desk.at.stamp();
    Ok(Plan::new(Reply::Key(fingerprint), vec![Mutation::PutUser(new)]))
}

pub(super) fn remove_key(desk: &Desk<'_>, remove: &RemoveKey) -> Result<Plan, Refusal> {
    desk.require(Verb::Manage, Subject::User(&remove.user))?;
    let old = find(desk, &remove.user)?;
    let mut new = old.clone();
    new.keys.retain(|key| key.fingerprint != remove.fingerprint);
    if new.keys.len() == old.keys.len() {
        return Err(Refusal::missing("key", &remove.fingerprint));
    }
    new.version = desk.at.stamp();
    Ok(Plan::new(Reply::Done, vec![Mutation::PutUser(new)]))
}

/// The user called `name`, for somebody who may know.
pub(super) fn find<'a>(desk: &Desk<'a>, name: &str) -> Result<&'a User, Refusal> {
    desk.state.user(name).ok_or_else(|| Refusal::missing("user", name))
}

fn replace(desk: &Desk<'_>, old: &User, mut new: User) -> Result<Plan, Refusal> {
    let reply = Reply::User(old.id);
    if new == *old {
        return Ok(Plan::unchanged(reply));
    }
    new.version = desk.at.stamp();
    Ok(Plan::new(reply, vec![Mutation::PutUser(new)]))
}

fn require_other_admin(desk: &Desk<'_>, user: &User) -> Result<(), Refusal> {
    let is_other = |other: &User| other.cluster_admin && !other.suspended && other.id != user.id;
    if user.cluster_admin && !desk.state.users.values().any(is_other) {
        return Err(Refusal::LastAdmin(user.name.clone()));
    }
    Ok(())
}
