//! `identity`: the node's id, keys and certificates, one checksummed record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::{BufMut, BytesMut};
use gitstratum_core::{ClusterId, NodeId, ProcessRole};
use gitstratum_identity::{Credentials, NodeKey, Peer, PemFile, authority_cluster};
use gitstratum_proto::control::v1::{Certificate, SigningRequest};
use gitstratum_store::Permissions;
use gitstratum_store::files::{Files, read_whole, write_atomically};

use super::Term;
use crate::Error;
use crate::records::{self, Next, Reader};

/// Name of the file.
const FILE: &str = "identity";
const MAGIC: &[u8; 7] = b"GSIDENT";
const VERSION: u8 = 1;
/// More than the file ever holds.
const BYTES_MAX: u64 = 256 * 1024;

/// The body of the record. It has no `Debug` that would show keys.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Record {
    #[prost(bytes = "vec", tag = "1")]
    cluster: Vec<u8>,
    #[prost(uint64, tag = "2")]
    node: u64,
    #[prost(string, tag = "3")]
    authority_pem: String,
    #[prost(message, repeated, tag = "4")]
    roles: Vec<Held>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct Held {
    #[prost(string, tag = "1")]
    role: String,
    #[prost(string, tag = "2")]
    key_pem: String,
    #[prost(string, tag = "3")]
    certificate_pem: String,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("node", &self.node).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What is known of a node that has enrolled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Identity {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    record: Record,
}

/// What was found on disk.
pub(super) enum Loaded {
    Nothing,
    /// Bytes that are no identity. The keys are lost; the node is not.
    Damaged,
    Sound(Box<Identity>),
}

/// The cluster whose authority's certificate this is.
pub(super) fn cluster_of(authority_pem: &str) -> Result<ClusterId, Error> {
    let file = PemFile { name: "the authority's certificate", bytes: authority_pem.as_bytes() };
    authority_cluster(&file).map_err(Error::Authority)
}

impl Identity {
    /// Refuses what belongs to another node or cluster (bad input 155).
    pub(super) fn expect(
        &self,
        cluster: ClusterId,
        node: Option<NodeId>,
        directory: &Path,
    ) -> Result<(), Error> {
        let refused = |found: String, expected: String| {
            let path = path(directory);
            Err(Error::OtherIdentity { path, found, expected })
        };
        if self.cluster != cluster {
            return refused(format!("cluster {}", self.cluster), format!("cluster {cluster}"));
        }
        match node.filter(|node| *node != self.node) {
            Some(node) => refused(format!("node {}", self.node), format!("node {node}")),
            None => Ok(()),
        }
    }

    /// Refuses what belongs to a node with other roles: registered with these, the cluster
    /// would forget what lies on it.
    pub(super) fn expect_roles(
        &self,
        roles: &[ProcessRole],
        directory: &Path,
    ) -> Result<(), Error> {
        let named = |roles: BTreeSet<&str>| {
            let roles = roles.into_iter().collect::<Vec<_>>().join(", ");
            format!("a node with certificates for {roles}")
        };
        let found = self.record.roles.iter().map(|held| held.role.as_str()).collect();
        let expected: BTreeSet<&str> = roles.iter().map(|role| role.as_str()).collect();
        if found == expected {
            return Ok(());
        }
        let (found, expected) = (named(found), named(expected));
        Err(Error::OtherIdentity { path: path(directory), found, expected })
    }

    /// The authority that the node trusts.
    pub(super) fn authority(&self) -> PemFile<'_> {
        PemFile { name: FILE, bytes: self.record.authority_pem.as_bytes() }
    }

    /// For each role, and for how long. They were made in one call.
    pub(super) fn credentials(&self) -> Result<(BTreeMap<ProcessRole, Credentials>, Term), Error> {
        let mut all = BTreeMap::new();
        for held in &self.record.roles {
            let role = role(&held.role)?;
            let certificate = PemFile { name: FILE, bytes: held.certificate_pem.as_bytes() };
            let key = PemFile { name: FILE, bytes: held.key_pem.as_bytes() };
            let credentials = Credentials::load(&certificate, &key).map_err(Error::Authority)?;
            let expected = Peer { cluster: self.cluster, role, node: self.node };
            if credentials.peer() != expected {
                return Err(Error::Answer("is a certificate of somebody else"));
            }
            all.insert(role, credentials);
        }
        let renew_at = all.values().map(Credentials::renew_at).min();
        let not_after = all.values().map(Credentials::not_after).min();
        match (renew_at, not_after) {
            (Some(renew_at), Some(not_after)) => Ok((all, Term { renew_at, not_after })),
            _ => Err(Error::Answer("has no certificate")),
        }
    }
}

fn role(word: &str) -> Result<ProcessRole, Error> {
    let found = ProcessRole::ALL.into_iter().find(|role| role.as_str() == word);
    found.ok_or(Error::Answer("names no role"))
}

/// Keys that were made and have no certificates yet.
pub(super) struct Drawn(Vec<(ProcessRole, NodeKey, Vec<u8>)>);

impl Drawn {
    pub(super) fn new(roles: &[ProcessRole]) -> Result<Self, Error> {
        let draw = |role: &ProcessRole| {
            let key = NodeKey::generate()?;
            let request = key.signing_request()?;
            Ok((*role, key, request))
        };
        roles.iter().map(draw).collect::<Result<_, _>>().map(Self).map_err(Error::Authority)
    }

    pub(super) fn requests(&self) -> Vec<SigningRequest> {
        let request = |(role, _, request): &(ProcessRole, NodeKey, Vec<u8>)| SigningRequest {
            role: role.as_str().to_owned(),
            request: request.clone().into(),
        };
        self.0.iter().map(request).collect()
    }

    /// With the certificates that were given for them; checked.
    pub(super) fn finish(
        self,
        (cluster, node): (ClusterId, NodeId),
        authority_pem: &str,
        certificates: Vec<Certificate>,
    ) -> Result<Identity, Error> {
        let mut roles = Vec::new();
        for (role, key, _) in &self.0 {
            let given = certificates.iter().find(|given| given.role == role.as_str());
            let given = given.ok_or(Error::Answer("lacks a certificate"))?;
            roles.push(Held {
                role: given.role.clone(),
                key_pem: key.pem().to_string(),
                certificate_pem: given.pem.clone(),
            });
        }
        let authority_pem = authority_pem.to_owned();
        let record = Record { cluster: cluster.0.to_vec(), node: node.0, authority_pem, roles };
        let identity = Identity { cluster, node, record };
        identity.credentials()?;
        Ok(identity)
    }
}

/// Where it is kept below the agent's folder.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Blocking.
pub(super) fn load(files: &dyn Files, directory: &Path) -> Result<Loaded, Error> {
    let path = path(directory);
    if files.metadata(&path)?.is_none() {
        return Ok(Loaded::Nothing);
    }
    let bytes = read_whole(files, &path, BYTES_MAX)?;
    let Some(rest) = bytes.strip_prefix(MAGIC.as_slice()) else { return Ok(Loaded::Damaged) };
    match rest.first() {
        Some(&VERSION) => {}
        Some(&found) if found > VERSION => return Err(Error::NewerFormat { path, found }),
        _ => return Ok(Loaded::Damaged),
    }
    let Next::Message(record) = Reader::new(rest, 1).next::<Record>() else {
        return Ok(Loaded::Damaged);
    };
    let Some(cluster) = ClusterId::from_slice(&record.cluster) else {
        return Ok(Loaded::Damaged);
    };
    let identity = Identity { cluster, node: NodeId(record.node), record };
    match identity.credentials() {
        Ok(_) => Ok(Loaded::Sound(Box::new(identity))),
        Err(_) => Ok(Loaded::Damaged),
    }
}

/// Makes it durable, for this user only. Blocking.
pub(super) fn store(files: &dyn Files, directory: &Path, identity: &Identity) -> Result<(), Error> {
    let mut bytes = BytesMut::new();
    bytes.put_slice(MAGIC);
    bytes.put_u8(VERSION);
    records::put(&mut bytes, &identity.record);
    write_atomically(files, &path(directory), &bytes, Permissions::Private)?;
    Ok(())
}
