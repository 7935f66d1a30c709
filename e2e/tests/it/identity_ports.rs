//! The internal ports of three nodes, and who is let in (bad inputs 155, 160, 161).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gitstratum_client::fleet::{self, Voter};
use gitstratum_core::{
    ClusterId, NodeId, ProcessRole, SystemClock, SystemEntropy, Token, UnixMillis,
};
use gitstratum_e2e::program;
use gitstratum_identity::transport::GuestDialer;
use gitstratum_identity::{
    Authority, Credentials, Dialer, GuestTls, InternalTls, NodeKey, Peer, PemFile, Service,
};
use gitstratum_proto::control::v1::{EnrolRequest, ReportRequest, SigningRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::identity::Nodes;

const SERVICES: [(Service, &str); 6] = [
    (Service::Control, "control"),
    (Service::ControlRaft, "controlRaft"),
    (Service::Metadata, "metadata"),
    (Service::MetadataRaft, "metadataRaft"),
    (Service::Object, "object"),
    (Service::Bulk, "bulk"),
];
/// Roles that a node can enrol for.
const ROLES: [ProcessRole; 4] =
    [ProcessRole::Agent, ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object];
/// Within what a connection is let in or refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a port that says nothing first has let a caller in.
const QUIET: Duration = Duration::from_millis(700);

/// The cluster as a node knows it that is about to join.
struct Outside {
    cluster: ClusterId,
    token: String,
    authority_pem: String,
    /// Address, node and service of every internal port.
    ports: Vec<(SocketAddr, NodeId, Service)>,
}

impl Outside {
    fn of(data: &Path) -> Result<Self> {
        let join = std::fs::read_to_string(data.join("join.token"))?;
        let (token, authority_pem) = join.split_once('\n').context("a token and a certificate")?;
        let addresses: serde_json::Value =
            serde_json::from_slice(&std::fs::read(data.join("addresses.json"))?)?;
        let cluster = addresses["clusterId"].as_str().and_then(ClusterId::parse);
        let nodes = addresses["nodes"].as_array().context("nodes")?;
        let mut ports = Vec::new();
        for (number, node) in (1..).zip(nodes) {
            for (service, name) in SERVICES {
                let address = node[name].as_str().with_context(|| format!("no {name}"))?;
                ports.push((address.parse()?, NodeId::allocate(1, number), service));
            }
        }
        let (token, authority_pem) = (token.to_owned(), authority_pem.to_owned());
        Ok(Self { cluster: cluster.context("a cluster")?, token, authority_pem, ports })
    }

    fn authority_file(&self) -> PemFile<'_> {
        PemFile { name: "ca.crt", bytes: self.authority_pem.as_bytes() }
    }

    /// The first control plane, for a guest.
    fn door(&self) -> Result<Arc<dyn Dialer>> {
        let tls = GuestTls::new(&self.authority_file(), SystemClock::new())?;
        Ok(Arc::new(GuestDialer::new(tls, self.ports[0].0.to_string())))
    }

    /// Joins as a new node with every role but control's.
    async fn enrol(&self, token: &str) -> Result<(NodeId, Vec<InternalTls>), fleet::Error> {
        let keys: Vec<NodeKey> =
            ROLES.iter().map(|_| NodeKey::generate().expect("a key")).collect();
        let asked = keys.iter().zip(ROLES).map(|(key, role)| SigningRequest {
            role: role.as_str().to_owned(),
            request: key.signing_request().expect("a request").into(),
        });
        let requests = asked.collect();
        let request =
            EnrolRequest { token: token.to_owned(), node: 0, requests, bare_roles: Vec::new() };
        let answer = fleet::enrol(self.door().expect("a door"), request).await?;
        let tls = answer.certificates.iter().zip(&keys).map(|(given, key)| {
            self.tls(given.pem.as_bytes(), key).expect("a certificate for the key")
        });
        Ok((NodeId(answer.node), tls.collect()))
    }

    fn tls(&self, certificate: &[u8], key: &NodeKey) -> Result<InternalTls> {
        let key = key.pem();
        let key = PemFile { name: "node.key", bytes: key.as_bytes() };
        let credentials =
            Credentials::load(&PemFile { name: "node.crt", bytes: certificate }, &key)?;
        Ok(InternalTls::new(&credentials, &self.authority_file(), SystemClock::new())?)
    }

    /// By an authority of the test's choice, at a time of its choice.
    fn forged(
        &self,
        authority: &Authority,
        role: ProcessRole,
        at: UnixMillis,
    ) -> Result<InternalTls> {
        let key = NodeKey::generate()?;
        let peer = Peer { cluster: self.cluster, role, node: NodeId::allocate(1, 1) };
        let entropy = SystemEntropy::new();
        let pem = authority.sign(peer, &key.signing_request()?, at, entropy.as_ref())?;
        self.tls(pem.as_bytes(), &key)
    }
}

/// Whether the server lets a caller in: it says its part, or waits for the caller's. Who is
/// not to be let in is given time to hear so.
async fn is_let_in(
    tls: &InternalTls,
    cluster: ClusterId,
    (address, node, service): (SocketAddr, NodeId, Service),
    wait: Duration,
) -> Result<bool> {
    let expected = Peer { cluster, role: service.served_by(), node };
    let tls = tls.client(expected)?;
    let Ok(mut stream) = tls.connect(TcpStream::connect(address).await?).await else {
        return Ok(false);
    };
    match timeout(wait, stream.read(&mut [0; 1])).await {
        Err(_) => Ok(true),
        Ok(read) => Ok(read.unwrap_or(0) > 0),
    }
}

const fn may(role: ProcessRole, service: Service) -> bool {
    use ProcessRole::{Agent, Frontend, Metadata, Object};
    match service {
        Service::Control => matches!(role, Agent),
        Service::ControlRaft => false,
        Service::Metadata => matches!(role, Frontend | Metadata | Object),
        Service::MetadataRaft => matches!(role, Metadata),
        // Frontends give pushes up there (S12).
        Service::Object => matches!(role, Frontend | Metadata | Object),
        Service::Bulk => matches!(role, Frontend | Metadata | Object),
    }
}

fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Runtime::new()?.block_on(future)
}

/// GS-CP-32: the control plane's port among them.
#[test]
fn bad_input_161_internal_ports_let_in_who_has_the_role_and_nobody_else() -> Result<()> {
    let nodes = Nodes::start(&[], Vec::new())?;
    let outside = Outside::of(nodes.stratum.data())?;
    wait(async {
        let (_, tls) = outside.enrol(&outside.token).await?;
        for port in &outside.ports {
            for (role, tls) in ROLES.iter().zip(&tls) {
                let wait = if may(*role, port.2) { QUIET } else { PATIENCE };
                let let_in = is_let_in(tls, outside.cluster, *port, wait).await?;
                ensure!(let_in == may(*role, port.2), "{role} at {:?}: {let_in}", port.2);
            }
        }
        Ok(())
    })?;
    nodes.verify("roles")
}

#[test]
fn bad_input_161_a_foreign_or_expired_certificate_opens_no_port() -> Result<()> {
    let nodes = Nodes::start(&[], Vec::new())?;
    let data = nodes.stratum.data().to_owned();
    let outside = Outside::of(&data)?;
    let (certificate, key) =
        (std::fs::read(data.join("ca.crt"))?, std::fs::read(data.join("ca.key"))?);
    let real = Authority::load(
        outside.cluster,
        &PemFile { name: "ca.crt", bytes: &certificate },
        &PemFile { name: "ca.key", bytes: &key },
    )?
    .with_lifetime(Duration::from_secs(1));
    let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
    let now = gitstratum_core::Clock::wall(clock.as_ref());
    // Another key under the same cluster's name.
    let foreign = Authority::create(outside.cluster, now, entropy.as_ref())?;
    wait(async {
        for port in &outside.ports {
            for role in ProcessRole::ALL {
                let forged = outside.forged(&foreign, role, now)?;
                let let_in = is_let_in(&forged, outside.cluster, *port, PATIENCE).await?;
                ensure!(!let_in, "forged {role} at {:?}", port.2);
                let long_ago = UnixMillis(now.0 - 2 * 3_600_000);
                let expired = outside.forged(&real, role, long_ago)?;
                let let_in = is_let_in(&expired, outside.cluster, *port, PATIENCE).await?;
                ensure!(!let_in, "long expired {role} at {:?}", port.2);
            }
            // The control plane takes what ran out during `offlineGrace`, to renew it; others
            // for a minute after their start.
            if ![Service::Control, Service::ControlRaft].contains(&port.2) {
                let just_now =
                    outside.forged(&real, ProcessRole::Metadata, UnixMillis(now.0 - 60_000))?;
                let began = tokio::time::Instant::now();
                while is_let_in(&just_now, outside.cluster, *port, QUIET).await? {
                    ensure!(began.elapsed() < Duration::from_secs(120), "expired at {:?}", port.2);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        Ok(())
    })?;
    nodes.verify("foreign")
}

/// What the port says to `bytes` until it closes.
async fn said_to(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    // It may hang up before all is said.
    drop(stream.write_all(bytes).await);
    let mut said = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    ensure!(closed.is_ok(), "{address} keeps a connection that says {} bytes", bytes.len());
    Ok(said)
}

#[test]
fn bad_input_161_garbage_silence_and_frames_too_large_end_the_connection_only() -> Result<()> {
    let nodes = Nodes::start(&[], Vec::new())?;
    let outside = Outside::of(nodes.stratum.data())?;
    wait(async {
        let (_, tls) = outside.enrol(&outside.token).await?;
        let first = outside.ports.iter().take(SERVICES.len());
        let silent = first.map(|(address, ..)| said_to(*address, b""));
        for said in futures::future::join_all(silent).await {
            ensure!(said?.len() <= 7, "a port spoke first");
        }
        for (address, node, service) in &outside.ports {
            let plain = [
                b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                vec![0xff; 70_000],
            ];
            for bytes in plain {
                let said = said_to(*address, &bytes).await?;
                ensure!(said.len() <= 7, "{service:?} said {said:?} to {} bytes", bytes.len());
            }
            // Past the handshake: a frame of 16 MiB, then bytes without meaning.
            for (role, tls) in ROLES.iter().zip(&tls).filter(|(role, _)| may(**role, *service)) {
                let expected =
                    Peer { cluster: outside.cluster, role: service.served_by(), node: *node };
                let client = tls.client(expected)?;
                let mut stream = client.connect(TcpStream::connect(address).await?).await?;
                let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
                bytes.extend_from_slice(&[0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0]);
                bytes.extend_from_slice(&[0xff; 4_096]);
                drop(stream.write_all(&bytes).await);
                let mut said = Vec::new();
                let closed = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
                ensure!(closed.is_ok(), "{service:?} keeps {role} that speaks garbage");
            }
        }
        Ok(())
    })?;
    nodes.verify("garbage")
}

#[test]
fn p_s6_only_the_join_token_enrols_and_a_guest_can_do_nothing_else() -> Result<()> {
    let nodes = Nodes::start(&[], Vec::new())?;
    let outside = Outside::of(nodes.stratum.data())?;
    let admin = nodes.stratum.admin_token()?;
    let stranger = Token::generate(SystemEntropy::new().as_ref());
    let (id, said) = wait(async {
        for token in [stranger.expose(), admin.as_str(), ""] {
            let refused = outside.enrol(token).await.err().context("enrolled without the token")?;
            let message = refused.to_string();
            ensure!(message.contains("join token is not the cluster's"), "{message}");
        }
        let guest = Voter::new(outside.door()?, NodeId::allocate(1, 1));
        let report = ReportRequest { node: NodeId::allocate(1, 1).0, ..ReportRequest::default() };
        let said = guest.report(report).await.err().context("a guest has reported")?.to_string();
        let (id, _) = outside.enrol(&outside.token).await?;
        Ok((id, said))
    })?;
    eprintln!("a guest who reports hears: {said}");
    // It is in the registry, and each attempt has its audit line.
    let status = nodes.stratum.cli(&["status", "-o", "json"])?;
    ensure!(status.contains(&id.to_string()), "node {id} is not in {status}");
    let audit = nodes.stratum.cli(&["audit", "-o", "json"])?;
    let refused = audit.matches("join token is not the cluster's").count();
    ensure!(refused >= 3, "{refused} lines of refused enrolments");
    ensure!(audit.contains("new frontend,metadata,object"), "the enrolment has no line");
    nodes.verify("guests")
}

/// A node that is started on the keys of another one, or of another cluster, does not start.
#[test]
fn bad_input_155_a_folder_of_another_node_is_refused() -> Result<()> {
    let mut nodes = Nodes::start(&[], Vec::new())?;
    ensure!(nodes.stratum.stop()? == 0, "it did not stop cleanly");
    let data = nodes.stratum.data().to_owned();
    let identity = |number: u8| data.join(format!("nodes/{number}/agent/identity"));
    let own = std::fs::read(identity(3))?;
    std::fs::copy(identity(2), identity(3))?;
    let started = std::process::Command::new(program())
        .args(["up", "--nodes", "3", "--node", "3", "--http", "127.0.0.1:0"])
        .args(["--ssh", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--data"])
        .arg(&data)
        .args(["--watched-by", &std::process::id().to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    ensure!(!started.status.success(), "it ran with the keys of node 2");
    ensure!(said.contains("identity is of node"), "{said}");
    std::fs::write(identity(3), own)?;
    nodes.stratum.launch()?;
    nodes.verify("own-keys")
}
