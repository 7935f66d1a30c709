//! Everything that can refuse a start, looked at before anything is written: whose the
//! directory is, its formats, who uses it, its keys, the ports, the clock. A start that is
//! refused here has touched nothing.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use gitstratum_core::{Clock, ProcessRole};
use gitstratum_identity::{PemFile, PublicTls};
use gitstratum_store::{Files, RoleDirectory};

use super::addresses::Addresses;
use super::clock_mark;
use super::folder::Folder;
use super::plan::{Https, Plan, nodes_folder};
use super::secrets::{self, Secrets};

/// The roles that have a directory.
pub(super) const ROLES: [ProcessRole; 4] =
    [ProcessRole::Control, ProcessRole::Metadata, ProcessRole::Object, ProcessRole::Agent];

/// Free bytes without which no start is tried: the data bases keep 16 MiB free, and a start
/// writes a little.
const START_BYTES: u64 = 24 << 20;

/// What was found.
pub(super) struct Inspected {
    pub(super) folder: Folder,
    /// Of a cluster that was founded before.
    pub(super) secrets: Option<Secrets>,
    pub(super) tls: Option<Arc<PublicTls>>,
    /// Of a cluster of several nodes: where they are.
    pub(super) addresses: Option<Addresses>,
}

/// Looks at everything.
///
/// # Errors
/// The first thing that is wrong, by its name.
pub(super) fn inspect(plan: &Plan, files: &dyn Files, clock: &dyn Clock) -> Result<Inspected> {
    let folder = Folder::look(files, &plan.data)?;
    check_roles(plan, files, &folder)?;
    let addresses = match plan.node {
        None => None,
        Some(_) => Addresses::read(files, &plan.data)?,
    };
    // The secrets of several nodes are there before the cluster is.
    let expected = addresses.as_ref().map(Addresses::cluster).transpose()?;
    let cluster = folder.recorded.as_ref().map(|cluster| cluster.id).or(expected);
    let secrets = cluster.map(|cluster| secrets::read(files, &plan.data, cluster)).transpose()?;
    let tls = plan.https.as_ref().map(read_tls).transpose()?;
    clock_mark::check(files, &clock_mark::path(&plan.folder()), clock.wall())?;
    check_space(plan, files)?;
    check_ports(plan)?;
    Ok(Inspected { folder, secrets, tls, addresses })
}

/// The role directories are made before the cluster is recorded: later none may be missing, but
/// those of one of several nodes, which gets everything from the others.
fn check_roles(plan: &Plan, files: &dyn Files, folder: &Folder) -> Result<()> {
    for role in ROLES {
        let path = plan.role(role.as_str());
        let is_made = RoleDirectory::inspect(files, &path, role)?;
        let is_learned = match role {
            // Where all have lost it, it says so, and is brought back (S45).
            ProcessRole::Control => plan.node.is_some(),
            // Else the partitions would be begun anew, without what was in them (S23).
            _ => is_elsewhere(plan, files, role)?,
        };
        if !is_made && !is_learned && folder.recorded.is_some() {
            bail!(
                "{} is missing or empty, but {} names a cluster: put it back",
                path.display(),
                folder.record_path().display()
            );
        }
    }
    Ok(())
}

/// Whether another node has its directory of `role`: if none has, it is the disk that is missing.
fn is_elsewhere(plan: &Plan, files: &dyn Files, role: ProcessRole) -> Result<bool> {
    let (nodes, own) = (nodes_folder(&plan.data), plan.folder());
    if plan.node.is_none() || files.metadata(&nodes)?.is_none() {
        return Ok(false);
    }
    let others = files.list(&nodes)?.into_iter().map(|entry| nodes.join(entry.name));
    for other in others.filter(|other| *other != own) {
        if RoleDirectory::is_made(files, &other.join(role.as_str()), role)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A start writes, if only a little.
pub(super) fn check_space(plan: &Plan, files: &dyn Files) -> Result<()> {
    for folder in plan.data.ancestors() {
        if files.metadata(folder)?.is_some() {
            let free = files.space(folder)?.free;
            if free < START_BYTES {
                let (free, needed) = (free >> 20, START_BYTES >> 20);
                let place = folder.display();
                bail!("no space left on the disk of {place}: {free} MiB free, {needed} needed");
            }
            return Ok(());
        }
    }
    Ok(())
}

/// Takes every port and lets it go again: who takes one in between is told of later.
fn check_ports(plan: &Plan) -> Result<()> {
    let https = plan.https.as_ref().map(|https| https.address);
    let wanted = [
        ("--http", Some(plan.http)),
        ("--ssh", Some(plan.ssh)),
        ("--https", https),
        ("--metrics", Some(plan.metrics)),
    ];
    let mut taken = Vec::new();
    for (option, address) in wanted {
        taken.extend(address.map(|address| take(option, address)).transpose()?);
    }
    Ok(())
}

fn take(option: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("{option}: listening on {address}"))
}

pub(super) fn read_tls(https: &Https) -> Result<Arc<PublicTls>> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).with_context(|| format!("reading {}", path.display()))
    };
    let (certificate, key) = (read(&https.certificate)?, read(&https.key)?);
    let names = (https.certificate.display().to_string(), https.key.display().to_string());
    let tls = PublicTls::new(
        &PemFile { name: &names.0, bytes: &certificate },
        &PemFile { name: &names.1, bytes: &key },
    )?;
    Ok(Arc::new(tls))
}
