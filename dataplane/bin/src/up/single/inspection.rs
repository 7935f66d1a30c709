use anyhow::{Result, bail};
use gitstratum_core::{Clock, ProcessRole};
use gitstratum_store::{Files, RoleDirectory};

use super::super::clock_mark;
use super::super::inspection::{ROLES, check_space};
use super::super::plan::Plan;
use super::with_folders;

/// Everything that can refuse a start, before anything is written.
pub(super) fn inspect(
    plan: &Plan,
    role: ProcessRole,
    files: &dyn Files,
    clock: &dyn Clock,
) -> Result<()> {
    for kept in with_folders(role) {
        RoleDirectory::inspect(files, &plan.role(kept.as_str()), kept)?;
    }
    check_alone(plan, role, files)?;
    let stored = plan.role(role.as_str()).join("db");
    let identity = plan.role(ProcessRole::Agent.as_str()).join("identity");
    if files.metadata(&stored)?.is_some() && files.metadata(&identity)?.is_none() {
        bail!(
            "{} is missing, but {} holds data of a node: put it back, or begin with an empty \
             directory as a new node",
            identity.display(),
            plan.data.display()
        );
    }
    clock_mark::check(files, &clock_mark::path(&plan.folder()), clock.wall())?;
    check_space(plan, files)
}

/// A directory is of one node with one role: with the identity that is there the node would be
/// registered anew, and the cluster would forget what else is there.
fn check_alone(plan: &Plan, role: ProcessRole, files: &dyn Files) -> Result<()> {
    let others = ROLES.iter().filter(|other| ![role, ProcessRole::Agent].contains(other));
    let foreign = others.map(|other| other.as_str()).chain(["nodes"]);
    for folder in foreign.map(|name| plan.role(name)) {
        if files.metadata(&folder)?.is_some() {
            bail!(
                "{} is there: {} is not the directory of a node with role {role} alone; give each \
                 node a directory of its own",
                folder.display(),
                plan.data.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::path::Path;
    use std::sync::Arc;

    use gitstratum_core::{ManualClock, UnixMillis};
    use gitstratum_store::MemoryFiles;

    use super::*;

    fn with(has: &[&str]) -> Arc<dyn Files> {
        let files = MemoryFiles::new();
        for name in ["/data"].iter().chain(has) {
            files.create_directory(name.as_ref()).unwrap();
        }
        files
    }

    fn refusal(files: &dyn Files, role: ProcessRole) -> Option<String> {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let plan = Plan::of_one_role("/data".into(), nowhere);
        let clock = ManualClock::new(UnixMillis(1_700_000_000_000));
        let inspected = inspect(&plan, role, files, &*clock);
        inspected.err().map(|error| format!("{error:#}"))
    }

    #[test]
    fn a_directory_of_another_role_or_of_up_is_refused() {
        let agent = "/data/agent";
        let (stores, others) = (
            [ProcessRole::Object, ProcessRole::Metadata],
            [ProcessRole::Control, ProcessRole::Frontend],
        );
        for role in stores.into_iter().chain(others) {
            assert_eq!(refusal(&*with(&[agent]), role), None, "{role}");
            for other in ["control", "metadata", "object", "nodes"] {
                let path = format!("/data/{other}");
                let refused = refusal(&*with(&[agent, &path]), role);
                match other == role.as_str() {
                    true => assert_eq!(refused, None),
                    false => assert!(refused.unwrap().contains(&path), "{role} on {other}"),
                }
            }
        }
    }

    #[test]
    fn data_without_its_identity_is_not_taken_for_a_new_node() {
        let (files, path) = (with(&[]), Path::new("/data/object"));
        drop(RoleDirectory::open(&files, path, ProcessRole::Object).unwrap());
        assert_eq!(refusal(&*files, ProcessRole::Object), None);
        files.create_directory(&path.join("db")).unwrap();
        let refused = refusal(&*files, ProcessRole::Object).unwrap();
        assert!(refused.contains("/data/agent/identity is missing"), "{refused}");
    }
}
