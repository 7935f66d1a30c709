//! `DIR/cluster.json`: which cluster a data directory belongs to. Written after the
//! cluster was founded and before any data exists, so that a lost control plane is told
//! from a new one (S45).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gitstratum_control_plane::Cluster;
use gitstratum_core::{ClusterId, NodeId};
use gitstratum_store::Permissions;
use gitstratum_store::files::{Files, read_whole, write_atomically};
use serde::{Deserialize, Serialize};

use super::plan::nodes_folder;

const FILE: &str = "cluster.json";
const VERSION: u32 = 1;
/// More than the file ever holds.
const BYTES_MAX: u64 = 64 * 1024;
/// What may lie in a directory that `up` has begun to fill but not finished founding.
const OURS: &[&str] = &[
    FILE,
    "nodes",
    "admin.token",
    "ca.crt",
    "ca.key",
    "ssh_host_key",
    "join.token",
    "addresses.json",
    "up.lock",
    "endpoint.json",
    "control.sock",
    "supervisor.sock",
    "lost+found",
];

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    version: u32,
    cluster_id: String,
    generation: u16,
    nodes: Vec<String>,
    /// The id of the first admin's token, so that a file with another one is noticed even
    /// when this one was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_token: Option<String>,
}

/// The data directory, before anything in it was touched.
pub(super) struct Folder {
    path: PathBuf,
    pub(super) recorded: Option<Cluster>,
    /// The id of the first admin's token.
    pub(super) first_token: Option<String>,
}

impl Folder {
    /// Looks at the directory and changes nothing.
    pub(super) fn look(files: &dyn Files, path: &Path) -> Result<Self> {
        if files.metadata(path)?.is_none() {
            return Ok(Self { path: path.to_owned(), recorded: None, first_token: None });
        }
        check_ours(files, path)?;
        let record = path.join(FILE);
        let (recorded, first_token) = match files.metadata(&record)? {
            None => (None, None),
            Some(_) => {
                let (cluster, token) = parse(&read_whole(files, &record, BYTES_MAX)?, &record)?;
                (Some(cluster), token)
            }
        };
        if recorded.is_none() && has_data(files, path)? {
            bail!(
                "{} is missing, but {} holds data: it cannot be told whose it is; put the file back",
                record.display(),
                nodes_folder(path).display()
            );
        }
        Ok(Self { path: path.to_owned(), recorded, first_token })
    }

    /// Makes the directory when it is missing.
    pub(super) fn make(&self, files: &dyn Files) -> Result<()> {
        let made = files.create_directory(&self.path);
        made.with_context(|| format!("making {}", self.path.display()))
    }

    /// Where it is written which cluster this is.
    pub(super) fn record_path(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Writes down which cluster this is, and the id of its first admin's token.
    pub(super) fn record(&self, files: &dyn Files, cluster: &Cluster, token: &str) -> Result<()> {
        let record = Record {
            version: VERSION,
            cluster_id: cluster.id.to_string(),
            generation: cluster.generation,
            nodes: cluster.nodes.iter().map(ToString::to_string).collect(),
            first_token: Some(token.to_owned()),
        };
        let mut text = serde_json::to_vec_pretty(&record)?;
        text.push(b'\n');
        write_atomically(files, &self.path.join(FILE), &text, Permissions::Private)?;
        Ok(())
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<(Cluster, Option<String>)> {
    let damaged = || format!("{} is damaged", path.display());
    let record: Record = serde_json::from_slice(bytes).with_context(damaged)?;
    if record.version != VERSION {
        bail!(
            "{} has version {}, this program reads {VERSION}: use another version of gitstratum",
            path.display(),
            record.version
        );
    }
    let id = ClusterId::parse(&record.cluster_id).with_context(damaged)?;
    let nodes: Option<Vec<NodeId>> = record.nodes.iter().map(|node| NodeId::parse(node)).collect();
    let nodes = nodes.filter(|nodes| !nodes.is_empty()).with_context(damaged)?;
    Ok((Cluster { id, generation: record.generation, nodes }, record.first_token))
}

/// A directory with other things in it is not ours to fill.
fn check_ours(files: &dyn Files, path: &Path) -> Result<()> {
    let entries = files.list(path).with_context(|| format!("reading {}", path.display()))?;
    let foreign = entries.iter().find(|entry| !is_ours(&entry.name));
    match foreign {
        Some(entry) if !entries.iter().any(|entry| entry.name == FILE) => bail!(
            "{} is not empty and not a data directory of gitstratum: it holds {}",
            path.display(),
            entry.name
        ),
        _ => Ok(()),
    }
}

/// Whether the name is of something of ours, or of what is about to become it: another node
/// may write at this moment.
fn is_ours(name: &str) -> bool {
    let written = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    OURS.contains(&written.unwrap_or(name))
}

/// Whether a data role has ever been started here. Their directories are made earlier.
fn has_data(files: &dyn Files, path: &Path) -> Result<bool> {
    let nodes = nodes_folder(path);
    if files.metadata(&nodes)?.is_none() {
        return Ok(false);
    }
    for node in files.list(&nodes)? {
        for role in ["metadata", "object"] {
            if files.metadata(&nodes.join(&node.name).join(role).join("db"))?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
