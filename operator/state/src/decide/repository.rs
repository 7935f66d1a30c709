use gitstratum_core::{ObjectFormat, RepoId, RepoPath, Visibility};

use super::names::{check_description, default_branch, parse_path};
use super::{Desk, Plan};
use crate::command::{
    CreateRepository, DeleteRepository, RenameRepository, SetRepository, SettleRepository,
    UndeleteRepository,
};
use crate::outcome::Reply;
use crate::record::{PathWait, Repository, RepositoryState, partition_of};
use crate::state::Mutation;
use crate::{Refusal, Subject, Verb};

/// Repositories of a cluster, deleted ones too (design §1).
const REPOSITORIES_MAX: usize = 1_000_000;

pub(super) fn create(desk: &Desk<'_>, create: &CreateRepository) -> Result<Plan, Refusal> {
    let path = parse_path(&create.path)?;
    let format = object_format(create.object_format)?;
    let default_branch = default_branch(&create.default_branch)?;
    check_description(&create.description)?;
    desk.require(Verb::Manage, Subject::Owner(path.owner()))?;
    if let Some(existing) = desk.state.repository(&path) {
        return existing_is_enough(existing, create, format);
    }
    require_free(desk, &path)?;
    if desk.state.repositories.len() >= REPOSITORIES_MAX {
        let (limit, of) = (REPOSITORIES_MAX, "repositories");
        return Err(Refusal::Full { what: "cluster".to_owned(), limit, of });
    }
    let partitions = u32::try_from(desk.state.layout.partitions.len())
        .expect("because founding bounds the partitions");
    let id = RepoId::allocate(desk.at.generation, desk.at.index);
    let repository = Repository {
        id,
        path: path.clone(),
        partition: partition_of(id, partitions),
        format,
        default_branch,
        visibility: if create.public { Visibility::Public } else { Visibility::Private },
        description: create.description.clone(),
        state: RepositoryState::Live,
        name_version: desk.at.stamp(),
        created: desk.at.wall,
        version: desk.at.stamp(),
    };
    let mut mutations = vec![Mutation::PutRepository(repository)];
    mutations.extend(new_owner(desk, &path));
    Ok(Plan::new(Reply::Repository(id), mutations))
}

fn existing_is_enough(
    existing: &Repository,
    create: &CreateRepository,
    format: ObjectFormat,
) -> Result<Plan, Refusal> {
    let (what, name) = ("repository", create.path.clone());
    if !create.if_not_exists {
        return Err(Refusal::exists(what, name));
    }
    if existing.format != format {
        return Err(Refusal::Exists { what, name, detail: ", with the other object format" });
    }
    Ok(Plan::unchanged(Reply::Repository(existing.id)))
}

pub(super) fn set(desk: &Desk<'_>, set: &SetRepository) -> Result<Plan, Refusal> {
    let path = parse_path(&set.path)?;
    let old = desk.repository(Verb::Manage, &path)?;
    let mut new = old.clone();
    if let Some(branch) = &set.default_branch {
        new.default_branch = default_branch(branch)?;
    }
    if let Some(public) = set.public {
        new.visibility = if public { Visibility::Public } else { Visibility::Private };
    }
    if let Some(description) = &set.description {
        check_description(description)?;
        new.description.clone_from(description);
    }
    let reply = Reply::Repository(old.id);
    if new == *old {
        return Ok(Plan::unchanged(reply));
    }
    new.version = desk.at.stamp();
    Ok(Plan::new(reply, vec![Mutation::PutRepository(new)]))
}

pub(super) fn rename(desk: &Desk<'_>, rename: &RenameRepository) -> Result<Plan, Refusal> {
    let (from, to) = (parse_path(&rename.path)?, parse_path(&rename.new_path)?);
    let old = desk.repository(Verb::Manage, &from)?;
    desk.require(Verb::Manage, Subject::Owner(to.owner()))?;
    let reply = Reply::Repository(old.id);
    if from == to {
        return Ok(Plan::unchanged(reply));
    }
    require_free(desk, &to)?;
    let new = Repository { path: to.clone(), ..renamed(desk, old, RepositoryState::Live) };
    let mut mutations = vec![wait_for(&new, from), Mutation::PutRepository(new)];
    mutations.extend(new_owner(desk, &to));
    Ok(Plan::new(reply, mutations))
}

pub(super) fn delete(desk: &Desk<'_>, delete: &DeleteRepository) -> Result<Plan, Refusal> {
    let path = parse_path(&delete.path)?;
    let old = desk.repository(Verb::Manage, &path)?;
    let new = renamed(desk, old, RepositoryState::Deleted);
    let mutations = vec![wait_for(&new, path), Mutation::PutRepository(new)];
    Ok(Plan::new(Reply::Repository(old.id), mutations))
}

pub(super) fn undelete(desk: &Desk<'_>, undelete: &UndeleteRepository) -> Result<Plan, Refusal> {
    let (old, path) = find_deleted(desk, undelete)?;
    desk.require(Verb::Manage, Subject::Repository(old))?;
    desk.require(Verb::Manage, Subject::Owner(path.owner()))?;
    require_free(desk, &path)?;
    // Being live reserves the path; the partition has the last word (`settle`).
    let new = Repository { path: path.clone(), ..renamed(desk, old, RepositoryState::Live) };
    let mut mutations = vec![Mutation::PutRepository(new)];
    mutations.extend(new_owner(desk, &path));
    Ok(Plan::new(Reply::Repository(old.id), mutations))
}

fn find_deleted<'a>(
    desk: &Desk<'a>,
    undelete: &UndeleteRepository,
) -> Result<(&'a Repository, RepoPath), Refusal> {
    let is_deleted = |repository: &&Repository| repository.state == RepositoryState::Deleted;
    if undelete.id == 0 {
        let path = parse_path(&undelete.path)?;
        // Before the search: whether something was deleted there is not for everybody.
        desk.require(Verb::Manage, Subject::Owner(path.owner()))?;
        let under = desk.state.deleted_after(None).filter(|repository| repository.path == path);
        let last = under.max_by_key(|repository| repository.name_version);
        let missing = || Refusal::missing("deleted repository", path.as_str());
        return Ok((last.ok_or_else(missing)?, path.clone()));
    }
    let id = RepoId(undelete.id);
    let repository = desk.state.repository_by_id(id).filter(is_deleted);
    let missing = || Refusal::missing("deleted repository", id.to_string());
    let repository = repository.ok_or_else(missing)?;
    // Who may not see it is told the same by the id as by nothing.
    desk.require(Verb::See, Subject::Repository(repository)).map_err(|_| missing())?;
    if undelete.path.is_empty() {
        return Ok((repository, repository.path.clone()));
    }
    Ok((repository, parse_path(&undelete.path)?))
}

pub(super) fn settle(desk: &Desk<'_>, settle: &SettleRepository) -> Result<Plan, Refusal> {
    desk.require_system()?;
    let id = RepoId(settle.id);
    let old = desk
        .state
        .repository_by_id(id)
        .ok_or_else(|| Refusal::missing("repository", id.to_string()))?;
    if settle.name_version < old.name_version.0 {
        let what = "the partition's decision";
        return Err(Refusal::Stale { what, known: old.name_version.0 });
    }
    let reply = Reply::Repository(id);
    if !settle.purged || old.state == RepositoryState::Purged {
        return Ok(Plan::unchanged(reply));
    }
    let purged = renamed(desk, old, RepositoryState::Purged);
    let grants = desk
        .state
        .grants()
        .filter(|grant| grant.key.subject == crate::record::GrantSubject::Repository(id));
    let mut mutations: Vec<_> =
        grants.map(|grant| Mutation::RemoveGrant(grant.key.clone())).collect();
    mutations.push(Mutation::PutRepository(purged));
    Ok(Plan::new(reply, mutations))
}

/// The record under a new name version, in `state`.
fn renamed(desk: &Desk<'_>, old: &Repository, state: RepositoryState) -> Repository {
    let stamp = desk.at.stamp();
    Repository { state, name_version: stamp, version: stamp, ..old.clone() }
}

/// Holds `path` back until the partition of `repository` knows that it is given up.
fn wait_for(repository: &Repository, path: RepoPath) -> Mutation {
    Mutation::PutPathWait(PathWait {
        path,
        repository: repository.id,
        partition: repository.partition,
        name_version: repository.name_version,
    })
}

fn require_free(desk: &Desk<'_>, path: &RepoPath) -> Result<(), Refusal> {
    if desk.state.repository(path).is_some() {
        return Err(Refusal::exists("repository", path.as_str()));
    }
    match desk.state.path_wait(path) {
        None => Ok(()),
        Some(wait) => Err(Refusal::PathWaits {
            path: path.as_str().to_owned(),
            partition: wait.partition,
            version: wait.name_version,
        }),
    }
}

fn new_owner(desk: &Desk<'_>, path: &RepoPath) -> Option<Mutation> {
    let known = desk.state.owners.contains(path.owner());
    (!known).then(|| Mutation::AddOwner(path.owner().to_owned()))
}

fn object_format(number: u32) -> Result<ObjectFormat, Refusal> {
    match number {
        0 | 1 => Ok(ObjectFormat::Sha1),
        2 => Ok(ObjectFormat::Sha256),
        _ => Err(Refusal::invalid("object format", "is neither sha1 nor sha256")),
    }
}
