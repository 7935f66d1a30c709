//! `DIR/endpoint.json`: where a running `gitstratum up` can be reached.

use std::fs;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gitstratum_core::NodeId;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Error;

/// Name of the file in the data directory.
const FILE: &str = "endpoint.json";
/// Name of the control socket in the data directory.
const SOCKET: &str = "control.sock";
/// Name of the file with the first admin's token.
const ADMIN_TOKEN: &str = "admin.token";
/// Folder of the first node in the data directory.
const FIRST_NODE: &str = "nodes/1";
/// Its id, as every founding gives it.
pub(crate) const FIRST_NODE_ID: NodeId = NodeId::allocate(1, 1);
/// Most bytes that are read of the file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How long a process may take to say that it lives.
const LIVES_WITHIN: Duration = Duration::from_millis(500);
/// The beginning of a probe's good answer.
const LIVES: [u8; 12] = *b"HTTP/1.1 200";
/// What the file is called in messages.
const WHAT: &str = "endpoint file";

/// What `up` writes when every node is ready, and removes when it ends cleanly. Fields that
/// this version does not know are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Where Git is served over HTTP: `http://HOST:PORT`, or `HOST:PORT`.
    pub http: Option<String>,
    /// Where Git is served over SSH: `ssh://HOST:PORT`, or `HOST:PORT`.
    pub ssh: Option<String>,
    /// Where Git is served over HTTPS.
    pub https: Option<String>,
    /// Where probes and metrics are served.
    pub metrics: Option<String>,
    /// The SSH host key, as it stands in known_hosts behind the host.
    pub ssh_host_key: Option<String>,
    /// The Unix socket of the control plane.
    pub control: Option<PathBuf>,
    /// The file that holds the first admin's token.
    pub admin_token_file: Option<PathBuf>,
    /// Process id of `up`.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// Its nodes.
    pub nodes: Vec<EndpointNode>,
}

/// One node of an `up`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointNode {
    /// The node's id, as hex.
    pub id: String,
    /// Its data directory.
    pub dir: PathBuf,
    /// Process id.
    pub pid: u32,
    /// Git over HTTP.
    pub http: Option<String>,
    /// Git over SSH.
    pub ssh: Option<String>,
    /// Probes and metrics.
    pub metrics: Option<String>,
}

impl Endpoint {
    /// The file in `data`; none when there is none.
    ///
    /// # Errors
    /// When it does not read or is malformed.
    pub fn read(data: &Path) -> Result<Option<Self>, Error> {
        let path = data.join(FILE);
        let failed = |source| Error::Read { what: WHAT, path: path.clone(), source };
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        serde_json::from_slice(&text).map(Some).map_err(|error| Error::Malformed {
            what: WHAT,
            path: path.clone(),
            problem: format!("is damaged: {error}"),
        })
    }

    /// Whether Git is served here at `host`, which is `HOST[:PORT]`, over `protocol`.
    pub fn serves(&self, protocol: &str, host: &str) -> bool {
        let of_nodes = || self.nodes.iter().filter_map(|node| node.http.as_ref());
        match protocol {
            "http" => self.http.iter().chain(of_nodes()).any(|at| is_same(at, host, 80)),
            "https" => self.https.iter().any(|at| is_same(at, host, 443)),
            _ => false,
        }
    }
}

/// The control socket of an `up` on `data`. A relative path in the file is relative to
/// wherever `up` was started, so only its last part is believed.
pub fn socket(data: &Path, endpoint: Option<&Endpoint>) -> PathBuf {
    path_in(data, endpoint.and_then(|endpoint| endpoint.control.as_deref()), SOCKET)
}

/// The file with the first admin's token of an `up` on `data`.
pub fn admin_token_file(data: &Path, endpoint: Option<&Endpoint>) -> PathBuf {
    path_in(data, endpoint.and_then(|found| found.admin_token_file.as_deref()), ADMIN_TOKEN)
}

/// A node of an `up`, and how it is looked at from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its folder.
    pub folder: PathBuf,
    /// `HOST:PORT` of its probes.
    pub probes: Option<String>,
}

/// The nodes of an `up` on `data`; while it does not say which it has, its first one.
pub fn nodes(data: &Path, endpoint: Option<&Endpoint>) -> Vec<Node> {
    let stated = endpoint.map(|endpoint| endpoint.nodes.as_slice()).unwrap_or_default();
    let nodes = stated.iter().filter(|node| node.dir.is_absolute()).filter_map(|node| {
        let probes = node.metrics.as_deref().map(|url| url.trim_start_matches("http://"));
        let id = NodeId::parse(&node.id)?;
        Some(Node { id, folder: node.dir.clone(), probes: probes.map(str::to_owned) })
    });
    let nodes: Vec<Node> = nodes.collect();
    if !nodes.is_empty() {
        return nodes;
    }
    vec![Node { id: FIRST_NODE_ID, folder: data.join(FIRST_NODE), probes: None }]
}

/// Whether the process whose probes are at `address` lives. One that hangs takes connections
/// too, and on a socket it would keep a caller waiting: so it is asked for an answer first.
pub async fn lives(address: &str) -> bool {
    let asked = tokio::time::timeout(LIVES_WITHIN, ask_life(address)).await;
    matches!(asked, Ok(Ok(true)))
}

async fn ask_life(address: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut begin = [0; LIVES.len()];
    stream.read_exact(&mut begin).await?;
    Ok(begin == LIVES)
}

fn path_in(data: &Path, stated: Option<&Path>, default: &str) -> PathBuf {
    match stated {
        Some(path) if path.is_absolute() => path.to_owned(),
        Some(path) => path.file_name().map_or_else(|| data.join(default), |name| data.join(name)),
        None => data.join(default),
    }
}

/// Whether `stated`, an address with or without its scheme, is what `host` names.
fn is_same(stated: &str, host: &str, default_port: u16) -> bool {
    let stated = stated.split_once("://").map_or(stated, |(_, rest)| rest);
    let (Some(stated), Some(asked)) =
        (split_port(stated.trim_end_matches('/'), default_port), split_port(host, default_port))
    else {
        return false;
    };
    stated.1 == asked.1 && is_same_host(stated.0, asked.0)
}

/// The names of this machine to itself are all one to a listener on any of them.
fn is_same_host(stated: &str, asked: &str) -> bool {
    stated.eq_ignore_ascii_case(asked) || (reaches_loopback(stated) && is_loopback(asked))
}

fn reaches_loopback(host: &str) -> bool {
    is_loopback(host) || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host, without the brackets of IPv6, and port.
fn split_port(text: &str, default: u16) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            None if port.is_empty() => Some((host, default)),
            None => None,
            Some(port) => port.parse().ok().map(|port| (host, port)),
        };
    }
    match text.split_once(':') {
        None => Some((text, default)),
        Some((host, port)) => port.parse().ok().map(|port| (host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(http: &str) -> Endpoint {
        Endpoint { http: Some(http.to_owned()), ..Endpoint::default() }
    }

    #[test]
    fn the_file_is_read_and_unknown_fields_do_no_harm() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(Endpoint::read(data.path()).unwrap(), None);
        fs::write(data.path().join(FILE), r#"{"http":"127.0.0.1:1","later":{}}"#).unwrap();
        assert_eq!(Endpoint::read(data.path()).unwrap(), Some(endpoint("127.0.0.1:1")));
        fs::write(data.path().join(FILE), "{").unwrap();
        let error = Endpoint::read(data.path()).expect_err("because it is cut off");
        assert!(error.to_string().contains("endpoint.json is damaged"), "{error}");
    }

    #[test]
    fn hosts_are_compared_as_addresses() {
        let local = endpoint("http://127.0.0.1:8080");
        for same in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080"] {
            assert!(local.serves("http", same), "{same}");
        }
        for other in ["127.0.0.1", "127.0.0.1:80", "example.org:8080", "127.0.0.1:x", "[::1", ""] {
            assert!(!local.serves("http", other), "{other}");
        }
        assert!(!local.serves("https", "127.0.0.1:8080"));
        assert!(!local.serves("ssh", "127.0.0.1:8080"));
        assert!(endpoint("0.0.0.0:80").serves("http", "localhost"));
        assert!(!endpoint("0.0.0.0:80").serves("http", "example.org"));
        assert!(endpoint("git.example.org:80").serves("http", "GIT.example.org"));
    }

    #[test]
    fn relative_paths_in_the_file_are_taken_as_beside_it() {
        let data = Path::new("/srv/elsewhere");
        let mut found = endpoint("x");
        assert_eq!(socket(data, Some(&found)), data.join("control.sock"));
        found.control = Some("gitstratum-data/c.sock".into());
        assert_eq!(socket(data, Some(&found)), data.join("c.sock"));
        found.control = Some("/run/c.sock".into());
        assert_eq!(socket(data, Some(&found)), Path::new("/run/c.sock"));
        assert_eq!(admin_token_file(data, None), data.join("admin.token"));
        let first = Node { id: FIRST_NODE_ID, folder: data.join("nodes/1"), probes: None };
        assert_eq!(nodes(data, Some(&found)), [first]);
        let (id, metrics) = (NodeId(7).to_string(), Some("http://127.0.0.1:9".to_owned()));
        found.nodes =
            vec![EndpointNode { id, dir: "/srv/one".into(), metrics, ..EndpointNode::default() }];
        let probes = Some("127.0.0.1:9".to_owned());
        let seventh = Node { id: NodeId(7), folder: "/srv/one".into(), probes };
        assert_eq!(nodes(data, Some(&found)), [seventh]);
    }

    #[tokio::test]
    async fn who_takes_a_connection_and_says_nothing_does_not_live() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(!lives(&address).await, "nobody reads what was sent");
        let answer = async {
            // The first caller still lies in the queue.
            drop(listener.accept().await.unwrap());
            let (mut caller, _) = listener.accept().await.unwrap();
            caller.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        };
        let (lives, ()) = tokio::join!(lives(&address), answer);
        assert!(lives);
    }
}
