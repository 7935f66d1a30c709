//! `DIR/addresses.json`: where the nodes of a cluster of several listen on this machine.
//! Made before the first of them starts, and kept, so that each finds the others again.

mod ports;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use gitstratum_core::ClusterId;
use gitstratum_identity::Service;
use gitstratum_store::Permissions;
use gitstratum_store::files::{Files, read_whole, write_atomically};
use serde::{Deserialize, Serialize};

use super::node::{FREE_EVERY, FREE_TRIES_MAX};
use super::plan::Plan;

pub(super) use ports::Ports;

const FILE: &str = "addresses.json";
const VERSION: u32 = 1;
/// More than the file ever holds.
const BYTES_MAX: u64 = 64 * 1024;
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
    /// did before, or on a free port where that one was taken meanwhile. Writes it down; the
    /// ports are theirs while the second of what it returns is held.
    ///
    /// # Errors
    /// Names the port that somebody else listens on.
    pub(super) async fn settle(
        files: &dyn Files,
        plan: &Plan,
        (cluster, count): (ClusterId, usize),
    ) -> Result<(Self, Ports)> {
        let before = Self::read(files, &plan.data)?;
        if let Some(before) = before.as_ref().filter(|before| before.nodes.len() != count) {
            bail!(
                "{} names {} nodes, not {count}",
                plan.data.join(FILE).display(),
                before.nodes.len()
            );
        }
        let dying = before.as_ref().map_or(0, |_| FREE_TRIES_MAX);
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
        let ports = keep_ports(&mut nodes, plan, dying).await?;
        let settled = Self { version: VERSION, cluster_id: cluster.to_string(), nodes };
        let mut text = serde_json::to_vec_pretty(&settled)?;
        text.push(b'\n');
        write_atomically(files, &plan.data.join(FILE), &text, Permissions::Private)?;
        Ok((settled, ports))
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

/// Keeps every port: those that were asked for must be free, others are chosen anew when they
/// are not, once all those are kept that are known. A port in use is looked at `tries` more
/// times: the nodes that had it may be dying with the process that watched over them.
async fn keep_ports(nodes: &mut [NodeAddresses], plan: &Plan, mut tries: u32) -> Result<Ports> {
    let https = plan.https.as_ref().map(|https| https.address);
    let asked: BTreeSet<SocketAddr> =
        [plan.http, plan.ssh, plan.metrics].into_iter().chain(https).collect();
    let mut ports = Ports::default();
    let mut homeless = Vec::new();
    for address in nodes.iter_mut().flat_map(NodeAddresses::all) {
        if address.port() == 0 {
            homeless.push(address);
            continue;
        }
        match keep(&mut ports, *address, &mut tries).await {
            Ok(()) => {}
            Err(error) if asked.contains(address) => return Err(error.into()),
            Err(_) => homeless.push(address),
        }
    }
    for address in homeless {
        *address = ports.keep_free(address.ip())?;
    }
    Ok(ports)
}

/// Keeps `address`, perhaps after a while that takes as many of `tries`.
async fn keep(ports: &mut Ports, address: SocketAddr, tries: &mut u32) -> Result<(), ports::Error> {
    loop {
        match ports.keep(address) {
            Err(error) if error.is_in_use() && *tries > 0 => *tries -= 1,
            kept => return kept,
        }
        tokio::time::sleep(FREE_EVERY).await;
    }
}

#[cfg(test)]
mod tests;
