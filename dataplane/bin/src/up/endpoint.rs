//! `DIR/endpoint.json`: where the running system is found; there while it is ready.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gitstratum_store::files::write_atomically;
use gitstratum_store::{Permissions, SystemFiles};
use serde::{Deserialize, Serialize};

const FILE: &str = "endpoint.json";

/// The file's content, field by field as `docs/interfaces.md` lists them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) http: String,
    pub(super) ssh: String,
    pub(super) https: Option<String>,
    pub(super) metrics: String,
    pub(super) ssh_host_key: String,
    pub(super) control: PathBuf,
    pub(super) admin_token_file: PathBuf,
    pub(super) pid: u32,
    pub(super) version: String,
    pub(super) nodes: Vec<NodeEndpoint>,
}

/// One node of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NodeEndpoint {
    pub(super) id: String,
    pub(super) dir: PathBuf,
    pub(super) pid: u32,
    pub(super) http: String,
    pub(super) ssh: String,
    pub(super) metrics: String,
}

impl Endpoint {
    /// Puts the file there, whole or not at all.
    pub(super) fn write(&self, data: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let files = SystemFiles::new();
        write_atomically(files.as_ref(), &data.join(FILE), &text, Permissions::Private)?;
        Ok(())
    }
}

/// What `folder` says where a process is found, if it says so whole.
pub(super) fn read(folder: &Path) -> Option<Endpoint> {
    serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()
}

/// Takes the file away; what a crash left is taken away at the next start.
pub(super) fn remove(data: &Path) {
    match std::fs::remove_file(data.join(FILE)) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "endpoint.json stays"),
    }
}

/// `http://HOST:PORT`.
pub(super) fn url(scheme: &str, address: SocketAddr) -> String {
    format!("{scheme}://{address}")
}
