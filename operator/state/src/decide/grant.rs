use gitstratum_core::Role;

use super::names::{check_owner, parse_path};
use super::user::find;
use super::{Desk, Plan};
use crate::command::{GrantRole, RevokeRole};
use crate::outcome::Reply;
use crate::record::{Grant, GrantKey, GrantSubject};
use crate::state::Mutation;
use crate::{Refusal, Subject, Verb};

/// Grants of a user.
const GRANTS_PER_USER_MAX: usize = 10_000;

pub(super) fn set(desk: &Desk<'_>, set: &GrantRole) -> Result<Plan, Refusal> {
    let role = parse_role(&set.role)?;
    let subject = find_subject(desk, &set.subject)?;
    let user = find(desk, &set.user)?;
    let key = GrantKey { user: user.id, subject };
    match desk.state.grants.get(&key) {
        Some(grant) if grant.role == role => return Ok(Plan::unchanged(Reply::Done)),
        Some(_) => {}
        None => {
            if desk.state.grants_of(user.id).count() >= GRANTS_PER_USER_MAX {
                let (limit, of) = (GRANTS_PER_USER_MAX, "grants");
                return Err(Refusal::Full { what: format!("user `{}`", user.name), limit, of });
            }
        }
    }
    let grant = Grant { key, role, version: desk.at.stamp() };
    Ok(Plan::new(Reply::Done, vec![Mutation::PutGrant(grant)]))
}

pub(super) fn revoke(desk: &Desk<'_>, revoke: &RevokeRole) -> Result<Plan, Refusal> {
    let role = match revoke.role.as_str() {
        "" => None,
        word => Some(parse_role(word)?),
    };
    let subject = find_subject(desk, &revoke.subject)?;
    let user = find(desk, &revoke.user)?;
    let key = GrantKey { user: user.id, subject };
    let grant = desk.state.grants.get(&key);
    let missing = || {
        let role = role.map_or("any role", Role::as_str);
        Refusal::missing("grant", format!("{} {role} {}", revoke.user, revoke.subject))
    };
    let grant = grant.filter(|grant| role.is_none_or(|role| role == grant.role));
    grant.ok_or_else(missing)?;
    Ok(Plan::new(Reply::Done, vec![Mutation::RemoveGrant(key)]))
}

fn parse_role(word: &str) -> Result<Role, Refusal> {
    Role::parse(word).map_err(|_| Refusal::invalid("role", "is not read, write, maintain or admin"))
}

/// What `OWNER` or `OWNER/NAME` names, for somebody who may hand out roles there.
fn find_subject(desk: &Desk<'_>, text: &str) -> Result<GrantSubject, Refusal> {
    if text.contains('/') {
        let path = parse_path(text)?;
        return Ok(GrantSubject::Repository(desk.repository(Verb::Manage, &path)?.id));
    }
    check_owner(text)?;
    desk.require(Verb::Manage, Subject::Owner(text))?;
    if !desk.state.is_owner(text) {
        return Err(Refusal::missing("owner", text));
    }
    Ok(GrantSubject::Owner(text.to_owned()))
}
