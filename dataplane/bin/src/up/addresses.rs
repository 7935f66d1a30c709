//! `DIR/addresses.json`: where the nodes of a cluster of several listen on this machine.
//! Made before the first of them starts, and kept, so that each finds the others again.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use gitstratum_core::{ClusterId, Entropy as _, SystemEntropy};
use gitstratum_identity::Service;
use gitstratum_store::Permissions;
use gitstratum_store::files::{Files, read_whole, write_atomically};
use serde::{Deserialize, Serialize};

use super::plan::Plan;

const FILE: &str = "addresses.json";
const VERSION: u32 = 1;
/// More than the file ever holds.
const BYTES_MAX: u64 = 64 * 1024;
/// Where free ports are looked for: below those that systems give to connections of their
/// own, one of which might have the port of a node that is down for a moment.
const FREE_PORTS: std::ops::Range<u16> = 18_000..32_000;
/// A free port, whichever.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Where every node of the cluster listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Addresses {
    version: u32,
    /// The cluster, known before it is founded.
    cluster_id: String,
    /// In the order of the nodes' numbers, counted from 1.
    nodes: Vec<NodeAddresses>,
}

/// Where one node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NodeAddresses {
    pub(super) http: SocketAddr,
    pub(super) ssh: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) https: Option<SocketAddr>,
    pub(super) metrics: SocketAddr,
    control: SocketAddr,
    control_raft: SocketAddr,
    metadata: SocketAddr,
    metadata_raft: SocketAddr,
    object: SocketAddr,
    bulk: SocketAddr,
}

impl NodeAddresses {
    /// Where an internal service listens.
    pub(super) fn of(&self, service: Service) -> SocketAddr {
        match service {
            Service::Control => self.control,
            Service::ControlRaft => self.control_raft,
            Service::Metadata => self.metadata,
            Service::MetadataRaft => self.metadata_raft,
            Service::Object => self.object,
            Service::Bulk => self.bulk,
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut SocketAddr> {
        let Self { http, ssh, https, metrics, .. } = self;
        let outer = [http, ssh, metrics].into_iter().chain(https.as_mut());
        let inner = [
            &mut self.control,
            &mut self.control_raft,
            &mut self.metadata,
            &mut self.metadata_raft,
            &mut self.object,
            &mut self.bulk,
        ];
        outer.chain(inner)
    }
}

impl Addresses {
    /// Reads them; `None` when there are none yet.
    ///
    /// # Errors
    /// Names the file when it is damaged or of another version.
    pub(super) fn read(files: &dyn Files, data: &Path) -> Result<Option<Self>> {
        let path = data.join(FILE);
        if files.metadata(&path)?.is_none() {
            return Ok(None);
        }
        let damaged = || format!("{} is damaged", path.display());
        let bytes = read_whole(files, &path, BYTES_MAX)?;
        let read: Self = serde_json::from_slice(&bytes).with_context(damaged)?;
        let found = read.version;
        ensure!(found == VERSION, "{} has version {found}, not {VERSION}", path.display());
        ensure!(ClusterId::parse(&read.cluster_id).is_some() && !read.nodes.is_empty(), damaged());
        Ok(Some(read))
    }

    /// Settles where `count` nodes listen: the first where `plan` says, the rest where they
    /// did before, or on a free port where that one was taken meanwhile. Writes it down.
    ///
    /// # Errors
    /// Names the port that somebody else listens on.
    pub(super) fn settle(
        files: &dyn Files,
        plan: &Plan,
        (cluster, count): (ClusterId, usize),
    ) -> Result<Self> {
        let before = Self::read(files, &plan.data)?;
        if let Some(before) = before.as_ref().filter(|before| before.nodes.len() != count) {
            bail!(
                "{} names {} nodes, not {count}",
                plan.data.join(FILE).display(),
                before.nodes.len()
            );
        }
        let mut nodes = before.map_or_else(Vec::new, |before| before.nodes);
        nodes.resize_with(count, || NodeAddresses {
            http: ANY,
            ssh: ANY,
            https: None,
            metrics: ANY,
            control: ANY,
            control_raft: ANY,
            metadata: ANY,
            metadata_raft: ANY,
            object: ANY,
            bulk: ANY,
        });
        let https = plan.https.as_ref().map(|https| https.address);
        for (index, node) in nodes.iter_mut().enumerate() {
            match index {
                0 => {
                    let asked = (plan.http, plan.ssh, https, plan.metrics);
                    (node.http, node.ssh, node.https, node.metrics) = asked;
                }
                _ => node.https = https.map(|_| node.https.unwrap_or(ANY)),
            }
        }
        take_ports(&mut nodes, plan)?;
        let settled = Self { version: VERSION, cluster_id: cluster.to_string(), nodes };
        let mut text = serde_json::to_vec_pretty(&settled)?;
        text.push(b'\n');
        write_atomically(files, &plan.data.join(FILE), &text, Permissions::Private)?;
        Ok(settled)
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> Result<ClusterId> {
        ClusterId::parse(&self.cluster_id).with_context(|| format!("{FILE} names no cluster"))
    }

    /// Where each node listens, in the order of their numbers.
    pub(super) fn nodes(&self) -> &[NodeAddresses] {
        &self.nodes
    }

    /// How many nodes there are.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Where node `number` listens, counted from 1.
    pub(super) fn node(&self, number: u8) -> Result<&NodeAddresses> {
        let index = usize::from(number).checked_sub(1);
        let node = index.and_then(|index| self.nodes.get(index));
        node.with_context(|| format!("{FILE} names no node {number}"))
    }
}

/// Holds every port for a moment: those that were asked for must be free, others are chosen
/// anew when they are not.
fn take_ports(nodes: &mut [NodeAddresses], plan: &Plan) -> Result<()> {
    let https = plan.https.as_ref().map(|https| https.address);
    let asked: BTreeSet<SocketAddr> =
        [plan.http, plan.ssh, plan.metrics].into_iter().chain(https).collect();
    let mut held = Vec::new();
    for address in nodes.iter_mut().flat_map(NodeAddresses::all) {
        let is_free = (address.port() != 0).then(|| TcpListener::bind(*address));
        let listener = match is_free {
            Some(Ok(listener)) => listener,
            Some(Err(error)) if asked.contains(address) => {
                return Err(error).with_context(|| format!("listening on {address}"));
            }
            Some(Err(_)) | None => take_free(*address)?,
        };
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(())
}

/// A free port of the host of `address`.
fn take_free(address: SocketAddr) -> Result<TcpListener> {
    let mut random = [0; 2];
    SystemEntropy::new().fill(&mut random);
    let first = u16::from_be_bytes(random) % (FREE_PORTS.end - FREE_PORTS.start);
    let (before, after) = (FREE_PORTS.take(first.into()), FREE_PORTS.skip(first.into()));
    let mut ports = after.chain(before);
    let free = ports.find_map(|port| TcpListener::bind((address.ip(), port)).ok());
    free.with_context(|| format!("no port of {} is free between {FREE_PORTS:?}", address.ip()))
}

#[cfg(test)]
mod tests;
