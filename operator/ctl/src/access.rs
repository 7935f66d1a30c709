//! Where a control plane is, and who asks.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use gitstratum_core::NodeId;

use crate::Error;
use crate::endpoint::{self, Endpoint, Node};

/// Name of the socket in the folder of each store.
const STORE_SOCKET: &str = "admin.sock";
/// Name of the socket behind which a node reaches the stores of all.
const PEERS_SOCKET: &str = "peers.sock";
/// Name of the agent's, in its own folder.
const AGENT_SOCKET: &str = "agent.sock";
/// Port of a control plane where none is named.
const PORT: u16 = 9090;
/// Most bytes that are read of a token's file.
const TOKEN_BYTES_MAX: u64 = 8 * 1024;
/// Most bytes that are read of a file of certificates.
const CA_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Where systems keep the certificates that they trust.
const SYSTEM_CAS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What the user said about whom to ask, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `HOST[:PORT]` of a control plane; none: the `up` on `data`.
    pub server: Option<String>,
    /// Certificates by which the server is believed; none: the system's.
    pub ca: Option<PathBuf>,
    /// Data directory of a local `up`.
    pub data: PathBuf,
    /// File with the token.
    pub token_file: Option<PathBuf>,
    /// The token itself.
    pub token: Option<Secret>,
}

/// A token. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The token in `text`, without the white space around it; `source` says where it stood.
    ///
    /// # Errors
    /// When it is empty or cannot be a token.
    pub fn parse(source: &str, text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::TokenShape(source.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The token in the file at `path`.
    ///
    /// # Errors
    /// When it does not read or holds no token.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_file("token file", path, TOKEN_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(&path.display().to_string(), &text)
    }

    /// The text itself, for the one who must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Sockets behind which a node shows its stores to its owner. Who may open the file may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stores {
    /// Whose.
    pub node: NodeId,
    /// `HOST:PORT` where the node says whether it lives, if that is known.
    pub probes: Option<String>,
    /// Of the partitions.
    pub metadata: PathBuf,
    /// Of the segments.
    pub object: PathBuf,
    /// Of the segments on any node, which is named first.
    pub peers: PathBuf,
    /// Of what the control plane has told the node.
    pub agent: PathBuf,
}

/// A control plane that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The `up` on this machine that listens at `socket`.
    Local {
        /// Its Unix socket.
        socket: PathBuf,
        /// Its data directory.
        data: PathBuf,
        /// Sockets of its nodes' stores.
        stores: Vec<Stores>,
    },
    /// Somewhere, over TLS.
    Remote {
        /// Host, with brackets around IPv6.
        host: String,
        /// Port.
        port: u16,
        /// PEM of the certificates by which it is believed.
        ca: Vec<u8>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { data, .. } => write!(f, "`gitstratum up` on {}", data.display()),
            Self::Remote { host, port, .. } => write!(f, "control plane {host}:{port}"),
        }
    }
}

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Access {
    /// Whom.
    pub place: Place,
    /// As whom.
    pub token: Secret,
}

impl Access {
    /// Finds out from files what `options` leave open. The token of a local `up` goes to
    /// nobody else.
    ///
    /// # Errors
    /// When there is nobody to ask, nobody to be, or a file does not read.
    pub fn find(options: &Options) -> Result<Self, Error> {
        let stated = stated_token(options)?;
        let Some(server) = options.server.as_deref().filter(|server| !server.is_empty()) else {
            return Self::local(&options.data, stated);
        };
        let place = remote(server, options.ca.as_deref())?;
        let token = stated.ok_or_else(|| Error::NoToken(place.to_string()))?;
        Ok(Self { place, token })
    }

    fn local(data: &Path, stated: Option<Secret>) -> Result<Self, Error> {
        let endpoint = Endpoint::read(data)?;
        let socket = endpoint::socket(data, endpoint.as_ref());
        if !socket.exists() {
            return Err(Error::NotRunning(data.to_owned()));
        }
        let admin = || Secret::read(&endpoint::admin_token_file(data, endpoint.as_ref()));
        let token = stated.map_or_else(admin, Ok)?;
        let stores = endpoint::nodes(data, endpoint.as_ref()).into_iter();
        let stores = stores.map(|Node { id, folder, probes }| Stores {
            node: id,
            probes,
            metadata: folder.join("metadata").join(STORE_SOCKET),
            object: folder.join("object").join(STORE_SOCKET),
            peers: folder.join("object").join(PEERS_SOCKET),
            agent: folder.join("agent").join(AGENT_SOCKET),
        });
        let stores = stores.collect();
        Ok(Self { place: Place::Local { socket, data: data.to_owned(), stores }, token })
    }
}

fn stated_token(options: &Options) -> Result<Option<Secret>, Error> {
    match &options.token_file {
        Some(path) => Secret::read(path).map(Some),
        None => Ok(options.token.clone()),
    }
}

fn remote(server: &str, ca: Option<&Path>) -> Result<Place, Error> {
    let (host, port) = parse_server(server)?;
    let what = "certificates";
    let found = || SYSTEM_CAS.iter().map(Path::new).find(|path| path.exists());
    let path = ca.or_else(found).ok_or_else(|| Error::Argument {
        what: "server",
        value: server.to_owned(),
        problem: "cannot be believed: this system keeps no certificates, give --ca FILE",
    })?;
    let ca = read_file(what, path, CA_BYTES_MAX)?;
    Ok(Place::Remote { host, port, ca })
}

/// Host and port of `HOST`, `HOST:PORT`, perhaps behind `https://`.
fn parse_server(server: &str) -> Result<(String, u16), Error> {
    let fail = || Error::Argument {
        what: "server",
        value: server.to_owned(),
        problem: "is not HOST or HOST:PORT",
    };
    let text = server.strip_prefix("https://").unwrap_or(server).trim_end_matches('/');
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_host) {
        return Err(fail());
    }
    let colon = text.rfind(':').filter(|at| !text[*at..].contains(']'));
    let (host, port) = match colon {
        Some(at) => (&text[..at], text[at + 1..].parse().map_err(|_| fail())?),
        None => (text, PORT),
    };
    let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
    if host.is_empty() || is_bare_ipv6 { Err(fail()) } else { Ok((host.to_owned(), port)) }
}

fn read_file(what: &'static str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| Error::Read { what, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_host_and_perhaps_a_port() {
        for (text, host, port) in [
            ("git.example.org", "git.example.org", 9090),
            ("git.example.org:1", "git.example.org", 1),
            ("https://git.example.org:1/", "git.example.org", 1),
            ("[::1]:5", "[::1]", 5),
            ("[::1]", "[::1]", 9090),
        ] {
            assert_eq!(parse_server(text).unwrap(), (host.to_owned(), port));
        }
        for bad in ["", ":1", "a:b", "a b", "http://a", "::1", "a/b", "user@host"] {
            assert!(parse_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_admin_token_of_a_local_up_is_for_it_only() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("admin.token"), "gst_local\n").unwrap();
        let local = Options { data: data.path().to_owned(), ..Options::default() };
        let error = Access::find(&local).expect_err("because nothing runs");
        assert!(matches!(error, Error::NotRunning(_)), "{error}");
        fs::write(data.path().join("control.sock"), "").unwrap();
        assert_eq!(Access::find(&local).unwrap().token.expose(), "gst_local");
        let ca = data.path().join("ca.pem");
        fs::write(&ca, "x").unwrap();
        let server = Some("git.example.org".to_owned());
        let remote = Options { server, ca: Some(ca), ..local };
        let error = Access::find(&remote).expect_err("because nobody gave a token");
        assert!(matches!(error, Error::NoToken(_)), "{error}");
        let token = Some(Secret::parse("env", "gst_mine").unwrap());
        assert_eq!(Access::find(&Options { token, ..remote }).unwrap().token.expose(), "gst_mine");
    }

    #[test]
    fn a_file_wins_over_the_environment_and_must_hold_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = Some(Secret::parse("env", "gst_env").unwrap());
        let options = Options { token_file: Some(path.clone()), token, ..Options::default() };
        assert!(matches!(stated_token(&options), Err(Error::Read { .. })));
        fs::write(&path, " gst_file \n").unwrap();
        assert_eq!(stated_token(&options).unwrap().unwrap().expose(), "gst_file");
        for bad in ["", "\n", "two words", "gst_\u{e9}", "a\nb"] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(stated_token(&options), Err(Error::TokenShape(_))), "{bad:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::parse("env", "gst_env").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
